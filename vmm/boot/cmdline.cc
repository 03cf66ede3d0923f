#include "vmm/boot/cmdline.h"

#include "vmm/cpu/tsc.h"

namespace holt::vmm {

std::string BaseKernelCmdline(CpuBackEnd back_end) {
  std::string cmdline =
      "console=hvc0 quiet"
      // End at a panic or a reset; nothing of ours boots twice.
      " panic=-1"
      // The processor's own generator and the host's are good enough to start with.
      " random.trust_cpu=on random.trust_bootloader=on"
      // Not waiting for grace periods while nothing runs yet.
      " rcupdate.rcu_expedited=1"
      // Self-tests of ciphers at each start say nothing new.
      " cryptomgr.notests"
      // One that nobody asked for, in sight of every container.
      " dummy.numdummies=0"
      " no_timer_check tsc=reliable";
  if (back_end == CpuBackEnd::kSoftware) {
    // TCG's guest reads the host's counter and has nothing to learn its rate by.
    cmdline += " reboot=t tsc_early_khz=" + std::to_string(MeasureTscKhz());
  } else {
    // Until hvc0 is there, the last words of a kernel that fails go to port 0x3f8.
    cmdline += " earlyprintk=serial,0x3f8,115200";
  }
  return cmdline;
}

}  // namespace holt::vmm
