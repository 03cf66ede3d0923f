#include "guest-agent/mount/rootfs.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "guest-agent/mount/copy_up.h"
#include "guest-agent/mount/devices.h"
#include "guest-agent/mount/in_root.h"
#include "guest-agent/mount/mount_fd.h"
#include "oci/id_mapping.h"
#include "oci/mount_options.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

Result<bool> IsDirectory(int fd) {
  struct stat st {};
  if (fstat(fd, &st) != 0) return HOLT_ERRNO("stat");
  return S_ISDIR(st.st_mode);
}

Result<bool> IsOnProc(int fd) {
  struct statfs fs {};
  if (fstatfs(fd, &fs) != 0) return HOLT_ERRNO("statfs");
  return fs.f_type == PROC_SUPER_MAGIC;
}

bool HasMode(const oci::MountOptions& options) {
  return std::any_of(options.data.begin(), options.data.end(),
                     [](const std::string& option) { return option.starts_with("mode="); });
}

// A new tmpfs takes after the directory that it covers: its mode, unless one is given, and with
// `tmpcopyup` its content.
Status TakeAfter(int tmpfs, int covered, const oci::MountOptions& options) {
  if (!HasMode(options)) {
    struct stat st {};
    if (fstat(covered, &st) != 0) return HOLT_ERRNO("stat");
    if (fchmodat(tmpfs, ".", st.st_mode & 07777, 0) != 0) return HOLT_ERRNO("chmod");
  }
  if (!options.tmpcopyup) return {};
  TRY_CONTEXT(CopyTree(covered, tmpfs), "tmpcopyup");
  return {};
}

// Owners in a file system's parameters are the container's, and the kernel takes them for the
// guest's.
Result<oci::Strings> OutsideOwners(oci::Strings data, const oci::Config& config) {
  if (!config.linux_) return data;
  for (std::string& option : data) {
    bool user = option.starts_with("uid=");
    if (!user && !option.starts_with("gid=")) continue;
    uint32_t id = 0;
    auto [end, error] = std::from_chars(option.data() + 4, option.data() + option.size(), id);
    // What is no number is for the file system to refuse.
    if (error != std::errc() || end != option.data() + option.size()) continue;
    auto outside = OutsideId(user ? config.linux_->uid_mappings : config.linux_->gid_mappings, id);
    if (!outside)
      return MakeError(Code::kInvalidArgument, "options: {} is not in the user namespace", option);
    option = fmt::format("{}{}", option.substr(0, 4), *outside);
  }
  return data;
}

// `remount`: of what is mounted there the attributes, and the parameters of the file system.
Status Remount(int root, const oci::Mount& mount, const oci::MountOptions& options) {
  TRY_ASSIGN(UniqueFd target, OpenInRoot(root, mount.destination, O_PATH));
  TRY(SetAttributes(target.get(), options.attr_set, options.attr_clear, false));
  TRY(SetAttributes(target.get(), options.recursive_attr_set, options.recursive_attr_clear, true));
  for (unsigned long propagation : options.propagation)
    TRY(SetPropagation(target.get(), propagation));
  if (options.bind || (options.superblock_flags.empty() && options.data.empty())) return {};
  FilesystemOptions filesystem;
  filesystem.flags = options.superblock_flags;
  filesystem.data = options.data;
  return Reconfigure(target.get(), filesystem);
}

// The detached mount that `mount` describes.
Result<UniqueFd> MakeMount(const oci::Mount& mount, const oci::MountOptions& options,
                           const RootfsInputs& inputs) {
  if (auto socket = inputs.sockets.find(mount.source);
      options.bind && socket != inputs.sockets.end()) {
    TRY_ASSIGN(UniqueFd source, base::Open(socket->second, O_PATH | O_NOFOLLOW));
    TRY_ASSIGN(UniqueFd tree, CloneTree(source.get(), false));
    TRY(SetAttributes(tree.get(), options.attr_set, options.attr_clear, false));
    return tree;
  }
  if (options.bind) {
    TRY_ASSIGN_CONTEXT(UniqueFd source, OpenInRoot(inputs.share, mount.source, O_PATH), "source");
    TRY_ASSIGN(UniqueFd tree, CloneTree(source.get(), options.recursive_bind));
    TRY(SetAttributes(tree.get(), options.attr_set, options.attr_clear, false));
    return tree;
  }
  if (mount.type.empty()) return MakeError(Code::kInvalidArgument, "type: is required");
  if ((mount.type == "cgroup" || mount.type == "cgroup2") && !inputs.cgroup_namespace) {
    if (inputs.cgroup < 0)
      return MakeError(Code::kFailedPrecondition, "type: there is no cgroup hierarchy to show");
    TRY_ASSIGN(UniqueFd tree, CloneTree(inputs.cgroup, false));
    TRY(SetAttributes(tree.get(), options.attr_set, options.attr_clear, false));
    return tree;
  }
  FilesystemOptions filesystem;
  filesystem.type = mount.type == "cgroup" ? "cgroup2" : mount.type;
  filesystem.source = mount.source;
  filesystem.flags = options.superblock_flags;
  TRY_ASSIGN(filesystem.data, OutsideOwners(options.data, *inputs.config));
  filesystem.attributes = options.attr_set;
  // Read-only comes after TakeAfter.
  if (mount.type == "tmpfs") filesystem.attributes &= ~uint64_t{MOUNT_ATTR_RDONLY};
  return NewFilesystem(filesystem);
}

// Where it goes, made if missing: a directory, or a file when a file is bound.
Result<UniqueFd> OpenDestination(int root, const oci::Mount& mount, bool directory) {
  // A procfs or sysfs on a path that the image redirects would leave the place that is masked and
  // believed to be /proc to the image.
  if (mount.type == "proc" || mount.type == "sysfs") {
    auto target = OpenInRootNoSymlinks(root, mount.destination, O_PATH | O_DIRECTORY);
    if (target || target.error().err() != ENOENT) return target;
  }
  TRY_ASSIGN(UniqueFd target, directory ? MakeDirsInRoot(root, mount.destination)
                                        : MakeFileInRoot(root, mount.destination));
  TRY_ASSIGN(bool on_proc, IsOnProc(target.get()));
  if (on_proc && !MayCoverProc(mount.destination))
    return MakeError(Code::kInvalidArgument, "destination: {}: nothing may be mounted inside proc",
                     mount.destination);
  return target;
}

Status MountOne(int root, const oci::Mount& mount, const std::string& item,
                const RootfsInputs& inputs) {
  TRY_ASSIGN(oci::MountOptions options, ParseMountOptions(mount, item));
  if (options.remount) {
    TRY_CONTEXT(Remount(root, mount, options),
                fmt::format("{}: remount {}", item, mount.destination));
    return {};
  }
  auto attach = [&]() -> Status {
    TRY_ASSIGN(UniqueFd detached, MakeMount(mount, options, inputs));
    TRY_ASSIGN(bool directory, IsDirectory(detached.get()));
    TRY_ASSIGN_CONTEXT(UniqueFd target, OpenDestination(root, mount, directory),
                       "destination " + mount.destination);
    if (mount.type == "tmpfs" && !options.bind)
      TRY(TakeAfter(detached.get(), target.get(), options));
    TRY(SetAttributes(detached.get(), options.attr_set & MOUNT_ATTR_RDONLY, 0, false));
    TRY(SetAttributes(detached.get(), options.recursive_attr_set, options.recursive_attr_clear,
                      true));
    TRY_CONTEXT(Attach(detached.get(), target.get()), "destination " + mount.destination);
    for (unsigned long propagation : options.propagation)
      TRY(SetPropagation(detached.get(), propagation));
    // What the host has mounted there is a file system of its own here, which the kernel mounts
    // when somebody walks into it. Now: who only looks at the directory, or watches it, must not
    // get the one below.
    if (options.bind && directory)
      TRY_CONTEXT(OpenInRoot(root, mount.destination, O_PATH | O_DIRECTORY),
                  "destination " + mount.destination);
    return {};
  };
  TRY_CONTEXT(attach(), item);
  return {};
}

// An unreadable cover: an empty read-only directory, or /dev/null.
Status MaskPath(int root, int dev, const std::string& path) {
  auto target = OpenInRoot(root, path, O_PATH);
  if (!target) {
    int err = target.error().err();
    if (err == ENOENT || err == ENOTDIR) return {};
    return std::move(target).error();
  }
  TRY_ASSIGN(bool directory, IsDirectory(target->get()));
  UniqueFd cover;
  if (directory) {
    FilesystemOptions empty;
    empty.type = "tmpfs";
    empty.source = "tmpfs";
    empty.data = {"size=0", "nr_inodes=2", "mode=755"};
    empty.attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    TRY_ASSIGN(cover, NewFilesystem(empty));
  } else {
    // From the agent's own /dev: a path of the container's could be anything.
    TRY_ASSIGN(UniqueFd null, base::OpenAt(dev, "null", O_PATH | O_NOFOLLOW));
    TRY_ASSIGN(cover, CloneTree(null.get(), false));
  }
  return Attach(cover.get(), target->get());
}

Status MakeReadonly(int root, const std::string& path) {
  auto target = OpenInRoot(root, path, O_PATH);
  if (!target) {
    int err = target.error().err();
    if (err == ENOENT || err == ENOTDIR) return {};
    return std::move(target).error();
  }
  TRY_ASSIGN(UniqueFd tree, CloneTree(target->get(), true));
  TRY(SetAttributes(tree.get(), MOUNT_ATTR_RDONLY, 0, true));
  return Attach(tree.get(), target->get());
}

unsigned long PropagationFlags(const std::string& name) {
  bool recursive = name.starts_with('r');
  std::string_view kind = std::string_view(name).substr(recursive ? 1 : 0);
  unsigned long flags = kind == "shared"       ? MS_SHARED
                        : kind == "slave"      ? MS_SLAVE
                        : kind == "unbindable" ? MS_UNBINDABLE
                                               : MS_PRIVATE;
  return flags | (recursive ? static_cast<unsigned long>(MS_REC) : 0ul);
}

}  // namespace

bool MayCoverProc(const std::string& destination) {
  static constexpr std::string_view kFigures[] = {"cpuinfo",  "diskstats", "loadavg", "meminfo",
                                                  "slabinfo", "stat",      "swaps",   "uptime"};
  std::vector<std::string> components = PathComponents(destination);
  if (components.size() == 2 && components[0] == "proc")
    return std::find(std::begin(kFigures), std::end(kFigures), components[1]) != std::end(kFigures);
  return components == std::vector<std::string>{"proc", "net", "dev"};
}

Result<UniqueFd> SetUpRootfs(const RootfsInputs& inputs) {
  const oci::Config& config = *inputs.config;
  // Nothing mounted from here on reaches the agent's namespace.
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return HOLT_ERRNO("make all mounts private");
  TRY_ASSIGN_CONTEXT(UniqueFd source,
                     OpenInRoot(inputs.share, config.root->path, O_PATH | O_DIRECTORY),
                     "root.path");
  TRY_ASSIGN_CONTEXT(UniqueFd root, CloneTree(source.get(), true), "root.path");
  TRY_ASSIGN(UniqueFd place, base::Open(inputs.mount_point, O_PATH | O_DIRECTORY));
  TRY_CONTEXT(Attach(root.get(), place.get()), "root.path");

  for (size_t i = 0; i < config.mounts.size(); ++i)
    TRY(MountOne(root.get(), config.mounts[i], fmt::format("mounts[{}]", i), inputs));
  TRY(MakeDevices(root.get(), config));
  if (config.linux_) {
    for (size_t i = 0; i < config.linux_->readonly_paths.size(); ++i)
      TRY_CONTEXT(MakeReadonly(root.get(), config.linux_->readonly_paths[i]),
                  fmt::format("linux.readonlyPaths[{}]", i));
    for (size_t i = 0; i < config.linux_->masked_paths.size(); ++i)
      TRY_CONTEXT(MaskPath(root.get(), inputs.dev, config.linux_->masked_paths[i]),
                  fmt::format("linux.maskedPaths[{}]", i));
  }
  return root;
}

Status BindConsole(int root, int slave) {
  TRY_ASSIGN_CONTEXT(UniqueFd target, MakeFileInRoot(root, "/dev/console"), "/dev/console");
  TRY_ASSIGN_CONTEXT(UniqueFd tree, CloneTree(slave, false), "/dev/console");
  TRY_CONTEXT(Attach(tree.get(), target.get()), "/dev/console");
  return {};
}

Status PivotInto(int root, const std::string& rootfs_propagation) {
  if (fchdir(root) != 0) return HOLT_ERRNO("chdir to the root");
  // The old root lands on top of the new one and is detached from there; no directory is needed.
  if (syscall(SYS_pivot_root, ".", ".") != 0) return HOLT_ERRNO("pivot_root");
  if (umount2(".", MNT_DETACH) != 0) return HOLT_ERRNO("detach the old root");
  if (chdir("/") != 0) return HOLT_ERRNO("chdir /");
  if (!rootfs_propagation.empty() &&
      mount(nullptr, "/", nullptr, PropagationFlags(rootfs_propagation), nullptr) != 0)
    return HOLT_ERRNO("linux.rootfsPropagation");
  return {};
}

}  // namespace holt::guest_agent
