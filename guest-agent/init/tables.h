#pragma once

#include <sys/mount.h>

// What the guest's first process sets up, as data.
namespace holt::guest_agent {

// A mount of the agent's own root. Paths are below that root; directories are made.
struct BaseMount {
  const char* source;
  const char* target;
  const char* type;
  unsigned long flags;
  const char* data;
  bool fatal;  // the guest is no use without it
};

inline constexpr unsigned long kNoAll = MS_NOSUID | MS_NODEV | MS_NOEXEC;

// The root itself is a tmpfs: the kernel's first root, the initramfs, cannot be pivoted away from.
inline constexpr const char* kRootOptions = "mode=0755,size=16m";

inline constexpr BaseMount kBaseMounts[] = {
    {"proc", "/proc", "proc", kNoAll, "", true},
    {"sysfs", "/sys", "sysfs", kNoAll, "", true},
    // nsdelegate: a container's own cgroup files are not the container's to change, also when it
    // may make cgroups below. memory_recursiveprot: what protects a container protects its
    // children.
    {"cgroup2", "/sys/fs/cgroup", "cgroup2", kNoAll, "nsdelegate,memory_recursiveprot", true},
    {"devtmpfs", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755", true},
    {"devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666,gid=5", false},
    {"shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", false},
    {"run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=16m", true},
};

// Directories besides the mount points.
inline constexpr const char* kShareDirectory = "/share";
// Where each container's root is put in its own mount namespace before it becomes "/".
inline constexpr const char* kRootPlace = "/container";
inline constexpr const char* kCgroupRoot = "/sys/fs/cgroup";
// Its children are the containers.
inline constexpr const char* kContainersCgroup = "/sys/fs/cgroup/holt";

// The virtio-fs tag of the share, unless "holt.share=TAG" is on the kernel's command line; "-" is
// none.
inline constexpr const char* kDefaultShareTag = "holt";

// A file below /proc/sys. The guest runs without, too.
struct BaseSysctl {
  const char* name;
  const char* value;
};

inline constexpr BaseSysctl kBaseSysctls[] = {
    // All of the agent's log reaches the console, or the last line of a failure may be the one
    // dropped.
    {"kernel/printk_devkmsg", "on"},
    // The guest's log and addresses are no business of a container's.
    {"kernel/dmesg_restrict", "1"},
    {"kernel/kptr_restrict", "1"},
    {"kernel/unprivileged_bpf_disabled", "1"},
    // What distributions set, because shared writable directories are dangerous without.
    {"fs/protected_symlinks", "1"},
    {"fs/protected_hardlinks", "1"},
    {"fs/protected_fifos", "1"},
    {"fs/protected_regular", "1"},
};

}  // namespace holt::guest_agent
