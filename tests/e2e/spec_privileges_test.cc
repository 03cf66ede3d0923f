// runtime-spec, config.md "process" and config-linux.md "Seccomp": what a process may do.
#include "tests/e2e/spec_fixture.h"

namespace holt {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class SpecPrivilegesTest : public SpecTest {};

TEST_F(SpecPrivilegesTest, FiveSetsOfCapabilities) {
  config_["process"]["user"] = {{"uid", 1000}, {"gid", 1000}};
  config_["process"]["capabilities"] = {{"bounding", {"CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"}},
                                        {"effective", {"CAP_NET_RAW"}},
                                        {"permitted", {"CAP_NET_RAW", "CAP_KILL"}},
                                        {"inheritable", {"CAP_NET_RAW"}},
                                        {"ambient", {"CAP_NET_RAW"}}};
  Finished run = RunScript("grep Cap /proc/self/status");
  EXPECT_EQ(run.status, 0) << run.err;
  // What a program without file capabilities keeps of them over exec: the ambient ones.
  EXPECT_THAT(run.out, HasSubstr("CapInh:\t0000000000002000\n"));
  EXPECT_THAT(run.out, HasSubstr("CapPrm:\t0000000000002000\n"));
  EXPECT_THAT(run.out, HasSubstr("CapEff:\t0000000000002000\n"));
  EXPECT_THAT(run.out, HasSubstr("CapBnd:\t0000000000002021\n"));
  EXPECT_THAT(run.out, HasSubstr("CapAmb:\t0000000000002000\n"));
}

TEST_F(SpecPrivilegesTest, AmbientCapabilitiesThatAreNotInheritableAreLeftOut) {
  config_["process"]["capabilities"] = {{"bounding", {"CAP_CHOWN", "CAP_NET_RAW"}},
                                        {"effective", {"CAP_CHOWN", "CAP_NET_RAW"}},
                                        {"permitted", {"CAP_CHOWN", "CAP_NET_RAW"}},
                                        {"inheritable", {"CAP_NET_RAW"}},
                                        {"ambient", {"CAP_CHOWN", "CAP_NET_RAW"}}};
  Finished run = RunScript("grep CapAmb /proc/self/status");
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(run.out, "CapAmb:\t0000000000002000\n");
}

TEST_F(SpecPrivilegesTest, UserGroupsUmaskAndLimits) {
  config_["process"]["user"] = {
      {"uid", 1000}, {"gid", 1001}, {"umask", 077}, {"additionalGids", {5, 6}}};
  config_["process"]["rlimits"] = {{{"type", "RLIMIT_NOFILE"}, {"hard", 300}, {"soft", 200}},
                                   {{"type", "RLIMIT_CORE"}, {"hard", 0}, {"soft", 0}}};
  config_["process"]["oomScoreAdj"] = 321;
  config_["process"]["noNewPrivileges"] = true;
  config_["process"]["cwd"] = "/tmp";
  Finished run = RunScript(R"(
      id -u; id -g; id -G; umask; ulimit -Sn; ulimit -Hn; ulimit -c; pwd
      cat /proc/self/oom_score_adj; grep NoNewPrivs /proc/self/status)");
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(run.out, "1000\n1001\n1001 5 6\n0077\n200\n300\n0\n/tmp\n321\nNoNewPrivs:\t1\n");
}

TEST_F(SpecPrivilegesTest, SystemCallsAreFiltered) {
  config_["linux"]["seccomp"] = json::parse(R"({
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "syscalls": [
      {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
      {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
       "args": [{"index": 1, "value": 10, "op": "SCMP_CMP_EQ"}]},
      {"names": ["no_such_call_ever"], "action": "SCMP_ACT_ERRNO"}]})");
  Finished run = RunScript(R"sh(
      mkdir /new 2>&1 || true
      kill -USR1 $$ 2>&1 || true
      kill -0 $$ && echo may
      grep Seccomp: /proc/self/status)sh");
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("No space left on device"));
  EXPECT_THAT(run.out, HasSubstr("Permission denied"));
  EXPECT_THAT(run.out, HasSubstr("may\nSeccomp:\t2\n"));
}

TEST_F(SpecPrivilegesTest, DevicesAreFiltered) {
  config_["linux"]["devices"] = {
      {{"path", "/dev/zero2"},
       {"type", "c"},
       {"major", 1},
       {"minor", 5},
       {"fileMode", 0640},
       {"uid", 5},
       {"gid", 6}},
      {{"path", "/dev/kmsg2"}, {"type", "c"}, {"major", 1}, {"minor", 11}}};
  config_["linux"]["resources"]["devices"] = {
      {{"allow", false}, {"access", "rwm"}},
      {{"allow", true}, {"type", "c"}, {"major", 1}, {"minor", 3}, {"access", "rwm"}},
      {{"allow", true}, {"type", "c"}, {"major", 1}, {"minor", 5}, {"access", "r"}}};
  Finished run = RunScript(R"(
      stat -c '%a %u %g %t:%T' /dev/zero2
      head -c 4 /dev/zero2 | wc -c
      ls /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty | wc -l
      readlink /dev/fd /dev/stdin /dev/stdout /dev/stderr
      head -c 1 /dev/kmsg2 >/dev/null 2>&1 || echo refused)");
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(run.out,
            "640 5 6 1:5\n4\n6\n/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n"
            "/proc/self/fd/2\nrefused\n");
}

TEST_F(SpecPrivilegesTest, AnExecHasItsOwn) {
  StartSleeper();
  json own = {{"user", {{"uid", 7}, {"gid", 8}, {"additionalGids", {9}}}},
              {"capabilities", {{"bounding", {"CAP_KILL"}}, {"permitted", {"CAP_KILL"}}}},
              {"rlimits", {{{"type", "RLIMIT_NOFILE"}, {"hard", 77}, {"soft", 66}}}},
              {"noNewPrivileges", true},
              {"cwd", "/usr"},
              {"env", {"PATH=/bin:/usr/bin", "OWN=yes"}}};
  Finished exec = ExecProcess(ExecOf(R"(
      id -u; id -g; id -G; ulimit -n; pwd; echo $OWN
      grep -E 'CapBnd|NoNewPrivs' /proc/self/status; exit 9)",
                                     own));
  EXPECT_EQ(exec.status, 9) << exec.err;
  EXPECT_EQ(exec.out, "7\n8\n8 9\n66\n/usr\nyes\nCapBnd:\t0000000000000020\nNoNewPrivs:\t1\n");
}

}  // namespace
}  // namespace holt
