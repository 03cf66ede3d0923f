// Every process of a run killed, at many moments: the next command tells the truth, and nothing
// stays.

#include <dirent.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/e2e/holt.h"

namespace holt {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

constexpr int kMoments[] = {0, 5, 15, 30, 60, 120, 250, 500, 900, 1400, 1900, 2500};

class CrashTest : public HoltTest {
 protected:
  static std::string CommandOf(const std::string& pid) {
    auto text = base::ReadFile("/proc/" + pid + "/cmdline", 1 << 20);
    return text.value_or("");
  }
  // The monitor of this test's only sandbox, or 0.
  pid_t Monitor() const {
    return FindProcess([&](const std::string& pid) {
      std::string command = CommandOf(pid);
      return command.find("holt-monitor") != std::string::npos &&
             command.find(root_) != std::string::npos;
    });
  }
  // The monitor's child whose program has this name, or 0.
  pid_t ChildOf(pid_t monitor, const std::string& name) const {
    std::string parent = "\nPPid:\t" + std::to_string(monitor) + "\n";
    return FindProcess([&](const std::string& pid) {
      auto status = base::ReadFile("/proc/" + pid + "/status", 1 << 16);
      return status && status->find(parent) != std::string::npos &&
             CommandOf(pid).find(name) != std::string::npos;
    });
  }
  // Takes away what is left the way a person would, and fails if that does not do it.
  void ExpectNothingLeftAfterGc(const std::string& when) {
    std::vector<std::string> left;
    for (int i = 0; i < 100; ++i) {
      Finished gc = Holt({"gc"});
      EXPECT_EQ(gc.status, 0) << when << ": " << gc.err;
      std::string ids = Holt({"ps", "-aq"}).out;
      for (size_t at = 0; at < ids.size(); at = ids.find('\n', at) + 1) {
        Finished removed = Holt({"rm", "-f", ids.substr(at, ids.find('\n', at) - at)});
        EXPECT_THAT(removed.err, AnyOf("", HasSubstr("does not exist"))) << when;
      }
      left = Leftovers();
      if (left.empty()) return;
      usleep(50'000);
    }
    ADD_FAILURE() << when << ": left behind: " << left[0];
  }

 private:
  template <typename Predicate>
  static pid_t FindProcess(Predicate matches) {
    std::unique_ptr<DIR, int (*)(DIR*)> proc(opendir("/proc"), closedir);
    while (const dirent* entry = readdir(proc.get()))
      if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && matches(std::string(entry->d_name)))
        return std::stoi(entry->d_name);
    return 0;
  }
};

TEST_F(CrashTest, TheCommandKilledAtAnyMoment) {
  for (int moment : kMoments) {
    auto run = Program::Start(RunCommand({"--rm", "demo", "sleep", "1000"}), {});
    usleep(static_cast<useconds_t>(moment) * 1000);
    run->Signal(SIGKILL);
    run->Finish();
    ExpectNothingLeftAfterGc("after " + std::to_string(moment) + " ms");
  }
}

TEST_F(CrashTest, TheMonitorKilledAtAnyMoment) {
  for (int moment : kMoments) {
    auto run = Program::Start(RunCommand({"--rm", "demo", "sleep", "1000"}), {});
    pid_t monitor = 0;
    for (int i = 0; i < 2000 && monitor == 0; ++i) {
      monitor = Monitor();
      usleep(1000);
    }
    ASSERT_NE(monitor, 0);
    usleep(static_cast<useconds_t>(moment) * 1000);
    kill(monitor, SIGKILL);
    Finished finished = run->Finish();
    std::string when = "after " + std::to_string(moment) + " ms";
    EXPECT_THAT(finished.status, AnyOf(125, 137)) << when << finished.err;
    EXPECT_THAT(finished.err, HasSubstr("monitor")) << when;
    ExpectNothingLeftAfterGc(when);
  }
}

TEST_F(CrashTest, TheMonitorKilledBeforeTheFirstCallToIt) {
  auto run = Program::Start(RunCommand({"--rm", "demo", "sleep", "1000"}), {});
  pid_t monitor = 0;
  for (int i = 0; i < 2000 && monitor == 0; ++i) {
    monitor = Monitor();
    usleep(1000);
  }
  ASSERT_NE(monitor, 0);
  // The command sleeps until the container is there and its monitor is not.
  run->Signal(SIGSTOP);
  bool created = false;
  for (int i = 0; i < 1000 && !created; ++i) {
    created = Holt({"ps", "-a"}).out.find(" created") != std::string::npos;
    usleep(20'000);
  }
  ASSERT_TRUE(created);
  kill(monitor, SIGKILL);
  run->Signal(SIGCONT);
  Finished finished = run->Finish();
  EXPECT_EQ(finished.status, 125);
  EXPECT_THAT(ErrorOf(finished), HasSubstr("holt-monitor killed by signal 9"));
  ExpectNothingLeftAfterGc("before the first call");
}

TEST_F(CrashTest, AProcessOfTheMachineKilledWhileItRuns) {
  std::vector<std::string> names = {"holt-vmm", "holt-fsd"};
  if (Accel() == "software") names.push_back("qemu-system");
  for (const std::string& name : names) {
    auto run =
        Program::Start(RunCommand({"--rm", "demo", "sh", "-c", "echo ready; sleep 1000"}), {});
    ASSERT_TRUE(run->WaitFor("ready"));
    pid_t victim = ChildOf(Monitor(), name);
    ASSERT_NE(victim, 0) << name;
    kill(victim, SIGKILL);
    Finished finished = run->Finish();
    EXPECT_EQ(finished.status, 125) << name;
    EXPECT_THAT(ErrorOf(finished), HasSubstr("killed by signal 9")) << name;
    for (int i = 0; i < 200 && !Leftovers().empty(); ++i) usleep(20'000);
    EXPECT_TRUE(Leftovers().empty()) << name << ": " << Leftovers()[0];
  }
}

TEST_F(CrashTest, AProcessOfTheMachineKilledWhileItStarts) {
  std::vector<std::string> names = {"holt-vmm", "holt-fsd"};
  if (Accel() == "software") names.push_back("qemu-system");
  for (const std::string& name : names) {
    auto run = Program::Start(RunCommand({"--rm", "demo", "true"}), {});
    pid_t victim = 0;
    for (int i = 0; i < 2000 && victim == 0; ++i) {
      pid_t monitor = Monitor();
      victim = monitor == 0 ? 0 : ChildOf(monitor, name);
      usleep(1000);
    }
    ASSERT_NE(victim, 0) << name;
    kill(victim, SIGKILL);
    Finished finished = run->Finish();
    EXPECT_EQ(finished.status, 125) << name;
    EXPECT_THAT(ErrorOf(finished), HasSubstr("killed by signal 9")) << name;
    EXPECT_TRUE(Leftovers().empty()) << name << ": " << Leftovers()[0];
  }
}

TEST_F(CrashTest, ManyRunsInARowLeaveNothing) {
  const char* given = getenv("HOLT_TEST_RUNS");
  int runs = given != nullptr ? atoi(given) : 30;
  for (int i = 0; i < runs; ++i) {
    Finished finished = Run({"--rm", "demo", "sh", "-c", "echo $((6 * 7))"});
    ASSERT_EQ(finished.status, 0) << "run " << i << ": " << finished.err;
    ASSERT_EQ(finished.out, "42\n") << "run " << i;
    auto left = Leftovers();
    ASSERT_TRUE(left.empty()) << "run " << i << ": " << left[0];
  }
}

}  // namespace
}  // namespace holt
