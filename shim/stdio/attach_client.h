#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

// The attach protocol: docs/design/run.md, "Attach". A client connects to `<id>/attach.sock`,
// writes one line `<stream> <container id> <exec id or ->\n`, reads one line, `ok\n` or `error
// <text>\n`, and from then on:
//   stdin, stdout, stderr: raw bytes; the end of the stream is the half-close.
//   control: lines. To the monitor `resize <rows> <columns>`, `signal <number>`; from it
//   `exit <status>` when the process ended. The stub speaks it, because it knows no protobuf.
//   descriptors: one message of one byte, with what an exec that is to come has beside its stdio
//   (SCM_RIGHTS); then `ok\n`. They are kept until it comes, or the client goes.
namespace holt::shim {

inline constexpr size_t kMaxAttachLine = 512;

base::Result<base::UniqueFd> AttachStream(const std::string& socket_path, std::string_view stream,
                                          const std::string& container_id,
                                          const std::string& exec_id);

// Reads up to a newline, one byte at a time, so that not a byte behind it is taken. The line comes
// without its newline.
base::Result<std::string> ReadLine(int fd, size_t max_bytes);

}  // namespace holt::shim
