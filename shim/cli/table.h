#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace holt::shim::cli {

// Columns as wide as their widest cell, three spaces between them; control characters of cells are
// shown, not sent to the terminal.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

// "4 seconds", "3 hours": how long ago, for people.
std::string FormatAge(int64_t nanos);

// At most `width` characters of UTF-8, with "…" as the last when some were cut off.
std::string Shorten(const std::string& text, size_t width);

}  // namespace holt::shim::cli
