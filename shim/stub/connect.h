#pragma once

#include <string_view>

#include "base/unique_fd.h"

// The stub's side of attach.sock (shim/stdio/attach_client.h), without anything but the C library.
namespace holt::stub {

// A line without its newline, at most `size` - 1 bytes and a NUL, read byte by byte. False at the
// end.
bool ReadLine(int fd, char* line, size_t size);
bool WriteAll(int fd, const char* data, size_t size);

struct Target {
  const char* socket = nullptr;
  const char* container = nullptr;
  const char* exec = "-";
};

// Connects and names the stream. On failure the descriptor is invalid and `error` says why.
base::UniqueFd Attach(const Target& target, const char* stream, char* error, size_t error_size);

// Makes a pty, sends its master over the Unix socket at `path` in one message, as runc does, and
// returns the slave in raw mode, which has become the controlling terminal and stdio.
base::UniqueFd MakeTerminal(const char* path, char* error, size_t error_size);

}  // namespace holt::stub
