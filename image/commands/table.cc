#include "image/commands/table.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>

namespace holt::image::commands {

void PrintTable(std::FILE* out, const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i)
      line += i + 1 < row.size() ? fmt::format("{:<{}}", row[i], widths[i] + 3) : row[i];
    fmt::print(out, "{}\n", line);
  }
}

std::string SizeText(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{}B", bytes);
  double value = static_cast<double>(bytes);
  const char* unit = "";
  for (const char* next : {"kB", "MB", "GB", "TB"}) {
    value /= 1000;
    unit = next;
    if (value < 999.5) break;
  }
  return value < 9.995   ? fmt::format("{:.2f}{}", value, unit)
         : value < 99.95 ? fmt::format("{:.1f}{}", value, unit)
                         : fmt::format("{:.0f}{}", value, unit);
}

std::string AgoText(const std::string& rfc3339, int64_t now) {
  tm parts{};
  if (!strptime(rfc3339.c_str(), "%Y-%m-%dT%H:%M:%S", &parts)) return "";
  int64_t seconds = std::max<int64_t>(0, now - timegm(&parts));
  struct Unit {
    int64_t seconds;
    const char* name;
  };
  for (const Unit& unit :
       {Unit{365 * 86400, "year"}, Unit{30 * 86400, "month"}, Unit{7 * 86400, "week"},
        Unit{86400, "day"}, Unit{3600, "hour"}, Unit{60, "minute"}}) {
    int64_t count = seconds / unit.seconds;
    // Docker's way: one unit is left when the next smaller has said two of it.
    if (count >= 2 || (count == 1 && unit.seconds <= 60))
      return fmt::format("{} {}{} ago", count, unit.name, count == 1 ? "" : "s");
  }
  return fmt::format("{} second{} ago", seconds, seconds == 1 ? "" : "s");
}

}  // namespace holt::image::commands
