#include "shim/cli/descriptors.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/socket.h"
#include "shim/run/environment.h"
#include "shim/run/values.h"
#include "shim/state/descriptor_kind.h"
#include "shim/stdio/attach_client.h"

namespace holt::shim::cli {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::UniqueFd;

int64_t FromEnvironment(const char* name) {
  const char* text = getenv(name);
  auto value = ParseInteger(text == nullptr ? "" : text, 0, INT32_MAX);
  return value ? *value : 0;
}

// What this process was started with is never CLOEXEC, and what it opened itself always is.
bool IsInherited(int fd) {
  const int flags = fcntl(fd, F_GETFD);
  return flags >= 0 && (flags & FD_CLOEXEC) == 0;
}

}  // namespace

int64_t ListenDescriptors() {
  return FromEnvironment("LISTEN_PID") == getpid() ? FromEnvironment("LISTEN_FDS") : 0;
}

void TellOfListening(int64_t count, oci::Process& process) {
  if (count == 0) return;
  SetVariable(process.env, fmt::format("LISTEN_FDS={}", count));
  SetVariable(process.env, "LISTEN_PID=1");
}

Result<std::vector<UniqueFd>> TakeDescriptors(int64_t count) {
  if (count > static_cast<int64_t>(kMaxDescriptors))
    return MakeError(Code::kUnsupported,
                     "--preserve-fds: {} descriptors: not supported: a process in a machine can "
                     "have {} beside its stdio",
                     count, kMaxDescriptors);
  // All of them first: none is closed by an error that somebody else has.
  for (int fd = 3; fd < 3 + count; ++fd)
    if (!IsInherited(fd))
      return MakeError(Code::kInvalidArgument, "--preserve-fds: descriptor {}: is not open", fd);
  std::vector<UniqueFd> taken;
  for (int fd = 3; fd < 3 + count; ++fd) {
    TRY(base::SetCloexec(fd, true));
    taken.emplace_back(fd);
  }
  for (const UniqueFd& fd : taken)
    TRY_CONTEXT(KindOfDescriptor(fd.get()), fmt::format("--preserve-fds: descriptor {}", fd.get()));
  return taken;
}

std::vector<int> Numbers(const std::vector<UniqueFd>& descriptors) {
  std::vector<int> numbers;
  numbers.reserve(descriptors.size());
  for (const UniqueFd& fd : descriptors) numbers.push_back(fd.get());
  return numbers;
}

Result<UniqueFd> HandOver(const SandboxPaths& paths, const std::string& container_id,
                          const std::string& exec_id, const std::vector<UniqueFd>& descriptors) {
  TRY_ASSIGN(UniqueFd socket,
             AttachStream(paths.AttachSocket(), "descriptors", container_id, exec_id));
  TRY(base::SendWithFds(socket.get(), "\n", Numbers(descriptors)));
  TRY_ASSIGN(const std::string answer, ReadLine(socket.get(), kMaxAttachLine));
  if (answer != "ok") return MakeError(Code::kInternal, "hand descriptors over: {}", answer);
  return socket;
}

}  // namespace holt::shim::cli
