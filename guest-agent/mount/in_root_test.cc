#include "guest-agent/mount/in_root.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

namespace holt::guest_agent {
namespace {

using ::testing::ElementsAre;

// A root in a directory whose neighbour must stay as it is.
class InRootTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(base::RemoveTree(top_).ok());
    ASSERT_TRUE(base::MakeDirs(top_ + "/root/etc").ok());
    ASSERT_TRUE(base::MakeDirs(top_ + "/outside").ok());
    ASSERT_TRUE(base::WriteFile(top_ + "/outside/secret", "secret").ok());
    ASSERT_TRUE(base::WriteFile(top_ + "/root/etc/passwd", "inside").ok());
    Link("../outside", "relative");
    Link(top_ + "/outside", "absolute");
    Link("/proc/self/root" + top_ + "/outside", "magic");
    Link("loop", "loop");
    Link("/nowhere", "dangling");
    Link("/etc", "good");
    root_ = *base::Open(top_ + "/root", O_PATH | O_DIRECTORY);
  }
  void TearDown() override {
    // Nothing was made outside, whatever the paths said.
    EXPECT_FALSE(base::PathExists(top_ + "/outside/new"));
    EXPECT_EQ(*base::ReadFile(top_ + "/outside/secret"), "secret");
    EXPECT_TRUE(base::RemoveTree(top_).ok());
  }
  void Link(const std::string& target, const std::string& name) {
    ASSERT_EQ(symlink(target.c_str(), (top_ + "/root/" + name).c_str()), 0);
  }
  std::string Read(const std::string& path) {
    auto file = OpenInRoot(root_.get(), path, O_RDONLY);
    return file ? *base::ReadFd(file->get(), 100) : "error";
  }

  const std::string top_ = testing::TempDir() + "/in_root_test";
  base::UniqueFd root_;
};

TEST_F(InRootTest, PathsStayInside) {
  EXPECT_EQ(Read("/etc/passwd"), "inside");
  EXPECT_EQ(Read("../../etc/passwd"), "inside");
  EXPECT_EQ(Read("good/passwd"), "inside");
  for (const char* path : {"relative/secret", "absolute/secret", "magic/secret", "loop/x",
                           "../outside/secret", "/../outside/secret", "good/../../outside/secret"})
    EXPECT_EQ(Read(path), "error") << path;
}

TEST_F(InRootTest, MakingDirectoriesStaysInside) {
  EXPECT_TRUE(MakeDirsInRoot(root_.get(), "/a/b/../c").ok());
  EXPECT_TRUE(base::PathExists(top_ + "/root/a/c"));
  EXPECT_TRUE(MakeDirsInRoot(root_.get(), "good/new").ok());
  EXPECT_TRUE(base::PathExists(top_ + "/root/etc/new"));
  // ".." above the root is the root: this makes `outside` inside.
  EXPECT_TRUE(MakeDirsInRoot(root_.get(), "../outside/new").ok());
  EXPECT_TRUE(base::PathExists(top_ + "/root/outside/new"));
  for (const char* path :
       {"absolute/new", "magic/new", "loop/new", "dangling/new", "etc/passwd/new"})
    EXPECT_FALSE(MakeDirsInRoot(root_.get(), path).ok()) << path;
}

TEST_F(InRootTest, MakingFilesStaysInside) {
  EXPECT_TRUE(MakeFileInRoot(root_.get(), "/x/y/file").ok());
  EXPECT_TRUE(base::PathExists(top_ + "/root/x/y/file"));
  EXPECT_TRUE(MakeFileInRoot(root_.get(), "/etc/passwd").ok()) << "what is there is kept";
  EXPECT_EQ(Read("/etc/passwd"), "inside");
  for (const char* path : {"absolute/new", "dangling", "a/.."})
    EXPECT_FALSE(MakeFileInRoot(root_.get(), path).ok()) << path;
  EXPECT_FALSE(base::PathExists("/nowhere"));
}

TEST_F(InRootTest, NoSymlinksMeansNone) {
  EXPECT_TRUE(OpenInRootNoSymlinks(root_.get(), "/etc/passwd", O_PATH).ok());
  EXPECT_FALSE(OpenInRootNoSymlinks(root_.get(), "/good/passwd", O_PATH).ok());
}

TEST(PathTest, Components) {
  EXPECT_THAT(PathComponents("/a//b/./c/"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(PathComponents("../x"), ElementsAre("..", "x"));
  EXPECT_TRUE(PathComponents("/").empty());
}

TEST(PathTest, SplitLast) {
  EXPECT_EQ(*SplitLast("/a/b"), std::pair(std::string("/a"), std::string("b")));
  EXPECT_EQ(*SplitLast("a"), std::pair(std::string("/"), std::string("a")));
  EXPECT_FALSE(SplitLast("/").ok());
  EXPECT_FALSE(SplitLast("/a/..").ok());
}

}  // namespace
}  // namespace holt::guest_agent
