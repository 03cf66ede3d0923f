#pragma once

// A virtual machine of holt-vmm's with QEMU's TCG as the processor.

#include "tests/e2e/guest_machine.h"
#include "vmm/boot/cmdline.h"
#include "vmm/cpu/software.h"

namespace holt {

inline constexpr char kQemu[] = "/usr/bin/qemu-system-x86_64";

class SoftwareVm : public GuestMachine {
 protected:
  void EndOthers() override {
    if (qemu_ <= 0) return;
    kill(qemu_, SIGKILL);
    waitpid(qemu_, nullptr, 0);
  }

  void Boot(const std::string& action, const Options& options) {
    Files files;
    ASSERT_NO_FATAL_FAILURE(OpenFiles(options, files));
    auto [qmp_vmm, qmp_qemu] = *base::SocketPair();
    auto [console_vmm, console_qemu] = *base::SocketPair();
    auto [vsock_vmm, vsock_qemu] = *base::SocketPair();
    auto [fs_qemu, fs_fsd] = *base::SocketPair();

    vmm::SoftwareSpec software{.qemu = kQemu,
                               .memory_bytes = options.memory_bytes,
                               .kernel_fd = 10,
                               .initramfs_fd = 11,
                               .console_fd = 12,
                               .qmp_fd = 13,
                               .vsock_fd = options.vsock ? 14 : -1};
    software.cmdline = vmm::BaseKernelCmdline(vmm::CpuBackEnd::kSoftware) + " act=" + action;
    if (!options.share.empty()) software.shares = {{.tag = "holt", .fd = 15}};
    auto argv = vmm::SoftwareArgv(software);
    ASSERT_TRUE(argv.ok()) << argv.error().message();
    base::SpawnOptions qemu{.argv = *argv,
                            .fds = {{files.kernel.get(), 10},
                                    {files.initramfs.get(), 11},
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
      ASSERT_NO_FATAL_FAILURE(StartFsd(options, fs_fsd));
    }

    vmm::v1::CreateRequest create;
    auto* spec = create.mutable_vm();
    spec->set_accel(vmm::v1::ACCEL_SOFTWARE);
    spec->set_vcpus(1);
    spec->set_memory_bytes(options.memory_bytes);
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
    StartVmm({{qmp_vmm.get(), 4},
              {console_vmm.get(), 5},
              {files.console.get(), 6},
              {vsock_vmm.get(), 7},
              {files.listener.get(), 8},
              {files.directory.get(), 9}},
             create);
  }

  pid_t qemu_ = -1;
};

}  // namespace holt
