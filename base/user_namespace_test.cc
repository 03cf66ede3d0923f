#include "base/user_namespace.h"

#include <gtest/gtest.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>

namespace holt::base {
namespace {

TEST(UserNamespaceTest, IsOneOfItsOwn) {
  auto made = MakeUserNamespace({{0, 5000, 10}}, {{0, 6000, 10}});
  ASSERT_TRUE(made.ok()) << made.error().message();
  uid_t owner = 1;
  EXPECT_EQ(ioctl(made->get(), NS_GET_NSTYPE), 0x10000000);  // CLONE_NEWUSER
  EXPECT_EQ(ioctl(made->get(), NS_GET_OWNER_UID, &owner), 0);
  EXPECT_EQ(owner, 0u);
}

TEST(UserNamespaceTest, MappingsThatOverlapAreNamed) {
  auto made = MakeUserNamespace({{0, 5000, 10}, {5, 9000, 10}}, {{0, 6000, 10}});
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().message().rfind("uidMappings: ", 0), 0u) << made.error().message();
}

}  // namespace
}  // namespace holt::base
