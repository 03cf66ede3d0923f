// runc's commands on a bundle, as engines call them.

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/socket.h"
#include "tests/e2e/bundle_fixture.h"

namespace holt {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

class OciVerbsTest : public BundleTest {};

TEST_F(OciVerbsTest, CreateStartStateDelete) {
  WriteConfig(Config(R"(["sh","-c","echo from the container; exit 5"])"));
  Finished created = Create("c1");
  ASSERT_EQ(created.status, 0) << created.err;
  std::string state = Holt({"state", "c1"}).out;
  EXPECT_THAT(state, HasSubstr("\"status\": \"created\""));
  EXPECT_THAT(state, HasSubstr("\"bundle\": \"" + bundle_ + "\""));
  EXPECT_THAT(state, HasSubstr("\"id\": \"c1\""));
  std::string pid = base::ReadFile(Scratch("pid")).value_or("");
  EXPECT_THAT(pid, ContainsRegex("^[0-9]+$"));
  EXPECT_THAT(state, HasSubstr("\"pid\": " + pid));
  EXPECT_EQ(kill(std::stoi(pid), 0), 0);
  EXPECT_EQ(Output(), "");

  EXPECT_EQ(Holt({"start", "c1"}).status, 0);
  ASSERT_TRUE(BecomesStopped("c1"));
  EXPECT_EQ(Output(), "from the container\n");
  Finished again = Holt({"start", "c1"});
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(ErrorOf(again), HasSubstr("cannot start a container that has stopped"));
  EXPECT_EQ(Holt({"delete", "c1"}).status, 0);
  Finished gone = Holt({"state", "c1"});
  EXPECT_EQ(gone.status, 1);
  EXPECT_EQ(ErrorOf(gone), "container \"c1\" does not exist");
}

TEST_F(OciVerbsTest, ListAndKill) {
  EXPECT_EQ(Holt({"list", "--format", "json"}).out, "null\n");
  WriteConfig(Config(R"(["sleep","1000"])"));
  ASSERT_EQ(Create("c1").status, 0) << Log();
  ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  EXPECT_THAT(Holt({"list"}).out, HasSubstr("c1"));
  EXPECT_THAT(Holt({"list", "--format", "json"}).out,
              ContainsRegex(R"(^\[\{"ociVersion":.*"status":"running")"));
  EXPECT_THAT(Holt({"ps", "--format", "json", "c1"}).out, ContainsRegex(R"(^\[[0-9]+\])"));
  Finished refused = Holt({"delete", "c1"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(ErrorOf(refused), HasSubstr("cannot delete container c1 that is not stopped"));
  EXPECT_EQ(Holt({"kill", "--all", "c1", "9"}).status, 0);
  ASSERT_TRUE(BecomesStopped("c1"));
  EXPECT_EQ(Holt({"delete", "c1"}).status, 0);
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);
}

TEST_F(OciVerbsTest, TheStubEndsAsTheContainerDid) {
  WriteConfig(Config(R"(["sh","-c","exit 42"])"));
  // A subreaper, like conmon: waits for the pid in the pid-file.
  auto argv = Command({"create", "--bundle", bundle_, "--pid-file", Scratch("pid"), "c1"});
  auto start = Command({"start", "c1"});
  std::string script = R"(
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
n = int(sys.argv[1])
subprocess.run(sys.argv[2:2 + n], check=True, stdin=subprocess.DEVNULL)
pid = int(open(sys.argv[2 + n]).read())
subprocess.run(sys.argv[3 + n:], check=True, stdin=subprocess.DEVNULL)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
)";
  std::vector<std::string> reaper = {"/usr/bin/python3", "-c", script, std::to_string(argv.size())};
  reaper.insert(reaper.end(), argv.begin(), argv.end());
  reaper.push_back(Scratch("pid"));
  reaper.insert(reaper.end(), start.begin(), start.end());
  Finished finished = Program::Start(reaper, Environment())->Finish();
  EXPECT_EQ(finished.out, "42\n") << finished.err;
}

TEST_F(OciVerbsTest, ConsoleSocketGetsTheTerminal) {
  WriteConfig(Config(R"(["sh","-c","tty; stty size; exit 0"])",
                     R"(,"terminal":true,"consoleSize":{"height":33,"width":99})"));
  Finished without = Create("c1");
  EXPECT_EQ(without.status, 1);
  EXPECT_THAT(Log(), HasSubstr("needs --console-socket"));
  auto listener = base::ListenUnix(Scratch("console"));
  ASSERT_TRUE(listener.ok());
  ASSERT_EQ(Create("c2", {"--console-socket", Scratch("console")}).status, 0) << Log();
  auto connection = base::AcceptUnix(listener->get());
  ASSERT_TRUE(connection.ok());
  auto message = base::ReceiveWithFds(connection->get(), 4096, 4);
  ASSERT_TRUE(message.ok());
  EXPECT_FALSE(message->data.empty());
  ASSERT_EQ(message->fds.size(), 1u);
  // Nothing else of the caller's: containerd's shim waits for the end of create's output.
  for (const char* fd : {"0", "1", "2"}) {
    std::error_code error;
    EXPECT_THAT(std::filesystem::read_symlink("/proc/" + PidFile() + "/fd/" + fd, error).string(),
                ContainsRegex("^/dev/pts/[0-9]+$"));
  }
  ASSERT_EQ(Holt({"start", "c2"}).status, 0);
  std::string out;
  char buffer[1024];
  while (true) {
    ssize_t n = read(message->fds[0].get(), buffer, sizeof buffer);
    if (n <= 0) break;
    out.append(buffer, static_cast<size_t>(n));
  }
  EXPECT_THAT(out, HasSubstr("/dev/pts/0"));
}

TEST_F(OciVerbsTest, ExecOfAProcessFile) {
  WriteConfig(Config(R"(["sleep","1000"])"));
  ASSERT_EQ(Create("c1").status, 0) << Log();
  ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  ASSERT_TRUE(
      base::WriteFile(Scratch("process.json"),
                      R"({"args":["sh","-c","echo exec; exit 9"],"cwd":"/","env":["PATH=/bin"]})")
          .ok());
  Finished exec = Holt({"exec", "--process", Scratch("process.json"), "c1"});
  EXPECT_EQ(exec.out, "exec\n");
  EXPECT_EQ(exec.status, 9) << exec.err;
  Finished detached = Holt({"exec", "--process", Scratch("process.json"), "--detach", "--pid-file",
                            Scratch("exec-pid"), "c1"});
  EXPECT_EQ(detached.status, 0) << detached.err;
  EXPECT_EQ(detached.out, "exec\n");
  EXPECT_THAT(base::ReadFile(Scratch("exec-pid")).value_or(""), ContainsRegex("^[0-9]+$"));
}

TEST_F(OciVerbsTest, ErrorsAreOneLineOfJson) {
  WriteConfig(Config(R"(["no-such-command"])"));
  Finished create = Create("c1");
  EXPECT_EQ(create.status, 1);
  EXPECT_THAT(create.err, HasSubstr("executable file not found"));
  EXPECT_THAT(Log(),
              ContainsRegex(
                  R"(^\{"level":"error","msg":".*executable file not found.*","time":"[^"]*"\})"));
  std::string log = Log();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
}

TEST_F(OciVerbsTest, WhatIsNotSupportedIsAnErrorAndLeavesNothing) {
  auto refused = [&](const std::string& config, const std::vector<std::string>& flags,
                     const std::string& text) {
    unlink(Scratch("log").c_str());
    WriteConfig(config);
    Finished finished = Create("c1", flags);
    EXPECT_EQ(finished.status, 1);
    EXPECT_THAT(finished.err, HasSubstr(text));
    EXPECT_TRUE(Leftovers().empty());
  };
  std::string good = Config(R"(["true"])");
  refused(good, {"--preserve-fds", "3"}, "--preserve-fds: descriptor 3: is not open");
  refused("{", {}, "config.json");
  refused(R"({"ociVersion":"1.0.2"})", {}, "process: is required");
  refused(Config(R"(["true"])", R"(,"user":{"uid":"root"})"), {}, "process.user.uid");
  refused(Config("[]"), {}, "process.args");
  refused(Config(R"(["true"])", "", R"(,"vm":{"kernel":{"path":"/k"}})"), {}, "vm.kernel.path: ");
  std::string missing = good;
  missing.replace(missing.find("rootfs"), 6, "nothing");
  refused(missing, {}, "nothing");
}

}  // namespace
}  // namespace holt
