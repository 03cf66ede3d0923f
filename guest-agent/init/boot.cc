#include "guest-agent/init/boot.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cgroup/cgroup.h"
#include "guest-agent/init/tables.h"
#include "guest-agent/net/loopback.h"

namespace holt::guest_agent {
namespace {

using base::Result;
using base::Status;
using base::UniqueFd;

// A directory of the initramfs, see initramfs.cc.
constexpr const char* kNewRoot = "/run";
constexpr rlim_t kAgentFiles = 65536;
constexpr rlim_t kMaxFiles = 1048576;

// Standard descriptors that are not open would be taken by something else.
void OpenStandard() {
  for (int fd = 0; fd < 3; ++fd)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) return;
}

Status MountBase() {
  if (mount("holt", kNewRoot, "tmpfs", MS_NOSUID | MS_NODEV, kRootOptions) != 0)
    return HOLT_ERRNO("mount /");
  for (const BaseMount& entry : kBaseMounts) {
    std::string target = std::string(kNewRoot) + entry.target;
    if (mkdir(target.c_str(), 0755) != 0 && errno != EEXIST)
      return HOLT_ERRNO("mkdir {}", entry.target);
    if (mount(entry.source, target.c_str(), entry.type, entry.flags, entry.data) == 0) continue;
    base::Error error = HOLT_ERRNO("mount {} on {}", entry.type, entry.target);
    if (entry.fatal) return error;
    base::log::Warning("{}", error.message());
  }
  for (const char* directory : {kShareDirectory, kRootPlace})
    if (mkdir((std::string(kNewRoot) + directory).c_str(), 0755) != 0)
      return HOLT_ERRNO("mkdir {}", directory);
  return {};
}

// The mounted root becomes "/", on top of the initramfs, whose files stay: the running program is
// one. A container that is made to execute /proc/self/exe reaches it, and must not write to it.
Status MoveRoot() {
  if (chdir(kNewRoot) != 0) return HOLT_ERRNO("chdir {}", kNewRoot);
  if (mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) != 0)
    return HOLT_ERRNO("make the initramfs read-only");
  if (mount(".", "/", nullptr, MS_MOVE, nullptr) != 0) return HOLT_ERRNO("move the root");
  if (chroot(".") != 0) return HOLT_ERRNO("chroot");
  if (chdir("/") != 0) return HOLT_ERRNO("chdir /");
  return {};
}

Result<UniqueFd> StartLog(std::string_view level) {
  TRY_ASSIGN(UniqueFd kmsg, base::Open("/dev/kmsg", O_WRONLY));
  base::log::Init({.program = "holt-agent",
                   .level = base::log::LevelFromName(level),
                   .format = base::log::Format::kKmsg,
                   .fd = kmsg.get()});
  return kmsg;
}

Status ProtectSelf() {
  // No process of a container can trace the agent or look into its /proc, its forks included until
  // they execute something.
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return HOLT_ERRNO("PR_SET_DUMPABLE");
  for (int signal : {SIGPIPE, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2})
    ::signal(signal, SIG_IGN);
  umask(022);
  rlimit files{kAgentFiles, kMaxFiles};
  if (setrlimit(RLIMIT_NOFILE, &files) != 0) return HOLT_ERRNO("RLIMIT_NOFILE");
  rlimit core{0, RLIM_INFINITY};
  if (setrlimit(RLIMIT_CORE, &core) != 0) return HOLT_ERRNO("RLIMIT_CORE");
  // The machine's memory running out must end a container, not the machine.
  return base::WriteFile("/proc/self/oom_score_adj", "-1000");
}

Status SetUpCgroups() {
  TRY_CONTEXT(cgroup::DelegateControllers(kCgroupRoot), "cgroup");
  if (mkdir(kContainersCgroup, 0755) != 0) return HOLT_ERRNO("make cgroup {}", kContainersCgroup);
  TRY_CONTEXT(cgroup::DelegateControllers(kContainersCgroup), "cgroup");
  return {};
}

Result<UniqueFd> MountShare(const std::string& tag) {
  if (tag != "-" && mount(tag.c_str(), kShareDirectory, "virtiofs", 0, "") != 0) {
    if (errno == EINVAL || errno == ENOENT)
      return base::MakeError(base::Code::kNotFound,
                             "share: the machine has no virtio-fs device with the tag \"{}\"", tag);
    return HOLT_ERRNO("share: mount virtio-fs \"{}\"", tag);
  }
  return base::Open(kShareDirectory, O_PATH | O_DIRECTORY);
}

}  // namespace

std::string CommandLineValue(std::string_view command_line, std::string_view name,
                             std::string_view otherwise) {
  std::string_view value = otherwise;
  while (!command_line.empty()) {
    size_t end = std::min(command_line.find_first_of(" \n"), command_line.size());
    std::string_view word = command_line.substr(0, end);
    command_line.remove_prefix(std::min(end + 1, command_line.size()));
    if (word.size() > name.size() && word.starts_with(name) && word[name.size()] == '=')
      value = word.substr(name.size() + 1);
  }
  return std::string(value);
}

Status Boot(Timeline& timeline, Booted& booted) {
  OpenStandard();
  TRY(MountBase());
  TRY(MoveRoot());
  TRY_ASSIGN(std::string command_line, base::ReadFile("/proc/cmdline", 64 << 10));
  TRY_ASSIGN(booted.log, StartLog(CommandLineValue(command_line, "holt.log", "info")));
  timeline.Mark("mounts");
  TRY(ProtectSelf());
  TRY(SetUpCgroups());
  timeline.Mark("cgroups");
  TRY_ASSIGN(booted.share,
             MountShare(CommandLineValue(command_line, "holt.share", kDefaultShareTag)));
  timeline.Mark("share");
  return {};
}

void FinishBoot(Timeline& timeline) {
  for (const BaseSysctl& entry : kBaseSysctls) {
    auto written = base::WriteFile(std::string("/proc/sys/") + entry.name, entry.value);
    if (!written) base::log::Warning("{}", written.error().message());
  }
  timeline.Mark("sysctls");
  if (auto up = BringLoopbackUp(); !up) base::log::Warning("{}", up.error().message());
  timeline.Mark("loopback");
}

}  // namespace holt::guest_agent
