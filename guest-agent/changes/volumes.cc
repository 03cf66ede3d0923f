#include "guest-agent/changes/volumes.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "base/log.h"
#include "guest-agent/mount/in_root.h"
#include "guest-agent/mount/mount_fd.h"
#include "oci/mount_options.h"

namespace holt::guest_agent {
namespace {

using base::Result;
using base::UniqueFd;
using rpc::Change;
using rpc::ChangeKind;
using rpc::Past;

// Of what time the lookups of the requests that follow are.
void Look(Past past) { setfsgid(rpc::kReplayGid + static_cast<uint32_t>(past)); }

Result<UniqueFd> OpenVolume(int root, const oci::Mount& mount) {
  TRY_ASSIGN(UniqueFd place, OpenInRoot(root, mount.destination, O_PATH));
  struct stat st {};
  if (fstat(place.get(), &st) != 0) return HOLT_ERRNO("stat");
  // A walk into it, to the file system that the host has mounted there.
  if (S_ISDIR(st.st_mode)) {
    TRY_ASSIGN(place, OpenInRoot(root, mount.destination, O_PATH | O_DIRECTORY));
  }
  struct statfs fs {};
  if (fstatfs(place.get(), &fs) != 0) return HOLT_ERRNO("statfs");
  // Whatever hides it would not know a replay from a change.
  if (fs.f_type != FUSE_SUPER_MAGIC) return base::Error(base::Code::kNotFound, "is hidden");
  TRY_ASSIGN(UniqueFd tree, CloneTree(place.get(), false));
  TRY(SetAttributes(tree.get(), 0, MOUNT_ATTR_RDONLY, false));
  return tree;
}

// A change of times, which is told as a change of content (mtime alone) or of attributes (both).
// What the guest caches is checked first: what is told of is seen.
void Touch(int directory, const std::string& name, bool content) {
  Look(Past::kNow);
  struct statx stat {};
  const int flags = AT_SYMLINK_NOFOLLOW | (name.empty() ? AT_EMPTY_PATH : 0);
  if (statx(directory, name.c_str(), flags | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &stat) != 0)
    return;
  const timespec times[2] = {
      {stat.stx_atime.tv_sec, content ? UTIME_OMIT : static_cast<long>(stat.stx_atime.tv_nsec)},
      {stat.stx_mtime.tv_sec, static_cast<long>(stat.stx_mtime.tv_nsec)}};
  (void)utimensat(directory, name.c_str(), times, flags);
}

void OpenAndClose(int directory, const std::string& name, int proc) {
  Look(Past::kNow);
  constexpr int kFlags = O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  struct stat st {};
  if (fstatat(directory, name.c_str(), &st,
              AT_SYMLINK_NOFOLLOW | (name.empty() ? AT_EMPTY_PATH : 0)) != 0 ||
      !S_ISREG(st.st_mode))
    return;
  UniqueFd file(name.empty() ? openat(proc, fmt::format("self/fd/{}", directory).c_str(), kFlags)
                             : openat(directory, name.c_str(), kFlags | O_NOFOLLOW));
}

void Make(int directory, const std::string& name, uint32_t type) {
  Look(Past::kAbsent);
  if (type == S_IFDIR) {
    (void)mkdirat(directory, name.c_str(), 0755);
  } else if (type == S_IFLNK) {
    (void)symlinkat("?", directory, name.c_str());
  } else {
    (void)mknodat(directory, name.c_str(), type | 0600, 0);
  }
}

void Remove(int directory, const std::string& name, bool is_directory) {
  Look(is_directory ? Past::kDirectory : Past::kFile);
  (void)unlinkat(directory, name.c_str(), is_directory ? AT_REMOVEDIR : 0);
}

void Rename(int from, const std::string& old_name, int to, const std::string& new_name,
            uint32_t type) {
  // Twice: what the first look found may be out of date by the time of the second.
  for (int i = 0; i < 2; ++i) {
    struct stat st {};
    Look(Past::kKnown);
    if (fstatat(from, old_name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) break;
    Look(Past::kReplaced);
    if (renameat(from, old_name.c_str(), to, new_name.c_str()) == 0) return;
    if (errno != ENOENT) break;
  }
  Remove(from, old_name, type == S_IFDIR);
  Look(Past::kNow);
  struct stat st {};
  if (fstatat(to, new_name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0)
    Make(to, new_name, st.st_mode & S_IFMT);
}

}  // namespace

ReplayVolumes ReplayVolumes::Open(int root, const oci::Config& config) {
  ReplayVolumes volumes;
  for (size_t i = 0; i < config.mounts.size(); ++i) {
    const oci::Mount& mount = config.mounts[i];
    auto options = oci::ParseMountOptions(mount, fmt::format("mounts[{}]", i));
    if (!options || !options->bind || options->remount) continue;
    auto opened = OpenVolume(root, mount);
    if (opened)
      volumes.volumes_.push_back({mount.source, std::move(*opened)});
    else
      base::log::Debug("changes in {}: {}", mount.destination, opened.error().message());
  }
  return volumes;
}

Result<UniqueFd> ReplayVolumes::OpenDirectory(const std::string& path) const {
  for (const Volume& volume : volumes_) {
    if (!path.starts_with(volume.source)) continue;
    std::string below = path.substr(volume.source.size());
    if (!below.empty() && below[0] != '/') continue;
    Look(Past::kNow);
    if (below.empty()) {
      UniqueFd copy(fcntl(volume.mount.get(), F_DUPFD_CLOEXEC, 3));
      if (!copy) return HOLT_ERRNO("dup");
      return copy;
    }
    return base::OpenAt2(volume.mount.get(), below.substr(1), O_PATH | O_DIRECTORY,
                         RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
  }
  return base::Error(base::Code::kNotFound, "no volume");
}

void ReplayVolumes::Apply(const Change& change, int proc) const {
  auto directory = OpenDirectory(change.directory);
  if (!directory) return;
  const int at = directory->get();
  switch (change.kind) {
    case ChangeKind::kModified:
      return Touch(at, change.name, true);
    case ChangeKind::kAttributes:
      return Touch(at, change.name, false);
    case ChangeKind::kWritten:
      return OpenAndClose(at, change.name, proc);
    case ChangeKind::kCreated:
      return Make(at, change.name, change.type);
    case ChangeKind::kRemoved:
      return Remove(at, change.name, change.type == S_IFDIR);
    case ChangeKind::kRenamed: {
      auto to = OpenDirectory(change.new_directory);
      if (!to) return Remove(at, change.name, change.type == S_IFDIR);
      return Rename(at, change.name, to->get(), change.new_name, change.type);
    }
  }
}

}  // namespace holt::guest_agent
