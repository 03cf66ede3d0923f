#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "base/file.h"
#include "image/layer/unpack.h"

// What the tests of images share: a directory of their own with a tree beside the place to unpack,
// that no archive may touch.
namespace holt {

// Bytes in memory as the source of an archive.
class StringSource : public image::layer::ByteSource {
 public:
  explicit StringSource(std::string_view bytes) : bytes_(bytes) {}
  base::Result<size_t> Read(std::span<std::byte> buffer) override {
    size_t n = std::min(buffer.size(), bytes_.size());
    memcpy(buffer.data(), bytes_.data(), n);
    bytes_.remove_prefix(n);
    return n;
  }

 private:
  std::string_view bytes_;
};

class ImageFixture : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(geteuid(), 0U) << "owners, device nodes and whiteouts need root";
    const char* base = getenv("TMPDIR");
    scratch_ = std::string(base ? base : "/tmp") + "/holt-image.XXXXXX";
    ASSERT_TRUE(mkdtemp(scratch_.data()));
  }
  void TearDown() override { EXPECT_TRUE(base::RemoveTree(scratch_).ok()); }

  std::string Path(const std::string& name) const { return scratch_ + "/" + name; }

  static struct stat Stat(const std::string& path) {
    struct stat st {};
    EXPECT_EQ(lstat(path.c_str(), &st), 0) << path << ": " << strerror(errno);
    return st;
  }
  static bool Exists(const std::string& path) {
    struct stat st {};
    return lstat(path.c_str(), &st) == 0;
  }
  static std::string Content(const std::string& path) {
    auto text = base::ReadFile(path);
    return text ? *text : "error: " + text.error().message();
  }
  // Everything under `root` that an archive could change, times of access left out.
  static std::map<std::string, std::string> Snapshot(const std::string& root) {
    std::map<std::string, std::string> seen;
    auto note = [&](const std::string& path) {
      struct stat st = Stat(path);
      seen[path] =
          fmt::format("{:o} {}:{} {} links {} inode {} time {}.{} {}", st.st_mode, st.st_uid,
                      st.st_gid, st.st_size, st.st_nlink, st.st_ino, st.st_mtim.tv_sec,
                      st.st_mtim.tv_nsec, S_ISREG(st.st_mode) ? Content(path) : "");
    };
    note(root);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root))
      note(entry.path());
    return seen;
  }

  std::string scratch_;
};

}  // namespace holt
