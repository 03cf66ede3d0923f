#include "shim/monitor/update.h"

#include <gmock/gmock.h>

#include "shim/run/sizing.h"

namespace holt::shim {
namespace {

using testing::HasSubstr;
constexpr uint64_t kMiB = 1 << 20;

oci::Resources Parse(std::string_view json) {
  auto resources = oci::ParseResources(json);
  EXPECT_TRUE(resources.ok()) << resources.error().message();
  return resources ? *resources : oci::Resources();
}

std::string Completed(std::string_view current, std::string_view update) {
  return oci::SerializeResources(CompleteUpdate(Parse(current), Parse(update)));
}

std::string Merged(std::string_view current, std::string_view update) {
  return oci::SerializeResources(MergeResources(Parse(current), Parse(update)));
}

TEST(UpdateTest, WhatTheKernelNeedsBesideItIsFilledIn) {
  // quota and period are one file, swap is a sum with the limit.
  EXPECT_EQ(Completed(R"({"cpu":{"quota":5,"period":50}})", R"({"cpu":{"quota":7}})"),
            R"({"cpu":{"period":50,"quota":7}})");
  EXPECT_EQ(Completed(R"({"cpu":{"quota":5,"period":50}})", R"({"cpu":{"period":70}})"),
            R"({"cpu":{"period":70,"quota":5}})");
  EXPECT_EQ(Completed(R"({"memory":{"limit":5}})", R"({"memory":{"swap":9}})"),
            R"({"memory":{"limit":5,"swap":9}})");
  EXPECT_EQ(Completed(R"({"memory":{"limit":5,"swap":9}})", R"({"memory":{"limit":6}})"),
            R"({"memory":{"limit":6,"swap":9}})");
  EXPECT_EQ(Completed("{}", R"({"memory":{"limit":-1}})"), R"({"memory":{"limit":-1,"swap":-1}})");
  EXPECT_EQ(Completed(R"({"memory":{"limit":5}})", R"({"cpu":{"shares":2}})"),
            R"({"cpu":{"shares":2}})");
}

TEST(UpdateTest, WhatIsNotNamedStays) {
  EXPECT_EQ(Merged(R"({"memory":{"limit":5,"reservation":3},"pids":{"limit":7}})",
                   R"({"memory":{"limit":6},"cpu":{"cpus":"0"},"unified":{"a.b":"c"}})"),
            R"({"cpu":{"cpus":"0"},"memory":{"limit":6,"reservation":3},"pids":{"limit":7},)"
            R"("unified":{"a.b":"c"}})");
  EXPECT_EQ(Merged(R"({"hugepageLimits":[{"pageSize":"2MB","limit":1}]})",
                   R"({"hugepageLimits":[{"pageSize":"2MB","limit":2}]})"),
            R"({"hugepageLimits":[{"limit":2,"pageSize":"2MB"}]})");
}

TEST(UpdateTest, AMachineDoesNotGrow) {
  auto fits = [](std::string_view json, uint32_t vcpus = 2) {
    auto status = CheckFits(Parse(json), 256 * kMiB, vcpus);
    return status ? std::string("fits") : std::string(status.error().message());
  };
  EXPECT_EQ(fits(R"({"memory":{"limit":100000000}})"), "fits");
  EXPECT_EQ(fits(R"({"memory":{"limit":-1}})"), "fits");
  EXPECT_THAT(fits(R"({"memory":{"limit":268435456}})"), HasSubstr("machine has 256 MiB"));
  EXPECT_EQ(fits(R"({"cpu":{"quota":200000}})"), "fits");
  EXPECT_THAT(fits(R"({"cpu":{"quota":200001}})"), HasSubstr("linux.resources.cpu.quota"));
  EXPECT_EQ(fits(R"({"cpu":{"quota":-1,"period":10}})"), "fits");
  EXPECT_THAT(fits(R"({"cpu":{"quota":9223372036854775807,"period":18446744073709551615}})"),
              "fits");
  // Of this host's, not of the machine's.
  EXPECT_EQ(fits(R"({"cpu":{"cpus":"0-63","mems":"1"}})"), "fits");
}

TEST(UpdateTest, TheLimitThatAMachineWasMadeForFits) {
  for (uint64_t limit = kMinContainerBytes; limit < 4096 * kMiB; limit = limit * 3 / 2 + 4095) {
    auto size = SizeMachine(limit, 1000, 1ull << 40);
    ASSERT_TRUE(size.ok());
    EXPECT_GE(ContainerBytes(size->memory_bytes), limit);
    EXPECT_LT(ContainerBytes(size->memory_bytes), limit + 4 * kMiB);
  }
}

}  // namespace
}  // namespace holt::shim
