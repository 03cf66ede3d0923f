#include "cgroup/detail.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "base/file.h"

namespace holt::cgroup {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(CgroupDetailTest, IoStatByDevice) {
  EXPECT_THAT(
      ParseIoStat("8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n254:0 rbytes=7 cost=9\n"),
      ElementsAre(IoDevice{8, 16, 1, 2, 5, 3, 4, 6}, IoDevice{254, 0, 7}));
  // The kernel writes devices without any number, too.
  EXPECT_THAT(ParseIoStat("7:0 \n8:0\nnonsense\n"), IsEmpty());
}

TEST(CgroupDetailTest, Pressure) {
  PressureLines lines = ParsePressure(
      "some avg10=1.50 avg60=0.25 avg300=0.00 total=77\n"
      "full avg10=0.00 avg60=0.00 avg300=12.00 total=3\n");
  EXPECT_EQ(lines.some, (PressureLine{1.5, 0.25, 0, 77}));
  EXPECT_EQ(lines.full, (PressureLine{0, 0, 12, 3}));
  EXPECT_EQ(ParsePressure("some avg10= total\nwhat").some, PressureLine());
}

// A directory that looks like a cgroup, and one that has nothing.
TEST(CgroupDetailTest, ReadsWhatIsThere) {
  std::string directory = testing::TempDir() + "/cgroup-XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  auto fd = base::Open(directory, O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(fd.ok());
  EXPECT_EQ(ReadDetail(fd->get()).cpus, "");
  for (auto [file, text] : {std::pair("memory.swap.current", "4096\n"),
                            {"memory.swap.max", "max\n"},
                            {"cpuset.cpus.effective", "0-1\n"},
                            {"cpuset.mems.effective", "0\n"},
                            {"hugetlb.2MB.current", "2097152\n"},
                            {"hugetlb.2MB.events", "max 3\n"},
                            {"hugetlb.2MB.rsvd.current", "0\n"},
                            {"cpu.pressure", "some avg10=2.00 avg60=0.00 avg300=0.00 total=5\n"}})
    ASSERT_TRUE(base::WriteFile(directory + "/" + file, text).ok());
  CgroupDetail detail = ReadDetail(fd->get());
  EXPECT_EQ(detail.swap_usage, 4096u);
  EXPECT_EQ(detail.swap_limit, UINT64_MAX);
  EXPECT_EQ(detail.cpus, "0-1");
  EXPECT_EQ(detail.mems, "0");
  ASSERT_EQ(detail.hugetlb.size(), 1u);
  EXPECT_EQ(detail.hugetlb["2MB"].usage, 2097152u);
  EXPECT_EQ(detail.hugetlb["2MB"].failures, 3u);
  ASSERT_EQ(detail.pressure.size(), 1u);
  EXPECT_EQ(detail.pressure["cpu"].some.avg10, 2);
  EXPECT_TRUE(base::RemoveTree(directory).ok());
}

}  // namespace
}  // namespace holt::cgroup
