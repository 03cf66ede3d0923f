#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "rpc/frame.h"

namespace holt::rpc {

// Frames over one stream socket on an event loop: reads, cuts, queues writes. Both ends of ttrpc
// use it.
//
// Callbacks may destroy the owner of the connection: it is kept alive by a shared_ptr while it
// calls.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct Handlers {
    std::function<void(FrameReader::Frame)> on_frame;
    // Once; the reason is empty at a clean end of the stream.
    std::function<void(base::Status reason)> on_closed;
  };

  // Takes the socket and makes it nonblocking. `loop` outlives the connection.
  static std::shared_ptr<Connection> Create(base::EventLoop& loop, base::UniqueFd socket);
  ~Connection();

  base::Status Start(Handlers handlers);
  // Queues a frame; a peer that does not read is cut off when kMaxQueuedBytes wait for it.
  void Send(const FrameHeader& header, std::string_view data);
  // Closes without calling on_closed.
  void Close();
  bool open() const { return socket_.valid(); }
  int fd() const { return socket_.get(); }

  static constexpr size_t kMaxQueuedBytes = 32 << 20;

 private:
  Connection(base::EventLoop& loop, base::UniqueFd socket)
      : loop_(loop), socket_(std::move(socket)) {}
  void OnEvents(uint32_t events);
  void ReadAvailable();
  void Flush();
  void Fail(base::Status reason);

  base::EventLoop& loop_;
  base::UniqueFd socket_;
  Handlers handlers_;
  FrameReader reader_;
  std::string output_;
  size_t output_sent_ = 0;
  bool want_write_ = false;
};

}  // namespace holt::rpc
