// Containers in the background: ps, logs, exec, attach, stop, kill, wait, rm.

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/e2e/holt.h"

namespace holt {
namespace {

using testing::HasSubstr;

class LifecycleTest : public HoltTest {
 protected:
  // Waits until `holt logs` has `text`.
  bool HasLogged(const std::string& name, const std::string& text) {
    for (int i = 0; i < 300; ++i) {
      if (Holt({"logs", name}).out.find(text) != std::string::npos) return true;
      usleep(50'000);
    }
    return false;
  }
  std::string JsonOf(const std::string& name) { return Holt({"state", name}).out; }
};

TEST_F(LifecycleTest, TheWholeLifeOfOne) {
  std::string id = RunDetached(
      {"--name", "web", "-e", "A=of-run", "-l", "kind=test", "demo", "sh", "-c",
       "echo out; echo err >&2; trap 'echo bye; exit 3' TERM; while :; do sleep 0.1; done"});
  ASSERT_EQ(id.size(), 12u);
  EXPECT_TRUE(HasLogged("web", "out"));

  Finished ps = Holt({"ps"});
  EXPECT_THAT(ps.out, HasSubstr(id));
  EXPECT_THAT(ps.out, HasSubstr("demo:latest"));
  EXPECT_THAT(ps.out, HasSubstr("Up "));
  EXPECT_THAT(ps.out, HasSubstr("web"));
  EXPECT_EQ(Holt({"ps", "-q"}).out, id + "\n");
  Finished json = Holt({"ps", "--format", "json"});
  EXPECT_THAT(json.out, HasSubstr("\"status\": \"running\""));
  EXPECT_THAT(json.out, HasSubstr("\"kind\": \"test\""));
  EXPECT_THAT(Holt({"ps", "web"}).out, HasSubstr("sh -c"));

  Finished exec = Holt({"exec", "-e", "B=of-exec", "-w", "/etc", "web", "sh", "-c",
                        "echo $A $B $PWD; echo e >&2; exit 4"});
  EXPECT_EQ(exec.out, "of-run of-exec /etc\n");
  EXPECT_EQ(exec.err, "e\n");
  EXPECT_EQ(exec.status, 4);
  EXPECT_EQ(Holt({"exec", "-i", "web", "cat"}, {.input = "to its end"}).out, "to its end");
  EXPECT_EQ(Holt({"exec", "-u", "nobody", "web", "id", "-un"}).out, "nobody\n");

  Finished running = Holt({"rm", "web"});
  EXPECT_EQ(running.status, 1);
  EXPECT_THAT(ErrorOf(running), HasSubstr("not stopped"));

  Finished stop = Holt({"stop", "web"});
  EXPECT_EQ(stop.status, 0) << stop.err;
  EXPECT_EQ(stop.out, "web\n");
  Finished logs = Holt({"logs", "web"});
  EXPECT_EQ(logs.out, "out\nbye\n");
  EXPECT_EQ(logs.err, "err\n");
  EXPECT_EQ(Holt({"wait", "web"}).out, "3\n");
  EXPECT_EQ(Holt({"ps", "-q"}).out, "");
  EXPECT_THAT(Holt({"ps", "-a"}).out, HasSubstr("Exited (3)"));
  EXPECT_EQ(Holt({"rm", "web"}).out, "web\n");
  EXPECT_EQ(Holt({"ps", "-aq"}).out, "");
  EXPECT_TRUE(Leftovers().empty());
}

TEST_F(LifecycleTest, StopKillsWhatDoesNotListen) {
  std::string id =
      RunDetached({"demo", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"});
  ASSERT_TRUE(HasLogged(id, "ready"));
  EXPECT_EQ(Holt({"stop", "-t", "1", id}).status, 0);
  EXPECT_EQ(Holt({"wait", id}).out, "137\n");
}

TEST_F(LifecycleTest, StopSignalOfTheRun) {
  std::string id = RunDetached({"--stop-signal", "USR1", "demo", "sh", "-c",
                                "trap 'exit 9' USR1; echo ready; while :; do sleep 0.1; done"});
  ASSERT_TRUE(HasLogged(id, "ready"));
  EXPECT_EQ(Holt({"stop", id}).status, 0);
  EXPECT_EQ(Holt({"wait", id}).out, "9\n");
}

TEST_F(LifecycleTest, KillTellsTheSignalInTheStatus) {
  std::string id = RunDetached({"demo", "sleep", "1000"});
  auto wait = Program::Start(Command({"wait", id}), {});
  usleep(200'000);
  EXPECT_EQ(Holt({"kill", id, "KILL"}).status, 0);
  EXPECT_EQ(wait->Finish().out, "137\n");
  Finished again = Holt({"kill", id, "TERM"});
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(ErrorOf(again), HasSubstr("container not running"));
}

TEST_F(LifecycleTest, LogsFollowTailAndSince) {
  std::string id =
      RunDetached({"demo", "sh", "-c",
                   "for i in 1 2 3; do echo line $i; done; sleep 1; echo last; printf rest"});
  ASSERT_TRUE(HasLogged(id, "line 3"));
  Finished follow = Holt({"logs", "-f", id});
  EXPECT_EQ(follow.out, "line 1\nline 2\nline 3\nlast\nrest");
  EXPECT_EQ(follow.status, 0);
  EXPECT_EQ(Holt({"logs", "--tail", "2", id}).out, "last\nrest");
  EXPECT_EQ(Holt({"logs", "--tail", "0", id}).out, "");
  EXPECT_EQ(Holt({"logs", "--since", "2100-01-01T00:00:00Z", id}).out, "");
  EXPECT_THAT(Holt({"logs", "-t", id}).out, testing::ContainsRegex("^20[0-9T:.-]+Z line 1\n"));
}

TEST_F(LifecycleTest, AttachSeesWhatComesAndIsSeen) {
  std::string id =
      RunDetached({"-i", "demo", "sh", "-c", "while read x; do echo got $x; done; exit 6"});
  auto attach = Program::Start(Command({"attach", id}), {.input = "a\n"});
  EXPECT_TRUE(attach->WaitFor("got a"));
  Finished finished = attach->Finish();
  EXPECT_EQ(finished.status, 6);
}

TEST_F(LifecycleTest, ExecOnATerminal) {
  std::string id = RunDetached({"demo", "sleep", "1000"});
  auto exec = Program::StartOnTerminal(Command({"exec", "-it", id, "sh"}));
  ASSERT_TRUE(exec->WaitFor("# "));
  exec->Type("stty size; tty\r");
  EXPECT_TRUE(exec->WaitFor("24 80")) << exec->out();
  exec->Type("exit 11\r");
  EXPECT_EQ(exec->Finish().status, 11);
}

TEST_F(LifecycleTest, ExecSaysWhatIsWrong) {
  std::string id = RunDetached({"demo", "sleep", "1000"});
  Finished none = Holt({"exec", id, "no-such-command"});
  EXPECT_EQ(none.status, 127);
  EXPECT_THAT(ErrorOf(none), HasSubstr("executable file not found"));
  EXPECT_EQ(Holt({"exec", id, "/etc/passwd"}).status, 126);
  // It fails before or after it is told to go on: the answer is the same.
  for (int i = 0; i < 20; ++i) {
    Finished user = Holt({"exec", "-u", "nosuchuser", id, "true"});
    EXPECT_NE(user.status, 0);
    ASSERT_THAT(ErrorOf(user), HasSubstr("nosuchuser"));
  }
  Finished nobody = Holt({"exec", "nosuch", "true"});
  EXPECT_EQ(nobody.status, 255);
  EXPECT_THAT(ErrorOf(nobody), HasSubstr("container \"nosuch\" does not exist"));
}

TEST_F(LifecycleTest, ANameIsTakenOnce) {
  RunDetached({"--name", "twice", "demo", "sleep", "1000"});
  Finished second = Run({"-d", "--name", "twice", "demo", "sleep", "1000"});
  EXPECT_EQ(second.status, 125);
  EXPECT_THAT(ErrorOf(second), HasSubstr("the name \"twice\" is in use by container"));
}

TEST_F(LifecycleTest, RmForceOfOneThatRuns) {
  std::string id = RunDetached({"demo", "sleep", "1000"});
  EXPECT_EQ(Holt({"rm", "-f", id}).out, id + "\n");
  EXPECT_TRUE(Leftovers().empty());
}

TEST_F(LifecycleTest, AMonitorThatWasKilledIsToldTruly) {
  std::string id = RunDetached({"demo", "sleep", "1000"});
  auto attach = Program::Start(Command({"attach", "--no-stdin", id}), {});
  usleep(200'000);
  std::string state = JsonOf(id);
  size_t at = state.find("\"pid\": ");
  ASSERT_NE(at, std::string::npos) << state;
  ASSERT_EQ(kill(std::stoi(state.substr(at + 7)), SIGKILL), 0);
  Finished attached = attach->Finish();
  EXPECT_EQ(attached.status, 137);
  EXPECT_THAT(ErrorOf(attached), HasSubstr("its monitor died"));
  EXPECT_THAT(JsonOf(id), HasSubstr("\"status\": \"stopped\""));
  EXPECT_THAT(Holt({"ps", "-a"}).out, HasSubstr("its monitor died"));
  EXPECT_EQ(Holt({"rm", id}).status, 0);
  EXPECT_TRUE(Leftovers().empty());
}

TEST_F(LifecycleTest, AGuestThatPanicsSaysItsPanicLine) {
  auto run = Program::Start(
      RunCommand(
          {"--rm", "--memory", "32m", "--cap-add", "ALL", "--security-opt", "seccomp=unconfined",
           "demo", "sh", "-c",
           "mkdir /m && mount -t proc proc /m && echo 2 > /m/sys/vm/panic_on_oom; tail /dev/zero"}),
      {});
  Finished finished = run->Finish();
  EXPECT_EQ(finished.status, 125);
  EXPECT_THAT(ErrorOf(finished), HasSubstr("the guest kernel panicked: "));
}

}  // namespace
}  // namespace holt
