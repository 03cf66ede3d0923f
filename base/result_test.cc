#include "base/result.h"

#include <gtest/gtest.h>

namespace holt::base {
namespace {

Result<int> Half(int x) {
  if (x % 2 != 0) return MakeError(Code::kInvalidArgument, "{} is odd", x);
  return x / 2;
}

Result<int> Quarter(int x) {
  TRY_ASSIGN_CONTEXT(int half, Half(x), "first half");
  TRY_ASSIGN(int quarter, Half(half));
  return quarter;
}

TEST(ResultTest, ValuesAndErrorsTravel) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(6).error().message(), "3 is odd");
  EXPECT_EQ(Quarter(7).error().message(), "first half: 7 is odd");
  EXPECT_EQ(Quarter(7).error().code(), Code::kInvalidArgument);
}

TEST(ResultTest, ErrnoIsTakenBeforeTheMessageIsMade) {
  auto spoils_errno = [] {
    errno = EIO;
    return "file";
  };
  errno = ENOENT;
  Error error = HOLT_ERRNO("open {}", spoils_errno());
  EXPECT_EQ(error.err(), ENOENT);
  EXPECT_EQ(error.code(), Code::kNotFound);
  EXPECT_EQ(error.message(), "open file: No such file or directory");
}

TEST(ResultTest, VoidResult) {
  auto f = [](bool fail) -> Status {
    if (fail) return Error(Code::kInternal, "no");
    return {};
  };
  auto g = [&](bool fail) -> Status {
    TRY_CONTEXT(f(fail), "g");
    return {};
  };
  EXPECT_TRUE(g(false).ok());
  EXPECT_EQ(g(true).error().message(), "g: no");
}

}  // namespace
}  // namespace holt::base
