#pragma once

// A Docker daemon of the tests' own, with holt as its default runtime. It lives in a network and a
// mount namespace of its own, where its bridges, packet filters and mounts end with it.

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "tests/e2e/engine_fixture.h"

namespace holt {

class DockerTest : public EngineTest {
 protected:
  // Starts the host that dockerd sees, dockerd, and imports the demo image.
  static void SetUpTestSuite() {
    HoltTest::SetUpTestSuite();
    const char* directory = getenv("TMPDIR");
    directory_ = std::string(directory == nullptr ? "/tmp" : directory) + "/d-XXXXXX";
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
    const std::string holt = InstallHolt(directory_, {BuildDirectory() + "/bin/holt"});
    ASSERT_TRUE(
        base::WriteFile(directory_ + "/daemon.json", Snippet("docker/daemon.json", holt)).ok());
    // Shims that are killed leave their sockets in /run/containerd, which is nobody else's here.
    host_ = Program::Start(
        {"/usr/bin/unshare", "--mount", "--net", "--propagation", "private", "/bin/sh", "-c",
         "mkdir -p /run/containerd && mount -t tmpfs none /run/containerd &&"
         "/sbin/ip link set lo up && echo up && exec sleep 100000"},
        {});
    ASSERT_TRUE(host_->WaitFor("up"));
    StartDaemon();
    Finished imported = Docker({"import", Images() + "/demo.tar", "demo"});
    ASSERT_EQ(imported.status, 0) << imported.err;
  }
  static void TearDownTestSuite() {
    if (daemon_) {
      daemon_->Signal(SIGTERM);
      EXPECT_EQ(daemon_->Finish().status, 0) << DaemonLog();
      daemon_.reset();
    }
    host_.reset();
    for (const std::string& process : ProcessesThatName(directory_))
      ADD_FAILURE() << "left behind: " << process;
    auto removed = base::RemoveTree(directory_);
    EXPECT_TRUE(removed.ok()) << removed.error().message();
    HoltTest::TearDownTestSuite();
  }
  void SetUp() override {
    HoltTest::SetUp();
    // Where Docker has the sandboxes: what a test leaves there is a failure.
    root_ = directory_ + "/exec/runtime-runc/moby";
  }
  void TearDown() override {
    std::vector<std::string> remove = {"rm", "--force", "--volumes"};
    for (const std::string& id : Lines(Docker({"ps", "--all", "--quiet"}).out))
      remove.push_back(id);
    if (remove.size() > 3) {
      EXPECT_EQ(Docker(remove).status, 0);
    }
    EXPECT_EQ(Docker({"network", "prune", "--force"}).status, 0);
    for (const std::string& left : Leftovers()) ADD_FAILURE() << "left by docker rm: " << left;
    if (HasFailure()) std::printf("%s\n", DaemonLog().c_str());
    HoltTest::TearDown();
  }

  static void StartDaemon() {
    // Its log is a file: nobody reads it until something fails.
    const std::string command =
        "exec /usr/sbin/dockerd --config-file " + directory_ + "/daemon.json --data-root " +
        directory_ + "/data --exec-root " + directory_ + "/exec --pidfile " + directory_ +
        "/pid --host unix://" + Socket() +
        " --default-runtime holt --exec-opt native.cgroupdriver=" + cgroup_driver_ +
        " --live-restore"
        " --bip 10.213.0.1/24 --default-address-pool base=10.213.64.0/18,size=24 >>" +
        directory_ + "/log 2>&1";
    daemon_ = OnHost(command, {.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}});
    for (int i = 0; i < 600; ++i) {
      if (Docker({"version"}).status == 0) return;
      usleep(100'000);
    }
    FAIL() << "dockerd does not answer:\n" << DaemonLog();
  }
  // A shell's command where dockerd is.
  static std::unique_ptr<Program> OnHost(const std::string& command, const RunOptions& options) {
    return Program::Start({"/usr/bin/nsenter", "--target", std::to_string(host_->pid()), "--mount",
                           "--net", "/bin/sh", "-c", command},
                          options);
  }
  static std::string Socket() { return directory_ + "/socket"; }
  // The end of it.
  static std::string DaemonLog() {
    const std::string log = base::ReadFile(directory_ + "/log", 16 << 20).value_or("");
    return log.size() > 6000 ? log.substr(log.size() - 6000) : log;
  }

  static std::vector<std::string> Words(const std::vector<std::string>& args) {
    std::vector<std::string> words = {"/usr/bin/docker", "--config", directory_ + "/client",
                                      "--host", "unix://" + Socket()};
    words.insert(words.end(), args.begin(), args.end());
    return words;
  }
  static Finished Docker(const std::vector<std::string>& args, const std::string& input = "") {
    return Program::Start(Words(args), {.input = input})->Finish();
  }
  // docker run --rm without a network.
  static Finished Run(std::vector<std::string> args, const std::string& input = "") {
    args.insert(args.begin(), {"run", "--rm", "--network=none"});
    return Docker(args, input);
  }
  // docker run -d; the test fails when it does not start.
  static void Start(const std::string& name, std::vector<std::string> args) {
    args.insert(args.begin(), {"run", "--detach", "--name", name});
    Finished started = Docker(args);
    EXPECT_EQ(started.status, 0) << started.err;
  }
  // In a container.
  static std::string Inside(const std::string& name, const std::string& command) {
    Finished finished = Docker({"exec", name, "sh", "-c", command});
    EXPECT_EQ(finished.status, 0) << command << ": " << finished.err << finished.out;
    return finished.out;
  }
  // One line of docker inspect.
  static std::string Inspect(const std::string& name, const std::string& format) {
    std::string out = Docker({"inspect", name, "--format", format}).out;
    return out.substr(0, out.find('\n'));
  }
  static bool LogsSay(const std::string& name, const std::string& text) {
    return Eventually([&] { return Docker({"logs", name}).out.find(text) != std::string::npos; });
  }
  template <typename Condition>
  static bool Eventually(const Condition& condition) {
    for (int i = 0; i < 300; ++i) {
      if (condition()) return true;
      usleep(100'000);
    }
    return false;
  }
  static std::vector<std::string> Lines(const std::string& text) {
    std::vector<std::string> lines;
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      lines.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    return lines;
  }
  // Command lines that have `text` in them, with their pids before.
  static std::vector<std::string> ProcessesThatName(const std::string& text) {
    std::vector<std::string> out;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
      const std::string pid = entry.path().filename();
      if (pid[0] < '0' || pid[0] > '9') continue;
      std::string line = base::ReadFile(entry.path() / "cmdline", 1 << 20).value_or("");
      std::replace(line.begin(), line.end(), '\0', ' ');
      if (line.find(text) != std::string::npos) out.push_back(pid + " " + line);
    }
    return out;
  }
  // The one process of a container whose command line has both; 0 when there is none.
  static pid_t ProcessOf(const std::string& id, const std::string& program) {
    for (const std::string& line : ProcessesThatName(id))
      if (line.find(program) != std::string::npos) return std::stoi(line);
    return 0;
  }

  static inline std::string cgroup_driver_ = "cgroupfs";
  static inline std::string directory_;
  static inline std::unique_ptr<Program> host_;
  static inline std::unique_ptr<Program> daemon_;
};

}  // namespace holt
