#pragma once

// A virtual machine of holt-vmm's on /dev/kvm.

#include "tests/e2e/guest_machine.h"
#include "vmm/boot/cmdline.h"

namespace holt {

class KvmVm : public GuestMachine {
 protected:
  // `create_error`: the machine is expected not to come up.
  void Boot(const std::string& action, const Options& options,
            std::string* create_error = nullptr) {
    Files files;
    ASSERT_NO_FATAL_FAILURE(OpenFiles(options, files));
    auto kvm = base::Open("/dev/kvm", O_RDWR);
    ASSERT_TRUE(kvm.ok()) << kvm.error().message();
    auto [fs_vmm, fs_fsd] = *base::SocketPair();
    if (!options.share.empty()) {
      ASSERT_NO_FATAL_FAILURE(StartFsd(options, fs_fsd));
    }
    fs_fsd.Reset();

    vmm::v1::CreateRequest create;
    auto* spec = create.mutable_vm();
    spec->set_accel(vmm::v1::ACCEL_KVM);
    spec->set_vcpus(options.vcpus);
    spec->set_memory_bytes(options.memory_bytes);
    spec->set_kvm_fd(4);
    spec->set_kernel_fd(5);
    spec->set_console_fd(6);
    spec->set_initramfs_fd(7);
    spec->set_cmdline(vmm::BaseKernelCmdline(vmm::CpuBackEnd::kKvm) + " act=" + action + " " +
                      more_cmdline_);
    if (options.vsock) {
      spec->mutable_vsock()->set_guest_cid(3);
      spec->mutable_vsock()->set_listen_fd(8);
      spec->mutable_vsock()->set_directory_fd(9);
      spec->mutable_vsock()->set_name("vsock.sock");
    }
    if (!options.share.empty()) {
      auto* share = spec->add_shares();
      share->set_tag("holt");
      share->set_vhost_user_fd(10);
    }
    StartVmm({{kvm->get(), 4},
              {files.kernel.get(), 5},
              {files.console.get(), 6},
              {files.initramfs.get(), 7},
              {files.listener.get(), 8},
              {files.directory.get(), 9},
              {fs_vmm.get(), 10}},
             create, create_error);
  }

  // Kernel parameters of a test's own, or for debugging by hand.
  std::string more_cmdline_ = getenv("HOLT_TEST_CMDLINE") ? getenv("HOLT_TEST_CMDLINE") : "";
};

}  // namespace holt
