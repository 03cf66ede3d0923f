#include "shim/run/conmon.h"

#include <algorithm>

namespace holt::shim {
namespace {

std::string_view TakeWord(std::string_view& command_line) {
  const size_t end = std::min(command_line.find('\0'), command_line.size());
  const std::string_view word = command_line.substr(0, end);
  command_line.remove_prefix(std::min(end + 1, command_line.size()));
  return word;
}

}  // namespace

std::string ConmonsPersistDir(std::string_view command_line) {
  const std::string_view program = TakeWord(command_line);
  if (program.substr(program.rfind('/') + 1) != "conmon") return "";
  while (!command_line.empty()) {
    if (TakeWord(command_line) != "--persist-dir") continue;
    const std::string_view directory = TakeWord(command_line);
    return directory.starts_with('/') ? std::string(directory) : "";
  }
  return "";
}

}  // namespace holt::shim
