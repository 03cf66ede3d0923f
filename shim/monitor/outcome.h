#pragma once

#include <functional>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

// What became of a start, over a pipe from the monitor to the command that started it: one line,
// `created\n` or `error <code> <text>\n`, then the end. An end without a line: the monitor died.
namespace holt::shim {

// The monitor's end.
class Outcome {
 public:
  explicit Outcome(base::EventLoop& loop) : loop_(loop) {}
  ~Outcome();
  Outcome(const Outcome&) = delete;
  Outcome& operator=(const Outcome&) = delete;

  // `on_reader_gone` is called when nobody waits for the outcome any more before there is one.
  base::Status Take(base::UniqueFd pipe, std::function<void()> on_reader_gone);
  // The first of these two counts.
  void Created();
  void Failed(const base::Error& error);

 private:
  void Send(std::string line);

  base::EventLoop& loop_;
  base::UniqueFd pipe_;
};

inline constexpr char kMonitorDied[] = "holt-monitor died";

// The command's end: reads to the end. Success is "created"; kMonitorDied (kUnavailable) when the
// monitor ended without a word.
base::Status ReadOutcome(int pipe);

}  // namespace holt::shim
