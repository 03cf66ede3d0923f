#include "shim/stdio/attach_client.h"

#include <unistd.h>

#include "base/file.h"
#include "base/socket.h"

namespace holt::shim {

base::Result<std::string> ReadLine(int fd, size_t max_bytes) {
  std::string line;
  while (line.size() < max_bytes) {
    char c;
    ssize_t n = read(fd, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return HOLT_ERRNO("read");
    if (n == 0) return base::Error(base::Code::kUnavailable, "connection closed");
    if (c == '\n') return line;
    line += c;
  }
  return base::Error(base::Code::kDataLoss, "line too long");
}

base::Result<base::UniqueFd> AttachStream(const std::string& socket_path, std::string_view stream,
                                          const std::string& container_id,
                                          const std::string& exec_id) {
  TRY_ASSIGN(base::UniqueFd socket, base::ConnectUnix(socket_path));
  TRY_CONTEXT(base::WriteFd(socket.get(), fmt::format("{} {} {}\n", stream, container_id,
                                                      exec_id.empty() ? "-" : exec_id)),
              "attach");
  TRY_ASSIGN_CONTEXT(std::string answer, ReadLine(socket.get(), kMaxAttachLine), "attach");
  if (answer == "ok") return socket;
  if (answer.starts_with("error ")) answer.erase(0, 6);
  return base::Error(base::Code::kFailedPrecondition, answer);
}

}  // namespace holt::shim
