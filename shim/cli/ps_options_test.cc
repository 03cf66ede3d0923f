#include "shim/cli/ps_options.h"

#include <gmock/gmock.h>

namespace holt::shim::cli {
namespace {

using testing::HasSubstr;

std::string Row(const std::vector<std::string>& options) {
  auto columns = ParsePsOptions(options);
  if (!columns) return std::string(columns.error().message());
  monitor::v1::ProcessInfo process;
  process.set_pid(7);
  process.set_parent_pid(1);
  process.set_uid(1000);
  process.set_command("/usr/bin/sleep 1000");
  std::string out;
  for (const PsColumn* column : *columns) out += column->cell(process) + "|";
  return out;
}

TEST(PsOptionsTest, ColumnsAsAskedFor) {
  const std::string all = "1000|7|1|/usr/bin/sleep 1000|";
  EXPECT_EQ(Row({}), all);
  EXPECT_EQ(Row({"-ef"}), all);
  EXPECT_EQ(Row({"aux"}), all);
  EXPECT_EQ(Row({"-o", "pid,comm"}), "7|sleep|");
  EXPECT_EQ(Row({"-eo", "pid", "-oppid"}), "7|1|");
  EXPECT_EQ(Row({"-o", "args user"}), "/usr/bin/sleep 1000|1000|");
}

TEST(PsOptionsTest, WhatIsNotThereIsAnError) {
  EXPECT_THAT(Row({"-o", "pid,rss"}), HasSubstr("-o rss: there are"));
  EXPECT_THAT(Row({"-o"}), HasSubstr("needs names"));
  EXPECT_THAT(Row({"-p"}), HasSubstr("option \"-p\""));
  EXPECT_THAT(Row({"-"}), HasSubstr("option \"-\""));
}

}  // namespace
}  // namespace holt::shim::cli
