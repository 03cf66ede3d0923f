#pragma once

#include <poll.h>

#include <cstddef>

namespace holt::stub {

// Bytes from one descriptor to another with one buffer on the way. Descriptors are borrowed and
// stay in the blocking mode that others gave them: what polls ready is touched, and no more than it
// takes.
class Relay {
 public:
  // `to` is a socket of ours or not; -1 for either makes a relay that is done.
  Relay(int from, int to) : from_(from), to_(to), done_(from < 0 || to < 0) {}

  // The descriptor and events to poll for; -1 when done.
  pollfd Wanted() const;
  // Called with what poll said about it.
  void OnReady(short events);
  // The source has ended (or failed) and all of it was written, or the target is gone.
  bool done() const { return done_; }
  // The target is gone, so that the source should be told.
  bool target_gone() const { return target_gone_; }

 private:
  void Read();
  void Write();

  int from_;
  int to_;
  bool done_ = false;
  bool target_gone_ = false;
  size_t size_ = 0;
  size_t sent_ = 0;
  char buffer_[32 << 10];
};

}  // namespace holt::stub
