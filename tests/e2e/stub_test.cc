// What engines find by the container's pid: its files, its processes and its network, not the
// host's.

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/e2e/bundle_fixture.h"

namespace holt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr char kSleep[] = R"(["sleep","1000"])";

class StubTest : public BundleTest {
 protected:
  // `config` with a bind mount of the scratch directory or file `source` at `destination`.
  Json WithVolume(Json config, const std::string& source, const std::string& destination,
                  const std::string& option = "rw") const {
    config["mounts"].push_back({{"destination", destination},
                                {"type", "bind"},
                                {"source", Scratch(source)},
                                {"options", {"rbind", option}}});
    return config;
  }
  void MakeFile(const std::string& path, const std::string& text) {
    ASSERT_TRUE(base::MakeDirs(fs::path(path).parent_path()).ok());
    ASSERT_TRUE(base::WriteFile(path, text).ok());
  }
  std::string Root(const std::string& pid_file = "pid") {
    return "/proc/" + PidFile(pid_file) + "/root";
  }
  std::string Namespace(const std::string& pid, const std::string& name) {
    std::error_code error;
    return fs::read_symlink("/proc/" + pid + "/ns/" + name, error).string();
  }
  // Numbers in the /proc of the view.
  std::vector<std::string> Processes() {
    std::vector<std::string> out;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(Root() + "/proc", error)) {
      std::string name = entry.path().filename();
      if (isdigit(static_cast<unsigned char>(name[0]))) out.push_back(name);
    }
    EXPECT_FALSE(error) << error.message();
    return out;
  }
  std::string InContainer(const std::string& command) {
    Finished finished = Holt({"exec", "c1", "sh", "-c", command});
    EXPECT_EQ(finished.status, 0) << finished.err;
    return finished.out;
  }
  // An exec as engines do it; its stub's pid goes to `pid_file`.
  void ExecDetached(const std::string& args, const std::string& pid_file) {
    MakeFile(Scratch("process.json"),
             R"({"args":)" + args + R"(,"cwd":"/","env":["PATH=/usr/bin:/bin"]})");
    Finished finished = ToFiles({"exec", "--process", Scratch("process.json"), "--detach",
                                 "--pid-file", Scratch(pid_file), "c1"});
    ASSERT_EQ(finished.status, 0) << finished.err;
  }
  bool Ends(const std::string& pid) {
    // One that nobody waits for stays as a zombie, which has no namespaces.
    return Eventually([&] { return Namespace(pid, "mnt").empty(); });
  }
};

TEST_F(StubTest, ShowsTheContainersFilesAndNotTheHosts) {
  MakeFile(Scratch("outside"), "the host's");
  MakeFile(bundle_ + "/rootfs/etc/mark", "the image's");
  MakeFile(Scratch("volume/file"), "the volume's");
  MakeFile(Scratch("locked/file"), "read-only");
  MakeFile(Scratch("one"), "one file");
  Json config = Json::parse(Config(kSleep));
  config = WithVolume(config, "volume", "/srv/volume");
  config = WithVolume(config, "locked", "/srv/volume/locked", "ro");
  config = WithVolume(config, "one", "/etc/one", "ro");
  Launch("c1", config.dump());
  EXPECT_EQ(base::ReadFile(Root() + "/etc/mark").value_or(""), "the image's");
  EXPECT_FALSE(base::PathExists(Root() + Scratch("outside")));
  EXPECT_FALSE(base::PathExists(Root() + root_));
  EXPECT_EQ(base::ReadFile(Root() + "/srv/volume/file").value_or(""), "the volume's");
  EXPECT_EQ(base::ReadFile(Root() + "/srv/volume/locked/file").value_or(""), "read-only")
      << "mounted on the other, as listed";
  EXPECT_EQ(base::ReadFile(Root() + "/etc/one").value_or(""), "one file");
  auto refused = base::WriteFile(Root() + "/srv/volume/locked/file", "x");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().err(), EROFS);
  EXPECT_EQ(base::WriteFile(Root() + "/etc/one", "x").error().err(), EROFS);

  // In both directions, as `cp` does it.
  ASSERT_TRUE(base::WriteFile(Root() + "/root-file", "from the host").ok());
  ASSERT_TRUE(base::WriteFile(Root() + "/srv/volume/new", "too").ok());
  EXPECT_EQ(InContainer("cat /root-file /srv/volume/new"), "from the hosttoo");
  EXPECT_EQ(base::ReadFile(Scratch("volume/new")).value_or(""), "too");
  EXPECT_FALSE(base::PathExists("/root-file"));
  InContainer("echo -n reply >/srv/volume/reply");
  EXPECT_EQ(base::ReadFile(Root() + "/srv/volume/reply").value_or(""), "reply");
}

TEST_F(StubTest, AReadOnlyRootIsReadOnly) {
  Json config = Json::parse(Config(kSleep));
  config["root"]["readonly"] = true;
  MakeFile(Scratch("volume/file"), "x");
  Launch("c1", WithVolume(config, "volume", "/volume").dump());
  auto refused = base::WriteFile(Root() + "/new", "x");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().err(), EROFS);
  EXPECT_TRUE(base::WriteFile(Root() + "/volume/new", "x").ok());
}

TEST_F(StubTest, EveryWayOfEnteringEndsInTheContainer) {
  MakeFile(Scratch("outside"), "the host's");
  Launch("c1", Config(kSleep));
  // cwd, root and what is open lead nowhere else.
  std::string process = "/proc/" + PidFile();
  EXPECT_FALSE(base::PathExists(process + "/cwd" + Scratch("outside")));
  EXPECT_FALSE(base::PathExists(process + "/cwd/../../../../.." + Scratch("outside")));
  for (const auto& entry : fs::directory_iterator(process + "/fd"))
    EXPECT_FALSE(fs::is_directory(entry.status())) << entry.path();
  // All its mounts, too, are the container's.
  std::string mounts = base::ReadFile(process + "/mountinfo").value_or("");
  EXPECT_EQ(mounts.find(root_), std::string::npos) << mounts;
  EXPECT_EQ(std::count(mounts.begin(), mounts.end(), '\n'), 3) << mounts;
  EXPECT_EQ(mounts.find("shared:"), std::string::npos) << mounts;
  // What an image has is not run, and the kernel's settings are not changed there.
  std::string script = "for f in /bin/true /usr/bin/true; do " + Root() + "$f && exit 9; done; " +
                       "echo 1 >" + Root() + "/proc/sys/vm/drop_caches && exit 9; " + "ls -A " +
                       Root() + "/dev";
  auto shell = Program::Start({"/bin/sh", "-c", script}, {});
  Finished finished = shell->Finish();
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.out, "");
  EXPECT_THAT(finished.err, HasSubstr("ermission denied"));
  EXPECT_THAT(finished.err, HasSubstr("ead-only file system"));
  auto entered = Program::Start(
      {"/usr/bin/nsenter", "-t", PidFile(), "--mount=" + process + "/ns/mnt", "/bin/true"}, {});
  EXPECT_THAT(entered->Finish().err, HasSubstr("ermission denied"));
}

TEST_F(StubTest, DestinationsThatLeadOutsideStayInTheRoot) {
  MakeFile(Scratch("target/keep"), "the host's");
  MakeFile(Scratch("volume/file"), "the volume's");
  ASSERT_TRUE(base::MakeDirs(bundle_ + "/rootfs" + Scratch("target")).ok());
  ASSERT_TRUE(base::MakeDirs(bundle_ + "/rootfs" + Scratch("other")).ok());
  ASSERT_TRUE(base::MakeDirs(Scratch("other")).ok());
  fs::create_directory_symlink(Scratch("target"), bundle_ + "/rootfs/absolute");
  fs::create_directory_symlink("../../../../../../../.." + Scratch("other"),
                               bundle_ + "/rootfs/relative");
  Json config = Json::parse(Config(kSleep));
  config = WithVolume(config, "volume", "/absolute");
  config = WithVolume(config, "volume", "/relative");
  config = WithVolume(config, "volume", "/../../srv/x");
  // In the guest's memory only: there is nothing to put it on here.
  config["mounts"].push_back({{"destination", "/memory"}, {"type", "tmpfs"}, {"source", "tmpfs"}});
  config = WithVolume(config, "volume", "/memory/x");
  Launch("c1", config.dump());
  EXPECT_EQ(base::ReadFile(Scratch("target/keep")).value_or(""), "the host's");
  EXPECT_FALSE(base::PathExists(Scratch("target/file")));
  std::string inside = Root() + Scratch("target");
  EXPECT_EQ(base::ReadFile(inside + "/file").value_or(""), "the volume's");
  EXPECT_FALSE(base::PathExists(inside + "/keep"));
  EXPECT_EQ(base::ReadFile(Root() + Scratch("other/file")).value_or(""), "the volume's");
  EXPECT_FALSE(base::PathExists(Scratch("other/file")));
  EXPECT_FALSE(base::PathExists(Root() + "/memory/x"));
  EXPECT_EQ(base::ReadFile(Root() + "/srv/x/file").value_or(""), "the volume's");
  std::string mounts = base::ReadFile("/proc/self/mountinfo").value_or("");
  EXPECT_EQ(mounts.find(scratch_), std::string::npos) << mounts;
}

TEST_F(StubTest, IsTheInitOfItsPidNamespace) {
  MakeFile(Scratch("volume/file"), "x");
  WriteConfig(WithVolume(Json::parse(Config(kSleep)), "volume", "/volume").dump());
  ASSERT_EQ(Create("c1").status, 0) << Log();
  EXPECT_THAT(Processes(), ElementsAre("1"));
  ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  EXPECT_THAT(Holt({"state", "c1"}).out, HasSubstr("\"pid\": " + PidFile()))
      << "the number is the host's";
  EXPECT_THAT(base::ReadFile("/proc/" + PidFile() + "/stat").value_or(""),
              testing::StartsWith(PidFile() + " (holt-stub)"));
  for (const char* name : {"mnt", "pid", "net"})
    EXPECT_NE(Namespace(PidFile(), name), Namespace("self", name)) << name;

  // An exec's stub is in the same ones.
  ExecDetached(kSleep, "exec-pid");
  for (const char* name : {"mnt", "pid", "net"})
    EXPECT_EQ(Namespace(PidFile("exec-pid"), name), Namespace(PidFile(), name)) << name;
  EXPECT_EQ(base::ReadFile(Root("exec-pid") + "/volume/file").value_or(""), "x");
  EXPECT_EQ(Processes().size(), 2u);
  kill(std::stoi(PidFile("exec-pid")), SIGKILL);
  EXPECT_TRUE(Ends(PidFile("exec-pid")));
}

TEST_F(StubTest, MirrorsStatusAndSignalsAsAnInit) {
  auto create = Command({"create", "--bundle", bundle_, "--pid-file", Scratch("pid"), "c1"});
  // A subreaper, as conmon is one, which sends what an init without a handler would not get.
  std::string script = R"(
import ctypes, os, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
n = int(sys.argv[1])
subprocess.run(sys.argv[4:4 + n], check=True, stdin=subprocess.DEVNULL)
pid = int(open(sys.argv[2]).read())
subprocess.run(sys.argv[4 + n:], check=True, stdin=subprocess.DEVNULL)
while 'ready' not in open(sys.argv[3]).read(): time.sleep(0.05)
os.kill(pid, int(os.environ['SIGNAL']))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
)";
  auto start = Command({"start", "c1"});
  std::vector<std::string> python = {
      "/usr/bin/python3",    "-c", script, std::to_string(create.size()), Scratch("pid"),
      Scratch("volume/said")};
  python.insert(python.end(), create.begin(), create.end());
  python.insert(python.end(), start.begin(), start.end());
  for (auto [signal, name] : {std::pair(SIGTERM, "TERM"), std::pair(SIGABRT, "ABRT")}) {
    MakeFile(Scratch("volume/said"), "");
    Json config =
        Json::parse(Config(R"(["sh","-c","trap 'exit 11' )" + std::string(name) +
                           R"(; echo ready >/volume/said; while :; do sleep 0.1; done"])"));
    WriteConfig(WithVolume(config, "volume", "/volume").dump());
    RunOptions options = Environment();
    options.environment.push_back("SIGNAL=" + std::to_string(signal));
    auto reaper = Program::Start(python, options);
    EXPECT_EQ(reaper->Finish().out, "11\n") << name;
    EXPECT_EQ(Holt({"delete", "c1"}).status, 0);
  }
}

TEST_F(StubTest, NothingIsLeftOfAKilledStub) {
  MakeFile(Scratch("volume/file"), "x");
  std::string config = WithVolume(Json::parse(Config(kSleep)), "volume", "/volume").dump();
  Launch("c1", config);
  ExecDetached(kSleep, "exec-pid");
  ASSERT_EQ(kill(std::stoi(PidFile()), SIGKILL), 0);
  // Whoever kills the pid means the container, and engines delete it as soon as they have its end.
  Finished deleted = Holt({"delete", "c1"});
  EXPECT_EQ(deleted.status, 0) << deleted.err;
  EXPECT_TRUE(Ends(PidFile()));
  EXPECT_TRUE(Ends(PidFile("exec-pid")));
  EXPECT_THAT(Leftovers(), IsEmpty());
}

TEST_F(StubTest, NothingIsLeftOfAKilledMonitor) {
  MakeFile(Scratch("volume/file"), "x");
  Launch("c1", WithVolume(Json::parse(Config(kSleep)), "volume", "/volume").dump());
  ExecDetached(kSleep, "exec-pid");
  Json state = Json::parse(base::ReadFile(root_ + "/c1/state.json").value_or("{}"));
  int monitor = 0;
  for (const Json& process : state["processes"])
    if (process.value("name", "") == "holt-monitor") monitor = process.value("pid", 0);
  ASSERT_GT(monitor, 0) << state.dump();
  ASSERT_EQ(kill(monitor, SIGKILL), 0);
  EXPECT_TRUE(Ends(PidFile()));
  EXPECT_TRUE(Ends(PidFile("exec-pid")));
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);
  EXPECT_THAT(Leftovers(), IsEmpty());
}

TEST_F(StubTest, ExecOfAContainerWhoseCommandStandsInShowsItsFiles) {
  MakeFile(bundle_ + "/rootfs/etc/mark", "the image's");
  MakeFile(Scratch("outside"), "the host's");
  WriteConfig(Config(R"(["sh","-c","echo ready; exec sleep 1000"])"));
  auto run = Program::Start(Command({"run", "--accel", Accel(), "--bundle", bundle_, "c1"}), {});
  ASSERT_TRUE(run->WaitFor("ready")) << run->out();
  ExecDetached(kSleep, "exec-pid");
  EXPECT_EQ(base::ReadFile(Root("exec-pid") + "/etc/mark").value_or(""), "the image's");
  EXPECT_FALSE(base::PathExists(Root("exec-pid") + Scratch("outside")));
  for (const char* name : {"mnt", "pid", "net"})
    EXPECT_NE(Namespace(PidFile("exec-pid"), name), Namespace("self", name)) << name;
  EXPECT_EQ(Holt({"kill", "c1", "9"}).status, 0);
  EXPECT_EQ(run->Finish().status, 137);
}

}  // namespace
}  // namespace holt
