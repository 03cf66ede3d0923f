#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::guest_agent {

// Copies one way between a process's pipe or pty and a stream of the host's, on the loop. One
// buffer (64 KiB) is on the way at most: a sink that does not take it stops the reading, and so in
// the end the writer. Keeps itself alive until it has ended.
class Pump : public std::enable_shared_from_this<Pump> {
 public:
  enum class Kind {
    // A process's output into a stream. At the source's end the stream is half-closed.
    kOutput,
    // The same from a pty, which says "end" (EIO) also while a living process has it closed for a
    // while.
    kPtyOutput,
    // A stream into a process's input. At the source's end the sink is closed.
    kInput,
  };

  // Takes both descriptors; they are made nonblocking. `on_end` is called once, from the loop.
  static base::Result<std::shared_ptr<Pump>> Start(base::EventLoop& loop, Kind kind,
                                                   base::UniqueFd source, base::UniqueFd sink,
                                                   std::function<void()> on_end = nullptr);
  ~Pump();
  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;

  // The process is gone, so an output's stream that breaks from now on does not end the pump: what
  // a child it left behind writes is discarded then, as nobody wants SIGPIPE to end a daemon. An
  // input ends now.
  void ProcessExited();
  // Ends now; what is on the way is lost.
  void Abort();
  bool ended() const { return ended_; }

  static constexpr size_t kBufferBytes = 64 << 10;

 private:
  Pump(base::EventLoop& loop, Kind kind, base::UniqueFd source, base::UniqueFd sink,
       std::function<void()> on_end)
      : loop_(loop),
        kind_(kind),
        source_(std::move(source)),
        sink_(std::move(sink)),
        on_end_(std::move(on_end)) {}
  void OnReadable();
  // False when nothing more is to be read now.
  bool ReadOnce();
  void OnSourceEnd();
  void Flush();
  void OnSinkError(int err);
  void Watch();
  void End();

  base::EventLoop& loop_;
  Kind kind_;
  base::UniqueFd source_;
  base::UniqueFd sink_;  // empty while discarding
  std::function<void()> on_end_;
  std::shared_ptr<Pump> self_;
  std::string pending_;
  size_t sent_ = 0;
  bool source_ended_ = false;
  bool process_exited_ = false;
  bool ended_ = false;
  bool watching_source_ = false;
  bool watching_sink_ = false;
  base::EventLoop::TimerId retry_ = 0;
};

}  // namespace holt::guest_agent
