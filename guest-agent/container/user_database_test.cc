#include "guest-agent/container/user_database.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

namespace holt::guest_agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kPasswd[] =
    "root:x:0:0:root:/root:/bin/bash\n"
    "# a comment:x:9:9::/:\n"
    "broken:x:not-a-number:0::/:\n"
    "short:x:1\n"
    "otter:x:1000:1001:Otter,,,:/home/otter:/bin/sh\n"
    "4242:x:77:78::/odd:/bin/sh\n"
    "minus:x:4294967295:0::/:\n";
constexpr char kGroup[] =
    "root:x:0:\nwheel:x:10:root,otter\nriver:x:1001:\naudio:x:29:otter\nbad:x:y:otter\n";

base::Result<ResolvedUser> Resolve(const std::string& name) {
  oci::User user;
  user.username = name;
  return ResolveUser(user, ParsePasswd(kPasswd), ParseGroup(kGroup));
}

TEST(UserDatabaseTest, SkipsWhatIsNotAnEntry) {
  EXPECT_EQ(ParsePasswd(kPasswd).size(), 3u);
  EXPECT_EQ(ParseGroup(kGroup).size(), 4u);
  EXPECT_TRUE(ParsePasswd("").empty());
}

TEST(UserDatabaseTest, ANameBringsItsGroups) {
  auto user = Resolve("otter");
  ASSERT_TRUE(user.ok()) << user.error().message();
  EXPECT_EQ(user->uid, 1000u);
  EXPECT_EQ(user->gid, 1001u);
  EXPECT_EQ(user->home, "/home/otter");
  EXPECT_THAT(user->groups, ElementsAre(10, 29));
}

TEST(UserDatabaseTest, AGivenGroupReplacesThem) {
  auto user = Resolve("otter:audio");
  ASSERT_TRUE(user.ok());
  EXPECT_EQ(user->gid, 29u);
  EXPECT_TRUE(user->groups.empty());
  EXPECT_EQ(Resolve("1000:7")->gid, 7u);
}

TEST(UserDatabaseTest, ANumberNeedsNoEntry) {
  auto user = Resolve("5000");
  ASSERT_TRUE(user.ok());
  EXPECT_EQ(user->uid, 5000u);
  EXPECT_EQ(user->gid, 0u);
  EXPECT_EQ(user->home, "/");
  EXPECT_EQ(Resolve("1000")->home, "/home/otter");
}

TEST(UserDatabaseTest, UnknownNamesAreErrors) {
  auto user = Resolve("beaver");
  ASSERT_FALSE(user.ok());
  EXPECT_THAT(user.error().message(), HasSubstr("unable to find user beaver"));
  auto group = Resolve("otter:lake");
  ASSERT_FALSE(group.ok());
  EXPECT_THAT(group.error().message(), HasSubstr("unable to find group lake"));
  // setresuid(2) takes -1 for "leave it as it is", which would be root.
  EXPECT_FALSE(Resolve("4294967295").ok());
  EXPECT_FALSE(Resolve("otter:4294967295").ok());
}

TEST(UserDatabaseTest, NumbersAlone) {
  oci::User user{1000, 5, {}, {6, 7}, ""};
  auto resolved = ResolveUser(user, ParsePasswd(kPasswd), {});
  ASSERT_TRUE(resolved.ok());
  EXPECT_EQ(resolved->gid, 5u);
  EXPECT_THAT(resolved->groups, ElementsAre(6, 7));
  EXPECT_EQ(resolved->home, "/home/otter");
}

TEST(UserDatabaseTest, FilesAreReadInsideTheRoot) {
  std::string root = testing::TempDir() + "/user_database_root";
  ASSERT_TRUE(base::RemoveTree(root).ok());
  ASSERT_TRUE(base::MakeDirs(root + "/etc").ok());
  auto fd = base::Open(root, O_PATH | O_DIRECTORY);
  ASSERT_TRUE(fd.ok());
  oci::User user;
  user.username = "0";
  EXPECT_TRUE(ResolveUserInRoot(fd->get(), user).ok()) << "files that are not there are empty";
  // An image's link to a file of ours must not lead to it: there is no /etc/hostname in the root.
  ASSERT_EQ(symlink("/etc/hostname", (root + "/etc/passwd").c_str()), 0);
  EXPECT_TRUE(ResolveUserInRoot(fd->get(), user).ok());
  ASSERT_EQ(unlink((root + "/etc/passwd").c_str()), 0);
  // A FIFO must not make us wait.
  ASSERT_EQ(mkfifo((root + "/etc/passwd").c_str(), 0644), 0);
  EXPECT_TRUE(ResolveUserInRoot(fd->get(), user).ok());
  ASSERT_TRUE(base::RemoveTree(root).ok());
}

}  // namespace
}  // namespace holt::guest_agent
