#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"

namespace holt::shim {

// Moves bytes from one descriptor to another on an event loop until the source ends, with at most
// one buffer on the way: a target that does not take stops the reading. Descriptors are borrowed
// and may be anything: sockets, pipes, terminals, files. Their O_NONBLOCK is left alone, because
// others may hold the same terminal or pipe.
class Pump {
 public:
  // Sees what was read before it is passed on and may change it; false ends the pump (kCancelled).
  using Filter = std::function<bool(std::string& data)>;
  // Once: success when the source ended and all of it was written, else what failed.
  using Done = std::function<void(base::Status)>;

  Pump(base::EventLoop& loop, int from, int to) : loop_(loop), from_(from), to_(to) {}
  ~Pump() { Stop(); }
  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;

  void SetFilter(Filter filter) { filter_ = std::move(filter); }
  base::Status Start(Done done);
  // Ends without calling Done.
  void Stop();

 private:
  void Read();
  void Write();
  // Writes what can be written without blocking; false when the pump ended.
  bool WriteSome();
  void Wait();
  void Finish(base::Status status);
  void Unwatch();

  base::EventLoop& loop_;
  int from_;
  int to_;
  Filter filter_;
  Done done_;
  std::string buffer_;
  size_t sent_ = 0;
  int watched_ = -1;
  bool running_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace holt::shim
