#include "shim/stub/view.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace holt::stub {
namespace {

using base::UniqueFd;

// Programs and devices of an image are for the guest: an engine that enters runs its own.
constexpr uint64_t kHarmless = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

struct Failed {
  char* error;
  size_t size;
  bool operator()(const char* what) const {
    snprintf(error, size, "show the container's files: %s: %s", what, strerror(errno));
    return false;
  }
};

// The container's paths were chosen by its image: links lead nowhere but into its root.
UniqueFd OpenInRoot(int root, const char* path, uint64_t flags, uint64_t resolve = 0) {
  open_how how{};
  how.flags = flags | O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve;
  return UniqueFd(static_cast<int>(syscall(SYS_openat2, root, path, &how, sizeof how)));
}

bool IsDirectory(int fd) {
  struct stat st {};
  return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

// A copy of the mounts at `path` that nobody else sees, and that no other mount reaches.
UniqueFd Copy(int directory, const char* path) {
  UniqueFd tree(open_tree(directory, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!tree) return tree;
  mount_attr attributes{};
  attributes.attr_set = kHarmless;
  // The share's are shared with the file server: what is mounted here must not reach the guest.
  attributes.propagation = MS_PRIVATE;
  if (mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) !=
      0)
    return UniqueFd();
  return tree;
}

bool Attach(int tree, int destination) {
  return move_mount(tree, "", destination, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) ==
         0;
}

// Puts the processes of this pid namespace at proc, and nothing at dev, where the root has such a
// directory. Read-only: the settings in /proc/sys are the host's.
bool MountFresh(int root, const char* name) {
  UniqueFd directory = OpenInRoot(root, name, O_DIRECTORY | O_NOFOLLOW, RESOLVE_NO_SYMLINKS);
  if (!directory) return true;
  UniqueFd context(fsopen(strcmp(name, "proc") == 0 ? "proc" : "tmpfs", FSOPEN_CLOEXEC));
  if (!context || fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return false;
  UniqueFd mounted(fsmount(context.get(), FSMOUNT_CLOEXEC, kHarmless | MOUNT_ATTR_RDONLY));
  return mounted && Attach(mounted.get(), directory.get());
}

// Makes the mount at the current directory the root and lets go of all others.
bool PivotHere() {
  return syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 && chdir("/") == 0;
}

bool Make(const View& view, const Failed& failed) {
  if (setns(view.monitor, CLONE_NEWNS) != 0) return failed("the monitor's mount namespace");
  if (unshare(CLONE_NEWNS) != 0) return failed("mount namespace");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return failed("/");
  UniqueFd share(open(view.share, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!share) return failed(view.share);
  UniqueFd root = Copy(share.get(), "rootfs");
  if (!root) return failed("rootfs");
  // What is below `share` is still reached by its descriptor.
  if (!Attach(root.get(), share.get())) return failed("mount rootfs");
  if (!MountFresh(root.get(), "proc")) return failed("/proc");
  if (!MountFresh(root.get(), "dev")) return failed("/dev");
  for (size_t i = 0; i < view.volumes; ++i) {
    const char* place = view.volume[2 * i];
    UniqueFd volume = Copy(share.get(), place);
    if (!volume) return failed(place);
    UniqueFd destination = OpenInRoot(root.get(), view.volume[2 * i + 1], 0);
    if (destination && IsDirectory(destination.get()) == IsDirectory(volume.get()))
      (void)Attach(volume.get(), destination.get());
  }
  if (fchdir(root.get()) != 0 || !PivotHere()) return failed("pivot_root");
  return true;
}

}  // namespace

bool EnterView(const View& view, char* error, size_t error_size) {
  Failed failed{error, error_size};
  if (view.joined < 0) return Make(view, failed);
  // Its root is the new root and working directory, too (setns(2)).
  if (setns(view.joined, CLONE_NEWNS) != 0) return failed("the container's mount namespace");
  return true;
}

}  // namespace holt::stub
