#include "guest-agent/container/sysctl.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <unistd.h>

#include "base/file.h"

namespace holt::guest_agent {

std::string SysctlPath(const std::string& name) {
  size_t first = name.find_first_of("./");
  if (first == std::string::npos || name[first] == '/') return name;
  std::string path = name;
  for (char& c : path) {
    if (c == '.') {
      c = '/';
    } else if (c == '/') {
      c = '.';
    }
  }
  return path;
}

base::Status WriteSysctls(int proc, const std::map<std::string, std::string>& values) {
  if (values.empty()) return {};
  // Not below `proc`: "net/../../sysrq-trigger" is no sysctl.
  TRY_ASSIGN(base::UniqueFd sys, base::OpenAt(proc, "sys", O_PATH | O_DIRECTORY));
  for (const auto& [name, value] : values) {
    auto file = base::OpenAt2(sys.get(), SysctlPath(name), O_WRONLY,
                              RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
    std::string item = fmt::format("linux.sysctl[\"{}\"]", name);
    if (!file) return std::move(file).error().Wrap(item);
    if (write(file->get(), value.data(), value.size()) < 0)
      return HOLT_ERRNO("{}: write \"{}\"", item, value);
  }
  return {};
}

}  // namespace holt::guest_agent
