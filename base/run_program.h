#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/spawn.h"

namespace holt::base {

// How a program ended that was run to its end.
struct ProgramEnd {
  int wait_status = 0;
  bool timed_out = false;  // and was killed for that, with its process group
  std::string error_text;  // the last 1 KiB of its standard error

  bool ok() const { return wait_status == 0 && !timed_out; }
};

// Runs a program to its end, in a session of its own, and blocks. `input` is its standard input (a
// file, so one that does not read it blocks nobody); its standard output is discarded, unless
// `options` name a descriptor for it. With a
// `timeout` it and its process group are killed when that has passed; they are too when the caller
// dies. What it leaves running in the background is not waited for, also not when that holds the
// standard error open. Descriptors 0 and 2 of `options` are overwritten.
Result<ProgramEnd> RunProgram(SpawnOptions options, std::string_view input,
                              std::optional<std::chrono::milliseconds> timeout);

}  // namespace holt::base
