#include "guest-agent/mount/copy_up.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

namespace holt::guest_agent {
namespace {

class CopyUpTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(base::RemoveTree(top_).ok());
    ASSERT_TRUE(base::MakeDirs(top_ + "/from").ok());
    ASSERT_TRUE(base::MakeDirs(top_ + "/to").ok());
    ASSERT_TRUE(base::MakeDirs(top_ + "/outside").ok());
    ASSERT_TRUE(base::WriteFile(top_ + "/outside/secret", "secret").ok());
    from_ = *base::Open(top_ + "/from", O_PATH | O_DIRECTORY);
    to_ = *base::Open(top_ + "/to", O_PATH | O_DIRECTORY);
  }
  void TearDown() override { EXPECT_TRUE(base::RemoveTree(top_).ok()); }

  const std::string top_ = testing::TempDir() + "/copy_up_test";
  base::UniqueFd from_, to_;
};

TEST_F(CopyUpTest, ContentModesAndTimes) {
  ASSERT_TRUE(base::MakeDirs(top_ + "/from/a/b").ok());
  std::string content(200'000, 'x');
  ASSERT_TRUE(base::WriteFile(top_ + "/from/a/b/file", content).ok());
  ASSERT_EQ(chmod((top_ + "/from/a/b/file").c_str(), 0604), 0);
  ASSERT_EQ(chmod((top_ + "/from/a").c_str(), 01777), 0);
  timespec times[2] = {{100, 0}, {200, 5}};
  ASSERT_EQ(utimensat(AT_FDCWD, (top_ + "/from/a/b/file").c_str(), times, 0), 0);
  auto copied = CopyTree(from_.get(), to_.get());
  ASSERT_TRUE(copied.ok()) << copied.error().message();
  EXPECT_EQ(*base::ReadFile(top_ + "/to/a/b/file"), content);
  struct stat st {};
  ASSERT_EQ(stat((top_ + "/to/a/b/file").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0604u);
  EXPECT_EQ(st.st_mtim.tv_sec, 200);
  EXPECT_EQ(st.st_mtim.tv_nsec, 5);
  ASSERT_EQ(stat((top_ + "/to/a").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 01777u);
}

TEST_F(CopyUpTest, LinksAndPipesStayWhatTheyAre) {
  ASSERT_EQ(symlink("../outside", (top_ + "/from/directory").c_str()), 0);
  ASSERT_EQ(symlink((top_ + "/outside/secret").c_str(), (top_ + "/from/file").c_str()), 0);
  ASSERT_EQ(mkfifo((top_ + "/from/pipe").c_str(), 0600), 0);
  auto copied = CopyTree(from_.get(), to_.get());
  ASSERT_TRUE(copied.ok()) << copied.error().message();
  struct stat st {};
  for (const char* name : {"directory", "file"}) {
    ASSERT_EQ(lstat((top_ + "/to/" + name).c_str(), &st), 0);
    EXPECT_TRUE(S_ISLNK(st.st_mode)) << name;
  }
  ASSERT_EQ(lstat((top_ + "/to/pipe").c_str(), &st), 0);
  EXPECT_TRUE(S_ISFIFO(st.st_mode));
}

TEST_F(CopyUpTest, DepthIsBounded) {
  std::string path = top_ + "/from";
  for (int i = 0; i < 250; ++i) path += "/d";
  ASSERT_TRUE(base::MakeDirs(path).ok());
  auto copied = CopyTree(from_.get(), to_.get());
  ASSERT_FALSE(copied.ok());
  EXPECT_THAT(copied.error().message(), testing::HasSubstr("more than 200 directories"));
}

}  // namespace
}  // namespace holt::guest_agent
