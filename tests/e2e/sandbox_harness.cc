#include "tests/e2e/sandbox_harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <thread>

#include "base/file.h"
#include "shim/monitor/cleanup.h"
#include "shim/stdio/attach_client.h"

namespace holt {
namespace {

using base::UniqueFd;
using namespace std::chrono_literals;
namespace v1 = monitor::v1;

constexpr char kService[] = "holt.monitor.v1.Monitor";
constexpr auto kTimeout = 60s;

std::string Environment(const char* name) {
  const char* value = getenv(name);
  EXPECT_NE(value, nullptr) << name << " is set by tests/run";
  return value != nullptr ? value : "";
}

std::string Scratch(const char* name) {
  const char* base = getenv("TMPDIR");
  std::string path = fmt::format("{}/{}-XXXXXX", base != nullptr ? base : "/tmp", name);
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}

base::Status StatusOf(const base::Result<v1::Empty>& result) {
  return result ? base::Status() : base::Status(result.error());
}

oci::Process ProcessOf(std::vector<std::string> args) {
  oci::Process process;
  process.args = std::move(args);
  process.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"};
  process.cwd = "/";
  return process;
}

}  // namespace

std::string* SandboxTest::rootfs_ = nullptr;

void SandboxTest::SetUpTestSuite() {
  rootfs_ = new std::string(Scratch("holt-rootfs"));
  std::string tar = Environment("HOLT_TEST_IMAGES") + "/demo.tar";
  std::string command = fmt::format("tar -xf {} -C {}", tar, *rootfs_);
  ASSERT_EQ(system(command.c_str()), 0) << tar << ": made by tests/images/build.sh demo";
}

void SandboxTest::TearDownTestSuite() {
  std::filesystem::remove_all(*rootfs_);
  delete rootfs_;
  rootfs_ = nullptr;
}

void SandboxTest::SetUp() {
  build_ = Environment("HOLT_BUILD_DIR");
  root_ = Scratch("holt-state");
  bundle_ = Scratch("holt-bundle");
  signal(SIGPIPE, SIG_IGN);
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
}

void SandboxTest::TearDown() {
  if (HasFailure()) {
    for (const shim::Sandbox& sandbox : shim::Registry(root_).List())
      for (const std::string& path : {sandbox.paths.MonitorLog(), sandbox.paths.Console()})
        if (auto text = base::ReadFile(path); text)
          fprintf(stderr, "--- %s\n%s\n", path.c_str(), text->c_str());
  }
  // What a test leaves stopped is its own to leave; what must not need this is checked by the
  // tests.
  for (const shim::Sandbox& sandbox : shim::Registry(root_).List()) {
    auto status = shim::ForceCleanup(root_, sandbox.record.id);
    EXPECT_TRUE(status.ok()) << status.error().message();
  }
  std::vector<std::string> left;
  for (int i = 0; i < 100; ++i) {
    left = Leftovers();
    if (left.empty()) break;
    usleep(20'000);
  }
  for (const std::string& line : left) ADD_FAILURE() << "left behind: " << line;
  for (const auto& entry : std::filesystem::directory_iterator(root_))
    if (entry.path().filename() != ".names") ADD_FAILURE() << "left behind: " << entry.path();
  std::filesystem::remove_all(root_);
  std::filesystem::remove_all(bundle_);
}

std::vector<std::string> SandboxTest::Leftovers() {
  std::map<pid_t, pid_t> parents;
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    auto stat = base::ReadFile(entry.path().string() + "/stat", 4096);
    if (!stat) continue;
    char state = 0;
    int parent = 0;
    if (sscanf(stat->c_str() + stat->rfind(')') + 1, " %c %d", &state, &parent) != 2 ||
        state == 'Z')
      continue;
    parents[std::stoi(name)] = parent;
  }
  // SetUp made us the subreaper: whatever a sandbox started is our descendant for ever.
  for (auto [pid, parent] : parents) {
    pid_t at = parent;
    while (at > 1 && at != getpid()) at = parents.contains(at) ? parents[at] : 0;
    if (at != getpid()) continue;
    std::string command =
        base::ReadFile(fmt::format("/proc/{}/cmdline", pid), 1 << 20).value_or("");
    std::replace(command.begin(), command.end(), '\0', ' ');
    out.push_back(fmt::format("process {}: {}", pid, command));
  }
  auto mounts = base::ReadFile("/proc/self/mountinfo");
  if (mounts && mounts->find(root_) != std::string::npos) out.push_back("a mount below " + root_);
  return out;
}

std::string SandboxTest::Accel() {
  const char* accel = getenv("HOLT_TEST_ACCEL");
  return accel != nullptr ? accel : "software";
}

oci::Config SandboxTest::ConfigOf(std::vector<std::string> args) {
  oci::Config config;
  config.oci_version = "1.1.0";
  config.process = ProcessOf(std::move(args));
  config.root = oci::Root{*rootfs_, false};
  config.hostname = "guest";
  config.mounts = {
      {.destination = "/proc",
       .type = "proc",
       .source = "proc",
       .options = {"nosuid", "noexec", "nodev"}},
      {.destination = "/dev",
       .type = "tmpfs",
       .source = "tmpfs",
       .options = {"nosuid", "mode=755"}},
      {.destination = "/dev/pts",
       .type = "devpts",
       .source = "devpts",
       .options = {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      {.destination = "/tmp", .type = "tmpfs", .source = "tmpfs", .options = {"nosuid"}}};
  config.linux_ = oci::Linux();
  for (const char* type : {"pid", "mount", "ipc", "uts", "cgroup", "network"})
    config.linux_->namespaces.push_back({.type = type});
  return config;
}

shim::Request SandboxTest::RequestOf(const std::string& id) {
  shim::Request request;
  request.id = id;
  request.bundle = bundle_;
  request.rootfs = *rootfs_;
  request.accel = Accel();
  request.memory_bytes = 256 << 20;
  request.vcpus = 1;
  request.kernel = build_ + "/share/holt/vmlinux";
  request.initramfs = build_ + "/share/holt/initramfs.cpio";
  request.libexec = build_ + "/libexec/holt";
  request.qemu = "/usr/bin/qemu-system-x86_64";
  request.created_unix_nanos = shim::NowUnixNanos();
  return request;
}

base::Result<shim::StartedMonitor> SandboxTest::Create(const shim::Request& request,
                                                       const oci::Config& config) {
  TRY_ASSIGN(shim::NewSandbox sandbox, shim::Registry(root_).Begin(request.id, request.name));
  TRY(base::WriteFile(sandbox.directory() + "/request.json", shim::SerializeRequest(request),
                      0600));
  TRY(base::WriteFile(sandbox.directory() + "/config.json", oci::SerializeConfig(config), 0600));
  TRY(sandbox.Publish());
  return shim::StartMonitor(std::move(sandbox), request);
}

SandboxTest::Client SandboxTest::Connect(const std::string& id) {
  auto client = rpc::BlockingClient::Connect(PathsOf(id).MonitorSocket());
  EXPECT_TRUE(client.ok()) << (client ? "" : client.error().message());
  return Client{client ? std::move(*client) : nullptr, id};
}

base::Result<UniqueFd> SandboxTest::Attach(const std::string& id, const std::string& stream,
                                           const std::string& exec) {
  return shim::AttachStream(PathsOf(id).AttachSocket(), stream, id, exec);
}

base::Status SandboxTest::Client::Start() {
  v1::ContainerRequest request;
  request.set_container_id(id);
  return StatusOf(rpc->Call<v1::Empty>(kService, "Start", request, {.timeout = kTimeout}));
}

base::Status SandboxTest::Client::Kill(int signal, const std::string& exec_id, bool all) {
  v1::KillRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  request.set_signal(signal);
  request.set_all(all);
  return StatusOf(rpc->Call<v1::Empty>(kService, "Kill", request, {.timeout = kTimeout}));
}

base::Status SandboxTest::Client::Delete(bool force) {
  v1::DeleteRequest request;
  request.set_container_id(id);
  request.set_force(force);
  return StatusOf(rpc->Call<v1::Empty>(kService, "Delete", request, {.timeout = kTimeout}));
}

base::Result<v1::WaitResponse> SandboxTest::Client::Wait(const std::string& exec_id) {
  v1::ProcessRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  return rpc->Call<v1::WaitResponse>(kService, "Wait", request, {.timeout = kTimeout});
}

base::Status SandboxTest::Client::Exec(const std::string& exec_id, std::vector<std::string> args,
                                       bool in, bool out, bool terminal) {
  oci::Process process = ProcessOf(std::move(args));
  process.terminal = terminal;
  v1::ExecRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  request.set_oci_process(oci::SerializeProcess(process));
  request.set_attach_stdin(in);
  request.set_attach_output(out);
  auto started = rpc->Call<v1::ExecResponse>(kService, "Exec", request, {.timeout = kTimeout});
  return started ? base::Status() : base::Status(started.error());
}

base::Status SandboxTest::Client::Resize(uint32_t rows, uint32_t columns,
                                         const std::string& exec_id) {
  v1::ResizeTtyRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  request.set_rows(rows);
  request.set_columns(columns);
  return StatusOf(rpc->Call<v1::Empty>(kService, "ResizeTty", request, {.timeout = kTimeout}));
}

base::Result<v1::ListProcessesResponse> SandboxTest::Client::List() {
  v1::ContainerRequest request;
  request.set_container_id(id);
  return rpc->Call<v1::ListProcessesResponse>(kService, "ListProcesses", request,
                                              {.timeout = kTimeout});
}

base::Result<v1::StateResponse> SandboxTest::Client::State() {
  v1::ContainerRequest request;
  request.set_container_id(id);
  return rpc->Call<v1::StateResponse>(kService, "State", request, {.timeout = kTimeout});
}

base::Result<v1::TimelineResponse> SandboxTest::Client::Timeline() {
  return rpc->Call<v1::TimelineResponse>(kService, "Timeline", v1::Empty(), {.timeout = kTimeout});
}

SandboxTest::Finished SandboxTest::Run(const std::string& id, std::vector<std::string> args,
                                       const std::string& input,
                                       std::function<void(oci::Config&, shim::Request&)> change) {
  Finished done;
  oci::Config config = ConfigOf(std::move(args));
  shim::Request request = RequestOf(id);
  request.stdin_open = true;
  if (change) change(config, request);
  auto monitor = Create(request, config);
  if (!monitor) {
    done.error = monitor.error().message();
    return done;
  }
  auto in = Attach(id, "stdin");
  auto out = Attach(id, "stdout");
  auto err = config.process->terminal ? base::Result<UniqueFd>(UniqueFd()) : Attach(id, "stderr");
  auto control = Attach(id, "control");
  for (const auto* stream : {&in, &out, &err, &control}) {
    if (*stream) continue;
    done.error = stream->error().message();
    return done;
  }
  Client client = Connect(id);
  if (auto status = client.Start(); !status) done.error = status.error().message();
  std::thread writer([&] {
    (void)base::WriteFd(in->get(), input);
    shutdown(in->get(), SHUT_WR);
  });
  std::thread reader([&] {
    if (err->valid()) done.err = base::ReadFd(err->get(), 256 << 20).value_or("?");
  });
  done.out = base::ReadFd(out->get(), 256 << 20).value_or("?");
  writer.join();
  reader.join();
  std::string line = base::ReadFd(control->get(), 1000).value_or("");
  if (sscanf(line.c_str(), "exit %d", &done.status) != 1) done.status = -1;
  EXPECT_TRUE(monitor->WaitForEnd(20s).ok()) << "the monitor did not end";
  return done;
}

base::Result<SandboxTest::Running> SandboxTest::StartRunning(
    const std::string& id, std::vector<std::string> args,
    std::function<void(oci::Config&, shim::Request&)> change) {
  oci::Config config = ConfigOf(std::move(args));
  shim::Request request = RequestOf(id);
  if (change) change(config, request);
  Running running;
  TRY_ASSIGN(running.monitor, Create(request, config));
  TRY_ASSIGN(running.out, Attach(id, "stdout"));
  running.client = Connect(id);
  TRY(running.client.Start());
  return running;
}

shim::Record SandboxTest::RecordOf(const std::string& id) {
  auto text = base::ReadFile(PathsOf(id).State());
  auto record = text ? shim::ParseRecord(*text) : base::Result<shim::Record>(text.error());
  return record ? *record : shim::Record();
}

pid_t SandboxTest::PidOf(const std::string& id, const std::string& name) {
  for (const shim::ProcessIdentity& process : RecordOf(id).processes)
    if (process.name == name) return process.pid;
  return 0;
}

shim::Sandbox SandboxTest::AfterTheEnd(const std::string& id) {
  auto dead = shim::Registry::WaitUntilDead(PathsOf(id), 20s);
  EXPECT_TRUE(dead.ok()) << (dead ? "" : dead.error().message());
  auto sandbox = shim::Registry(root_).Find(id);
  EXPECT_TRUE(sandbox.ok()) << (sandbox ? "" : sandbox.error().message());
  return sandbox ? *sandbox : shim::Sandbox();
}

std::string SandboxTest::ReadUntil(int fd, const std::string& text) {
  std::string got;
  char buffer[4096];
  while (got.find(text) == std::string::npos) {
    pollfd ready{fd, POLLIN, 0};
    if (poll(&ready, 1, 30'000) != 1) return got + "(nothing more came)";
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n <= 0) return got + "(the end)";
    got.append(buffer, static_cast<size_t>(n));
  }
  return got;
}

}  // namespace holt
