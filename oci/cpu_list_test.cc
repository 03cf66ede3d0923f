#include "oci/cpu_list.h"

#include <gtest/gtest.h>

namespace holt::oci {
namespace {

TEST(CpuListTest, NumbersAndRanges) {
  auto ranges = ParseCpuList("0-3,7", "cpus");
  ASSERT_TRUE(ranges.ok());
  ASSERT_EQ(ranges->size(), 2u);
  EXPECT_EQ((*ranges)[0].first, 0u);
  EXPECT_EQ((*ranges)[0].last, 3u);
  EXPECT_EQ((*ranges)[1].first, 7u);
  EXPECT_EQ((*ranges)[1].last, 7u);
}

TEST(CpuListTest, AnythingElseIsNamed) {
  for (const char* text : {"", ",", "1,", "1-", "-1", "3-1", "a", "0 1", "1,,2", "99999999999"}) {
    auto ranges = ParseCpuList(text, "process.execCPUAffinity.final");
    ASSERT_FALSE(ranges.ok()) << text;
    EXPECT_EQ(ranges.error().message().rfind("process.execCPUAffinity.final: \"", 0), 0u);
  }
}

}  // namespace
}  // namespace holt::oci
