#include "oci/mount_options.h"

#include <gmock/gmock.h>
#include <linux/mount.h>

namespace holt::oci {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

MountOptions Parse(const std::string& type, Strings options) {
  Mount mount;
  mount.destination = "/x";
  mount.type = type;
  mount.options = std::move(options);
  auto parsed = ParseMountOptions(mount, "mounts[0]");
  EXPECT_TRUE(parsed.ok()) << (parsed.ok() ? "" : parsed.error().message());
  return parsed.ok() ? *parsed : MountOptions{};
}

TEST(MountOptionsTest, SortsAttributesFlagsAndData) {
  MountOptions options =
      Parse("tmpfs", {"nosuid", "noexec", "size=64k", "sync", "mode=755", "ro", "defaults"});
  EXPECT_EQ(options.attr_set, uint64_t{MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY});
  EXPECT_THAT(options.superblock_flags, ElementsAre("sync"));
  EXPECT_THAT(options.data, ElementsAre("size=64k", "mode=755"));
  EXPECT_FALSE(options.bind);
}

TEST(MountOptionsTest, LaterOptionsWin) {
  MountOptions options = Parse("tmpfs", {"ro", "nodev", "rw", "sync", "async"});
  EXPECT_EQ(options.attr_set, uint64_t{MOUNT_ATTR_NODEV});
  EXPECT_EQ(options.attr_clear, uint64_t{MOUNT_ATTR_RDONLY});
  EXPECT_THAT(options.superblock_flags, IsEmpty());
  EXPECT_EQ(Parse("tmpfs", {"rw", "ro"}).attr_clear, 0u);
}

// mount_setattr(2) refuses an access time that does not clear the field it is a value of.
TEST(MountOptionsTest, AccessTimesAreOneField) {
  MountOptions options = Parse("bind", {"strictatime", "noatime"});
  EXPECT_EQ(options.attr_set, uint64_t{MOUNT_ATTR_NOATIME});
  EXPECT_EQ(options.attr_clear, uint64_t{MOUNT_ATTR__ATIME});
}

TEST(MountOptionsTest, RecursiveAttributesAreKeptApart) {
  MountOptions options = Parse("none", {"rbind", "rro", "rnosuid", "nodev"});
  EXPECT_TRUE(options.bind);
  EXPECT_TRUE(options.recursive_bind);
  EXPECT_EQ(options.attr_set, uint64_t{MOUNT_ATTR_NODEV});
  EXPECT_EQ(options.recursive_attr_set, uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID});
}

TEST(MountOptionsTest, PropagationKeepsItsOrder) {
  EXPECT_THAT(Parse("bind", {"rprivate", "shared"}).propagation,
              ElementsAre((1ul << 18) | (1ul << 14), 1ul << 20));
}

TEST(MountOptionsTest, UnknownIsDataButAnErrorOnABind) {
  EXPECT_THAT(Parse("ext4", {"data=ordered"}).data, ElementsAre("data=ordered"));
  Mount mount{"/x", "bind", "/y", {"ro", "size=1"}, {}, {}};
  auto parsed = ParseMountOptions(mount, "mounts[7]");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().message(),
            "mounts[7].options[1]: \"size=1\" is not an option of a bind mount");
}

TEST(MountOptionsTest, EveryNameItListsIsUnderstood) {
  for (const std::string& name : KnownMountOptions())
    EXPECT_THAT(Parse("tmpfs", {name}).data, IsEmpty()) << name;
}

}  // namespace
}  // namespace holt::oci
