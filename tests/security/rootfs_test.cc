// How the agent builds a container's root, tried as root on this machine's kernel: in a mount
// namespace of a child, with an image and a racing neighbour that do their worst.

#include "guest-agent/mount/rootfs.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "base/file.h"
#include "guest-agent/mount/in_root.h"

namespace holt::guest_agent {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class RootfsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(geteuid(), 0u) << "mounting needs root";
    const char* base = getenv("TMPDIR");
    top_ = std::string(base ? base : "/tmp") + "/holt-rootfs.XXXXXX";
    ASSERT_NE(mkdtemp(top_.data()), nullptr);
    for (const char* name :
         {"/share/rootfs/dev", "/share/rootfs/dest", "/outside", "/place", "/dev"})
      ASSERT_TRUE(base::MakeDirs(top_ + name).ok());
    ASSERT_TRUE(base::WriteFile(top_ + "/outside/file", "outside").ok());
    ASSERT_TRUE(base::WriteFile(Root("secret"), "secret").ok());
    ASSERT_TRUE(base::WriteFile(top_ + "/dev/null", "the agent's own").ok());
    config_.root = oci::Root{"rootfs", false};
    config_.linux_.emplace();
  }
  void TearDown() override {
    auto removed = base::RemoveTree(top_);
    EXPECT_TRUE(removed.ok()) << removed.error().message();
  }

  std::string Root(const std::string& name) const { return top_ + "/share/rootfs/" + name; }
  void Link(const std::string& target, const std::string& name) {
    ASSERT_EQ(symlink(target.c_str(), Root(name).c_str()), 0);
  }

  // Sets the root up in a child with a mount namespace of its own; what `then` makes of it, or
  // "error: …". The namespace ends with the child.
  std::string Build(const std::function<std::string(int root)>& then) {
    int fds[2];
    EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
    const pid_t pid = fork();
    if (pid == 0) {
      std::string said = BuildHere(then);
      _exit(base::WriteFd(fds[1], said).ok() ? 0 : 1);
    }
    close(fds[1]);
    base::UniqueFd read_end(fds[0]);
    std::string said = base::ReadFd(read_end.get(), 1 << 20).value_or("?");
    EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
    return said;
  }

  // The mount points of the calling process.
  static std::string Mounts() { return base::ReadFile("/proc/self/mountinfo").value_or("?"); }

  std::string top_;
  oci::Config config_;

 private:
  std::string BuildHere(const std::function<std::string(int root)>& then) {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      return "no mount namespace";
    RootfsInputs inputs;
    inputs.config = &config_;
    auto share = base::Open(top_ + "/share", O_PATH | O_DIRECTORY);
    auto dev = base::Open(top_ + "/dev", O_PATH | O_DIRECTORY);
    inputs.share = share->get();
    inputs.dev = dev->get();
    inputs.mount_point = top_ + "/place";
    inputs.cgroup_namespace = true;
    auto root = SetUpRootfs(inputs);
    if (!root) return "error: " + root.error().message();
    return then(root->get());
  }
};

// CVE-2021-30465: somebody who shares the directory swaps a mount's destination for a link at the
// right moment.
TEST_F(RootfsTest, ASwappedDestinationIsNeverMountedOutside) {
  config_.mounts.push_back({"/dest", "tmpfs", "tmpfs", {"size=64k"}, {}, {}});
  Link(top_ + "/outside", "link");
  const pid_t racer = fork();
  if (racer == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // where a failure leaves it
    while (true) {
      (void)renameat2(AT_FDCWD, Root("dest").c_str(), AT_FDCWD, Root("link").c_str(),
                      RENAME_EXCHANGE);
    }
  }
  ASSERT_GT(racer, 0);
  int built = 0;
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    const std::string mounts = Build([](int) { return Mounts(); });
    ++(mounts.starts_with("error: ") ? refused : built);
    ASSERT_THAT(mounts, Not(HasSubstr(top_ + "/outside"))) << "in round " << i;
  }
  EXPECT_EQ(kill(racer, SIGKILL), 0);
  EXPECT_EQ(waitpid(racer, nullptr, 0), racer);
  EXPECT_GT(built, 0);
  EXPECT_GT(refused, 0) << "the link was never met";
}

// CVE-2025-31133: what covers a masked file is the agent's own null device, whatever the image, or
// somebody in time, has made of the container's.
TEST_F(RootfsTest, AMaskedFileIsCoveredByTheAgentsNull) {
  config_.linux_->masked_paths = {"/secret"};
  config_.mounts.push_back(
      {"/dev", "bind", "rootfs/fake-dev", {"bind"}, {}, {}});  // so that no devices are made
  ASSERT_TRUE(base::MakeDirs(Root("fake-dev")).ok());
  Link("../secret", "fake-dev/null");
  auto read = [](int root) {
    auto file = OpenInRoot(root, "/secret", O_RDONLY);
    return file ? base::ReadFd(file->get(), 100).value_or("?") : file.error().message();
  };
  EXPECT_EQ(Build(read), "the agent's own");
}

TEST_F(RootfsTest, MaskedAndReadOnlyPathsThatAreLinksStayInTheRoot) {
  Link(top_ + "/outside/file", "link");
  Link("/proc/self/root" + top_ + "/outside/file", "magic");
  for (const char* path : {"/link", "/magic", "/../outside/file", "../../../outside"}) {
    for (bool masked : {true, false}) {
      config_.linux_->masked_paths.clear();
      config_.linux_->readonly_paths.clear();
      (masked ? config_.linux_->masked_paths : config_.linux_->readonly_paths) = {path};
      const std::string mounts = Build([](int) { return Mounts(); });
      EXPECT_THAT(mounts, Not(HasSubstr(top_ + "/outside"))) << path;
    }
  }
}

// CVE-2025-52565: the same of the terminal's bind on /dev/console.
TEST_F(RootfsTest, AConsoleThatIsALinkStaysInTheRoot) {
  for (const std::string& target : {top_ + "/outside/file", std::string("../../../outside/file"),
                                    "/proc/self/root" + top_ + "/outside/file"}) {
    (void)unlink(Root("dev/console").c_str());
    Link(target, "dev/console");
    const std::string mounts = Build([](int root) {
      base::UniqueFd master(posix_openpt(O_RDWR | O_NOCTTY));
      if (grantpt(master.get()) != 0 || unlockpt(master.get()) != 0) return std::string("no pty");
      base::UniqueFd slave(open(ptsname(master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
      (void)BindConsole(root, slave.get());
      return Mounts();
    });
    EXPECT_THAT(mounts, Not(StartsWith("no pty")));
    EXPECT_THAT(mounts, Not(HasSubstr(top_ + "/outside"))) << target;
  }
}

TEST_F(RootfsTest, DevicesAreMadeInTheRootAndNotThroughLinks) {
  ASSERT_EQ(rmdir(Root("dev").c_str()), 0);
  Link(top_ + "/outside", "dev");
  EXPECT_THAT(Build([](int) { return "made"; }), StartsWith("error: "));
  ASSERT_EQ(unlink(Root("dev").c_str()), 0);
  ASSERT_TRUE(base::MakeDirs(Root("dev")).ok());
  Link(top_ + "/outside/file", "dev/null");
  Link(top_ + "/outside/new", "dev/zero");
  EXPECT_EQ(Build([](int) { return "made"; }), "made");
  EXPECT_EQ(*base::ReadFile(top_ + "/outside/file"), "outside");
  EXPECT_FALSE(base::PathExists(top_ + "/outside/new"));
  struct stat st {};
  ASSERT_EQ(lstat(Root("dev/null").c_str(), &st), 0);
  EXPECT_TRUE(S_ISCHR(st.st_mode));
}

}  // namespace
}  // namespace holt::guest_agent
