// The processes of a machine as the host sees them while a container runs: what they were left
// with.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "tests/e2e/sandbox_harness.h"

namespace holt {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string ProcFile(pid_t pid, const std::string& name) {
  return base::ReadFile(fmt::format("/proc/{}/{}", pid, name), 1 << 20).value_or("");
}

std::string LinkOf(const std::string& path) {
  char target[PATH_MAX] = {};
  return readlink(path.c_str(), target, sizeof target - 1) < 0 ? "" : target;
}

class MachineSecurityTest : public SandboxTest {
 protected:
  void StartOne(std::function<void(oci::Config&, shim::Request&)> change = nullptr) {
    auto running = StartRunning("a", {"sleep", "1000"}, std::move(change));
    ASSERT_TRUE(running.ok()) << running.error().message();
    running_ = std::move(*running);
    for (const char* name : {"holt-vmm", "holt-fsd"}) processes_[name] = PidOf("a", name);
    if (Accel() == "software") processes_["QEMU"] = PidOf("a", "QEMU");
    for (const auto& [name, pid] : processes_) ASSERT_GT(pid, 1) << name;
  }
  // /proc/PID/task/*/status.
  static std::vector<std::string> Threads(pid_t pid) {
    std::vector<std::string> out;
    for (const auto& task : fs::directory_iterator(fmt::format("/proc/{}/task", pid)))
      if (auto status = base::ReadFile(task.path().string() + "/status"); status)
        out.push_back(*status);
    return out;
  }

  Running running_;
  std::map<std::string, pid_t> processes_;
};

TEST_F(MachineSecurityTest, EveryThreadIsUnderItsFilterAndWithoutPrivileges) {
  ASSERT_NO_FATAL_FAILURE(StartOne());
  const std::string uid = std::to_string(RecordOf("a").uid);
  EXPECT_NE(uid, "0");
  for (const auto& [name, pid] : processes_) {
    auto threads = Threads(pid);
    EXPECT_FALSE(threads.empty()) << name;
    for (const std::string& status : threads) {
      SCOPED_TRACE(name + ":\n" + status);
      EXPECT_THAT(status, HasSubstr("\nSeccomp:\t2\n"));
      EXPECT_THAT(status, HasSubstr("\nNoNewPrivs:\t1\n"));
      EXPECT_THAT(status, HasSubstr("\nCapAmb:\t0000000000000000\n"));
      EXPECT_THAT(status, HasSubstr("\nCapInh:\t0000000000000000\n"));
      if (name == "holt-fsd") {
        // docs/adr/0032-fsd-sandbox.md: the nine, and no others to gain.
        EXPECT_THAT(status, HasSubstr("\nCapPrm:\t00000000880000df\n"));
        EXPECT_THAT(status, HasSubstr("\nCapBnd:\t00000000880000df\n"));
        continue;
      }
      EXPECT_THAT(status, HasSubstr("\nCapPrm:\t0000000000000000\n"));
      EXPECT_THAT(status, HasSubstr("\nCapEff:\t0000000000000000\n"));
      EXPECT_THAT(status, HasSubstr(fmt::format("\nUid:\t{0}\t{0}\t{0}\t{0}\n", uid)));
      EXPECT_THAT(status, HasSubstr(fmt::format("\nGid:\t{0}\t{0}\t{0}\t{0}\n", uid)));
      EXPECT_THAT(status, HasSubstr("\nGroups:\t \n"));
    }
  }
  EXPECT_GE(Threads(processes_["holt-fsd"]).size(), 2u) << "the loop and the slow lane";
}

TEST_F(MachineSecurityTest, TheFileServerSeesTheShareAndNothingElse) {
  ASSERT_NO_FATAL_FAILURE(StartOne());
  const pid_t pid = processes_["holt-fsd"];
  for (const char* name : {"mnt", "net", "ipc", "uts"}) {
    const std::string theirs = LinkOf(fmt::format("/proc/{}/ns/{}", pid, name));
    EXPECT_THAT(theirs, StartsWith(name));
    EXPECT_NE(theirs, LinkOf(fmt::format("/proc/self/ns/{}", name)));
  }
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/root", pid)))
    names.push_back(entry.path().filename());
  EXPECT_THAT(names, ElementsAre("a"));
  // Every mount it has is the scaffold or below the container's directory; the scaffold is not
  // writable, and no mount gives devices, set-id programs or programs at all.
  const std::string mounts = ProcFile(pid, "mountinfo");
  EXPECT_NE(mounts, "");
  std::istringstream lines(mounts);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, point, options;
    fields >> id >> parent >> device >> root >> point >> options;
    EXPECT_TRUE(point == "/" || point.starts_with("/a/")) << line;
    EXPECT_THAT(options, AllOf(HasSubstr("nosuid"), HasSubstr("nodev"), HasSubstr("noexec")));
    if (point == "/") {
      EXPECT_THAT(line, HasSubstr(" - tmpfs holt ro,")) << "the scaffold";
    }
  }
}

// CVE-2026-24834: the guest's own mount, read-only too, says nothing of what the guest can do.
TEST_F(MachineSecurityTest, WhatIsReadOnlyIsSoInTheFileServersMounts) {
  for (const char* name : {"/kept", "/given"})
    ASSERT_TRUE(base::MakeDirs(root_ + "-volumes" + name).ok());
  ASSERT_NO_FATAL_FAILURE(StartOne([this](oci::Config& config, shim::Request&) {
    config.root->readonly = true;
    for (const char* name : {"kept", "given"})
      config.mounts.push_back({.destination = std::string("/mnt/") + name,
                               .type = "bind",
                               .source = root_ + "-volumes/" + name,
                               .options = {"rbind", name == std::string("kept") ? "ro" : "rw"}});
  }));
  std::map<std::string, std::string> options_of;  // by what is mounted
  std::istringstream lines(ProcFile(processes_["holt-fsd"], "mountinfo"));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, point, options;
    fields >> id >> parent >> device >> root >> point >> options;
    options_of[point == "/a/rootfs" ? "root" : fs::path(root).filename().string()] = options;
  }
  EXPECT_THAT(options_of["root"], StartsWith("ro,"));
  EXPECT_THAT(options_of["kept"], StartsWith("ro,"));
  EXPECT_THAT(options_of["given"], StartsWith("rw,"));
  (void)base::RemoveTree(root_ + "-volumes");
}

TEST_F(MachineSecurityTest, NoDiskOfTheHostAndNothingThatOthersBootCanBeWritten) {
  ASSERT_NO_FATAL_FAILURE(StartOne());
  const std::set<dev_t> harmless = {makedev(1, 3), makedev(1, 5), makedev(1, 8), makedev(1, 9)};
  size_t seen = 0;
  for (const auto& [name, pid] : processes_) {
    for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/fd", pid))) {
      const std::string path = entry.path();
      const std::string target = LinkOf(path);
      struct stat st {};
      if (stat(path.c_str(), &st) != 0) continue;
      SCOPED_TRACE(name + ": " + target);
      ++seen;
      EXPECT_FALSE(S_ISBLK(st.st_mode));
      if (S_ISCHR(st.st_mode)) {
        EXPECT_TRUE(harmless.contains(st.st_rdev) || target == "/dev/kvm");
      }
      if (!target.starts_with(build_)) continue;
      const std::string info = ProcFile(pid, "fdinfo/" + std::string(entry.path().filename()));
      const size_t at = info.find("flags:\t");
      ASSERT_NE(at, std::string::npos);
      const long flags = std::stol(info.substr(at + 7), nullptr, 8);
      EXPECT_EQ(flags & O_ACCMODE, O_RDONLY);
    }
  }
  EXPECT_GT(seen, 10u);
}

// What a configuration says, annotations above all, is for the guest: no process of the host's is
// started with any of it.
TEST_F(MachineSecurityTest, NoWordOfTheConfigurationReachesACommandLine) {
  const std::string marker = "m4rk3r";
  ASSERT_NO_FATAL_FAILURE(StartOne([&](oci::Config& config, shim::Request&) {
    for (const char* name :
         {"io.katacontainers.config.hypervisor.path", "io.katacontainers.config.hypervisor.kernel",
          "io.katacontainers.config.hypervisor.kernel_params",
          "io.katacontainers.config.hypervisor.virtio_fs_extra_args",
          "io.katacontainers.config.runtime.enable_pprof", "run.oci.handler", "holt.qemu",
          "holt.kernel", "holt.cmdline", "dev.holt.fsd-options"})
      config.annotations[name] = "/bin/" + marker + " -o " + marker;
    config.annotations[marker] = marker;
    config.hostname = marker;
    config.process->env.push_back("LD_PRELOAD=" + marker);
    config.process->args = {"sh", "-c", "sleep 1000 # " + marker};
  }));
  processes_["holt-monitor"] = running_.monitor.pid;
  for (const auto& [name, pid] : processes_)
    for (const char* file : {"cmdline", "environ"})
      EXPECT_THAT(ProcFile(pid, file), Not(HasSubstr(marker))) << name << " " << file;
}

// No machine is a copy of another: each boots and is given numbers of its own.
TEST_F(MachineSecurityTest, TwoGuestsHaveNothingRandomInCommon) {
  const std::string script =
      "cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid; head -c 16 /dev/urandom | "
      "od -An -tx1";
  std::set<std::string> seen;
  for (const char* id : {"a", "b"}) {
    Finished run = Run(id, {"sh", "-c", script});
    std::istringstream lines(run.out);
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count)
      EXPECT_TRUE(seen.insert(line).second) << line;
    EXPECT_EQ(count, 3) << run.out << run.err << run.error;
  }
}

}  // namespace
}  // namespace holt
