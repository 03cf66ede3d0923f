#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "shim/monitor/descriptors.h"
#include "shim/monitor/input_stream.h"
#include "shim/monitor/output_stream.h"

namespace holt::shim {

// How a process ended.
struct ProcessExit {
  int32_t status = 0;
  bool oom_killed = false;
  std::string error;  // set when the machine failed under it
};

// One process of a container as the monitor sees it: its streams, who waits for it, and its end.
// The container's own process has an empty exec id.
class Process {
 public:
  Process(base::EventLoop& loop, std::string exec_id, bool terminal, bool has_input,
          OutputStream::Sink out_sink, OutputStream::Sink err_sink);

  const std::string& exec_id() const { return exec_id_; }
  bool terminal() const { return terminal_; }
  // Whether its standard input is a stream; /dev/null otherwise.
  bool has_input() const { return has_input_; }
  InputStream& input() { return input_; }
  OutputStream& output() { return *output_; }
  OutputStream& error_output() { return *error_output_; }

  // What it has beside its stdio; null: nothing. Before it exits.
  void SetDescriptors(std::shared_ptr<Descriptors> descriptors) {
    descriptors_ = std::move(descriptors);
  }
  Descriptors* descriptors() { return descriptors_.get(); }

  // The process of this host that stands in for it; 0 without one.
  pid_t stub() const { return stub_; }
  void SetStub(pid_t stub) { stub_ = stub; }

  bool exited() const { return exited_; }
  const ProcessExit& exit() const { return exit_; }

  // Calls back at the end, at once if that was before.
  void OnExit(std::function<void(const ProcessExit&)> callback);
  // Calls back when the output is out too, after OnExit.
  void OnDrained(std::function<void()> callback);

  // Tells the waiters first, then drains.
  void SetExit(ProcessExit exit);
  // Ends the output now.
  void Abort();

 private:
  void CheckDrained();

  std::string exec_id_;
  bool terminal_;
  bool has_input_;
  InputStream input_;
  std::unique_ptr<OutputStream> output_;
  std::unique_ptr<OutputStream> error_output_;
  std::shared_ptr<Descriptors> descriptors_;
  pid_t stub_ = 0;
  bool exited_ = false;
  ProcessExit exit_;
  std::vector<std::function<void(const ProcessExit&)>> waiters_;
  std::function<void()> on_drained_;
};

}  // namespace holt::shim
