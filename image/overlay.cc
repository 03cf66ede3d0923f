#include "image/overlay.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"

namespace holt::image {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

// fsconfig takes strings of at most 255 characters, mount(2) a page for all of them together.
constexpr size_t kMaxParameter = 255;
constexpr size_t kMaxMountData = 4095;

// What the kernel wrote about a failed fsopen/fsconfig/fsmount, newest last: "e overlay: …" lines.
std::string KernelMessages(int fs_fd) {
  std::string text;
  char buffer[512];
  ssize_t n;
  while ((n = read(fs_fd, buffer, sizeof buffer)) > 0) {
    std::string_view line(buffer, static_cast<size_t>(n));
    if (line.size() > 2 && line[1] == ' ') line.remove_prefix(2);
    while (line.ends_with('\n')) line.remove_suffix(1);
    text += fmt::format("; kernel: {}", line);
  }
  return text;
}

// Directories named by descriptor: no length limit, nothing to escape.
class PathFds {
 public:
  Result<std::string> Name(const std::string& path) {
    TRY_ASSIGN(UniqueFd fd, base::Open(path, O_PATH | O_DIRECTORY));
    fds_.push_back(std::move(fd));
    return fmt::format("/proc/self/fd/{}", fds_.back().get());
  }

 private:
  std::vector<UniqueFd> fds_;
};

// Sets parameters one by one and remembers the first error.
class Context {
 public:
  explicit Context(int fd) : fd_(fd) {}
  Status Set(const char* key, const std::string& value) {
    if (fsconfig(fd_, FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0) return {};
    int err = errno;
    return base::ErrnoError(err, fmt::format("overlay: {}={}{}", key, value, KernelMessages(fd_)));
  }
  Status SetPath(const char* key, const std::string& path) {
    if (path.size() <= kMaxParameter) return Set(key, path);
    TRY_ASSIGN(std::string name, fds_.Name(path));
    return Set(key, name);
  }

 private:
  int fd_;
  PathFds fds_;
};

Status CheckLower(const OverlayPlan& plan) {
  for (const std::string& lower : plan.lower) {
    struct stat st {};
    if (stat(lower.c_str(), &st) != 0) return HOLT_ERRNO("overlay: layer {}", lower);
  }
  return {};
}

}  // namespace

Result<UniqueFd> MakeDetachedOverlay(const OverlayPlan& plan) {
  TRY(CheckLower(plan));
  UniqueFd fs(fsopen("overlay", FSOPEN_CLOEXEC));
  if (!fs) return HOLT_ERRNO("overlay: the kernel has no overlayfs (modprobe overlay)");
  Context context(fs.get());
  for (const std::string& lower : plan.lower) TRY(context.SetPath("lowerdir+", lower));
  if (!plan.upper.empty()) {
    TRY(context.SetPath("upperdir", plan.upper));
    TRY(context.SetPath("workdir", plan.work));
    // Directories of the image can be renamed; without it rename(2) says EXDEV.
    TRY(context.Set("redirect_dir", "on"));
  }
  TRY(context.Set("source", "holt"));
  if (fsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    int err = errno;
    return base::ErrnoError(err, fmt::format("overlay: create{}", KernelMessages(fs.get())));
  }
  unsigned attributes = MOUNT_ATTR_NODEV | (plan.read_only ? MOUNT_ATTR_RDONLY : 0U);
  UniqueFd mount(fsmount(fs.get(), FSMOUNT_CLOEXEC, attributes));
  if (!mount) {
    int err = errno;
    return base::ErrnoError(err, fmt::format("overlay: fsmount{}", KernelMessages(fs.get())));
  }
  return mount;
}

Status AttachMount(int mount_fd, const std::string& target) {
  if (move_mount(mount_fd, "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return HOLT_ERRNO("mount at {}", target);
  return {};
}

Status MountOverlayLegacy(const OverlayPlan& plan, const std::string& target) {
  TRY(CheckLower(plan));
  PathFds fds;
  std::string data = "lowerdir=";
  for (size_t i = 0; i < plan.lower.size(); ++i) {
    TRY_ASSIGN(std::string name, fds.Name(plan.lower[i]));
    data += (i ? ":" : "") + name;
  }
  // mount(2) wants two lower directories when there is no upper one.
  if (plan.upper.empty() && plan.lower.size() == 1) {
    TRY_ASSIGN(std::string name, fds.Name(plan.lower[0]));
    data += ":" + name;
  }
  if (!plan.upper.empty()) {
    TRY_ASSIGN(std::string upper, fds.Name(plan.upper));
    TRY_ASSIGN(std::string work, fds.Name(plan.work));
    data += ",upperdir=" + upper + ",workdir=" + work + ",redirect_dir=on";
  }
  if (data.size() > kMaxMountData)
    return MakeError(
        Code::kUnsupported,
        "overlay: {} layers are more than this kernel mounts at once; Linux 6.8 and later "
        "take 500",
        plan.lower.size());
  unsigned long flags = MS_NODEV | (plan.read_only ? MS_RDONLY : 0UL);
  if (mount("holt", target.c_str(), "overlay", flags, data.c_str()) != 0)
    return HOLT_ERRNO("overlay: mount at {}", target);
  return {};
}

Status MountOverlay(const OverlayPlan& plan, const std::string& target) {
  HOLT_CHECK(!plan.lower.empty());
  auto mount = MakeDetachedOverlay(plan);
  if (mount) return AttachMount(mount->get(), target);
  // Before 6.8 there is no "lowerdir+", before 5.2 no fsopen.
  int err = mount.error().err();
  if (err != EINVAL && err != ENOSYS) return std::move(mount).error();
  if (MountOverlayLegacy(plan, target)) return {};
  return std::move(mount).error();
}

Result<UniqueFd> MakeDetachedBind(const std::string& directory, bool read_only) {
  UniqueFd tree(open_tree(AT_FDCWD, directory.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree) return HOLT_ERRNO("bind {}", directory);
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NODEV | (read_only ? MOUNT_ATTR_RDONLY : 0U);
  if (mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0)
    return HOLT_ERRNO("bind {}: set nodev", directory);
  return tree;
}

Driver ProbeDriver(const std::string& directory, std::string* why) {
  std::string root = directory + "/probe.XXXXXX";
  if (!mkdtemp(root.data())) {
    *why = fmt::format("{}: {}", root, strerrordesc_np(errno));
    return Driver::kNative;
  }
  auto probe = [&]() -> Status {
    for (const char* name : {"lower", "upper", "work"}) TRY(base::MakeDirs(root + "/" + name));
    TRY(base::MakeDirs(root + "/lower/d"));
    if (mknod((root + "/lower/gone").c_str(), S_IFCHR | 0600, makedev(0, 0)) != 0)
      return HOLT_ERRNO("whiteout");
    if (setxattr((root + "/lower/d").c_str(), "trusted.overlay.opaque", "y", 1, 0) != 0)
      return HOLT_ERRNO("trusted.overlay.opaque");
    OverlayPlan plan{{root + "/lower"}, root + "/upper", root + "/work", false};
    auto mount = MakeDetachedOverlay(plan);
    UniqueFd legacy;
    bool attached = false;
    if (!mount) {
      TRY(base::MakeDirs(root + "/merged"));
      TRY(MountOverlayLegacy(plan, root + "/merged"));
      attached = true;
      TRY_ASSIGN(legacy, base::Open(root + "/merged", O_PATH | O_DIRECTORY));
    }
    int at = attached ? legacy.get() : mount->get();
    // An upper layer without what overlayfs needs is mounted all the same, but read-only.
    UniqueFd file(openat(at, "d/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    int err = errno;
    file.Reset();
    if (attached) umount2((root + "/merged").c_str(), MNT_DETACH);
    if (!base::PathExists(root + "/upper/d/file"))
      return base::ErrnoError(err, "write to the upper layer");
    return {};
  };
  Status status = probe();
  if (auto removed = base::RemoveTree(root); !removed && status) status = std::move(removed);
  if (status) return Driver::kOverlay;
  *why = status.error().message();
  return Driver::kNative;
}

}  // namespace holt::image
