#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "oci/runtime_spec.h"

// Values as people write them on a command line. Errors say what was given and what is taken; the
// caller puts the flag's name in front.
namespace holt::shim {

// "512m" and the like: a number, fractions allowed, and b, k, m, g or t (KB, KiB and so on mean the
// same: powers of 1024, as Docker counts).
base::Result<uint64_t> ParseBytes(std::string_view text);
// Bytes as the largest unit that divides them: "512m", "3g", "1000".
std::string FormatBytes(uint64_t bytes);

// "1.5" processors, as milliprocessors.
base::Result<uint32_t> ParseCpus(std::string_view text);

// A whole number within [low, high].
base::Result<int64_t> ParseInteger(std::string_view text, int64_t low, int64_t high);

// "TERM", "SIGTERM", "sigterm", "15", "SIGRTMIN+3".
base::Result<int> ParseSignal(std::string_view text);
// "SIGTERM"; a number that has no name as digits.
std::string SignalName(int number);

// "nofile=1024:2048"; one number is both limits, -1 and "unlimited" are no limit.
base::Result<oci::Rlimit> ParseUlimit(std::string_view text);

// "name=value"; without "=" the value is empty.
std::pair<std::string, std::string> SplitKeyValue(std::string_view text);

// What lies between the separators: always one part more than there are of them.
std::vector<std::string> Split(std::string_view text, char separator);

// A length of time, in nanoseconds: "5s", "1.5h", "1m30s", "500ms".
base::Result<int64_t> ParseDuration(std::string_view text);

// A point in time in Unix nanoseconds: "2024-05-06T07:08:09Z", "1715000000", or how long before
// `now` ("10m", "1h30m", "2s").
base::Result<int64_t> ParseTime(std::string_view text, int64_t now_unix_nanos);

}  // namespace holt::shim
