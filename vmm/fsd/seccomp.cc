#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>

#include <cstring>

#include "vmm/fsd/sandbox.h"

namespace holt::fsd {
namespace {

constexpr int kAllowed[] = {
    // Names and inodes.
    SCMP_SYS(openat),
    SCMP_SYS(close),
    SCMP_SYS(statx),
    SCMP_SYS(newfstatat),
    SCMP_SYS(fstat),
    SCMP_SYS(fstatfs),
    SCMP_SYS(readlinkat),
    SCMP_SYS(mknodat),
    SCMP_SYS(mkdirat),
    SCMP_SYS(symlinkat),
    SCMP_SYS(linkat),
    SCMP_SYS(unlinkat),
    SCMP_SYS(renameat2),
    SCMP_SYS(fchownat),
    SCMP_SYS(fchmodat),
    SCMP_SYS(chmod),
    SCMP_SYS(utimensat),
    SCMP_SYS(truncate),
    SCMP_SYS(getdents64),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(setxattr),
    SCMP_SYS(getxattr),
    SCMP_SYS(listxattr),
    SCMP_SYS(removexattr),
    SCMP_SYS(inotify_add_watch),
    SCMP_SYS(inotify_rm_watch),
    // Open files.
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(preadv),
    SCMP_SYS(pwritev2),
    SCMP_SYS(pwritev),
    SCMP_SYS(lseek),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(syncfs),
    SCMP_SYS(copy_file_range),
    SCMP_SYS(flock),
    // Whose files they are.
    SCMP_SYS(setfsuid),
    SCMP_SYS(setfsgid),
    SCMP_SYS(capget),
    SCMP_SYS(capset),
    SCMP_SYS(umask),
    // vhost-user and the loops.
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(dup),
    SCMP_SYS(futex),
    // Memory, time and the C library.
    SCMP_SYS(munmap),
    SCMP_SYS(madvise),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(sched_yield),
    // A thread that was started before the filter may make its first steps under it.
    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(getrandom),
    SCMP_SYS(tgkill),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

constexpr int kFcntlCommands[] = {F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_OFD_GETLK, F_OFD_SETLK};

}  // namespace

base::Status InstallSeccomp() {
  auto fail = [](int err, const char* what) { return base::ErrnoError(-err, what); };
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (filter == nullptr) return base::ErrnoError(ENOMEM, "seccomp_init");
  struct Free {
    scmp_filter_ctx context;
    ~Free() { seccomp_release(context); }
  } free_filter{filter};
  for (int call : kAllowed) {
    if (int err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0); err != 0)
      return fail(err, "seccomp rule");
  }
  // Memory that can be run is never made.
  for (int call : {SCMP_SYS(mmap), SCMP_SYS(mprotect)}) {
    if (int err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                                   SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        err != 0)
      return fail(err, "seccomp rule for mmap");
  }
  for (int command : kFcntlCommands) {
    if (int err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
                                   SCMP_A1(SCMP_CMP_EQ, static_cast<scmp_datum_t>(command)));
        err != 0)
      return fail(err, "seccomp rule for fcntl");
  }
  // Every thread, not only the one that says so.
  if (int err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1); err != 0)
    return fail(err, "seccomp tsync");
  if (int err = seccomp_load(filter); err != 0) return fail(err, "seccomp_load");
  return {};
}

}  // namespace holt::fsd
