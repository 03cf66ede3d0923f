#include "rpc/status.h"

namespace holt::rpc {

using base::Code;

StatusCode ToStatusCode(Code code) {
  switch (code) {
    case Code::kInternal:
      return StatusCode::kInternal;
    case Code::kInvalidArgument:
      return StatusCode::kInvalidArgument;
    case Code::kNotFound:
      return StatusCode::kNotFound;
    case Code::kAlreadyExists:
      return StatusCode::kAlreadyExists;
    case Code::kPermissionDenied:
      return StatusCode::kPermissionDenied;
    case Code::kUnsupported:
      return StatusCode::kUnimplemented;
    case Code::kFailedPrecondition:
      return StatusCode::kFailedPrecondition;
    case Code::kUnavailable:
      return StatusCode::kUnavailable;
    case Code::kDeadlineExceeded:
      return StatusCode::kDeadlineExceeded;
    case Code::kCancelled:
      return StatusCode::kCancelled;
    case Code::kResourceExhausted:
      return StatusCode::kResourceExhausted;
    case Code::kDataLoss:
      return StatusCode::kDataLoss;
  }
  return StatusCode::kUnknown;
}

Code FromStatusCode(int32_t code) {
  switch (static_cast<StatusCode>(code)) {
    case StatusCode::kCancelled:
      return Code::kCancelled;
    case StatusCode::kInvalidArgument:
    case StatusCode::kOutOfRange:
      return Code::kInvalidArgument;
    case StatusCode::kDeadlineExceeded:
      return Code::kDeadlineExceeded;
    case StatusCode::kNotFound:
      return Code::kNotFound;
    case StatusCode::kAlreadyExists:
      return Code::kAlreadyExists;
    case StatusCode::kPermissionDenied:
      return Code::kPermissionDenied;
    case StatusCode::kResourceExhausted:
      return Code::kResourceExhausted;
    case StatusCode::kFailedPrecondition:
    case StatusCode::kAborted:
      return Code::kFailedPrecondition;
    case StatusCode::kUnimplemented:
      return Code::kUnsupported;
    case StatusCode::kUnavailable:
      return Code::kUnavailable;
    case StatusCode::kDataLoss:
      return Code::kDataLoss;
    default:
      return Code::kInternal;
  }
}

}  // namespace holt::rpc
