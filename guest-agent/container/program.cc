#include "guest-agent/container/program.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace holt::guest_agent {
namespace {

using base::Code;
using base::Result;

// What a shell uses when PATH is not set.
constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// 0, or why the file cannot be executed.
int Executable(const std::string& path) {
  struct stat st {};
  if (stat(path.c_str(), &st) != 0) return errno;
  if (S_ISDIR(st.st_mode)) return EISDIR;
  if (faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) != 0) return errno;
  return 0;
}

}  // namespace

base::Error ExecError(int err, const std::string& name) {
  auto text = [&](std::string_view cause) { return fmt::format("exec: \"{}\": {}", name, cause); };
  switch (err) {
    case ENOENT:
      return {Code::kNotFound, text("no such file or directory"), err};
    case ENOTDIR:
      return {Code::kNotFound, text("not a directory"), err};
    case EACCES:
    case EPERM:
      return {Code::kPermissionDenied, text("permission denied"), err};
    case EISDIR:
      return {Code::kPermissionDenied, text("is a directory"), err};
    case ENOEXEC:
      return {Code::kPermissionDenied, text("exec format error"), err};
    default:
      return base::ErrnoError(err, fmt::format("exec: \"{}\"", name));
  }
}

Result<std::string> FindProgram(const std::string& name,
                                const std::vector<std::string>& environment) {
  if (name.find('/') != std::string::npos) {
    if (int err = Executable(name); err != 0) return ExecError(err, name);
    return name;
  }
  std::string path(kDefaultPath);
  for (const std::string& variable : environment)
    if (variable.starts_with("PATH=")) path = variable.substr(5);
  bool denied = false;
  for (size_t begin = 0; begin <= path.size();) {
    size_t end = std::min(path.find(':', begin), path.size());
    std::string directory = path.substr(begin, end - begin);
    begin = end + 1;
    // An empty entry is the current directory.
    std::string candidate = (directory.empty() ? "." : directory) + "/" + name;
    int err = Executable(candidate);
    if (err == 0) return candidate;
    denied |= err == EACCES;
  }
  if (denied) return ExecError(EACCES, name);
  return base::Error(Code::kNotFound,
                     fmt::format("exec: \"{}\": executable file not found in $PATH", name), ENOENT);
}

}  // namespace holt::guest_agent
