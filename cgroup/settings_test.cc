#include "cgroup/settings.h"

#include <gmock/gmock.h>

#include "cgroup/stats.h"

namespace holt::cgroup {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Texts(std::string_view json) {
  auto resources = oci::ParseResources(json);
  EXPECT_TRUE(resources.ok()) << resources.error().message();
  auto writes = CgroupWrites(*resources);
  EXPECT_TRUE(writes.ok()) << writes.error().message();
  std::vector<std::string> texts;
  for (const CgroupWrite& write : *writes) texts.push_back(write.file + "=" + write.value);
  return texts;
}

TEST(CgroupWritesTest, MemoryAndSwapAreASumInTheSpecificationAndApartInTheKernel) {
  EXPECT_THAT(Texts(R"({"memory":{"limit":1000,"swap":1500,"reservation":700}})"),
              ElementsAre("memory.swap.max=500", "memory.max=1000", "memory.low=700"));
  EXPECT_THAT(Texts(R"({"memory":{"limit":-1,"swap":-1}})"),
              ElementsAre("memory.swap.max=max", "memory.max=max"));
  EXPECT_THAT(Texts(R"({"memory":{"limit":1000,"swap":1000}})"),
              ElementsAre("memory.swap.max=0", "memory.max=1000"));
}

TEST(CgroupWritesTest, SwapWithoutItsLimitIsAnErrorThatNamesIt) {
  for (const char* json :
       {R"({"memory":{"swap":1500}})", R"({"memory":{"limit":2000,"swap":1500}})"}) {
    auto writes = CgroupWrites(*oci::ParseResources(json));
    ASSERT_FALSE(writes.ok()) << json;
    EXPECT_EQ(writes.error().code(), base::Code::kInvalidArgument);
    EXPECT_THAT(writes.error().message(), HasSubstr("linux.resources.memory.swap"));
  }
}

TEST(CgroupWritesTest, Cpu) {
  EXPECT_THAT(Texts(R"({"cpu":{"quota":50000,"period":100000,"cpus":"0-1","shares":512}})"),
              ElementsAre("cpu.weight=59", "cpu.max=50000 100000", "cpuset.cpus=0-1"));
  EXPECT_THAT(Texts(R"({"cpu":{"quota":-1}})"), ElementsAre("cpu.max=max"));
}

TEST(CgroupWritesTest, NoPidsLimitIsMax) {
  EXPECT_THAT(Texts(R"({"pids":{"limit":0}})"), ElementsAre("pids.max=max"));
  EXPECT_THAT(Texts(R"({"pids":{"limit":7}})"), ElementsAre("pids.max=7"));
}

TEST(CgroupWritesTest, BlockIo) {
  auto resources = oci::ParseResources(R"({"blockIO":{"weight":100,
      "weightDevice":[{"major":8,"minor":1,"weight":1000}],
      "throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":7},{"major":8,"minor":1,"rate":0}]}})");
  auto writes = CgroupWrites(*resources);
  ASSERT_TRUE(writes.ok());
  const std::string io = "linux.resources.blockIO.";
  EXPECT_THAT(
      *writes,
      ElementsAre(CgroupWrite{"io.weight", "default 910", io + "weight", "100"},
                  CgroupWrite{"io.weight", "8:1 10000", io + "weightDevice[0]", "8:1 1000"},
                  CgroupWrite{"io.max", "8:0 wiops=7", io + "throttleWriteIOPSDevice[0]"},
                  CgroupWrite{"io.max", "8:1 wiops=max", io + "throttleWriteIOPSDevice[1]"}));
}

TEST(CgroupWritesTest, UnifiedComesLast) {
  EXPECT_THAT(Texts(R"({"unified":{"memory.max":"5"},"memory":{"limit":9}})"),
              ElementsAre("memory.max=9", "memory.max=5"));
}

TEST(WeightFromSharesTest, MeetsTheEndsAndTheDefault) {
  EXPECT_EQ(WeightFromShares(2), 1u);
  EXPECT_EQ(WeightFromShares(1024), 100u);
  EXPECT_EQ(WeightFromShares(262144), 10000u);
  uint64_t before = 0;
  for (uint64_t shares = 2; shares <= 262144; shares *= 2) {
    EXPECT_GE(WeightFromShares(shares), before) << shares;
    before = WeightFromShares(shares);
  }
}

TEST(CgroupTextTest, FlatKeyed) {
  auto values = ParseFlatKeyed("low 0\noom_kill 3\nbroken\nmax 18446744073709551615\n");
  EXPECT_EQ(values["oom_kill"], 3u);
  EXPECT_EQ(values["max"], UINT64_MAX);
  EXPECT_FALSE(values.contains("broken"));
}

TEST(CgroupTextTest, IoStatIsSummedOverDevices) {
  CgroupStats stats;
  AddIoStat(
      "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0\n8:16 rbytes=5 wbytes=6 rios=7 wios=8\n",
      stats);
  EXPECT_EQ(stats.io_read_bytes, 15u);
  EXPECT_EQ(stats.io_write_bytes, 26u);
  EXPECT_EQ(stats.io_read_ops, 8u);
  EXPECT_EQ(stats.io_write_ops, 10u);
}

}  // namespace
}  // namespace holt::cgroup
