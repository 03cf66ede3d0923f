#include "guest-agent/initramfs.h"

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <map>
#include <memory>
#include <string>

namespace holt::guest_agent {
namespace {

struct Member {
  mode_t mode;
  dev_t device;
  int64_t mtime;
  std::string content;
};

// Reads the archive with libarchive, a reader that is not ours.
std::map<std::string, Member> ReadBack(const std::string& bytes) {
  std::map<std::string, Member> members;
  const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
  EXPECT_EQ(archive_read_support_format_cpio(reader.get()), ARCHIVE_OK);
  EXPECT_EQ(archive_read_open_memory(reader.get(), bytes.data(), bytes.size()), ARCHIVE_OK);
  archive_entry* entry = nullptr;
  while (archive_read_next_header(reader.get(), &entry) == ARCHIVE_OK) {
    std::string content(static_cast<size_t>(archive_entry_size(entry)), '\0');
    EXPECT_EQ(archive_read_data(reader.get(), content.data(), content.size()),
              static_cast<la_ssize_t>(content.size()));
    members[archive_entry_pathname(entry)] = {archive_entry_mode(entry), archive_entry_rdev(entry),
                                              archive_entry_mtime(entry), std::move(content)};
  }
  EXPECT_EQ(archive_errno(reader.get()), 0) << archive_error_string(reader.get());
  return members;
}

TEST(GuestInitramfs, HoldsTheAgentAsInit) {
  // A length that is no multiple of four, and bytes that text handling would spoil.
  const std::string agent = std::string(
      "\x7f"
      "ELF\0\n\xff",
      7);
  const auto members = ReadBack(BuildGuestInitramfs(agent));
  ASSERT_TRUE(members.contains("init"));
  EXPECT_EQ(members.at("init").content, agent);
  EXPECT_EQ(members.at("init").mode, S_IFREG | 0755U);
  EXPECT_EQ(members.at("init").mtime, 0);
}

TEST(GuestInitramfs, HasTheConsoleBeforeAnythingIsMounted) {
  const auto members = ReadBack(BuildGuestInitramfs("x"));
  ASSERT_TRUE(members.contains("dev/console"));
  EXPECT_EQ(members.at("dev/console").mode, S_IFCHR | 0600U);
  EXPECT_EQ(members.at("dev/console").device, makedev(5, 1));
  for (const char* directory : {"dev", "proc", "run", "sys", "tmp"}) {
    ASSERT_TRUE(members.contains(directory)) << directory;
    EXPECT_TRUE(S_ISDIR(members.at(directory).mode)) << directory;
  }
}

TEST(GuestInitramfs, SameInputSameBytes) {
  EXPECT_EQ(BuildGuestInitramfs("agent"), BuildGuestInitramfs("agent"));
  EXPECT_NE(BuildGuestInitramfs("agent"), BuildGuestInitramfs("agenu"));
  EXPECT_EQ(BuildGuestInitramfs("agent").size() % 512, 0U);
}

TEST(NewcArchive, HeaderIsTheKernelsLayout) {
  NewcArchive archive;
  archive.AddFile("ab", 0644, "hello");
  const std::string bytes = archive.Finish();
  EXPECT_EQ(bytes.substr(0, 110),
            "070701"
            "00000001"
            "000081A4"
            "00000000"
            "00000000"
            "00000001"
            "00000000"
            "00000005"
            "00000000"
            "00000000"
            "00000000"
            "00000000"
            "00000003"
            "00000000");
  EXPECT_EQ(bytes.substr(110, 3), std::string("ab\0", 3));
  EXPECT_EQ(bytes.substr(116, 5), "hello");  // 113 rounded up to four
  EXPECT_EQ(bytes.substr(124, 6), "070701");
}

TEST(NewcArchive, StartsAfreshAfterFinish) {
  NewcArchive archive;
  archive.AddDirectory("d", 0700);
  const std::string first = archive.Finish();
  archive.AddDirectory("d", 0700);
  EXPECT_EQ(archive.Finish(), first);
}

}  // namespace
}  // namespace holt::guest_agent
