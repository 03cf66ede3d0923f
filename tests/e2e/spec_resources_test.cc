// runtime-spec, config-linux.md "Control groups": limits as the container's own cgroup shows them.
#include "tests/e2e/spec_fixture.h"

namespace holt {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class SpecResourcesTest : public SpecTest {};

TEST_F(SpecResourcesTest, LimitsAreInTheCgroup) {
  config_["linux"]["resources"] = json::parse(R"({
    "memory": {"limit": 134217728, "reservation": 67108864, "swap": 134217728},
    "cpu": {"shares": 512, "quota": 50000, "period": 200000, "burst": 1000},
    "pids": {"limit": 77},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
    "unified": {"memory.high": "100000000"}})");
  Finished run = RunScript(R"(
      cd /sys/fs/cgroup
      for file in memory.max memory.low memory.high memory.swap.max cpu.max cpu.max.burst pids.max \
                  hugetlb.2MB.max; do
        [ -e $file ] && echo $file $(cat $file) || echo $file missing
      done)");
  EXPECT_EQ(run.status, 0) << run.err;
  for (const char* line : {"memory.max 134217728\n", "memory.low 67108864\n",
                           "memory.high 99999744\n", "memory.swap.max 0\n",
                           "cpu.max 50000 200000\n", "pids.max 77\n", "hugetlb.2MB.max 4194304\n"})
    EXPECT_THAT(run.out, HasSubstr(line));
  if (!PeerDiffers("cpu.burst")) {
    EXPECT_THAT(run.out, HasSubstr("cpu.max.burst 1000\n"));
  }
}

TEST_F(SpecResourcesTest, TheMachineIsAsVmSays) {
  if (PeerDiffers("vm")) return;
  // A kernel of its own: the same one from elsewhere, which is then not holt's any more.
  const std::string kernel = Scratch("kernel");
  ASSERT_EQ(Program::Start({"/bin/cp", BuildDirectory() + "/share/holt/vmlinux", kernel}, {})
                ->Finish()
                .status,
            0);
  config_["vm"] = {{"kernel", {{"path", kernel}}},
                   {"hwConfig", {{"vcpus", 2}, {"memory", 300 << 20}}}};
  Finished run =
      RunScript("nproc; while read name value _; do echo $name $value; done < /proc/meminfo");
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_THAT(run.out, testing::StartsWith("2\n"));
  const size_t at = run.out.find("MemTotal: ");
  ASSERT_NE(at, std::string::npos);
  const long kilobytes = atol(run.out.c_str() + at + 10);
  EXPECT_GT(kilobytes, 220 << 10);
  EXPECT_LT(kilobytes, 300 << 10);
}

TEST_F(SpecResourcesTest, LimitsHold) {
  config_["linux"]["resources"] = {{"memory", {{"limit", 64 << 20}, {"swap", 64 << 20}}},
                                   {"pids", {{"limit", 10}}}};
  Finished tasks = RunScript(R"(
      (for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 3 & done) 2>&1 | grep -o 'Cannot fork\|Resource temporarily unavailable' | head -1
      kill -9 -1 2>/dev/null || true)",
                             "c1");
  EXPECT_THAT(tasks.out + tasks.err, testing::ContainsRegex("fork|temporarily unavailable"));
  Finished memory = RunScript("head -c 200000000 /dev/zero | tail -c 190000000 | wc -c", "c2");
  EXPECT_NE(memory.out, "190000000\n");
}

}  // namespace
}  // namespace holt
