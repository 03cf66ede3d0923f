#include "image/registry/retry.h"

#include <curl/curl.h>

#include <algorithm>
#include <random>
#include <thread>

namespace holt::image::registry {

using base::Code;
using base::MakeError;
using base::Status;
using std::chrono::milliseconds;

std::optional<milliseconds> ParseRetryAfter(std::string_view value, int64_t now) {
  constexpr int64_t kLongest = 365LL * 24 * 3600;
  if (value.empty() || value.size() > 64) return std::nullopt;
  int64_t seconds = 0;
  if (std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    for (char c : value) seconds = std::min(seconds * 10 + (c - '0'), kLongest);
  } else {
    time_t date = curl_getdate(std::string(value).c_str(), nullptr);
    if (date < 0) return std::nullopt;
    seconds = std::clamp<int64_t>(date - now, 0, kLongest);
  }
  return milliseconds(seconds * 1000);
}

Status Retry::Wait(Failure failure) {
  if (!failure.again) return std::move(failure.error);
  if (++failed_ >= policy_.attempts) {
    std::string note = policy_.attempts > 1 ? fmt::format(" ({} attempts)", policy_.attempts) : "";
    return base::Error(failure.error.code(), failure.error.message() + note, failure.error.err());
  }
  if (failure.after && *failure.after > policy_.longest_retry_after)
    return MakeError(failure.error.code(), "{}; it asks to come back in {} s",
                     failure.error.message(), (failure.after->count() + 999) / 1000);
  // 2^20 of the first delay is longer than any longest delay worth setting.
  milliseconds most = std::min(milliseconds(policy_.first_delay * (1 << std::min(failed_ - 1, 20))),
                               policy_.longest_delay);
  thread_local std::minstd_rand random(std::random_device{}());
  auto half = std::max<int64_t>(most.count() / 2, 0);
  milliseconds wait(half + std::uniform_int_distribution<int64_t>(0, half)(random));
  if (failure.after) wait = std::max(wait, *failure.after);
  if (told_)
    told_(fmt::format("retrying in {:.1f} s: {}", static_cast<double>(wait.count()) / 1000,
                      failure.error.message()));
  return Sleep(wait);
}

Status Retry::Sleep(milliseconds time) {
  auto end = std::chrono::steady_clock::now() + time;
  while (true) {
    if (cancelled_ && cancelled_()) return MakeError(Code::kCancelled, "cancelled");
    auto left = std::chrono::duration_cast<milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return {};
    std::this_thread::sleep_for(std::min(left, milliseconds(50)));
  }
}

}  // namespace holt::image::registry
