// holt run --bundle: runc's run, which BuildKit calls.

#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>

#include "tests/e2e/bundle_fixture.h"

namespace holt {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

class RunBundleTest : public BundleTest {
 protected:
  std::vector<std::string> RunArgs(const std::vector<std::string>& flags) const {
    std::vector<std::string> args = {"run", "--accel", Accel(), "--bundle", bundle_};
    args.insert(args.end(), flags.begin(), flags.end());
    return args;
  }
};

TEST_F(RunBundleTest, TheForegroundIsTheContainer) {
  WriteConfig(Config(R"(["sh","-c","cat; echo err >&2; exit 5"])"));
  Finished finished = Holt(RunArgs({"c1"}), {.input = "through"});
  EXPECT_EQ(finished.status, 5);
  EXPECT_EQ(finished.out, "through");
  EXPECT_EQ(finished.err, "err\n");
  EXPECT_TRUE(Leftovers().empty());

  WriteConfig(Config(R"(["true"])"));
  Finished flags = Holt(RunArgs({"--no-pivot", "--no-new-keyring", "--preserve-fds", "0", "c1"}));
  EXPECT_EQ(flags.status, 0) << flags.err;
}

TEST_F(RunBundleTest, KeepLeavesItStopped) {
  WriteConfig(Config(R"(["true"])"));
  EXPECT_EQ(Holt(RunArgs({"--keep", "c1"})).status, 0);
  EXPECT_EQ(StatusOf("c1"), "stopped");
  EXPECT_EQ(Holt({"delete", "c1"}).status, 0);
}

TEST_F(RunBundleTest, ItsPidIsTheContainersPid) {
  WriteConfig(
      Config(R"(["sh","-c","trap 'exit 6' TERM; echo ready; while :; do sleep 0.05; done"])"));
  auto run = Program::Start(Command(RunArgs({"--keep", "--pid-file", Scratch("pid"), "c1"})), {});
  ASSERT_TRUE(run->WaitFor("ready"));
  EXPECT_NE(PidFile(), std::to_string(run->pid()));
  EXPECT_THAT(Holt({"state", "c1"}).out, HasSubstr("\"pid\": " + PidFile()));
  // What engines look for behind it is the container's, not this command's.
  EXPECT_EQ(base::ReadFile("/proc/" + PidFile() + "/root/etc/hostname").value_or("none"),
            base::ReadFile(bundle_ + "/rootfs/etc/hostname").value_or(""));
  for (const char* kind : {"mnt", "pid", "net"})
    EXPECT_NE(std::filesystem::read_symlink("/proc/" + PidFile() + "/ns/" + kind),
              std::filesystem::read_symlink(std::string("/proc/self/ns/") + kind));
  run->Signal(SIGTERM);
  EXPECT_EQ(run->Finish().status, 6);
  EXPECT_EQ(Holt({"delete", "c1"}).status, 0);

  auto by_pid = Program::Start(Command(RunArgs({"--pid-file", Scratch("pid"), "c1"})), {});
  ASSERT_TRUE(by_pid->WaitFor("ready"));
  EXPECT_EQ(kill(atoi(PidFile().c_str()), SIGTERM), 0);
  EXPECT_EQ(by_pid->Finish().status, 6);

  auto killed = Program::Start(Command(RunArgs({"c1"})), {});
  ASSERT_TRUE(killed->WaitFor("ready"));
  EXPECT_EQ(Holt({"kill", "c1", "9"}).status, 0);
  EXPECT_EQ(killed->Finish().status, 137);
  auto lost = Program::Start(Command(RunArgs({"--keep", "c1"})), {});
  ASSERT_TRUE(lost->WaitFor("ready"));
  lost->Signal(SIGKILL);
  lost->Finish();
  EXPECT_TRUE(BecomesStopped("c1"));
}

TEST_F(RunBundleTest, Detached) {
  WriteConfig(Config(R"(["sleep","1000"])"));
  std::vector<std::string> args = RunArgs({"-d", "--pid-file", Scratch("pid"), "c1"});
  Finished finished = ToFiles(args);
  ASSERT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(StatusOf("c1"), "running");
  EXPECT_THAT(PidFile(), ContainsRegex("^[0-9]+$"));
  EXPECT_THAT(Holt({"state", "c1"}).out, HasSubstr("\"pid\": " + PidFile()));
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);
}

TEST_F(RunBundleTest, WhatCannotStartLeavesNothing) {
  WriteConfig(Config(R"(["no-such-command"])"));
  for (const std::vector<std::string>& form : {std::vector<std::string>{"c1"}, {"-d", "c1"}}) {
    Finished finished = Holt(RunArgs(form));
    EXPECT_EQ(finished.status, 1);
    EXPECT_THAT(ErrorOf(finished), HasSubstr("executable file not found"));
    EXPECT_TRUE(Leftovers().empty());
  }
}

TEST_F(RunBundleTest, TheTwoFormsAreNotMixed) {
  WriteConfig(Config(R"(["true"])"));
  auto refused = [&](const std::vector<std::string>& args, int status, const std::string& text) {
    Finished finished = Holt(args);
    EXPECT_EQ(finished.status, status);
    EXPECT_THAT(ErrorOf(finished), HasSubstr(text));
  };
  refused(RunArgs({"--name", "x", "c1"}), 1, "--name: is a flag of `holt run IMAGE`");
  refused(RunArgs({"-it", "c1"}), 1, "--interactive: is a flag");
  refused(RunArgs({"c1", "true"}), 1, "the operand is the container's ID");
  refused({"run", "--keep", "demo", "true"}, 125, "--keep: only with --bundle");
  refused({"run", "--pid-file", "x", "demo", "true"}, 125, "--pid-file: only with --bundle");
}

TEST_F(RunBundleTest, TheTerminalOfTheCaller) {
  WriteConfig(
      Config(R"(["sh","-c","stty size; read a; echo read $a; exit 4"])", R"(,"terminal":true)"));
  auto run = Program::StartOnTerminal(Command(RunArgs({"c1"})));
  ASSERT_TRUE(run->WaitFor("24 80"));
  run->Type("typed\n");
  EXPECT_TRUE(run->WaitFor("read typed"));
  EXPECT_EQ(run->Finish().status, 4);
  Finished detached = Holt(RunArgs({"-d", "c1"}));
  EXPECT_EQ(detached.status, 1);
  EXPECT_THAT(ErrorOf(detached), HasSubstr("needs --console-socket"));
}

}  // namespace
}  // namespace holt
