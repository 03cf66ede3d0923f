#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/spawn.h"
#include "base/unique_fd.h"

namespace holt::shim {

// A helper process of the sandbox. Its stderr is read line by line into the monitor's log, and the
// last line is kept, because it says why the process ended. Dies with the monitor.
class Child {
 public:
  using OnExit = std::function<void()>;

  // `options` without stderr and parent_death_signal: those are set here.
  static base::Result<std::unique_ptr<Child>> Start(base::EventLoop& loop, const std::string& name,
                                                    base::SpawnOptions options, OnExit on_exit);
  // Kills and reaps what still runs.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  const std::string& name() const { return name_; }
  pid_t pid() const { return pid_; }
  bool running() const { return running_; }
  int wait_status() const { return wait_status_; }
  const std::string& last_line() const { return last_line_; }
  // "holt-fsd exited with status 1: its last line".
  std::string Describe() const;
  void Kill();

  // Of a child's lines this much reaches the log, so that a guest that makes it talk cannot fill a
  // disk.
  static constexpr size_t kMaxLogBytes = 256 << 10;

 private:
  Child(base::EventLoop& loop, std::string name) : loop_(loop), name_(std::move(name)) {}
  void ReadOutput();
  void TakeLine(std::string line);

  base::EventLoop& loop_;
  std::string name_;
  pid_t pid_ = -1;
  bool running_ = false;
  int wait_status_ = 0;
  base::UniqueFd output_;
  std::string partial_;
  std::string last_line_;
  size_t logged_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace holt::shim
