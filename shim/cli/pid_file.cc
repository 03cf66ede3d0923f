#include "shim/cli/pid_file.h"

#include "base/file.h"

namespace holt::shim::cli {

base::Status WritePidFile(const std::string& path, pid_t pid) {
  if (path.empty()) return {};
  TRY_CONTEXT(base::WriteFileAtomic(path, fmt::format("{}", pid), 0644), "--pid-file");
  return {};
}

}  // namespace holt::shim::cli
