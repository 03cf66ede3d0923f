#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "shim/monitor/process.h"

namespace holt::shim {

// Serves attach.sock: the protocol of shim/stdio/attach_client.h.
class AttachServer {
 public:
  struct Handlers {
    // The process of this container and exec id ("" for the container's own); an error goes to the
    // client as it is.
    std::function<base::Result<Process*>(const std::string& container, const std::string& exec)>
        find;
    std::function<void(const std::string& exec, int signal)> on_signal;
    std::function<void(const std::string& exec, uint32_t rows, uint32_t columns)> on_resize;
    // A stub stands in for the process; it died before the process did.
    std::function<void(const std::string& exec, pid_t pid)> on_stub;
    std::function<void(const std::string& exec)> on_stub_lost;
  };

  AttachServer(base::EventLoop& loop, Handlers handlers)
      : loop_(loop), handlers_(std::move(handlers)) {}
  ~AttachServer();
  AttachServer(const AttachServer&) = delete;
  AttachServer& operator=(const AttachServer&) = delete;

  // Takes a listening nonblocking socket.
  base::Status Listen(base::UniqueFd listener);
  // What a client that is still there has handed over for this exec; it has nothing then.
  std::vector<base::UniqueFd> TakeDescriptors(const std::string& exec);
  // Accepts no more; clients that are attached stay.
  void StopListening();

  // Clients that have not said yet what they want, and control connections; more are turned away.
  static constexpr size_t kMaxConnections = 256;

 private:
  class Connection;
  void OnAccept();
  void Remove(int fd);

  base::EventLoop& loop_;
  Handlers handlers_;
  base::UniqueFd listener_;
  std::map<int, std::shared_ptr<Connection>> connections_;
};

}  // namespace holt::shim
