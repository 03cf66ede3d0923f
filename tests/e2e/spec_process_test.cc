// runtime-spec, config.md "process": where and how it is scheduled.
#include "tests/e2e/spec_fixture.h"

namespace holt {
namespace {

using testing::HasSubstr;

class SpecProcessTest : public SpecTest {};

TEST_F(SpecProcessTest, AnExecHasItsOwnCpus) {
  if (PeerDiffers("execCPUAffinity")) return;
  // Makes the machine one of two processors.
  config_["linux"]["resources"] = {{"cpu", {{"quota", 200'000}, {"period", 100'000}}}};
  StartSleeper();
  auto exec = [&](const nlohmann::json& affinity) {
    return ExecProcess(ExecOf("grep -o 'Cpus_allowed_list:.*' /proc/self/status",
                              {{"execCPUAffinity", affinity}}));
  };
  EXPECT_EQ(exec(nlohmann::json::object()).out, "Cpus_allowed_list:\t0-1\n");
  EXPECT_EQ(exec({{"initial", "0"}}).out, "Cpus_allowed_list:\t0\n");
  EXPECT_EQ(exec({{"initial", "0"}, {"final", "1"}}).out, "Cpus_allowed_list:\t1\n");
  Finished none = exec({{"final", "700"}});
  EXPECT_NE(none.status, 0);
  EXPECT_THAT(none.err, HasSubstr("process.execCPUAffinity.final: 700"));
  Finished wrong = exec({{"initial", "3-1"}});
  EXPECT_THAT(wrong.err, HasSubstr("process.execCPUAffinity.initial: \"3-1\" is not a list"));
}

TEST_F(SpecProcessTest, SchedulerPrioritiesAndPersonality) {
  config_["process"]["scheduler"] = {{"policy", "SCHED_BATCH"}, {"nice", 5}};
  config_["process"]["ioPriority"] = {{"class", "IOPRIO_CLASS_IDLE"}, {"priority", 0}};
  config_["linux"]["personality"] = {{"domain", "LINUX32"}};
  // Fields of proc_pid_stat(5): nice and policy (SCHED_BATCH is 3).
  Finished run = RunScript("cut -d' ' -f19,41 /proc/self/stat; ionice; uname -m");
  EXPECT_EQ(run.status, 0) << run.err;
  if (PeerDiffers("scheduler and ioPriority")) {
    EXPECT_THAT(run.out, HasSubstr("i686\n"));
  } else {
    EXPECT_EQ(run.out, "5 3\nidle\ni686\n");
  }
}

}  // namespace
}  // namespace holt
