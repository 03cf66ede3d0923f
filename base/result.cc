#include "base/result.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace holt::base {

std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kInternal:
      return "internal";
    case Code::kInvalidArgument:
      return "invalid-argument";
    case Code::kNotFound:
      return "not-found";
    case Code::kAlreadyExists:
      return "already-exists";
    case Code::kPermissionDenied:
      return "permission-denied";
    case Code::kUnsupported:
      return "unsupported";
    case Code::kFailedPrecondition:
      return "failed-precondition";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kDeadlineExceeded:
      return "deadline-exceeded";
    case Code::kCancelled:
      return "cancelled";
    case Code::kResourceExhausted:
      return "resource-exhausted";
    case Code::kDataLoss:
      return "data-loss";
  }
  return "internal";
}

Code CodeFromErrno(int err) {
  switch (err) {
    case ENOENT:
    case ESRCH:
    case ENXIO:
    case ENODEV:
      return Code::kNotFound;
    case EEXIST:
      return Code::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS:
      return Code::kPermissionDenied;
    case EINVAL:
      return Code::kInvalidArgument;
    case ENOSYS:
    case EOPNOTSUPP:
      return Code::kUnsupported;
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
      return Code::kResourceExhausted;
    case ETIMEDOUT:
      return Code::kDeadlineExceeded;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
      return Code::kUnavailable;
    default:
      return Code::kInternal;
  }
}

Error ErrnoError(int err, std::string_view what) {
  char buffer[128];
  // The GNU strerror_r: thread-safe, returns the text.
  const char* text = strerror_r(err, buffer, sizeof buffer);
  return Error(CodeFromErrno(err), fmt::format("{}: {}", what, text), err);
}

void CheckFailed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "holt: broken invariant: %s at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace holt::base
