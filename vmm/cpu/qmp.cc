#include "vmm/cpu/qmp.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <nlohmann/json.hpp>

namespace holt::vmm {

namespace {

// The string at object[key], or nothing.
std::string StringAt(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return "";
  auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get_ref<const std::string&>() : "";
}

}  // namespace

base::Result<std::unique_ptr<Qmp>> Qmp::Create(base::EventLoop& loop, base::UniqueFd socket,
                                               Handlers handlers) {
  std::unique_ptr<Qmp> qmp(new Qmp(loop, std::move(socket), std::move(handlers)));
  Qmp* raw = qmp.get();
  TRY_CONTEXT(loop.AddFd(raw->socket_.get(), EPOLLIN, [raw](uint32_t) { raw->OnReadable(); }),
              "QMP");
  return qmp;
}

Qmp::~Qmp() {
  if (socket_) loop_.RemoveFd(socket_.get());
}

void Qmp::Close(const std::string& why) {
  if (!socket_) return;
  loop_.RemoveFd(socket_.get());
  socket_.Reset();
  handlers_.on_closed(why);
}

void Qmp::OnReadable() {
  std::array<char, 16384> bytes;
  ssize_t n = recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n < 0) return Close(base::ErrnoError(errno, "QMP").message());
  if (n == 0) return Close("QEMU closed its QMP connection");
  input_.append(bytes.data(), static_cast<size_t>(n));
  size_t start = 0;
  for (size_t end; socket_ && (end = input_.find('\n', start)) != std::string::npos;
       start = end + 1)
    OnLine(input_.substr(start, end - start));
  input_.erase(0, start);
  if (input_.size() > kMaxLineBytes) Close("QEMU sent an endless QMP line");
}

void Qmp::OnLine(const std::string& line) {
  auto message = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!message.is_object()) return Close("QEMU sent what is not QMP");
  if (!greeted_) {
    if (!message.contains("QMP")) return Close("QEMU did not greet with QMP");
    greeted_ = true;
    Send("qmp_capabilities");
    for (size_t start = 0, end; (end = waiting_.find('\n', start)) != std::string::npos;
         start = end + 1)
      Send(waiting_.substr(start, end - start));
    waiting_.clear();
    return;
  }
  if (message.contains("error"))
    return handlers_.on_error(StringAt(message, "id"), StringAt(message["error"], "desc"));
  if (StringAt(message, "event") == "SHUTDOWN" && message.contains("data"))
    handlers_.on_shutdown(StringAt(message["data"], "reason"));
}

void Qmp::Execute(const std::string& command) {
  if (greeted_) return Send(command);
  waiting_ += command + "\n";
}

void Qmp::Send(const std::string& command) {
  if (!socket_) return;
  const std::string line = nlohmann::json{{"execute", command}, {"id", command}}.dump() + "\n";
  // A few short lines in the life of a connection: they fit in the socket's buffer or QEMU is
  // stuck.
  if (send(socket_.get(), line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT) !=
      static_cast<ssize_t>(line.size()))
    Close(base::ErrnoError(errno, "QMP").message());
}

}  // namespace holt::vmm
