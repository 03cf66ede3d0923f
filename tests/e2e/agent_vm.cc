#include "tests/e2e/agent_vm.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "tests/e2e/kvm_vm.h"
#include "tests/e2e/software_vm.h"

namespace holt {
namespace {

using std::chrono::steady_clock;

constexpr const char* kDefaultCapabilities[] = {
    "CAP_CHOWN",  "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",     "CAP_MKNOD",
    "CAP_SETGID", "CAP_SETUID",       "CAP_SETFCAP",          "CAP_SETPCAP",    "CAP_NET_RAW",
    "CAP_KILL",   "CAP_SYS_CHROOT",   "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"};

template <typename Machine>
class AgentMachine : public AgentVm, private Machine {
 public:
  void Start(const AgentVm::Options& wanted) {
    Machine::SetUp();
    if (::testing::Test::HasFatalFailure()) return;
    ASSERT_NO_FATAL_FAILURE(MakeShare(share(), this->build_));
    std::filesystem::copy_file(this->build_ + "/share/holt/initramfs.cpio",
                               this->dir_ + "/initramfs",
                               std::filesystem::copy_options::overwrite_existing);
    vsock_path_ = this->dir_ + "/vsock.sock";
    auto ready = base::ListenUnix(vsock_path_ + "_1024");
    ASSERT_TRUE(ready.ok());
    ASSERT_EQ(chown((vsock_path_ + "_1024").c_str(), kUnprivileged, kUnprivileged), 0);
    typename Machine::Options options;
    options.vsock = true;
    if (wanted.share) options.share = share();
    options.fsd_options = {"--cache", "always"};
    options.memory_bytes = wanted.memory_bytes;
    ASSERT_NO_FATAL_FAILURE(Machine::Boot("agent", options));
    MeetAgent(ready->get(), wanted.share);
  }
  void Destroy() override {
    client_.reset();
    ready_.Reset();
    Machine::TearDown();
  }
  std::string Console() override { return Machine::Console(); }
  std::string share() override { return this->dir_ + "/share"; }
  int WaitForEnd() override { return Machine::Wait().reason(); }

 private:
  void TestBody() override {}
};

template <typename Machine>
std::unique_ptr<AgentVm> BootOne(const AgentVm::Options& options) {
  auto machine = std::make_unique<AgentMachine<Machine>>();
  machine->Start(options);
  return machine;
}

}  // namespace

std::unique_ptr<AgentVm> AgentVm::Boot(const Options& options) {
  signal(SIGPIPE, SIG_IGN);
  const char* accel = getenv("HOLT_TEST_ACCEL");
  if (accel != nullptr && std::string(accel) == "kvm") return BootOne<KvmVm>(options);
  return BootOne<SoftwareVm>(options);
}

void AgentVm::MakeShare(const std::string& share, const std::string& build) {
  const char* images = getenv("HOLT_TEST_IMAGES");
  ASSERT_NE(images, nullptr) << "HOLT_TEST_IMAGES names the directory with demo.tar";
  const std::string rootfs = share + "/rootfs";
  ASSERT_TRUE(base::MakeDirs(rootfs).ok());
  auto tar =
      base::Spawn({.argv = {"/usr/bin/tar", "-C", rootfs, "-xf", std::string(images) + "/demo.tar"},
                   .environment = {"PATH=/usr/bin:/bin"},
                   .fds = {{2, 2}}});
  ASSERT_TRUE(tar.ok()) << tar.error().message();
  int status = -1;
  ASSERT_EQ(waitpid(*tar, &status, 0), *tar);
  ASSERT_EQ(status, 0) << "tar of " << images << "/demo.tar";
  std::filesystem::copy_file(build + "/tests/e2e/agent_probe", rootfs + "/probe");
}

void AgentVm::MeetAgent(int listener, bool talk) {
  pollfd wait{listener, POLLIN, 0};
  ASSERT_EQ(poll(&wait, 1, 60000), 1) << "the guest did not dial\nconsole:\n" << Console();
  ready_ = *base::AcceptUnix(listener);
  ready_line_ = ReadStream(ready_.get(), "\n");
  if (!talk) return;
  client_ = NewClient();
  ASSERT_NE(client_, nullptr);
}

void AgentVm::ShutDown() {
  auto answer = Call<agent::v1::Empty>("Shutdown", agent::v1::Empty());
  EXPECT_TRUE(answer.ok()) << answer.error().message();
  EXPECT_EQ(WaitForEnd(), vmm::v1::Exit::SHUTDOWN) << Console();
  Destroy();
}

base::Result<base::UniqueFd> AgentVm::Connect(uint32_t port) {
  TRY_ASSIGN(base::UniqueFd socket, base::ConnectUnix(vsock_path_));
  TRY(base::WriteFd(socket.get(), fmt::format("CONNECT {}\n", port)));
  std::string answer;
  for (char c = 0; c != '\n';) {
    if (read(socket.get(), &c, 1) != 1)
      return base::Error(base::Code::kUnavailable, "the guest refused the connection");
    answer += c;
  }
  if (!answer.starts_with("OK ")) return base::Error(base::Code::kUnavailable, answer);
  return socket;
}

std::unique_ptr<rpc::BlockingClient> AgentVm::NewClient() {
  auto socket = Connect(1024);
  EXPECT_TRUE(socket.ok()) << socket.error().message() << "\nconsole:\n" << Console();
  if (!socket) return nullptr;
  return *rpc::BlockingClient::Create(std::move(*socket));
}

AgentVm::Stream AgentVm::OpenStream() {
  Stream stream;
  stream.id = next_stream_++;
  auto socket = Connect(1025);
  EXPECT_TRUE(socket.ok()) << socket.error().message();
  if (!socket) return stream;
  stream.fd = std::move(*socket);
  EXPECT_EQ(write(stream.fd.get(), &stream.id, sizeof stream.id), 8);
  return stream;
}

namespace {

// Opens the streams of a process and tells the request of them.
AgentVm::Process AddStreams(AgentVm& vm, const oci::Process& spec, agent::v1::Stdio& stdio) {
  AgentVm::Process process;
  stdio.set_terminal(spec.terminal);
  if (spec.console_size) {
    stdio.set_rows(spec.console_size->height);
    stdio.set_columns(spec.console_size->width);
  }
  auto out = vm.OpenStream();
  stdio.set_stdout_stream(out.id);
  process.out = std::move(out.fd);
  auto in = vm.OpenStream();
  stdio.set_stdin_stream(in.id);
  process.in = std::move(in.fd);
  if (spec.terminal) return process;
  auto err = vm.OpenStream();
  stdio.set_stderr_stream(err.id);
  process.err = std::move(err.fd);
  return process;
}

}  // namespace

base::Result<AgentVm::Process> AgentVm::Create(const std::string& id, const oci::Config& config,
                                               const std::vector<agent::v1::BlockDevice>& disks) {
  agent::v1::CreateContainerRequest request;
  request.set_container_id(id);
  request.set_oci_config(oci::SerializeConfig(config));
  for (const auto& disk : disks) *request.add_block_devices() = disk;
  Process process = AddStreams(*this, *config.process, *request.mutable_stdio());
  process.container_id = id;
  TRY_ASSIGN(auto response, Call<agent::v1::CreateContainerResponse>("CreateContainer", request));
  EXPECT_GT(response.guest_pid(), 1);
  return process;
}

base::Status AgentVm::Start(const std::string& id) {
  agent::v1::StartContainerRequest request;
  request.set_container_id(id);
  TRY(Call<agent::v1::Empty>("StartContainer", request));
  return {};
}

base::Result<AgentVm::Process> AgentVm::Exec(const std::string& id, const std::string& exec_id,
                                             const oci::Process& spec) {
  agent::v1::ExecRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  request.set_oci_process(oci::SerializeProcess(spec));
  Process process = AddStreams(*this, spec, *request.mutable_stdio());
  process.container_id = id;
  process.exec_id = exec_id;
  TRY_ASSIGN(auto response, Call<agent::v1::ExecResponse>("Exec", request));
  EXPECT_GT(response.guest_pid(), 1);
  return process;
}

AgentVm::Outcome AgentVm::Finish(Process process, const std::string& input) {
  Outcome outcome;
  std::thread writer([&] {
    (void)base::WriteFd(process.in.get(), input);  // a process may end before it has read all
    shutdown(process.in.get(), SHUT_WR);
  });
  std::thread errors([&] {
    if (process.err) outcome.err = ReadStream(process.err.get());
  });
  outcome.out = ReadStream(process.out.get());
  errors.join();
  agent::v1::WaitRequest wait;
  wait.set_container_id(process.container_id);
  wait.set_exec_id(process.exec_id);
  auto exit = Call<agent::v1::WaitResponse>("Wait", wait, std::chrono::seconds(60));
  EXPECT_TRUE(exit.ok()) << exit.error().message();
  shutdown(process.in.get(), SHUT_RDWR);
  writer.join();
  if (!exit) return outcome;
  outcome.status = exit->exit_status();
  outcome.signal = exit->signal();
  outcome.oom_killed = exit->oom_killed();
  return outcome;
}

base::Status AgentVm::Delete(const std::string& id) {
  agent::v1::ContainerRequest request;
  request.set_container_id(id);
  TRY(Call<agent::v1::Empty>("DeleteContainer", request));
  return {};
}

base::Result<AgentVm::Outcome> AgentVm::Run(const oci::Config& config, const std::string& input) {
  std::string id = fmt::format("run{}", next_container_++);
  TRY_ASSIGN(Process process, Create(id, config));
  auto started = Start(id);
  base::Result<Outcome> outcome = Outcome();
  if (started) {
    outcome = Finish(std::move(process), input);
  } else {
    outcome = std::move(started).error();
  }
  auto deleted = Delete(id);
  EXPECT_TRUE(deleted.ok()) << deleted.error().message();
  return outcome;
}

AgentVm::Outcome AgentVm::Sh(const std::string& script, const std::string& input,
                             const std::function<void(oci::Config&)>& change) {
  oci::Config config = ContainerConfig({"sh", "-c", script});
  if (change) change(config);
  auto outcome = Run(config, input);
  EXPECT_TRUE(outcome.ok()) << outcome.error().message() << "\nconsole:\n" << Console();
  return outcome ? *outcome : Outcome();
}

oci::Process ContainerProcess(std::vector<std::string> args) {
  oci::Process process;
  process.args = std::move(args);
  process.cwd = "/";
  process.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  oci::Capabilities capabilities;
  for (const char* name : kDefaultCapabilities) capabilities.bounding.push_back(name);
  capabilities.effective = capabilities.permitted = capabilities.bounding;
  process.capabilities = capabilities;
  process.no_new_privileges = true;
  return process;
}

oci::Config ContainerConfig(std::vector<std::string> args) {
  oci::Config config;
  config.oci_version = "1.2.0";
  config.process = ContainerProcess(std::move(args));
  config.root = oci::Root{"rootfs", false};
  config.mounts = {
      {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}, {}, {}},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}, {}, {}},
      {"/dev/pts",
       "devpts",
       "devpts",
       {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"},
       {},
       {}},
      {"/dev/shm",
       "tmpfs",
       "shm",
       {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"},
       {},
       {}},
      {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}, {}, {}},
      {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}, {}, {}},
      {"/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "ro"}, {}, {}},
  };
  config.linux_.emplace();
  for (const char* type : {"pid", "mount", "ipc", "uts", "cgroup", "network"})
    config.linux_->namespaces.push_back({type, ""});
  config.linux_->masked_paths = {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"};
  config.linux_->readonly_paths = {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"};
  return config;
}

std::string ReadStream(int fd, const std::string& until, std::chrono::seconds timeout) {
  std::string text;
  auto deadline = steady_clock::now() + timeout;
  while (until.empty() || text.find(until) == std::string::npos) {
    auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - steady_clock::now());
    pollfd wait{fd, POLLIN, 0};
    if (left.count() <= 0 || poll(&wait, 1, static_cast<int>(left.count())) != 1) {
      ADD_FAILURE() << "no end of a stream in time; it had " << text.size() << " bytes, the last: "
                    << text.substr(text.size() - std::min<size_t>(text.size(), 200));
      break;
    }
    char buffer[65536];
    ssize_t n = read(fd, buffer, until.empty() ? sizeof buffer : 1);
    if (n <= 0) break;
    text.append(buffer, static_cast<size_t>(n));
  }
  return text;
}

}  // namespace holt
