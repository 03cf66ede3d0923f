// holt-fsd serving a real guest: fs_checks.h runs inside, on a directory of the host's.

#include <gmock/gmock.h>

#include "tests/e2e/software_vm.h"

namespace holt {
namespace {

using ::testing::HasSubstr;

class FsdTest : public SoftwareVm {
 protected:
  void SetUp() override {
    SoftwareVm::SetUp();
    share_ = dir_ + "/share";
    ASSERT_TRUE(base::MakeDirs(share_).ok());
    ASSERT_EQ(chmod(share_.c_str(), 0755), 0);
    ASSERT_TRUE(base::WriteFile(share_ + "/given", "given").ok());
    // A link out of the share to something that only the host has.
    ASSERT_TRUE(base::WriteFile(dir_ + "/holt-host-marker", "").ok());
    ASSERT_EQ(symlink(dir_.c_str(), (share_ + "/escape").c_str()), 0);
  }
  std::string share_;
};

TEST_F(FsdTest, HasWhatAContainersRootNeeds) {
  ASSERT_NO_FATAL_FAILURE(Boot("fs", {.share = share_}));
  EXPECT_EQ(Wait().reason(), vmm::v1::Exit::SHUTDOWN);
  EXPECT_THAT(Console(), HasSubstr("fs: 0 checks failed"));
  // What the guest did is what the host has.
  struct stat st {};
  ASSERT_EQ(stat((share_ + "/attr").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 1000u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(share_ + "/d"), {}), 3005);
}

TEST_F(FsdTest, ReadOnlyIsKeptByTheHost) {
  ASSERT_NO_FATAL_FAILURE(Boot("fs-readonly", {.share = share_, .fsd_options = {"--readonly"}}));
  EXPECT_EQ(Wait().reason(), vmm::v1::Exit::SHUTDOWN);
  EXPECT_THAT(Console(), HasSubstr("fs: 0 checks failed"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(share_), {}), 2);
}

}  // namespace
}  // namespace holt
