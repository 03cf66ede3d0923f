#include "shim/stub/find.h"

#include <fcntl.h>

#include "base/file.h"

namespace holt::shim {
namespace {

using base::Result;
using base::UniqueFd;

// Of one process: by the open directory it stays the same one, whoever has its number later.
Result<StubNamespaces> Look(const SandboxPaths& paths, pid_t pid) {
  TRY_ASSIGN(UniqueFd process, base::Open(fmt::format("/proc/{}", pid), O_PATH | O_DIRECTORY));
  TRY_ASSIGN(UniqueFd command_file, base::OpenAt(process.get(), "cmdline", O_RDONLY));
  TRY_ASSIGN(std::string command, base::ReadFd(command_file.get(), 4 << 20));
  const std::string marks = std::string("holt-stub\0--attach\0", 19) + paths.AttachSocket() + '\0';
  if (command.find(marks) == std::string::npos)
    return base::MakeError(base::Code::kNotFound, "{} is no stub", pid);
  StubNamespaces found;
  TRY_ASSIGN(found.mounts, base::OpenAt(process.get(), "ns/mnt", O_RDONLY));
  TRY_ASSIGN(found.pids, base::OpenAt(process.get(), "ns/pid", O_RDONLY));
  TRY_ASSIGN(found.network, base::OpenAt(process.get(), "ns/net", O_RDONLY));
  return found;
}

}  // namespace

std::optional<StubNamespaces> FindStub(const SandboxPaths& paths, const Record& record) {
  if (record.pid <= 0 || record.pid == record.monitor_pid) return std::nullopt;
  auto found = Look(paths, record.pid);
  if (!found) return std::nullopt;
  return std::move(*found);
}

}  // namespace holt::shim
