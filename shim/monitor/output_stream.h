#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace holt::shim {

// One output stream of a process in the guest: what arrives goes to the log and to every attached
// client, whole and in order. A client that is slow stops the reading (at most kMaxPending bytes
// wait for it), and the flow control of the connection stops the process in the guest; the
// monitor's loop never blocks.
class OutputStream {
 public:
  using Sink = std::function<void(std::string_view)>;

  OutputStream(base::EventLoop& loop, Sink sink) : loop_(loop), sink_(std::move(sink)) {}
  ~OutputStream();
  OutputStream(const OutputStream&) = delete;
  OutputStream& operator=(const OutputStream&) = delete;

  // The connection to the guest. Without one the stream is empty.
  void SetSource(base::UniqueFd source);
  // Reads nothing before the first client is there, so that it misses nothing.
  void HoldForClient() { hold_ = true; }
  // When nobody is there any more to take it, the connection ends, and so does who writes.
  void EndWithClients() { end_with_clients_ = true; }
  // Takes a nonblocking connected socket, or a pipe's end. After the end it is closed at once,
  // which is its end of file.
  void AddClient(base::UniqueFd client);
  // The process is gone: what is on the way still arrives; then, or when nothing came for `idle`
  // although it would have been taken (a background child holds the stream), the stream ends.
  void ProcessExited(std::chrono::milliseconds idle);
  // Ends now; what clients have not taken is lost.
  void Abort();
  // Called once, when the source has ended and every client took everything.
  void OnEnd(std::function<void()> callback);
  bool ended() const { return ended_; }
  uint64_t bytes() const { return bytes_; }

  static constexpr size_t kMaxPending = 256 << 10;

 private:
  struct Client {
    base::UniqueFd fd;
    std::string pending;
    size_t sent = 0;
    size_t waiting() const { return pending.size() - sent; }
  };

  bool MayRead() const;
  void UpdateWatch();
  void ReadSource();
  void CloseSource();
  // False when the client is gone.
  bool Flush(Client& client);
  void Deliver(Client& client, std::string_view data);
  void DropClient(int fd);
  void FinishIfDone();
  void CheckIdle();
  void CheckClients();

  base::EventLoop& loop_;
  Sink sink_;
  base::UniqueFd source_;
  bool had_source_ = false;
  bool watching_ = false;
  bool hold_ = false;
  bool end_with_clients_ = false;
  bool process_exited_ = false;
  bool ended_ = false;
  uint64_t bytes_ = 0;
  uint64_t bytes_at_check_ = 0;
  int held_checks_ = 0;
  std::chrono::milliseconds idle_{0};
  base::EventLoop::TimerId idle_timer_ = 0;
  std::map<int, std::unique_ptr<Client>> clients_;
  std::function<void()> on_end_;
};

}  // namespace holt::shim
