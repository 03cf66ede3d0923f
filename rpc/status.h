#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace holt::rpc {

// gRPC status codes (google/rpc/code.proto), which ttrpc uses.
enum class StatusCode : int32_t {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
};

StatusCode ToStatusCode(base::Code code);
base::Code FromStatusCode(int32_t code);

}  // namespace holt::rpc
