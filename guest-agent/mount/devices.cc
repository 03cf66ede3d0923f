#include "guest-agent/mount/devices.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "guest-agent/mount/in_root.h"
#include "oci/id_mapping.h"
#include "oci/mount_options.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

struct DefaultDevice {
  const char* path;
  unsigned major;
  unsigned minor;
};
// Numbers of Documentation/admin-guide/devices.txt.
constexpr DefaultDevice kDefaultDevices[] = {
    {"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
    {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
};

struct DefaultLink {
  const char* path;
  const char* target;
};
constexpr DefaultLink kDefaultLinks[] = {
    {"/dev/fd", "/proc/self/fd"},       {"/dev/stdin", "/proc/self/fd/0"},
    {"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"},
    {"/dev/ptmx", "pts/ptmx"},
};

mode_t TypeBits(const std::string& type) {
  return type == "b" ? S_IFBLK : type == "p" ? S_IFIFO : S_IFCHR;
}

// Makes the node at `path`; one that is there with the same type and number is kept, other files
// give way to it.
Status MakeNode(int root, const oci::Device& device, const oci::Linux& spec) {
  TRY_ASSIGN(auto split, SplitLast(device.path));
  TRY_ASSIGN(UniqueFd parent, MakeDirsInRoot(root, split.first));
  const char* name = split.second.c_str();
  mode_t mode = TypeBits(device.type) | (device.file_mode.value_or(0666) & 07777);
  dev_t number = device.type == "p" ? 0
                                    : makedev(static_cast<unsigned>(device.major),
                                              static_cast<unsigned>(device.minor));
  if (mknodat(parent.get(), name, mode, number) != 0) {
    if (errno != EEXIST) return HOLT_ERRNO("mknod {}", device.path);
    struct stat st {};
    if (fstatat(parent.get(), name, &st, AT_SYMLINK_NOFOLLOW) != 0)
      return HOLT_ERRNO("stat {}", device.path);
    bool same =
        (st.st_mode & S_IFMT) == (mode & S_IFMT) && (device.type == "p" || st.st_rdev == number);
    if (!same &&
        (unlinkat(parent.get(), name, 0) != 0 || mknodat(parent.get(), name, mode, number) != 0))
      return HOLT_ERRNO("replace {}", device.path);
  }
  // mknod obeys the umask, the configuration does not.
  TRY_ASSIGN(UniqueFd node, base::OpenAt(parent.get(), split.second, O_PATH | O_NOFOLLOW));
  struct stat st {};
  if (fstat(node.get(), &st) != 0) return HOLT_ERRNO("stat {}", device.path);
  if ((st.st_mode & S_IFMT) != (mode & S_IFMT))
    return MakeError(Code::kFailedPrecondition, "{}: was replaced while it was made", device.path);
  if ((st.st_mode & 07777) != (mode & 07777) && fchmodat(parent.get(), name, mode & 07777, 0) != 0)
    return HOLT_ERRNO("chmod {}", device.path);
  auto uid = oci::OutsideId(spec.uid_mappings, device.uid.value_or(0));
  auto gid = oci::OutsideId(spec.gid_mappings, device.gid.value_or(0));
  if (!uid || !gid)
    return MakeError(Code::kInvalidArgument, "{}: its owner is not in the user namespace",
                     device.path);
  if (fchownat(node.get(), "", *uid, *gid, AT_EMPTY_PATH) != 0)
    return HOLT_ERRNO("chown {}", device.path);
  return {};
}

Status MakeLink(int root, const DefaultLink& link) {
  TRY_ASSIGN(auto split, SplitLast(link.path));
  TRY_ASSIGN(UniqueFd parent, MakeDirsInRoot(root, split.first));
  if (symlinkat(link.target, parent.get(), split.second.c_str()) != 0 && errno != EEXIST)
    return HOLT_ERRNO("symlink {}", link.path);
  return {};
}

bool BringsItsOwnDev(const oci::Config& config) {
  for (const oci::Mount& mount : config.mounts) {
    if (PathComponents(mount.destination) != std::vector<std::string>{"dev"}) continue;
    auto options = ParseMountOptions(mount, "");
    if (options && options->bind) return true;
  }
  return false;
}

}  // namespace

Status MakeDevices(int root, const oci::Config& config) {
  const oci::Linux spec = config.linux_.value_or(oci::Linux());
  if (!BringsItsOwnDev(config)) {
    for (const DefaultDevice& device : kDefaultDevices)
      TRY(MakeNode(root, oci::Device{device.path, "c", device.major, device.minor, 0666, 0, 0},
                   spec));
    for (const DefaultLink& link : kDefaultLinks) TRY(MakeLink(root, link));
  }
  for (size_t i = 0; i < spec.devices.size(); ++i)
    TRY_CONTEXT(MakeNode(root, spec.devices[i], spec), fmt::format("linux.devices[{}]", i));
  return {};
}

Result<Pty> OpenPty(int root, const std::optional<oci::ConsoleSize>& size) {
  TRY_ASSIGN_CONTEXT(UniqueFd pts, OpenInRoot(root, "/dev/pts", O_PATH | O_DIRECTORY),
                     "process.terminal");
  struct statfs fs {};
  if (fstatfs(pts.get(), &fs) != 0) return HOLT_ERRNO("/dev/pts");
  if (fs.f_type != DEVPTS_SUPER_MAGIC)
    return MakeError(Code::kInvalidArgument,
                     "process.terminal: /dev/pts is no devpts: add one to mounts");
  Pty pty;
  TRY_ASSIGN_CONTEXT(pty.master, base::OpenAt(pts.get(), "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW),
                     "process.terminal");
  int unlocked = 0;
  if (ioctl(pty.master.get(), TIOCSPTLCK, &unlocked) != 0) return HOLT_ERRNO("unlock the pty");
  // By descriptor: the slave's path could be covered by something else.
  pty.slave.Reset(ioctl(pty.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!pty.slave) return HOLT_ERRNO("open the pty's slave");
  if (size) {
    winsize window{};
    window.ws_row = static_cast<unsigned short>(size->height);
    window.ws_col = static_cast<unsigned short>(size->width);
    if (ioctl(pty.master.get(), TIOCSWINSZ, &window) != 0) return HOLT_ERRNO("process.consoleSize");
  }
  return pty;
}

}  // namespace holt::guest_agent
