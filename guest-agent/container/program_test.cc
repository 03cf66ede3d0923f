#include "guest-agent/container/program.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "base/file.h"

namespace holt::guest_agent {
namespace {

using ::testing::HasSubstr;

class ProgramTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(base::RemoveTree(dir_).ok());
    ASSERT_TRUE(base::MakeDirs(dir_ + "/a").ok());
    ASSERT_TRUE(base::MakeDirs(dir_ + "/b/directory").ok());
    ASSERT_TRUE(base::WriteFile(dir_ + "/a/data", "", 0644).ok());
    ASSERT_TRUE(base::WriteFile(dir_ + "/b/data", "", 0644).ok());
    ASSERT_EQ(chmod((dir_ + "/b/data").c_str(), 0755), 0);
    environment_ = {"X=1", "PATH=" + dir_ + "/a:" + dir_ + "/nothing:" + dir_ + "/b"};
  }
  void TearDown() override { EXPECT_TRUE(base::RemoveTree(dir_).ok()); }

  const std::string dir_ = testing::TempDir() + "/program_test";
  std::vector<std::string> environment_;
};

TEST_F(ProgramTest, GoesOnPastWhatCannotBeExecuted) {
  auto found = FindProgram("data", environment_);
  ASSERT_TRUE(found.ok()) << found.error().message();
  EXPECT_EQ(*found, dir_ + "/b/data");
}

TEST_F(ProgramTest, NotThereIsNotFound) {
  auto found = FindProgram("nothing-like-it", environment_);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code(), base::Code::kNotFound);
  EXPECT_THAT(found.error().message(), HasSubstr("executable file not found in $PATH"));
  found = FindProgram(dir_ + "/nothing", environment_);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code(), base::Code::kNotFound);
  EXPECT_THAT(found.error().message(), HasSubstr("no such file or directory"));
  found = FindProgram(dir_ + "/a/data/x", environment_);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code(), base::Code::kNotFound);
}

TEST_F(ProgramTest, NotExecutableIsPermissionDenied) {
  for (const std::string& path : {dir_ + "/a/data", dir_ + "/b/directory"}) {
    auto found = FindProgram(path, environment_);
    ASSERT_FALSE(found.ok()) << path;
    EXPECT_EQ(found.error().code(), base::Code::kPermissionDenied);
  }
  auto found = FindProgram("data", {"PATH=" + dir_ + "/a"});
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code(), base::Code::kPermissionDenied);
}

TEST_F(ProgramTest, WithoutPathThereIsADefault) { EXPECT_TRUE(FindProgram("sh", {}).ok()); }

TEST(ExecErrorTest, AFileThatIsNoProgramIsPermissionDenied) {
  EXPECT_EQ(ExecError(ENOEXEC, "x").code(), base::Code::kPermissionDenied);
  EXPECT_THAT(ExecError(ENOEXEC, "x").message(), HasSubstr("exec format error"));
}

}  // namespace
}  // namespace holt::guest_agent
