// What engines call and parse: ps, exec, kill, flags in front of the command, words and the log.

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/e2e/bundle_fixture.h"

namespace holt {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using Json = nlohmann::json;

constexpr char kSleep[] = R"(["sleep","1000"])";

class EngineCliTest : public BundleTest {
 protected:
  std::string WriteProcess(const std::string& args, const std::string& more = "") {
    std::string path = Scratch("process.json");
    EXPECT_TRUE(base::WriteFile(path, R"({"args":)" + args +
                                          R"(,"cwd":"/","env":["PATH=/usr/bin:/bin"])" + more + "}")
                    .ok());
    return path;
  }
  std::string ProgramOf(const std::string& pid) {
    char target[4096] = {};
    if (readlink(("/proc/" + pid + "/exe").c_str(), target, sizeof target - 1) < 0) return "";
    return target;
  }
};

TEST_F(EngineCliTest, PsOfHostPids) {
  WriteConfig(Config(kSleep));
  ASSERT_EQ(Create("c1").status, 0) << Log();
  EXPECT_EQ(Holt({"ps", "--format", "json", "c1"}).out, "[" + PidFile() + "]\n");
  ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  Finished exec = ToFiles({"exec", "--process", WriteProcess(kSleep), "--detach", "--pid-file",
                           Scratch("exec-pid"), "c1"});
  ASSERT_EQ(exec.status, 0) << exec.err;
  EXPECT_EQ(Holt({"ps", "--format", "json", "c1"}).out,
            "[" + PidFile() + "," + PidFile("exec-pid") + "]\n");
  // What engines find in their own /proc is what holds the process.
  EXPECT_THAT(ProgramOf(PidFile()), HasSubstr("holt-stub"));
  EXPECT_THAT(ProgramOf(PidFile("exec-pid")), HasSubstr("holt-stub"));
  // The table is the guest's.
  EXPECT_THAT(Holt({"ps", "c1"}).out, ContainsRegex("^UID +PID +PPID +COMMAND\n"));
  std::string names = Holt({"ps", "c1", "-o", "pid,comm"}).out;
  EXPECT_THAT(names, ContainsRegex("^PID +COMMAND\n[0-9]+ +sleep\n[0-9]+ +sleep\n$"));
  EXPECT_THAT(ErrorOf(Holt({"ps", "c1", "-o", "rss"})), HasSubstr("-o rss"));

  kill(std::stoi(PidFile("exec-pid")), SIGKILL);
  EXPECT_TRUE(Eventually([&] {
    return Holt({"ps", "--format", "json", "c1"}).out == "[" + PidFile() + "]\n" &&
           Holt({"ps", "c1", "-o", "comm"}).out == "COMMAND\nsleep\n";
  }));
  ASSERT_EQ(Holt({"kill", "c1", "9"}).status, 0);
  ASSERT_TRUE(BecomesStopped("c1"));
  EXPECT_EQ(Holt({"ps", "--format", "json", "c1"}).out, "null\n");
}

TEST_F(EngineCliTest, ExecFlags) {
  Launch("c1", Config(kSleep));
  Finished as_runc = Holt({"exec",
                           "--user",
                           "1000:1001",
                           "--additional-gids",
                           "5",
                           "-g",
                           "6",
                           "--cwd",
                           "/tmp",
                           "--env",
                           "A=b",
                           "--no-new-privs",
                           "--cgroup",
                           "/",
                           "--preserve-fds",
                           "0",
                           "c1",
                           "sh",
                           "-c",
                           "id -u; id -G; pwd; echo $A; grep NoNewPrivs /proc/self/status"});
  EXPECT_EQ(as_runc.status, 0) << as_runc.err;
  EXPECT_EQ(as_runc.out, "1000\n1001 5 6\n/tmp\nb\nNoNewPrivs:\t1\n");
  Finished capable = Holt({"exec", "--cap", "CAP_NET_ADMIN", "c1", "true"});
  EXPECT_EQ(capable.status, 0) << capable.err;
  auto refused = [&](const std::string& flag, const std::string& value, const std::string& text) {
    Finished finished = Holt({"exec", flag, value, "c1", "true"});
    EXPECT_EQ(finished.status, 255);
    EXPECT_THAT(ErrorOf(finished), HasSubstr(text));
  };
  refused("--apparmor", "x", "process.apparmorProfile: not supported");
  refused("--process-label", "x", "process.selinuxLabel: not supported");
  refused("--cgroup", "/below", "--cgroup: not supported");
  refused("--preserve-fds", "1", "--preserve-fds: descriptor 3: is not open");
  refused("--additional-gids", "wheel", "--additional-gids: \"wheel\"");
  refused("--console-socket", "x", "--console-socket: needs --detach");
}

TEST_F(EngineCliTest, ErrorsOfExec) {
  Launch("c1", Config(kSleep));
  auto exec = [&](const std::string& args, std::vector<std::string> more = {}) {
    std::vector<std::string> command = {"exec", "--process", WriteProcess(args)};
    command.insert(command.end(), more.begin(), more.end());
    command.push_back("c1");
    Finished finished = ToFiles(command);
    EXPECT_EQ(finished.status, 255);
    return finished.err;
  };
  for (const std::vector<std::string>& form :
       {std::vector<std::string>{}, {"--detach", "--pid-file", Scratch("exec-pid")}}) {
    EXPECT_THAT(exec(R"(["no-such-command"])", form), HasSubstr("executable file not found"));
    EXPECT_THAT(exec(R"(["/no/such"])", form), HasSubstr("no such file or directory"));
    EXPECT_THAT(exec(R"(["/etc/passwd"])", form), HasSubstr("permission denied"));
    EXPECT_FALSE(base::PathExists(Scratch("exec-pid")));
  }
  EXPECT_THAT(exec("[]"), HasSubstr("process.args"));
  Finished two = Holt({"exec", "--process", WriteProcess(kSleep), "c1", "true"});
  EXPECT_THAT(ErrorOf(two), HasSubstr("the command comes from the file"));
  ASSERT_EQ(Holt({"kill", "c1", "9"}).status, 0);
  ASSERT_TRUE(BecomesStopped("c1"));
  Finished stopped = Holt({"exec", "--process", WriteProcess(kSleep), "c1"});
  EXPECT_EQ(stopped.status, 255);
  EXPECT_THAT(ErrorOf(stopped), HasSubstr("container not running"));
  Finished missing = Holt({"exec", "--process", WriteProcess(kSleep), "c2"});
  EXPECT_EQ(missing.status, 255);
  EXPECT_THAT(ErrorOf(missing), HasSubstr("does not exist"));
}

// A subreaper as conmon is one: waits for what the pid-file names. Many that end before their stub
// could look, so that none is lost.
TEST_F(EngineCliTest, TheStubOfAnExecEndsAsItDid) {
  Launch("c1", Config(kSleep));
  auto exec = Command({"exec", "--process", WriteProcess(R"(["sh","-c","exit 42"])"), "--detach",
                       "--pid-file", Scratch("exec-pid"), "c1"});
  std::string script = R"(
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
for i in range(8):
    subprocess.run(sys.argv[2:], check=True, stdin=subprocess.DEVNULL)
    pid = int(open(sys.argv[1]).read())
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
)";
  std::vector<std::string> reaper = {"/usr/bin/python3", "-c", script, Scratch("exec-pid")};
  reaper.insert(reaper.end(), exec.begin(), exec.end());
  Finished finished = Program::Start(reaper, Environment())->Finish();
  EXPECT_EQ(finished.out, "42\n42\n42\n42\n42\n42\n42\n42\n") << finished.err;
}

TEST_F(EngineCliTest, TheStubOfAnExecHoldsItsStdio) {
  Launch("c1", Config(kSleep));
  // The command ends; its stdin goes on to be the process'.
  auto exec = Command({"exec", "--process",
                       WriteProcess(R"(["sh","-c","read a; echo got $a; cat; exit 3"])"),
                       "--detach", "--pid-file", Scratch("exec-pid"), "c1"});
  std::string script = R"(
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
in_read, in_write = os.pipe()
out_read, out_write = os.pipe()
subprocess.run(sys.argv[2:], check=True, stdin=in_read, stdout=out_write)
os.close(in_read)
os.close(out_write)
os.write(in_write, b'one\n')
assert os.read(out_read, 100) == b'got one\n'
os.write(in_write, b'two')
os.close(in_write)
print(open(out_read).read())
pid = int(open(sys.argv[1]).read())
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
)";
  std::vector<std::string> engine = {"/usr/bin/python3", "-c", script, Scratch("exec-pid")};
  engine.insert(engine.end(), exec.begin(), exec.end());
  Finished finished = Program::Start(engine, Environment())->Finish();
  EXPECT_EQ(finished.out, "two\n3\n") << finished.err;
}

// BuildKit kills the pid of the pid-file, and means the process.
TEST_F(EngineCliTest, AForegroundExecIsItsProcess) {
  Launch("c1", Config(kSleep));
  auto exec = Program::Start(Command({"exec", "--process", WriteProcess(R"(["sleep","555"])"),
                                      "--pid-file", Scratch("exec-pid"), "c1"}),
                             {});
  ASSERT_TRUE(Eventually([&] { return PidFile("exec-pid") == std::to_string(exec->pid()); }));
  EXPECT_THAT(Holt({"ps", "c1"}).out, HasSubstr("sleep 555"));
  EXPECT_EQ(Holt({"ps", "--format", "json", "c1"}).out,
            "[" + PidFile() + "," + PidFile("exec-pid") + "]\n");
  exec->Signal(SIGKILL);
  EXPECT_TRUE(Eventually([&] {
    return Holt({"ps", "c1"}).out.find("sleep 555") == std::string::npos;
  }));
  EXPECT_EQ(StatusOf("c1"), "running");
}

TEST_F(EngineCliTest, KillBySignalsAsTheyAreWritten) {
  Launch("c1",
         Config(R"(["sh","-c","trap 'echo got' TERM; echo ready; while :; do sleep 0.05; done"])"));
  ASSERT_TRUE(Eventually([&] { return Output() == "ready\n"; }));
  std::string expected = "ready\n";
  for (const std::vector<std::string>& signal :
       {std::vector<std::string>{}, {"TERM"}, {"SIGTERM"}, {"15"}, {"sigterm"}}) {
    std::vector<std::string> command = {"kill", "c1"};
    command.insert(command.end(), signal.begin(), signal.end());
    Finished killed = Holt(command);
    EXPECT_EQ(killed.status, 0) << killed.err;
    expected += "got\n";
    EXPECT_TRUE(Eventually([&] { return Output() == expected; })) << Output();
  }
  EXPECT_THAT(ErrorOf(Holt({"kill", "c1", "NONE"})), HasSubstr("no such signal"));
  EXPECT_EQ(Holt({"kill", "--all", "c1", "KILL"}).status, 0);
  ASSERT_TRUE(BecomesStopped("c1"));
  EXPECT_THAT(ErrorOf(Holt({"kill", "c1", "TERM"})),
              HasSubstr("container not running: \"c1\" is stopped"));
  EXPECT_EQ(Holt({"kill", "--all", "c1", "KILL"}).status, 0);
}

TEST_F(EngineCliTest, WordsOfErrors) {
  for (const std::vector<std::string>& command : {std::vector<std::string>{"state", "c1"},
                                                  {"start", "c1"},
                                                  {"kill", "c1"},
                                                  {"delete", "c1"},
                                                  {"pause", "c1"},
                                                  {"resume", "c1"},
                                                  {"events", "c1"},
                                                  {"ps", "c1"}}) {
    Finished missing = Holt(command);
    EXPECT_EQ(missing.status, 1) << command[0];
    EXPECT_EQ(ErrorOf(missing), "container \"c1\" does not exist") << command[0];
  }
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);
  Launch("c1", Config(kSleep));
  Finished again = Create("c1");
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(again.err, HasSubstr("container already exists: \"c1\""));
  EXPECT_THAT(ErrorOf(Holt({"start", "c1"})),
              HasSubstr("cannot start an already running container"));
  EXPECT_EQ(Holt({"list", "--quiet"}).out, "c1\n");
  EXPECT_THAT(Holt({"list"}).out, ContainsRegex("^ID +PID +STATUS +BUNDLE +CREATED +OWNER\n"));
  Json list = Json::parse(Holt({"list", "--format", "json"}).out);
  Json state = Json::parse(Holt({"state", "c1"}).out);
  for (const char* key :
       {"ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "owner"}) {
    EXPECT_TRUE(list[0].contains(key)) << key;
    EXPECT_TRUE(state.contains(key)) << key;
  }
  EXPECT_EQ(list[0]["owner"], "root");
}

TEST_F(EngineCliTest, FlagsInFrontOfTheCommand) {
  // As conmon-rs repeats them; the last counts.
  Finished listed =
      Holt({"--root", "/nonexistent", "--root", root_, "--log=" + Scratch("first"), "--log",
            Scratch("log"), "--log-format=text", "--log-format=json", "--rootless", "auto",
            "--rootless=false", "--criu", "/usr/sbin/criu", "--debug", "list", "-q"});
  EXPECT_EQ(listed.status, 0) << listed.err;
  EXPECT_FALSE(base::PathExists(Scratch("first")));
  Finished rootless = Holt({"--rootless=true", "list"});
  EXPECT_EQ(rootless.status, 1);
  EXPECT_THAT(ErrorOf(rootless), HasSubstr("--rootless: not supported: holt runs as root"));
  EXPECT_THAT(Holt({"--version"}).out,
              ContainsRegex("^holt version [0-9.]+\ncommit: [0-9a-z-]+\nspec: 1\\.3\\.0\n$"));
}

TEST_F(EngineCliTest, OneLineOfLogForAnError) {
  auto one_line = [&](const std::vector<std::string>& args, const std::string& text) {
    unlink(Scratch("log").c_str());
    std::vector<std::string> all = {"--log", Scratch("log"), "--log-format", "json"};
    all.insert(all.end(), args.begin(), args.end());
    Finished finished = Holt(all);
    EXPECT_NE(finished.status, 0);
    EXPECT_THAT(finished.err, HasSubstr(text));
    std::string log = Log();
    EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
    Json line = Json::parse(log, nullptr, false);
    ASSERT_TRUE(line.is_object()) << log;
    EXPECT_EQ(line["level"], "error");
    EXPECT_THAT(line["msg"].get<std::string>(), HasSubstr(text));
    EXPECT_TRUE(line.contains("time"));
  };
  one_line({"start", "c1"}, "does not exist");
  one_line({"--bogus", "start", "c1"}, "unknown flag: --bogus");
  one_line({"start", "--bogus", "c1"}, "unknown flag: --bogus");
  one_line({"frobnicate"}, "unknown command");
  one_line({"exec", "c1", "true"}, "does not exist");
  one_line({"run", "--bundle", Scratch("nothing"), "c1"}, "--bundle");
}

TEST_F(EngineCliTest, CheckpointIsRefused) {
  // Podman takes status 0 of these for support.
  for (const std::vector<std::string>& command : {std::vector<std::string>{"checkpoint", "--help"},
                                                  {"restore", "--help"},
                                                  {"checkpoint", "c1"},
                                                  {"restore", "c1"}}) {
    Finished finished = Holt(command);
    EXPECT_EQ(finished.status, 1);
    EXPECT_EQ(finished.out, "");
    EXPECT_THAT(ErrorOf(finished), HasSubstr(command[0] + ": not supported"));
  }
}

}  // namespace
}  // namespace holt
