#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace holt::shim {

// The standard input of a process in the guest, fed by attached clients. One buffer on the way:
// while the guest does not take it, clients are not read.
class InputStream {
 public:
  explicit InputStream(base::EventLoop& loop) : loop_(loop) {}
  ~InputStream() { Close(); }
  InputStream(const InputStream&) = delete;
  InputStream& operator=(const InputStream&) = delete;

  // The connection to the guest; clients that came before it wait.
  void SetTarget(base::UniqueFd target);
  // With a terminal a client that ends only detaches; without one its end is the end of the input.
  void SetTerminal(bool terminal) { terminal_ = terminal; }
  // Takes a nonblocking connected socket.
  void AddClient(base::UniqueFd client);
  // Drops clients and the connection to the guest.
  void Close();

 private:
  void ReadClient(int fd);
  void WriteTarget();
  void UpdateWatches();
  void DropClient(int fd);
  void EndOfInput();

  base::EventLoop& loop_;
  base::UniqueFd target_;
  bool terminal_ = false;
  bool had_target_ = false;
  bool ending_ = false;  // close the guest's side once pending_ is out
  bool ended_ = false;
  std::string pending_;
  size_t sent_ = 0;
  struct Client {
    base::UniqueFd fd;
    bool watched = false;
  };
  std::map<int, Client> clients_;
};

}  // namespace holt::shim
