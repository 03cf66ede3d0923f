#include "shim/run/defaults.h"

#include <fmt/format.h>

namespace holt::shim {

std::vector<oci::Mount> DefaultMounts(uint64_t shm_bytes) {
  return {
      {.destination = "/proc",
       .type = "proc",
       .source = "proc",
       .options = {"nosuid", "noexec", "nodev"}},
      {.destination = "/dev",
       .type = "tmpfs",
       .source = "tmpfs",
       .options = {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      // 5 is the group "tty", in Debian and wherever Docker runs.
      {.destination = "/dev/pts",
       .type = "devpts",
       .source = "devpts",
       .options = {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      {.destination = "/sys",
       .type = "sysfs",
       .source = "sysfs",
       .options = {"nosuid", "noexec", "nodev", "ro"}},
      {.destination = "/sys/fs/cgroup",
       .type = "cgroup",
       .source = "cgroup",
       .options = {"ro", "nosuid", "noexec", "nodev"}},
      {.destination = "/dev/mqueue",
       .type = "mqueue",
       .source = "mqueue",
       .options = {"nosuid", "noexec", "nodev"}},
      {.destination = "/dev/shm",
       .type = "tmpfs",
       .source = "shm",
       .options = {"nosuid", "noexec", "nodev", "mode=1777", fmt::format("size={}", shm_bytes)}},
  };
}

std::vector<std::string> DefaultMaskedPaths() {
  return {"/proc/acpi",
          "/proc/asound",
          "/proc/interrupts",
          "/proc/kcore",
          "/proc/keys",
          "/proc/latency_stats",
          "/proc/sched_debug",
          "/proc/scsi",
          "/proc/timer_list",
          "/proc/timer_stats",
          "/sys/devices/virtual/powercap",
          "/sys/firmware"};
}

std::vector<std::string> DefaultReadonlyPaths() {
  return {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
}

std::vector<oci::DeviceRule> DefaultDeviceRules() {
  std::vector<oci::DeviceRule> rules = {{.allow = false, .access = "rwm"}};
  for (const char* type : {"c", "b"}) rules.push_back({.allow = true, .type = type, .access = "m"});
  struct Node {
    int64_t major;
    int64_t minor;  // -1: all
  };
  // null, zero, full, random, urandom; tty, console, ptmx; pseudo-terminals.
  constexpr Node kNodes[] = {{1, 3}, {1, 5}, {1, 7}, {1, 8},   {1, 9},
                             {5, 0}, {5, 1}, {5, 2}, {136, -1}};
  for (const Node& node : kNodes) {
    oci::DeviceRule rule{.allow = true, .type = "c", .major = node.major, .access = "rwm"};
    if (node.minor >= 0) rule.minor = node.minor;
    rules.push_back(std::move(rule));
  }
  return rules;
}

std::vector<oci::Namespace> DefaultNamespaces() {
  return {{"pid", ""}, {"network", ""}, {"mount", ""}, {"ipc", ""}, {"uts", ""}, {"cgroup", ""}};
}

}  // namespace holt::shim
