#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace holt::image::commands {

// Columns as wide as their widest cell, three blanks between them, as Docker's tables. The first
// row is the heading.
void PrintTable(std::FILE* out, const std::vector<std::vector<std::string>>& rows);

// "31.5MB", "812B".
std::string SizeText(uint64_t bytes);

// "3 days ago" of an RFC 3339 time; "" if it is none.
std::string AgoText(const std::string& rfc3339, int64_t now);

}  // namespace holt::image::commands
