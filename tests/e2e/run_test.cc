// holt run, as a person uses it.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/e2e/holt.h"

namespace holt {
namespace {

using testing::HasSubstr;

class RunTest : public HoltTest {};

TEST_F(RunTest, OutputErrorsAndStatusComeBack) {
  Finished run = Run({"--rm", "demo", "sh", "-c", "echo out; echo err >&2; exit 7"});
  EXPECT_EQ(run.out, "out\n");
  EXPECT_EQ(run.err, "err\n");
  EXPECT_EQ(run.status, 7);
  EXPECT_TRUE(Leftovers().empty());
}

TEST_F(RunTest, TheKernelIsTheGuestsOwn) {
  EXPECT_THAT(Run({"--rm", "demo", "uname", "-r"}).out, HasSubstr("-holt"));
}

TEST_F(RunTest, PipedInputIsReadToItsEnd) {
  std::string input(3 << 20, 'x');
  for (size_t i = 0; i < input.size(); i += 64) input[i] = '\n';
  Finished run = Run({"--rm", "-i", "demo", "cat"}, {.input = input});
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_TRUE(run.out == input) << run.out.size() << " of " << input.size();
}

TEST_F(RunTest, WithoutInteractiveThereIsNoInput) {
  Finished run = Run({"--rm", "demo", "cat"}, {.input = "not for it"});
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(run.out, "");
}

TEST_F(RunTest, TheTailOfTheOutputIsNotCut) {
  Finished run = Run({"--rm", "demo", "seq", "1", "200000"});
  EXPECT_EQ(run.status, 0);
  EXPECT_TRUE(run.out.ends_with("199999\n200000\n")) << run.out.size();
}

TEST_F(RunTest, StatusOfWhatCannotRun) {
  Finished none = Run({"--rm", "demo", "no-such-command"});
  EXPECT_EQ(none.status, 127);
  EXPECT_THAT(ErrorOf(none), HasSubstr("no-such-command"));
  EXPECT_THAT(ErrorOf(none), HasSubstr("executable file not found"));
  Finished denied = Run({"--rm", "demo", "/etc/passwd"});
  EXPECT_EQ(denied.status, 126);
  EXPECT_THAT(ErrorOf(denied), HasSubstr("permission denied"));
  Finished directory = Run({"--rm", "demo", "/etc"});
  EXPECT_EQ(directory.status, 126);
}

TEST_F(RunTest, EnvironmentUserDirectoryAndHostname) {
  ASSERT_TRUE(base::WriteFile(Scratch("env"), "# comment\nFROM_FILE=a b\nBOTH=file\n").ok());
  Finished run = Run(
      {"--rm", "-e", "BOTH=flag", "--env-file", Scratch("env"), "-e", "FROM_CALLER", "-w",
       "/var/lib", "-u", "nobody", "--hostname", "den", "demo", "sh", "-c",
       "echo $FROM_FILE/$BOTH/$FROM_CALLER/$PWD/$HOSTNAME; id -un; hostname; cat /etc/hostname"},
      {.environment = {"FROM_CALLER=yes"}});
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(run.out, "a b/flag/yes//var/lib/den\nnobody\nden\nden\n");
}

TEST_F(RunTest, Volumes) {
  ASSERT_TRUE(base::MakeDirs(Scratch("data")).ok());
  ASSERT_TRUE(base::WriteFile(Scratch("data/in"), "of the host\n").ok());
  ASSERT_TRUE(base::WriteFile(Scratch("one"), "a file\n").ok());
  Finished run =
      Run({"--rm", "-v", Scratch("data") + ":/data", "-v", Scratch("data") + ":/ro:ro", "-v",
           Scratch("one") + ":/etc/one:ro", "--tmpfs", "/scratch:size=1m", "demo", "sh", "-c",
           "cat /data/in /etc/one; echo of the guest > /data/out; echo x 2>/dev/null > /ro/x || "
           "echo refused; "
           "stat -f -c %T /scratch"});
  EXPECT_EQ(run.out, "of the host\na file\nrefused\ntmpfs\n") << run.err;
  EXPECT_EQ(base::ReadFile(Scratch("data/out")).value_or("none"), "of the guest\n");
}

TEST_F(RunTest, ReadOnlyAndLimitsAndCapabilities) {
  Finished run = Run({"--rm",
                      "--read-only",
                      "--memory",
                      "64m",
                      "--cpus",
                      "0.5",
                      "--pids-limit",
                      "50",
                      "--cap-drop",
                      "ALL",
                      "--cap-add",
                      "CHOWN",
                      "--ulimit",
                      "nofile=100:200",
                      "--security-opt",
                      "no-new-privileges",
                      "demo",
                      "sh",
                      "-c",
                      "touch /x 2>/dev/null || echo read-only; cat /sys/fs/cgroup/memory.max "
                      "/sys/fs/cgroup/pids.max "
                      "/sys/fs/cgroup/cpu.max; ulimit -Sn; ulimit -Hn; grep -E "
                      "'CapEff|NoNewPrivs|Seccomp:' /proc/self/status"});
  EXPECT_EQ(run.out,
            "read-only\n67108864\n50\n50000 "
            "100000\n100\n200\nCapEff:\t0000000000000001\nNoNewPrivs:\t1\nSeccomp:\t2\n")
      << run.err;
}

TEST_F(RunTest, SeccompRefusesWhatItShould) {
  Finished run = Run({"--rm", "demo", "sh", "-c", "unshare -m true || echo refused"});
  EXPECT_THAT(run.out, HasSubstr("refused"));
  Finished admin = Run(
      {"--rm", "--cap-add", "SYS_ADMIN", "demo", "sh", "-c", "unshare -m true && echo allowed"});
  EXPECT_THAT(admin.out, HasSubstr("allowed")) << admin.err;
}

TEST_F(RunTest, EntrypointAndCommand) {
  EXPECT_EQ(Run({"--rm", "--entrypoint", "/bin/echo", "demo", "-n", "hello"}).out, "hello");
}

TEST_F(RunTest, ASignalToTheCommandReachesTheContainer) {
  auto run = Program::Start(
      RunCommand({"--rm", "demo", "sh", "-c",
                  "trap 'echo got it; exit 3' USR1; echo ready; while :; do sleep 0.1; done"}),
      {});
  ASSERT_TRUE(run->WaitFor("ready"));
  run->Signal(SIGUSR1);
  Finished finished = run->Finish();
  EXPECT_EQ(finished.out, "ready\ngot it\n");
  EXPECT_EQ(finished.status, 3);
}

TEST_F(RunTest, CtrlCWhileItStartsLeavesNothing) {
  auto run = Program::Start(RunCommand({"--rm", "demo", "sleep", "100"}), {});
  usleep(300'000);
  run->Signal(SIGINT);
  Finished finished = run->Finish();
  EXPECT_EQ(finished.status, 128 + SIGINT);
  // The monitor may still be taking the machine down.
  for (int i = 0; i < 300 && !Leftovers().empty(); ++i) usleep(20'000);
  EXPECT_TRUE(Leftovers().empty()) << Leftovers()[0];
}

TEST_F(RunTest, NobodyReadsTheOutput) {
  auto argv = RunCommand({"--rm", "demo", "yes"});
  std::vector<std::string> shell = {"/bin/bash", "-c", "\"$@\" | head -1; echo ${PIPESTATUS[0]}",
                                    "-"};
  shell.insert(shell.end(), argv.begin(), argv.end());
  Finished finished = Program::Start(shell, {})->Finish();
  EXPECT_EQ(finished.out, "y\n141\n") << finished.err;
}

TEST_F(RunTest, ATerminal) {
  auto run = Program::StartOnTerminal(RunCommand({"--rm", "-it", "demo", "sh"}));
  ASSERT_TRUE(run->WaitFor("# "));
  run->Type("stty size; tty; echo $TERM\r");
  EXPECT_TRUE(run->WaitFor("24 80")) << run->out();
  EXPECT_TRUE(run->WaitFor("/dev/pts/0")) << run->out();
  run->Resize(40, 120);
  // The new size is on its way.
  usleep(500'000);
  run->Type("stty size\r");
  EXPECT_TRUE(run->WaitFor("40 120")) << run->out();
  run->Type("cat\r");
  usleep(300'000);
  run->Type("\x03");
  // What is typed before cat has ended is cat's.
  usleep(700'000);
  run->Type("echo after $?\r");
  EXPECT_TRUE(run->WaitFor("after 130")) << run->out();
  run->Type("exit 5\r");
  EXPECT_EQ(run->Finish().status, 5);
}

TEST_F(RunTest, DetachKeysLeaveTheContainerRunning) {
  auto run = Program::StartOnTerminal(RunCommand({"--rm", "-it", "--name", "den", "demo", "sh"}));
  ASSERT_TRUE(run->WaitFor("# "));
  run->Type("\x10\x11");
  EXPECT_EQ(run->Finish().status, 0);
  EXPECT_THAT(Holt({"ps"}).out, HasSubstr("den"));
  auto attached = Program::StartOnTerminal(Command({"attach", "den"}));
  attached->Type("echo again; exit 4\r");
  EXPECT_TRUE(attached->WaitFor("again"));
  EXPECT_EQ(attached->Finish().status, 4);
}

TEST_F(RunTest, TheTimelineIsWritten) {
  Finished run = Run({"--rm", "--timeline", Scratch("t.json"), "demo", "true"});
  EXPECT_EQ(run.status, 0) << run.err;
  std::string json = base::ReadFile(Scratch("t.json")).value_or("");
  for (const char* step : {"look the image up", "start the machine", "tear down", "holt-monitor"})
    EXPECT_THAT(json, HasSubstr(step));
  EXPECT_THAT(base::ReadFile(Scratch("t.json.svg")).value_or(""), HasSubstr("<svg"));
}

TEST_F(RunTest, MachinesBootInTurns) {
  // All places are taken, by the lock that monitors take (shim/state/boot_turn.h).
  base::UniqueFd places(open("/run/holt-boots.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(places);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  ASSERT_EQ(fcntl(places.get(), F_OFD_SETLKW, &lock), 0);
  auto gives_up = Program::Start(RunCommand({"--rm", "demo", "true"}), {});
  auto waits = Program::Start(RunCommand({"--rm", "demo", "echo", "mine"}), {});
  // Longer than it would take.
  EXPECT_FALSE(waits->WaitFor("mine", std::chrono::seconds(Accel() == "kvm" ? 10 : 4)));
  // Nothing was set up yet that would be left.
  gives_up->Signal(SIGTERM);
  EXPECT_EQ(gives_up->Finish().status, 143);
  places.Reset();
  Finished finished = waits->Finish();
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.out, "mine\n");
}

TEST_F(RunTest, TheCommandKilledTheContainerGoesOn) {
  auto run = Program::Start(
      RunCommand({"--rm", "--name", "den", "demo", "sh", "-c", "echo ready; sleep 1000"}), {});
  ASSERT_TRUE(run->WaitFor("ready"));
  run->Signal(SIGKILL);
  EXPECT_EQ(run->Finish().status, 137);
  EXPECT_THAT(Holt({"ps"}).out, HasSubstr("den"));
  EXPECT_EQ(Holt({"stop", "-t", "0", "den"}).status, 0);
  EXPECT_TRUE(Leftovers().empty());
}

TEST_F(RunTest, EightAtOnce) {
  std::vector<std::unique_ptr<Program>> runs;
  for (int i = 0; i < 8; ++i)
    runs.push_back(
        Program::Start(RunCommand({"--rm", "demo", "sh", "-c", "echo " + std::to_string(i)}), {}));
  for (int i = 0; i < 8; ++i) {
    Finished finished = runs[static_cast<size_t>(i)]->Finish(std::chrono::seconds(300));
    EXPECT_EQ(finished.status, 0) << finished.err;
    EXPECT_EQ(finished.out, std::to_string(i) + "\n");
  }
}

}  // namespace
}  // namespace holt
