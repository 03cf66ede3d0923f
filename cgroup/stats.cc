#include "cgroup/stats.h"

#include <algorithm>
#include <charconv>

namespace holt::cgroup {

uint64_t ToNumber(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    size_t end = std::min(text.find_first_of(" \n"), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

std::map<std::string, uint64_t> ParseFlatKeyed(std::string_view text) {
  std::map<std::string, uint64_t> values;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    size_t space = line.find(' ');
    if (space != std::string_view::npos)
      values[std::string(line.substr(0, space))] = ToNumber(line.substr(space + 1));
  }
  return values;
}

void AddIoStat(std::string_view text, CgroupStats& stats) {
  for (const std::string& word : Words(text)) {
    size_t equals = word.find('=');
    if (equals == std::string::npos) continue;
    std::string key = word.substr(0, equals);
    uint64_t value = ToNumber(std::string_view(word).substr(equals + 1));
    if (key == "rbytes") stats.io_read_bytes += value;
    if (key == "wbytes") stats.io_write_bytes += value;
    if (key == "rios") stats.io_read_ops += value;
    if (key == "wios") stats.io_write_ops += value;
  }
}

}  // namespace holt::cgroup
