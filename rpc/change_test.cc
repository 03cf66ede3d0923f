#include "rpc/change.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace holt::rpc {
namespace {

TEST(ChangeTest, ComesBackAsItWasFromAnyCut) {
  std::string bytes;
  AppendChange({.kind = ChangeKind::kRenamed,
                .type = S_IFREG,
                .directory = "c/mounts/0",
                .name = "old",
                .new_directory = "c/mounts/0/below",
                .new_name = "new"},
               bytes);
  AppendChange({.kind = ChangeKind::kWritten, .type = S_IFREG, .directory = "c/mounts/1"}, bytes);
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    std::string_view part = std::string_view(bytes).substr(0, cut);
    auto first = TakeChange(part);
    ASSERT_TRUE(first.ok());
    if (!*first) continue;
    auto second = TakeChange(part);
    ASSERT_TRUE(second.ok());
    EXPECT_FALSE(second->has_value()) << cut;
  }
  std::string_view all = bytes;
  auto first = TakeChange(all);
  ASSERT_TRUE(first.ok() && *first);
  EXPECT_EQ((*first)->kind, ChangeKind::kRenamed);
  EXPECT_EQ((*first)->directory, "c/mounts/0");
  EXPECT_EQ((*first)->name, "old");
  EXPECT_EQ((*first)->new_directory, "c/mounts/0/below");
  EXPECT_EQ((*first)->new_name, "new");
  auto second = TakeChange(all);
  ASSERT_TRUE(second.ok() && *second);
  EXPECT_EQ((*second)->name, "");
  EXPECT_EQ((*second)->type, static_cast<uint32_t>(S_IFREG));
  EXPECT_TRUE(all.empty());
}

TEST(ChangeTest, WhatIsNoRecordIsAnError) {
  std::string bytes;
  AppendChange({.directory = "d", .name = "n"}, bytes);
  for (size_t at : {4u, 7u, 9u}) {  // the kind; two of the lengths, made too long
    std::string bad = bytes;
    bad[at] = static_cast<char>(0xff);
    std::string_view view = bad;
    EXPECT_FALSE(TakeChange(view).ok()) << at;
  }
}

}  // namespace
}  // namespace holt::rpc
