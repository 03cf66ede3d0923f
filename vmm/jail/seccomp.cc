#include "vmm/jail/seccomp.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

namespace holt::vmm {

using base::Code;
using base::MakeError;
using base::Status;

namespace {

// What event loop, sockets, memory and threads need. No open, no exec, no new process, no way to
// another kind of socket.
constexpr int kPlain[] = {
    // files and pipes that are open already
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(lseek),
    SCMP_SYS(ftruncate),
    SCMP_SYS(dup),
    SCMP_SYS(eventfd2),
    // sockets
    SCMP_SYS(accept4),
    SCMP_SYS(connect),
    SCMP_SYS(sendto),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    // the loop
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    // memory
    SCMP_SYS(munmap),
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(mremap),
    SCMP_SYS(mincore),
    // threads and signals
    SCMP_SYS(futex),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(tgkill),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(sched_yield),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(sigaltstack),
    // time, randomness, own use
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrusage),
};

// On a vCPU, once the machine exists: running it, saying where it failed, and that it was paused.
constexpr unsigned long kKvmIoctls[] = {KVM_RUN, KVM_GET_REGS, KVM_KVMCLOCK_CTRL};

struct Filter {
  scmp_filter_ctx context = seccomp_init(SCMP_ACT_KILL_PROCESS);
  ~Filter() { seccomp_release(context); }
};

// libseccomp gives its errno as a negative result.
Status Check(int result, std::string_view what) {
  if (result == 0) return {};
  return base::ErrnoError(-result, fmt::format("seccomp: {}", what));
}

Status AllowWithArgument(scmp_filter_ctx context, int call, unsigned argument, uint64_t value) {
  return Check(seccomp_rule_add(context, SCMP_ACT_ALLOW, call, 1,
                                scmp_arg_cmp{argument, SCMP_CMP_EQ, value, 0}),
               "rule");
}

// Allows `call` when none of `mask`'s bits is set in `argument`.
Status AllowWithoutBits(scmp_filter_ctx context, int call, unsigned argument, uint64_t mask) {
  return Check(seccomp_rule_add(context, SCMP_ACT_ALLOW, call, 1,
                                scmp_arg_cmp{argument, SCMP_CMP_MASKED_EQ, mask, 0}),
               "rule");
}

}  // namespace

Status InstallSeccomp(SeccompPolicy policy, SeccompExtras extras) {
  Filter filter;
  if (filter.context == nullptr) return MakeError(Code::kInternal, "seccomp: no filter");
  scmp_filter_ctx context = filter.context;
  // Threads that exist already get the filter too, or the call fails.
  TRY(Check(seccomp_attr_set(context, SCMP_FLTATR_CTL_TSYNC, 1), "thread synchronisation"));
  for (int call : kPlain) TRY(Check(seccomp_rule_add(context, SCMP_ACT_ALLOW, call, 0), "rule"));
  // Memory, but never code.
  TRY(AllowWithoutBits(context, SCMP_SYS(mmap), 2, PROT_EXEC));
  TRY(AllowWithoutBits(context, SCMP_SYS(mprotect), 2, PROT_EXEC));
  // The guest's connections to the host's Unix sockets.
  TRY(AllowWithArgument(context, SCMP_SYS(socket), 0, AF_UNIX));
  TRY(AllowWithArgument(context, SCMP_SYS(fcntl), 1, F_GETFL));
  TRY(AllowWithArgument(context, SCMP_SYS(fcntl), 1, F_SETFL));
  TRY(AllowWithArgument(context, SCMP_SYS(fcntl), 1, F_GETFD));
  TRY(AllowWithArgument(context, SCMP_SYS(fcntl), 1, F_SETFD));
  // What a guest that has just started takes from a tap.
  TRY(AllowWithArgument(context, SCMP_SYS(ioctl), 1, TUNSETOFFLOAD));
  TRY(AllowWithArgument(context, SCMP_SYS(ioctl), 1, TUNSETQUEUE));
  if (extras.rings)
    TRY(Check(seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(io_uring_enter), 0), "rule"));
  if (policy == SeccompPolicy::kKvm)
    for (unsigned long request : kKvmIoctls)
      TRY(AllowWithArgument(context, SCMP_SYS(ioctl), 1, request));
  return Check(seccomp_load(context), "load");
}

}  // namespace holt::vmm
