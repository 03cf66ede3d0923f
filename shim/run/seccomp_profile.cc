#include "shim/run/seccomp_profile.h"

#include <errno.h>
#include <sched.h>

#include <algorithm>
#include <string_view>

// The names are those of moby's default profile (profiles/seccomp/default.json) and of
// containers-common's (/usr/share/containers/seccomp.json), reduced to what x86 has.
namespace holt::shim {
namespace {

constexpr char kAllowed[] =
    "_llseek _newselect accept accept4 access adjtimex alarm arch_prctl bind brk capget capset "
    "chdir chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 "
    "clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range "
    "connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl "
    "epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve "
    "execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark "
    "fchdir fchmod fchmodat fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr "
    "flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate "
    "ftruncate64 futex futex_time64 futex_waitv futimesat get_mempolicy get_robust_list "
    "get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid "
    "getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid "
    "getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid "
    "getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr inotify_add_watch "
    "inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents "
    "io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill "
    "landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr "
    "link linkat listen listxattr llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise "
    "mbind membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 "
    "mlockall mmap mmap2 modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive "
    "mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap msgctl msgget "
    "msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat open "
    "openat openat2 pause pidfd_getfd pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc "
    "pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 "
    "process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 "
    "pwritev pwritev2 read readahead readdir readlink readlinkat readv recvfrom recvmmsg "
    "recvmmsg_time64 recvmsg remap_file_pages removexattr rename renameat renameat2 "
    "restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo "
    "rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo "
    "sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam "
    "sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity "
    "sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget "
    "semop semtimedop semtimedop_time64 sendfile sendfile64 sendmmsg sendmsg sendto set_mempolicy "
    "set_mempolicy_home_node set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 "
    "setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority "
    "setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 "
    "setrlimit setsid setsockopt setuid setuid32 setxattr shmat shmctl shmdt shmget shutdown "
    "sigaction sigaltstack signal signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend "
    "socketcall socketpair splice stat stat64 statfs statfs64 statx symlink symlinkat sync "
    "sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun "
    "timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime "
    "timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 "
    "ugetrlimit umask uname unlink unlinkat utime utimensat utimensat_time64 utimes vfork wait4 "
    "waitid waitpid write writev";

constexpr char kRefused[] =
    "_sysctl add_key afs_syscall bdflush create_module get_kernel_syms getpmsg io_uring_enter "
    "io_uring_register io_uring_setup kexec_file_load kexec_load keyctl migrate_pages move_pages "
    "nfsservctl nice oldfstat oldlstat oldolduname oldstat olduname pivot_root putpmsg "
    "query_module request_key security sgetmask ssetmask swapoff swapon sysfs uselib userfaultfd "
    "ustat vm86 vm86old vmsplice vserver";
struct ByCapability {
  const char* capability;
  std::vector<std::string> names;
};
const std::vector<ByCapability>& PerCapability() {
  static const std::vector<ByCapability> table = {
      {"CAP_DAC_READ_SEARCH", {"open_by_handle_at"}},
      {"CAP_SYS_ADMIN",
       {"bpf",         "fanotify_init",   "fsconfig", "fsmount",       "fsopen",
        "fspick",      "lookup_dcookie",  "mount",    "mount_setattr", "move_mount",
        "open_tree",   "perf_event_open", "quotactl", "quotactl_fd",   "setdomainname",
        "sethostname", "setns",           "umount",   "umount2",       "unshare"}},
      {"CAP_SYS_BOOT", {"reboot"}},
      {"CAP_SYS_CHROOT", {"chroot"}},
      {"CAP_SYS_MODULE", {"delete_module", "finit_module", "init_module"}},
      {"CAP_SYS_PACCT", {"acct"}},
      {"CAP_SYS_PTRACE", {"kcmp", "process_madvise"}},
      {"CAP_SYS_RAWIO", {"ioperm", "iopl"}},
      {"CAP_SYS_TIME", {"clock_settime", "clock_settime64", "settimeofday", "stime"}},
      {"CAP_SYS_TTY_CONFIG", {"vhangup"}},
      {"CAP_SYSLOG", {"syslog"}},
  };
  return table;
}

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    size_t end = std::min(text.find(' '), text.size());
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

oci::SeccompSyscall Rule(std::vector<std::string> names, const char* action,
                         std::vector<oci::SeccompArg> args = {}) {
  oci::SeccompSyscall rule;
  rule.names = std::move(names);
  rule.action = action;
  rule.args = std::move(args);
  return rule;
}

oci::SeccompSyscall Refuse(std::vector<std::string> names, uint32_t error) {
  oci::SeccompSyscall rule = Rule(std::move(names), "SCMP_ACT_ERRNO");
  rule.errno_ret = error;
  return rule;
}

constexpr char kAllow[] = "SCMP_ACT_ALLOW";

// New namespaces are CAP_SYS_ADMIN's; clone's flags are its first argument. clone3 has them in
// memory, where no filter sees them: ENOSYS makes C libraries take clone.
void AddClone(bool admin, std::vector<oci::SeccompSyscall>& out) {
  if (admin) {
    out.push_back(Rule({"clone", "clone3"}, kAllow));
    return;
  }
  constexpr uint64_t kNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                   CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
  out.push_back(
      Rule({"clone"}, kAllow,
           {{.index = 0, .value = kNamespaces, .value_two = 0, .op = "SCMP_CMP_MASKED_EQ"}}));
  out.push_back(Refuse({"clone3"}, ENOSYS));
}

// Everything but the values that change how addresses are laid out or what the kernel pretends to
// be.
void AddPersonality(std::vector<oci::SeccompSyscall>& out) {
  for (uint64_t value : {0x0ull, 0x8ull, 0x20000ull, 0x20008ull, 0xffffffffull})
    out.push_back(
        Rule({"personality"}, kAllow, {{.index = 0, .value = value, .op = "SCMP_CMP_EQ"}}));
}

// AF_VSOCK leads to the host: only what the agent speaks there is for the guest, and no
// container's.
void AddSocket(std::vector<oci::SeccompSyscall>& out) {
  constexpr uint64_t kVsock = 40;
  out.push_back(Rule({"socket"}, kAllow, {{.index = 0, .value = kVsock, .op = "SCMP_CMP_NE"}}));
}

}  // namespace

oci::Seccomp DefaultSeccomp(const std::vector<std::string>& capabilities) {
  auto has = [&](std::string_view name) {
    return std::find(capabilities.begin(), capabilities.end(), name) != capabilities.end();
  };
  oci::Seccomp profile;
  profile.default_action = "SCMP_ACT_ERRNO";
  profile.default_errno_ret = ENOSYS;
  profile.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
  auto& rules = profile.syscalls;
  rules.push_back(Rule(Words(kAllowed), kAllow));
  std::vector<std::string> refused = Words(kRefused);
  for (const ByCapability& entry : PerCapability()) {
    if (has(entry.capability)) {
      rules.push_back(Rule(entry.names, kAllow));
    } else {
      refused.insert(refused.end(), entry.names.begin(), entry.names.end());
    }
  }
  AddClone(has("CAP_SYS_ADMIN"), rules);
  AddPersonality(rules);
  AddSocket(rules);
  rules.push_back(Refuse(std::move(refused), EPERM));
  return profile;
}

}  // namespace holt::shim
