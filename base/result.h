#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace holt::base {

// What kind of failure, for callers that act on it; the text is for people.
enum class Code {
  kInternal,
  kInvalidArgument,
  kNotFound,
  kAlreadyExists,
  kPermissionDenied,
  kUnsupported,
  kFailedPrecondition,
  kUnavailable,
  kDeadlineExceeded,
  kCancelled,
  kResourceExhausted,
  kDataLoss,
};

std::string_view CodeName(Code code);

// An error: a code, the errno it came from (0 if none) and a message to which every layer adds its
// noun in front: "mount rootfs: overlay: lowerdir /a: No such file or directory".
class [[nodiscard]] Error {
 public:
  Error(Code code, std::string message, int err = 0)
      : code_(code), errno_(err), message_(std::move(message)) {}

  Code code() const { return code_; }
  int err() const { return errno_; }
  const std::string& message() const { return message_; }

  // Returns the error with `context` and a colon before its message.
  Error Wrap(std::string_view context) && {
    message_ = fmt::format("{}: {}", context, message_);
    return std::move(*this);
  }
  Error Wrap(std::string_view context) const& { return Error(*this).Wrap(context); }

 private:
  Code code_;
  int errno_;
  std::string message_;
};

// The code that callers of a system call would expect for this errno.
Code CodeFromErrno(int err);

// An Error from an errno value: `err` is taken by value before anything can change it.
Error ErrnoError(int err, std::string_view what);

template <typename... Args>
Error MakeError(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// "what: strerror(errno)"; evaluates errno first, so `args` may call anything.
#define HOLT_ERRNO(...)                                                       \
  [&](int holt_errno_) {                                                      \
    return ::holt::base::ErrnoError(holt_errno_, ::fmt::format(__VA_ARGS__)); \
  }(errno)

// A value or an Error. Wraps tl::expected because that is not [[nodiscard]].
template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
  Result(Error error) : tl::expected<T, Error>(tl::unexpect, std::move(error)) {}  // NOLINT
  bool ok() const { return this->has_value(); }
};

template <>
class [[nodiscard]] Result<void> : public tl::expected<void, Error> {
 public:
  using tl::expected<void, Error>::expected;
  Result() = default;
  Result(Error error) : tl::expected<void, Error>(tl::unexpect, std::move(error)) {}  // NOLINT
  bool ok() const { return has_value(); }
};

using Status = Result<void>;

}  // namespace holt::base

#define HOLT_CONCAT_(a, b) a##b
#define HOLT_CONCAT(a, b) HOLT_CONCAT_(a, b)

// Returns the error of `expr` to the caller, if it is one.
#define TRY(expr)                              \
  do {                                         \
    if (auto holt_try_ = (expr); !holt_try_) { \
      return std::move(holt_try_).error();     \
    }                                          \
  } while (false)

// The same, with "context: " put before the message. `context` is evaluated on error only.
#define TRY_CONTEXT(expr, context)                       \
  do {                                                   \
    if (auto holt_try_ = (expr); !holt_try_) {           \
      return std::move(holt_try_).error().Wrap(context); \
    }                                                    \
  } while (false)

// TRY_ASSIGN(auto x, F()); or TRY_ASSIGN(member_, F());
#define TRY_ASSIGN(lhs, expr) TRY_ASSIGN_(HOLT_CONCAT(holt_result_, __LINE__), lhs, expr)
#define TRY_ASSIGN_(tmp, lhs, expr)        \
  auto tmp = (expr);                       \
  if (!tmp) return std::move(tmp).error(); \
  lhs = std::move(*tmp)

#define TRY_ASSIGN_CONTEXT(lhs, expr, context) \
  TRY_ASSIGN_CONTEXT_(HOLT_CONCAT(holt_result_, __LINE__), lhs, expr, context)
#define TRY_ASSIGN_CONTEXT_(tmp, lhs, expr, context)     \
  auto tmp = (expr);                                     \
  if (!tmp) return std::move(tmp).error().Wrap(context); \
  lhs = std::move(*tmp)

// A broken invariant of ours: says where and aborts.
#define HOLT_CHECK(cond) ((cond) ? (void)0 : ::holt::base::CheckFailed(#cond, __FILE__, __LINE__))

namespace holt::base {
[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);
}
