// runtime-spec, config-linux.md "Namespaces", "Sysctl", "Rootfs mount propagation".
#include <unistd.h>

#include "tests/e2e/spec_fixture.h"

namespace holt {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

class SpecNamespacesTest : public SpecTest {};

TEST_F(SpecNamespacesTest, AContainerIsOnItsOwn) {
  config_["hostname"] = "otter";
  config_["domainname"] = "river.test";
  config_["linux"]["sysctl"] = {{"kernel.msgmax", "65530"}, {"net.ipv4.ip_forward", "1"}};
  config_["linux"]["rootfsPropagation"] = "shared";
  Finished run = RunScript(R"(
      echo $$
      cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname
      cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward
      ls /proc | grep -c '^[0-9]' | grep -qx '[2-5]' && echo few
      grep -c '^[^ ]* [^ ]* [^ ]* [^ ]* / [^ ]* shared:' /proc/self/mountinfo
      cat /proc/self/cgroup)");
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(run.out, "1\notter\nriver.test\n65530\n1\nfew\n1\n0::/\n");
}

TEST_F(SpecNamespacesTest, ATimeNamespaceHasItsOwnClocks) {
  if (PeerDiffers("time namespaces")) return;
  AddNamespace("time");
  config_["linux"]["timeOffsets"] = {{"boottime", {{"secs", 5'000'000}}},
                                     {"monotonic", {{"secs", 7'000'000}, {"nanosecs", 5}}}};
  StartSleeper();
  // Both of a process of the container and of one that joins it.
  Finished clocks = ExecProcess(ExecOf(R"sh(
      cut -d. -f1 /proc/uptime
      cat /proc/1/timens_offsets
      [ "$(readlink /proc/self/ns/time)" = "$(readlink /proc/1/ns/time)" ] && echo same)sh"));
  EXPECT_EQ(clocks.status, 0) << clocks.err;
  EXPECT_THAT(clocks.out, ContainsRegex("^500[0-9][0-9][0-9][0-9]\n"));
  EXPECT_THAT(clocks.out, ContainsRegex("monotonic +7000000 +5\n"));
  EXPECT_THAT(clocks.out, ContainsRegex("boottime +5000000 +0\n"));
  EXPECT_THAT(clocks.out, HasSubstr("same\n"));
}

}  // namespace
}  // namespace holt
