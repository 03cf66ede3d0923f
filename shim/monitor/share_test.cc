// What the monitor, as root, makes in an image's root file system.
#include "shim/monitor/share.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"

namespace holt::shim {
namespace {

class MakeInRootTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "holt-share-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    top_ = name;
    ASSERT_TRUE(base::MakeDirs(top_ + "/root/etc").ok());
    ASSERT_TRUE(base::MakeDirs(top_ + "/outside").ok());
    ASSERT_TRUE(base::WriteFile(top_ + "/root/etc/hosts", "image").ok());
    Link(top_ + "/outside", "absolute");
    Link("../outside", "relative");
    Link("/proc/self/root" + top_ + "/outside", "magic");
    Link(top_ + "/outside/file", "to-a-file");
    Link("/etc", "good");
    root_ = *base::Open(top_ + "/root", O_PATH | O_DIRECTORY);
  }
  void TearDown() override {
    EXPECT_TRUE(std::filesystem::is_empty(top_ + "/outside"));
    std::filesystem::remove_all(top_);
  }
  void Link(const std::string& target, const std::string& name) {
    ASSERT_EQ(symlink(target.c_str(), (top_ + "/root/" + name).c_str()), 0);
  }

  std::string top_;
  base::UniqueFd root_;
};

TEST_F(MakeInRootTest, MakesWhatIsMissingAndKeepsWhatIsThere) {
  EXPECT_TRUE(MakeInRoot(root_.get(), "/a/b/c", false).ok());
  EXPECT_TRUE(std::filesystem::is_directory(top_ + "/root/a/b/c"));
  EXPECT_TRUE(MakeInRoot(root_.get(), "/a/file", true).ok());
  EXPECT_TRUE(std::filesystem::is_regular_file(top_ + "/root/a/file"));
  EXPECT_TRUE(MakeInRoot(root_.get(), "/etc/hosts", true).ok());
  EXPECT_EQ(*base::ReadFile(top_ + "/root/etc/hosts"), "image");
  EXPECT_TRUE(MakeInRoot(root_.get(), "good/new", false).ok());
  EXPECT_TRUE(std::filesystem::is_directory(top_ + "/root/etc/new"));
}

TEST_F(MakeInRootTest, LinksDoNotLeadOut) {
  for (const char* path : {"/absolute/x", "/relative/x", "/magic/x", "/to-a-file", "/to-a-file/x",
                           "/../outside/x", "/good/../../outside/x"})
    for (bool file : {true, false}) (void)MakeInRoot(root_.get(), path, file);
  // TearDown looks outside.
}

}  // namespace
}  // namespace holt::shim
