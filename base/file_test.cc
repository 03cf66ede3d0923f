#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace holt::base {
namespace {

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/holt-file-test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string dir_;
};

TEST_F(FileTest, WriteAndRead) {
  ASSERT_TRUE(WriteFile(dir_ + "/f", "content").ok());
  EXPECT_EQ(*ReadFile(dir_ + "/f"), "content");
  EXPECT_EQ(ReadFile(dir_ + "/f", 3).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(ReadFile(dir_ + "/none").error().message(),
            "open " + dir_ + "/none: No such file or directory");
}

TEST_F(FileTest, AtomicWriteReplacesAndLeavesNothingAside) {
  ASSERT_TRUE(WriteFileAtomic(dir_ + "/f", "old").ok());
  ASSERT_TRUE(WriteFileAtomic(dir_ + "/f", "new", 0600).ok());
  EXPECT_EQ(*ReadFile(dir_ + "/f"), "new");
  struct stat st {};
  ASSERT_EQ(stat((dir_ + "/f").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_), {}), 1);
}

TEST_F(FileTest, RemoveTreeDoesNotFollowSymlinks) {
  ASSERT_TRUE(MakeDirs(dir_ + "/out").ok());
  ASSERT_TRUE(WriteFile(dir_ + "/out/keep", "x").ok());
  ASSERT_TRUE(MakeDirs(dir_ + "/tree/a/b").ok());
  ASSERT_EQ(symlink((dir_ + "/out").c_str(), (dir_ + "/tree/a/link").c_str()), 0);
  ASSERT_TRUE(RemoveTree(dir_ + "/tree").ok());
  EXPECT_FALSE(PathExists(dir_ + "/tree"));
  EXPECT_TRUE(PathExists(dir_ + "/out/keep"));
  EXPECT_TRUE(RemoveTree(dir_ + "/tree").ok());
}

// Deeper than a path can be written and than descriptors would last: what a guest leaves behind
// must go all the same.
TEST_F(FileTest, RemoveTreeTakesAnyDepth) {
  constexpr int kDepth = 1000;
  ASSERT_TRUE(MakeDirs(dir_ + "/tree").ok());
  auto at = Open(dir_ + "/tree", O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(at.ok());
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(mkdirat(at->get(), "d", 0755), 0);
    ASSERT_EQ(mkdirat(at->get(), ".removing-0", 0755), 0);
    at = OpenAt(at->get(), "d", O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(at.ok());
  }
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 250;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  Status removed = RemoveTree(dir_ + "/tree");
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(removed.ok()) << removed.error().message();
  EXPECT_FALSE(PathExists(dir_ + "/tree"));
}

TEST_F(FileTest, OpenAt2KeepsPathsBeneath) {
  ASSERT_TRUE(MakeDirs(dir_ + "/root").ok());
  ASSERT_EQ(symlink("/etc/passwd", (dir_ + "/root/evil").c_str()), 0);
  auto root = Open(dir_ + "/root", O_PATH | O_DIRECTORY);
  ASSERT_TRUE(root.ok());
  EXPECT_FALSE(OpenAt2(root->get(), "evil", O_RDONLY, RESOLVE_BENEATH).ok());
  EXPECT_FALSE(OpenAt2(root->get(), "evil", O_RDONLY, RESOLVE_IN_ROOT).ok());
  EXPECT_FALSE(OpenAt2(root->get(), "../../etc/passwd", O_RDONLY, RESOLVE_BENEATH).ok());
}

}  // namespace
}  // namespace holt::base
