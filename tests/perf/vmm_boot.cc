// Starts one machine of holt-vmm's on /dev/kvm, its console on stdout, and ends with it: what
// boot.py times.
//   vmm_boot HOLT-VMM KERNEL INITRAMFS VCPUS MEMORY-MIB PARAMETERS

#include <fcntl.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>

#include "base/file.h"
#include "base/socket.h"
#include "base/spawn.h"
#include "rpc/client.h"
#include "rpc/vmm.pb.h"
#include "vmm/boot/cmdline.h"

namespace {

constexpr char kService[] = "holt.vmm.v1.Vmm";

holt::base::Status Run(char** argv) {
  using namespace holt;
  TRY_ASSIGN(auto kvm, base::Open("/dev/kvm", O_RDWR));
  TRY_ASSIGN(auto kernel, base::Open(argv[2], O_RDONLY));
  TRY_ASSIGN(auto initramfs, base::Open(argv[3], O_RDONLY));
  TRY_ASSIGN(auto control, base::SocketPair());
  base::SpawnOptions options{.argv = {argv[1], "--control-fd", "3"},
                             .fds = {{control.second.get(), 3},
                                     {kvm.get(), 4},
                                     {kernel.get(), 5},
                                     {initramfs.get(), 6},
                                     {1, 7},
                                     {2, 2}},
                             .uid = 65534,
                             .gid = 65534,
                             .no_new_privileges = true};
  TRY_ASSIGN(const pid_t pid, base::Spawn(options));
  control.second.Reset();
  TRY_ASSIGN(auto client, rpc::BlockingClient::Create(std::move(control.first)));
  vmm::v1::CreateRequest create;
  auto* spec = create.mutable_vm();
  spec->set_accel(vmm::v1::ACCEL_KVM);
  spec->set_vcpus(static_cast<uint32_t>(std::atoi(argv[4])));
  spec->set_memory_bytes(static_cast<uint64_t>(std::atoi(argv[5])) << 20);
  spec->set_kvm_fd(4);
  spec->set_kernel_fd(5);
  spec->set_initramfs_fd(6);
  spec->set_console_fd(7);
  spec->set_cmdline(vmm::BaseKernelCmdline(vmm::CpuBackEnd::kKvm) + " " + argv[6]);
  const rpc::CallOptions patient{.timeout = std::chrono::seconds(60)};
  TRY(client->Call<vmm::v1::CreateResponse>(kService, "Create", create, patient));
  TRY(client->Call<vmm::v1::Empty>(kService, "Start", vmm::v1::Empty(), patient));
  TRY_ASSIGN(auto exit, client->Call<vmm::v1::Exit>(kService, "Wait", vmm::v1::Empty(), patient));
  client.reset();
  waitpid(pid, nullptr, 0);
  if (exit.reason() != vmm::v1::Exit::SHUTDOWN)
    return base::MakeError(base::Code::kInternal, "the machine ended with reason {}: {}",
                           static_cast<int>(exit.reason()), exit.detail());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  auto status = Run(argv);
  if (!status) std::fprintf(stderr, "vmm_boot: %s\n", status.error().message().c_str());
  return status ? 0 : 1;
}
