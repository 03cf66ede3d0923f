#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "image/pull.h"

namespace holt::image::registry {

// The value of Retry-After (seconds or an HTTP date) as a time from `now` (Unix seconds) on;
// nullopt if it is neither.
std::optional<std::chrono::milliseconds> ParseRetryAfter(std::string_view value, int64_t now);

// Why an attempt failed, and what that says about the next one.
struct Failure {
  base::Error error;
  bool again = false;                                   // another attempt may succeed
  std::optional<std::chrono::milliseconds> after = {};  // the server's wish
};

// Counts attempts and waits between them: exponential with full jitter, or as the server wishes.
class Retry {
 public:
  // `told` (may be empty) hears "retrying in 2 s: …" before each wait.
  Retry(const RetryPolicy& policy, std::function<bool()> cancelled,
        std::function<void(const std::string&)> told)
      : policy_(policy), cancelled_(std::move(cancelled)), told_(std::move(told)) {}

  // Returns after the wait, or the error to give up with.
  base::Status Wait(Failure failure);
  // An attempt brought something: the next failure is the first again.
  void Progress() { failed_ = 0; }

 private:
  base::Status Sleep(std::chrono::milliseconds time);

  const RetryPolicy& policy_;
  std::function<bool()> cancelled_;
  std::function<void(const std::string&)> told_;
  int failed_ = 0;
};

}  // namespace holt::image::registry
