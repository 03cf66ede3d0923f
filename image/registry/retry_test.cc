#include "image/registry/retry.h"

#include <gtest/gtest.h>

namespace holt::image::registry {
namespace {

using base::Code;
using base::Error;
using std::chrono::milliseconds;

Failure Unavailable() { return {Error(Code::kUnavailable, "no"), true}; }

TEST(RetryAfter, ReadsSecondsAndDates) {
  EXPECT_EQ(ParseRetryAfter("0", 0), milliseconds(0));
  EXPECT_EQ(ParseRetryAfter("120", 0), milliseconds(120'000));
  EXPECT_EQ(ParseRetryAfter("Thu, 01 Jan 1970 00:01:00 GMT", 20), milliseconds(40'000));
  EXPECT_EQ(ParseRetryAfter("Thu, 01 Jan 1970 00:01:00 GMT", 100), milliseconds(0));
}

TEST(RetryAfter, RefusesTheRestAndCannotOverflow) {
  EXPECT_EQ(ParseRetryAfter("", 0), std::nullopt);
  EXPECT_EQ(ParseRetryAfter("-1", 0), std::nullopt);
  EXPECT_EQ(ParseRetryAfter("soon", 0), std::nullopt);
  auto long_time = ParseRetryAfter("99999999999999999999999999", 0);
  ASSERT_TRUE(long_time);
  EXPECT_GT(long_time->count(), 0);
}

TEST(Retry, GivesUpAfterItsAttempts) {
  RetryPolicy policy{
      .attempts = 3, .first_delay = milliseconds(1), .longest_delay = milliseconds(1)};
  int told = 0;
  Retry retry(policy, {}, [&](const std::string&) { ++told; });
  EXPECT_TRUE(retry.Wait(Unavailable()).ok());
  EXPECT_TRUE(retry.Wait(Unavailable()).ok());
  auto last = retry.Wait(Unavailable());
  ASSERT_FALSE(last.ok());
  EXPECT_EQ(last.error().message(), "no (3 attempts)");
  EXPECT_EQ(told, 2);
}

TEST(Retry, ReturnsWhatCannotBeMendedAtOnce) {
  RetryPolicy policy;
  Retry retry(policy, {}, {});
  auto failed = retry.Wait({Error(Code::kNotFound, "gone"), false});
  EXPECT_EQ(failed.error().code(), Code::kNotFound);
}

TEST(Retry, RefusesToWaitLongerThanThePolicy) {
  RetryPolicy policy{.longest_retry_after = milliseconds(1000)};
  Retry retry(policy, {}, {});
  Failure failure = Unavailable();
  failure.after = milliseconds(3'600'000);
  auto failed = retry.Wait(std::move(failure));
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().message(), "no; it asks to come back in 3600 s");
}

TEST(Retry, StopsWaitingWhenCancelled) {
  RetryPolicy policy{.first_delay = milliseconds(60'000), .longest_delay = milliseconds(60'000)};
  Retry retry(policy, [] { return true; }, {});
  EXPECT_EQ(retry.Wait(Unavailable()).error().code(), Code::kCancelled);
}

}  // namespace
}  // namespace holt::image::registry
