#pragma once

// Cgroups of the host as a test looks at them.

#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "tests/e2e/bundle_fixture.h"

namespace holt {

class CgroupTest : public BundleTest {
 protected:
  static constexpr char kRoot[] = "/sys/fs/cgroup";

  static bool HostHasV2() {
    struct statfs fs {};
    return statfs(kRoot, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
  }
  static std::string Config(const std::string& args, const std::string& more_linux) {
    return BundleTest::Config(args, "", "", more_linux);
  }
  static std::string Resources(const std::string& json) { return R"(,"resources":)" + json; }

  // A file's text without its last line end.
  static std::string Read(const std::string& path) {
    std::string text = base::ReadFile(path).value_or("(none)");
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }
  static std::string CommandOf(const std::string& pid) {
    std::string text = Read("/proc/" + pid + "/cmdline");
    std::replace(text.begin(), text.end(), '\0', ' ');
    return text;
  }
  static std::vector<std::string> ProcessesIn(const std::string& cgroup) {
    std::istringstream in(Read(cgroup + "/cgroup.procs"));
    std::vector<std::string> pids;
    for (std::string pid; in >> pid;) pids.push_back(pid);
    return pids;
  }
  // The process of that program; 0: none.
  static pid_t ProcessIn(const std::string& cgroup, const std::string& program) {
    for (const std::string& pid : ProcessesIn(cgroup))
      if (CommandOf(pid).find(program) != std::string::npos) return std::stoi(pid);
    return 0;
  }
  static pid_t MonitorIn(const std::string& cgroup) { return ProcessIn(cgroup, "holt-monitor"); }
  // All of a sandbox are in that cgroup, and nothing of it is elsewhere.
  void ExpectEverythingIn(const std::string& place, const std::string& id) {
    for (const char* program : {"holt-monitor", "holt-vmm", "holt-fsd", "holt-stub"})
      EXPECT_NE(ProcessIn(kRoot + place, program), 0) << program;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      std::string pid = entry.path().filename();
      if (pid[0] >= '0' && pid[0] <= '9' &&
          CommandOf(pid).find(root_ + "/" + id) != std::string::npos) {
        EXPECT_EQ(Read("/proc/" + pid + "/cgroup"), "0::" + place) << CommandOf(pid);
      }
    }
  }
  // A process of the container, in the background, with its pid in Scratch("exec-pid").
  void ExecDetached(const std::string& id, const std::string& args) {
    ASSERT_TRUE(
        base::WriteFile(Scratch("p.json"),
                        R"({"args":)" + args + R"(,"cwd":"/","env":["PATH=/bin:/usr/bin"]})")
            .ok());
    auto argv = Command({"exec", "--process", Scratch("p.json"), "--detach", "--pid-file",
                         Scratch("exec-pid"), id});
    std::vector<std::string> shell = {"/bin/sh", "-c", "\"$@\" >/dev/null 2>&1 </dev/null", "-"};
    shell.insert(shell.end(), argv.begin(), argv.end());
    ASSERT_EQ(Program::Start(shell, {})->Finish().status, 0);
  }
};

}  // namespace holt
