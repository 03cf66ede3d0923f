#pragma once

// A virtual machine of holt-vmm's with QEMU's TCG as the processor, and holt-fsd when asked: what
// the monitor does, by hand. The guest is tests/e2e/vmm_guest.cc, which does what "act=" says.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/socket.h"
#include "base/spawn.h"
#include "guest-agent/initramfs.h"
#include "rpc/client.h"
#include "rpc/vmm.pb.h"
#include "vmm/boot/cmdline.h"
#include "vmm/cpu/software.h"

namespace holt {

inline constexpr uid_t kUnprivileged = 65534;
inline constexpr char kQemu[] = "/usr/bin/qemu-system-x86_64";
inline constexpr char kService[] = "holt.vmm.v1.Vmm";

class SoftwareVm : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* build = getenv("HOLT_BUILD_DIR");
    ASSERT_NE(build, nullptr) << "HOLT_BUILD_DIR names the build tree";
    build_ = build;
    char name[] = "/tmp/holt-vmm-test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    ASSERT_EQ(chmod(name, 0755), 0);
    guest_agent::NewcArchive archive;
    auto init = base::ReadFile(build_ + "/tests/e2e/vmm_guest");
    ASSERT_TRUE(init.ok()) << init.error().message();
    archive.AddDirectory("dev", 0755);
    archive.AddCharDevice("dev/console", 0600, 5, 1);
    archive.AddFile("init", 0755, *init);
    ASSERT_TRUE(base::WriteFile(dir_ + "/initramfs", archive.Finish()).ok());
  }

  void TearDown() override {
    client_.reset();
    if (qemu_ > 0) {
      kill(qemu_, SIGKILL);
      waitpid(qemu_, nullptr, 0);
    }
    // Each ends by itself when its socket does.
    for (auto [pid, name] : {std::pair(vmm_, "holt-vmm"), std::pair(fsd_, "holt-fsd")}) {
      if (pid <= 0) continue;
      for (int i = 0; i < 100 && waitpid(pid, nullptr, WNOHANG) == 0; ++i) usleep(20000);
      EXPECT_NE(kill(pid, 0), 0) << name << " outlived its machine";
    }
    std::filesystem::remove_all(dir_);
  }

  struct Options {
    bool vsock = false;
    std::string share;  // a directory for holt-fsd, tag "holt"; empty: none
    std::vector<std::string> fsd_options;
  };

  void Boot(const std::string& action, const Options& options) {
    auto kernel = base::Open(build_ + "/share/holt/vmlinux", O_RDONLY);
    ASSERT_TRUE(kernel.ok()) << kernel.error().message();
    auto initramfs = base::Open(dir_ + "/initramfs", O_RDONLY);
    ASSERT_TRUE(initramfs.ok());
    auto [qmp_vmm, qmp_qemu] = *base::SocketPair();
    auto [console_vmm, console_qemu] = *base::SocketPair();
    auto [vsock_vmm, vsock_qemu] = *base::SocketPair();
    auto [control_here, control_vmm] = *base::SocketPair();
    auto console = base::Open(dir_ + "/console", O_RDWR | O_CREAT, 0600);
    ASSERT_TRUE(console.ok());
    auto listener = base::ListenUnix(dir_ + "/vsock.sock");
    ASSERT_TRUE(listener.ok());
    ASSERT_EQ(chown((dir_ + "/vsock.sock").c_str(), kUnprivileged, kUnprivileged), 0);
    auto directory = base::Open(dir_, O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(directory.ok());

    vmm::SoftwareSpec software{.qemu = kQemu,
                               .memory_bytes = 256 << 20,
                               .kernel_fd = 10,
                               .initramfs_fd = 11,
                               .console_fd = 12,
                               .qmp_fd = 13,
                               .vsock_fd = options.vsock ? 14 : -1};
    software.cmdline = vmm::BaseKernelCmdline(vmm::CpuBackEnd::kSoftware) + " act=" + action;
    auto [fs_qemu, fs_fsd] = *base::SocketPair();
    if (!options.share.empty()) software.shares = {{.tag = "holt", .fd = 15}};
    auto argv = vmm::SoftwareArgv(software);
    ASSERT_TRUE(argv.ok()) << argv.error().message();
    base::SpawnOptions qemu{.argv = *argv,
                            .fds = {{kernel->get(), 10},
                                    {initramfs->get(), 11},
                                    {console_qemu.get(), 12},
                                    {qmp_qemu.get(), 13},
                                    {vsock_qemu.get(), 14},
                                    {fs_qemu.get(), 15},
                                    {2, 2}},
                            .uid = kUnprivileged,
                            .gid = kUnprivileged,
                            .no_new_privileges = true,
                            .parent_death_signal = SIGKILL};
    auto qemu_pid = base::Spawn(qemu);
    ASSERT_TRUE(qemu_pid.ok()) << qemu_pid.error().message();
    qemu_ = *qemu_pid;

    if (!options.share.empty()) {
      base::SpawnOptions fsd{.argv = {build_ + "/libexec/holt/holt-fsd", "--socket-fd", "3",
                                      "--shared-dir", options.share, "--log-level", "debug"},
                             .fds = {{fs_fsd.get(), 3}, {2, 2}},
                             .parent_death_signal = SIGKILL};
      fsd.argv.insert(fsd.argv.end(), options.fsd_options.begin(), options.fsd_options.end());
      auto fsd_pid = base::Spawn(fsd);
      ASSERT_TRUE(fsd_pid.ok()) << fsd_pid.error().message();
      fsd_ = *fsd_pid;
    }

    base::SpawnOptions vmm{.argv = {build_ + "/libexec/holt/holt-vmm", "--control-fd", "3"},
                           .fds = {{control_vmm.get(), 3},
                                   {qmp_vmm.get(), 4},
                                   {console_vmm.get(), 5},
                                   {console->get(), 6},
                                   {vsock_vmm.get(), 7},
                                   {listener->get(), 8},
                                   {directory->get(), 9},
                                   {2, 2}},
                           .uid = kUnprivileged,
                           .gid = kUnprivileged,
                           .no_new_privileges = true,
                           .parent_death_signal = SIGKILL};
    auto vmm_pid = base::Spawn(vmm);
    ASSERT_TRUE(vmm_pid.ok()) << vmm_pid.error().message();
    vmm_ = *vmm_pid;
    client_ = *rpc::BlockingClient::Create(std::move(control_here));

    vmm::v1::CreateRequest create;
    auto* spec = create.mutable_vm();
    spec->set_accel(vmm::v1::ACCEL_SOFTWARE);
    spec->set_vcpus(1);
    spec->set_memory_bytes(256 << 20);
    spec->set_console_fd(6);
    spec->mutable_software()->set_qmp_fd(4);
    spec->mutable_software()->set_console_source_fd(5);
    if (options.vsock) {
      spec->mutable_software()->set_vsock_vhost_user_fd(7);
      spec->mutable_vsock()->set_guest_cid(3);
      spec->mutable_vsock()->set_listen_fd(8);
      spec->mutable_vsock()->set_directory_fd(9);
      spec->mutable_vsock()->set_name("vsock.sock");
    }
    auto created = client_->Call<vmm::v1::CreateResponse>(kService, "Create", create,
                                                          {.timeout = std::chrono::seconds(20)});
    ASSERT_TRUE(created.ok()) << created.error().message();
    auto started = client_->Call<vmm::v1::Empty>(kService, "Start", vmm::v1::Empty(),
                                                 {.timeout = std::chrono::seconds(20)});
    ASSERT_TRUE(started.ok()) << started.error().message();
  }

  vmm::v1::Exit Wait() {
    auto exit = client_->Call<vmm::v1::Exit>(kService, "Wait", vmm::v1::Empty(),
                                             {.timeout = std::chrono::seconds(60)});
    EXPECT_TRUE(exit.ok()) << exit.error().message() << "\nconsole:\n" << Console();
    return exit.ok() ? *exit : vmm::v1::Exit();
  }

  std::string Console() { return *base::ReadFile(dir_ + "/console"); }

  std::string build_;
  std::string dir_;
  pid_t qemu_ = -1;
  pid_t vmm_ = -1;
  pid_t fsd_ = -1;
  std::unique_ptr<rpc::BlockingClient> client_;
};

}  // namespace holt
