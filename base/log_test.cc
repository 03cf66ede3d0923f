#include "base/log.h"

#include <gtest/gtest.h>

namespace holt::base::log {
namespace {

TEST(LogTest, TextSaysProgramAndLevel) {
  Options options{.program = "holt"};
  EXPECT_EQ(FormatRecord(options, Level::kInfo, "hello", ""), "holt: hello\n");
  EXPECT_EQ(FormatRecord(options, Level::kError, "bad", ""), "holt: error: bad\n");
}

TEST(LogTest, JsonIsOneLineWhateverTheMessage) {
  Options options{.format = Format::kJson};
  EXPECT_EQ(FormatRecord(options, Level::kError, "a \"b\"\n\x01\\", "T"),
            "{\"level\":\"error\",\"msg\":\"a \\\"b\\\"\\n\\u0001\\\\\",\"time\":\"T\"}\n");
}

TEST(LogTest, KmsgHasPriority) {
  Options options{.program = "holt-agent", .format = Format::kKmsg};
  EXPECT_EQ(FormatRecord(options, Level::kWarning, "w", ""), "<4>holt-agent: w\n");
}

TEST(LogTest, GuestTextCannotForgeRecordsOrDriveATerminal) {
  EXPECT_EQ(Sanitize("x\nholt: error: forged\x1b[2J\t."), "x\\x0aholt: error: forged\\x1b[2J\t.");
}

}  // namespace
}  // namespace holt::base::log
