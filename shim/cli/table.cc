#include "shim/cli/table.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"

namespace holt::shim::cli {
namespace {

// Characters, not bytes: continuation bytes do not count.
size_t Width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](unsigned char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  std::vector<std::vector<std::string>> cells;
  for (const auto& row : rows) {
    auto& line = cells.emplace_back();
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      line.push_back(base::log::Sanitize(row[i]));
      widths[i] = std::max(widths[i], Width(line[i]));
    }
  }
  std::string out;
  for (const auto& line : cells) {
    for (size_t i = 0; i < line.size(); ++i) {
      out += line[i];
      if (i + 1 < line.size()) out.append(widths[i] - Width(line[i]) + 3, ' ');
    }
    out += '\n';
  }
  return out;
}

std::string FormatAge(int64_t nanos) {
  int64_t seconds = std::max<int64_t>(nanos, 0) / 1'000'000'000;
  auto text = [](int64_t number, const char* unit) {
    return fmt::format("{} {}{}", number, unit, number == 1 ? "" : "s");
  };
  if (seconds < 120) return text(seconds, "second");
  if (seconds < int64_t{2} * 3600) return text(seconds / 60, "minute");
  if (seconds < int64_t{2} * 86400) return text(seconds / 3600, "hour");
  return text(seconds / 86400, "day");
}

std::string Shorten(const std::string& text, size_t width) {
  if (Width(text) <= width) return text;
  std::string out;
  size_t taken = 0;
  for (char c : text) {
    if ((static_cast<unsigned char>(c) & 0xc0) != 0x80 && ++taken >= width) break;
    out += c;
  }
  return out + "…";
}

}  // namespace holt::shim::cli
