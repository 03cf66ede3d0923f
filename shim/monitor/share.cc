#include "shim/monitor/share.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "image/rootfs.h"
#include "shim/monitor/id_mapped_mount.h"
#include "shim/state/notify_socket.h"
#include "shim/state/sockets.h"
#include "shim/state/volumes.h"

namespace holt::shim {
namespace {

using base::Code;
using base::UniqueFd;

base::Status DoMount(const char* source, const std::string& target, const char* type,
                     unsigned long flags, const char* data) {
  if (mount(source, target.c_str(), type, flags, data) != 0) return HOLT_ERRNO("mount {}", target);
  return {};
}

// Remounts the bind mount at `target` with the flags it has and read-only added.
base::Status MakeReadOnly(const std::string& target) {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  if (mount_setattr(AT_FDCWD, target.c_str(), AT_RECURSIVE, &attributes, sizeof attributes) == 0)
    return {};
  return HOLT_ERRNO("make {} read-only", target);
}

// Paths of the configuration are looked up in an image that its maker may have filled with links.
constexpr uint64_t kResolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

base::Result<bool> WantsInotify(const oci::Config& config) {
  auto annotation = config.annotations.find(kInotifyAnnotation);
  if (annotation == config.annotations.end() || annotation->second == "on") return true;
  if (annotation->second == "off") return false;
  return base::MakeError(Code::kInvalidArgument, "annotation {}: \"{}\" is neither on nor off",
                         kInotifyAnnotation, annotation->second);
}

bool HasOption(const oci::Mount& mount, std::string_view option) {
  return std::find(mount.options.begin(), mount.options.end(), option) != mount.options.end();
}

}  // namespace

bool HasVolumes(const oci::Config& config) {
  return std::any_of(config.mounts.begin(), config.mounts.end(), IsBind);
}

base::Status EnterMountNamespace() {
  if (unshare(CLONE_NEWNS) != 0) return HOLT_ERRNO("mount namespace");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
    return HOLT_ERRNO("make mounts slaves of the host's");
  return {};
}

base::Status MakeInRoot(int root, const std::string& path, bool file) {
  std::string done;
  size_t at = 0;
  while (at < path.size()) {
    size_t begin = path.find_first_not_of('/', at);
    if (begin == std::string::npos) break;
    size_t end = std::min(path.find('/', begin), path.size());
    std::string name = path.substr(begin, end - begin);
    std::string next = done + "/" + name;
    at = end;
    auto there = base::OpenAt2(root, next, O_PATH, kResolve);
    if (there) {
      done = next;
      continue;
    }
    if (there.error().err() != ENOENT) return std::move(there).error();
    bool last = path.find_first_not_of('/', end) == std::string::npos;
    TRY_ASSIGN(UniqueFd parent,
               base::OpenAt2(root, done.empty() ? "/" : done, O_PATH | O_DIRECTORY, kResolve));
    if (last && file) {
      UniqueFd made(
          openat(parent.get(), name.c_str(), O_CREAT | O_EXCL | O_CLOEXEC | O_WRONLY, 0644));
      if (!made && errno != EEXIST) return HOLT_ERRNO("create {}", next);
    } else if (mkdirat(parent.get(), name.c_str(), 0755) != 0 && errno != EEXIST) {
      return HOLT_ERRNO("mkdir {}", next);
    }
    done = next;
  }
  return {};
}

base::Status Share::Mount() {
  TRY(base::MakeDirs(paths_.Share(), 0700));
  TRY(DoMount("holt", paths_.Share(), "tmpfs", MS_NOSUID | MS_NODEV,
              "size=1m,nr_inodes=1024,mode=0755"));
  // Shared, so that what is mounted here later arrives in holt-fsd's namespace too.
  return DoMount(nullptr, paths_.Share(), nullptr, MS_SHARED, nullptr);
}

base::Status Share::AddContainer(const Request& request, oci::Config& config,
                                 const std::string& resolv_conf) {
  const std::string& id = request.id;
  std::string base_path = paths_.Share() + "/" + id;
  // mount(2) takes the flags it does not repeat away.
  TRY(DoMount(nullptr, paths_.Share(), nullptr, MS_REMOUNT | MS_NOSUID | MS_NODEV, nullptr));
  TRY(base::MakeDirs(base_path + "/rootfs"));
  TRY(base::MakeDirs(base_path + "/mounts"));
  TRY(MountRoot(request, config, base_path + "/rootfs"));
  next_volume_ = 0;
  TRY_ASSIGN(const bool watch, WantsInotify(config));
  wanted_sockets_ = SocketDestinations(config);
  for (size_t i = 0; i < config.mounts.size(); ++i)
    if (IsBind(config.mounts[i]))
      TRY_CONTEXT(AddVolume(id, config, config.mounts[i]),
                  request.bundle.empty() ? "volume " + config.mounts[i].destination
                                         : fmt::format("mounts[{}]", i));
  if (!wanted_sockets_.empty())
    return base::MakeError(Code::kInvalidArgument,
                           "annotation {}: no bind mount has the destination \"{}\"",
                           kSocketsAnnotation, *wanted_sockets_.begin());
  // What comes after lies on the scaffold, which nobody changes.
  if (watch)
    for (size_t i = 0; i < next_volume_; ++i) watched_.push_back(id + "/" + PlaceOfVolume(i));
  if (request.write_hosts) TRY(AddHostsFiles(request, config, resolv_conf));
  TRY(DoMount(nullptr, paths_.Share(), nullptr, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV,
              nullptr));
  config.root->path = id + "/rootfs";
  return {};
}

base::Status Share::MountRoot(const Request& request, const oci::Config& config,
                              const std::string& target) {
  if (!request.store.empty()) {
    TRY_ASSIGN(auto store, image::Store::Open(request.store));
    TRY_ASSIGN(image::Rootfs rootfs, image::LoadRootfs(*store, request.id));
    TRY_CONTEXT(image::MountRootfs(rootfs, target), "root file system");
  } else {
    struct stat st {};
    if (lstat(request.rootfs.c_str(), &st) != 0) return HOLT_ERRNO("root.path {}", request.rootfs);
    if (S_ISLNK(st.st_mode))
      return base::MakeError(Code::kInvalidArgument, "root.path {}: is a symbolic link",
                             request.rootfs);
    if (!S_ISDIR(st.st_mode)) return base::ErrnoError(ENOTDIR, "root.path " + request.rootfs);
    TRY_CONTEXT(DoMount(request.rootfs.c_str(), target, nullptr, MS_BIND | MS_REC, nullptr),
                "root.path");
  }
  if (!config.root->readonly) return {};
  // Nobody can make mount points on it later.
  TRY_ASSIGN(UniqueFd root, base::Open(target, O_PATH | O_DIRECTORY));
  for (const oci::Mount& mount : config.mounts) {
    struct stat st {};
    bool file = IsBind(mount) && stat(mount.source.c_str(), &st) == 0 && !S_ISDIR(st.st_mode);
    TRY_CONTEXT(MakeInRoot(root.get(), mount.destination, file),
                "mount point " + mount.destination);
  }
  if (request.write_hosts)
    for (const char* path : {"/etc/hosts", "/etc/hostname"})
      TRY(MakeInRoot(root.get(), path, true));
  if (!request.notify_socket.empty()) TRY(MakeInRoot(root.get(), kNotifyPath, true));
  if (!request.passt.empty()) TRY(MakeInRoot(root.get(), "/etc/resolv.conf", true));
  for (const char* path : {"/proc", "/dev", "/sys"}) TRY(MakeInRoot(root.get(), path, false));
  if (config.process && !config.process->cwd.empty())
    TRY(MakeInRoot(root.get(), config.process->cwd, false));
  return MakeReadOnly(target);
}

base::Status Share::AddVolume(const std::string& container, const oci::Config& config,
                              oci::Mount& mount) {
  std::string name = container + "/" + PlaceOfVolume(next_volume_++);
  std::string target = paths_.Share() + "/" + name;
  std::string source = mount.source;
  // runc takes a relative source as one in the bundle; the CLI made it absolute.
  struct stat st {};
  if (stat(source.c_str(), &st) != 0) return HOLT_ERRNO("{}", source);
  if (S_ISDIR(st.st_mode)) {
    TRY(base::MakeDirs(target));
  } else {
    TRY(base::WriteFile(target, "", 0644));
  }
  bool recursive = !HasOption(mount, "bind") || HasOption(mount, "rbind");
  TRY_ASSIGN(auto mappings, FindIdMappings(mount, config));
  if (mappings) {
    TRY(BindIdMapped(source, target, recursive, *mappings));
  } else {
    TRY(DoMount(source.c_str(), target, nullptr, recursive ? MS_BIND | MS_REC : MS_BIND, nullptr));
  }
  if (HasOption(mount, "ro") || HasOption(mount, "rro")) TRY(MakeReadOnly(target));
  if (wanted_sockets_.erase(mount.destination) != 0) {
    // What was mounted, not what is at the source's path by now.
    TRY_ASSIGN(UniqueFd node, base::Open(target, O_PATH | O_NOFOLLOW));
    if (fstat(node.get(), &st) != 0) return HOLT_ERRNO("{}", source);
    if (!S_ISSOCK(st.st_mode))
      return base::MakeError(Code::kInvalidArgument, "annotation {}: {} is not a socket",
                             kSocketsAnnotation, source);
    sockets_.push_back({name, std::move(node), st.st_mode & 07777, st.st_uid, st.st_gid});
  }
  mount.source = name;
  return {};
}

base::Status Share::AddHostsFiles(const Request& request, oci::Config& config,
                                  const std::string& resolv_conf) {
  const std::string& container = request.id;
  std::string name = config.hostname.empty() ? container : config.hostname;
  std::string hosts = "127.0.0.1\tlocalhost " + name +
                      "\n::1\tlocalhost ip6-localhost "
                      "ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
  for (const auto& [path, text] :
       {std::pair<std::string, std::string>("/etc/hosts", hosts),
        std::pair<std::string, std::string>("/etc/hostname", name + "\n"),
        // Without a network the image's is as good as any.
        std::pair<std::string, std::string>("/etc/resolv.conf", resolv_conf)}) {
    bool given = std::any_of(config.mounts.begin(), config.mounts.end(),
                             [&path = path](const oci::Mount& m) { return m.destination == path; });
    if (given || text.empty()) continue;
    // On the scaffold, which the guest cannot write.
    std::string file = container + "/" + PlaceOfVolume(next_volume_++);
    TRY(base::WriteFile(paths_.Share() + "/" + file, text));
    config.mounts.push_back({.destination = path,
                             .type = "bind",
                             .source = file,
                             .options = {"bind", "ro", "nosuid", "nodev"}});
  }
  return {};
}

void Share::Unmount() {
  if (umount2(paths_.Share().c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT)
    return;
}

}  // namespace holt::shim
