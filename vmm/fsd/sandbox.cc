#include "vmm/fsd/sandbox.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/file.h"
#include "base/file_limit.h"
#include "vmm/fsd/credentials.h"
#include "vmm/fsd/proc_path.h"

// linux/mount.h and sys/mount.h cannot be had together with every glibc; these two are stable.
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#ifndef MS_SLAVE
#define MS_SLAVE (1 << 19)
#define MS_REC 16384
#endif

namespace holt::fsd {

using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

constexpr std::array kKept = {
    CAP_CHOWN,            // chown for the guest's root
    CAP_DAC_OVERRIDE,     // the guest checked permissions, with groups that we do not know
    CAP_DAC_READ_SEARCH,  // open_by_handle_at
    CAP_FOWNER,           // chmod, utimes, xattrs of files of any user
    CAP_FSETID,           // set-id bits that the guest says stay
    CAP_SETGID,           // files made belong to the guest's caller
    CAP_SETUID,          CAP_MKNOD,
    CAP_SETFCAP,  // security.capability
};

constexpr size_t kWantedFiles = 1 << 20;

UniqueFd OpenTree(int dirfd, const char* path, unsigned flags) {
  return UniqueFd(static_cast<int>(syscall(SYS_open_tree, dirfd, path, flags)));
}

}  // namespace

Result<size_t> SetLimits() {
  TRY_ASSIGN(size_t files, base::RaiseFileLimit(kWantedFiles));
  // No core file with a guest's data in it. A write past RLIMIT_FSIZE is EFBIG, not a signal.
  rlimit none{0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return HOLT_ERRNO("RLIMIT_CORE");
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  return files;
}

Result<UniqueFd> EnterNamespaces(int shared_dir, bool read_only) {
  // unshare() moves the working directory along to its copy in the new namespace; a descriptor
  // would stay with the old one.
  if (fchdir(shared_dir) != 0) return HOLT_ERRNO("shared directory");
  if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0)
    return HOLT_ERRNO("namespaces (holt-fsd is started as root)");
  // Slave: what is mounted below the share later arrives here, and nothing goes back.
  if (syscall(SYS_mount, nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
    return HOLT_ERRNO("make mounts slaves");

  // A mount whose root is the directory of our descriptors: from it, ".." leads nowhere in /proc.
  UniqueFd proc = OpenTree(AT_FDCWD, "/proc/self/fd", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (!proc) return HOLT_ERRNO("/proc/self/fd");

  UniqueFd root = OpenTree(AT_FDCWD, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (!root) return HOLT_ERRNO("clone the share's mounts");
  if (syscall(SYS_move_mount, root.get(), "", AT_FDCWD, ".", MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return HOLT_ERRNO("mount the share");
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if (read_only) attributes.attr_set |= MOUNT_ATTR_RDONLY;
  if (syscall(SYS_mount_setattr, root.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
              sizeof attributes) != 0)
    return HOLT_ERRNO("attributes of the share's mounts");
  if (fchdir(root.get()) != 0) return HOLT_ERRNO("enter the share");
  if (syscall(SYS_pivot_root, ".", ".") != 0) return HOLT_ERRNO("pivot_root");
  // The old root lies on top now; without it there is no other file system in sight.
  if (syscall(SYS_umount2, ".", MNT_DETACH) != 0) return HOLT_ERRNO("unmount the old root");

  UniqueFd directory(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return HOLT_ERRNO("open the share");
  if (fchdir(proc.get()) != 0) return HOLT_ERRNO("enter /proc/self/fd");
  ProcPath::UseWorkingDirectory();
  return directory;
}

Status DropCapabilities() {
  TRY(Credentials::KeepCapabilitiesAcrossUsers());
  for (int capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    if (std::find(kKept.begin(), kKept.end(), capability) != kKept.end()) continue;
    // EINVAL: newer than this kernel.
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL)
      return HOLT_ERRNO("drop capability {}", capability);
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return HOLT_ERRNO("clear ambient capabilities");
  cap_t wanted = cap_init();
  if (wanted == nullptr) return HOLT_ERRNO("cap_init");
  bool ok = cap_set_flag(wanted, CAP_PERMITTED, kKept.size(), kKept.data(), CAP_SET) == 0 &&
            cap_set_flag(wanted, CAP_EFFECTIVE, kKept.size(), kKept.data(), CAP_SET) == 0 &&
            cap_set_proc(wanted) == 0;
  int err = errno;
  cap_free(wanted);
  if (!ok) return base::ErrnoError(err, "drop capabilities");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return HOLT_ERRNO("no_new_privs");
  return {};
}

}  // namespace holt::fsd
