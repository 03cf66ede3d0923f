#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::vmm {

// A client of QEMU's machine protocol (docs/interop/qmp-spec.rst): JSON objects, a line each. Only
// what a machine of ours needs: commands without arguments, and the SHUTDOWN event.
class Qmp {
 public:
  struct Handlers {
    // The SHUTDOWN event, with its reason ("guest-shutdown", "guest-reset", "host-qmp-quit", ...).
    std::function<void(const std::string& reason)> on_shutdown;
    // A command of ours failed.
    std::function<void(const std::string& command, const std::string& message)> on_error;
    // Once: QEMU closed the connection, or says what is not QMP.
    std::function<void(const std::string& why)> on_closed;
  };

  // Takes a connected stream socket.
  static base::Result<std::unique_ptr<Qmp>> Create(base::EventLoop& loop, base::UniqueFd socket,
                                                   Handlers handlers);
  ~Qmp();
  Qmp(const Qmp&) = delete;
  Qmp& operator=(const Qmp&) = delete;

  // Sends "cont", "stop", "quit"; before the greeting arrived, as soon as it has.
  void Execute(const std::string& command);

  static constexpr size_t kMaxLineBytes = 256 << 10;

 private:
  Qmp(base::EventLoop& loop, base::UniqueFd socket, Handlers handlers)
      : loop_(loop), socket_(std::move(socket)), handlers_(std::move(handlers)) {}
  void OnReadable();
  void OnLine(const std::string& line);
  void Send(const std::string& command);
  void Close(const std::string& why);

  base::EventLoop& loop_;
  base::UniqueFd socket_;
  Handlers handlers_;
  std::string input_;
  bool greeted_ = false;
  std::string waiting_;  // commands, one a line
};

}  // namespace holt::vmm
