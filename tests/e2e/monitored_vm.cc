#include "tests/e2e/monitored_vm.h"

#include <filesystem>

#include "base/socket.h"
#include "tests/e2e/software_vm.h"
#include "vmm/boot/cmdline.h"

namespace holt {

MonitoredVm::MonitoredVm(size_t spare_disks, uint32_t vcpus) {
  signal(SIGPIPE, SIG_IGN);
  loop_ = *base::EventLoop::Create();
  machine_ = std::make_unique<shim::Machine>(*loop_, timeline_);
  thread_ = std::thread([this] { loop_->Run(); });
  Boot(spare_disks, vcpus);
}

MonitoredVm::~MonitoredVm() { Destroy(); }

void MonitoredVm::Boot(size_t spare_disks, uint32_t vcpus) {
  const char* accel = getenv("HOLT_TEST_ACCEL");
  const bool kvm = accel != nullptr && std::string(accel) == "kvm";
  const char* build = getenv("HOLT_BUILD_DIR");
  ASSERT_NE(build, nullptr) << "HOLT_BUILD_DIR names the build tree";
  const std::string assets = std::string(build) + "/share/holt";
  char name[] = "/tmp/holt-monitored-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  dir_ = name;
  ASSERT_EQ(chmod(name, 0755), 0);
  ASSERT_NO_FATAL_FAILURE(MakeShare(share(), build));
  vsock_path_ = dir_ + "/vsock.sock";
  auto listener = base::ListenUnix(vsock_path_);
  auto ready = base::ListenUnix(vsock_path_ + "_1024");
  auto directory = base::Open(dir_, O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(listener.ok() && ready.ok() && directory.ok());
  for (const std::string& path : {vsock_path_, vsock_path_ + "_1024"})
    ASSERT_EQ(chown(path.c_str(), kUnprivileged, kUnprivileged), 0);

  shim::MachineSpec spec;
  spec.accel = kvm ? shim::Accel::kKvm : shim::Accel::kSoftware;
  spec.memory_bytes = 512 << 20;
  spec.vcpus = vcpus;
  spec.kernel = assets + "/vmlinux";
  spec.initramfs = assets + "/initramfs.cpio";
  spec.cmdline = vmm::BaseKernelCmdline(kvm ? vmm::CpuBackEnd::kKvm : vmm::CpuBackEnd::kSoftware);
  spec.libexec = std::string(build) + "/libexec/holt";
  spec.qemu = kQemu;
  spec.share_directory = share();
  spec.spare_disks = spare_disks;
  spec.vsock_listener = listener->get();
  spec.vsock_directory = directory->get();
  spec.vsock_name = "vsock.sock";
  spec.vsock_path = vsock_path_;
  spec.vmm_uid = spec.qemu_uid = kUnprivileged;
  auto started = InLoop([&] {
    auto status = machine_->Start(spec, [] {});
    if (status) status = machine_->StartFileServer(spec);
    return status;
  });
  ASSERT_TRUE(started.ok()) << started.error().message();
  MeetAgent(ready->get(), true);
}

void MonitoredVm::Destroy() {
  client_.reset();
  ready_.Reset();
  if (!thread_.joinable()) return;
  InLoop([this] {
    machine_.reset();
    return true;
  });
  loop_->Stop();
  thread_.join();
  if (!dir_.empty()) std::filesystem::remove_all(dir_);
}

std::string MonitoredVm::Console() {
  return InLoop([this] { return machine_->console(); });
}

int MonitoredVm::WaitForEnd() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!ended() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const bool off = InLoop([this] { return machine_->powered_off(); });
  return off ? vmm::v1::Exit::SHUTDOWN : vmm::v1::Exit::ERROR;
}

base::Status MonitoredVm::Ask(const std::function<void(std::function<void(base::Status)>)>& call) {
  std::promise<base::Status> result;
  loop_->Post([&] { call([&](base::Status status) { result.set_value(std::move(status)); }); });
  return result.get_future().get();
}

base::Status MonitoredVm::AddDisk(const shim::BlockDevice& device) {
  return Ask([&](auto done) {
    machine_->AddDisk({device.fd.get(), device.read_only, device.id}, done);
  });
}

base::Status MonitoredVm::RemoveDisk(const std::string& id) {
  return Ask([&](auto done) { machine_->RemoveDisk(id, done); });
}

bool MonitoredVm::ended() {
  return InLoop([this] { return machine_->ended(); });
}

pid_t MonitoredVm::PidOf(const std::string& name) {
  return InLoop([&] {
    for (const shim::ProcessIdentity& process : machine_->Processes())
      if (process.name == name) return process.pid;
    return pid_t{0};
  });
}

}  // namespace holt
