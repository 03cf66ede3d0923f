#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "rpc/client.h"
#include "rpc/monitor.pb.h"
#include "shim/state/layout.h"
#include "shim/stdio/pump.h"
#include "shim/stdio/terminal.h"

namespace holt::shim {

inline constexpr char kMonitorService[] = "holt.monitor.v1.Monitor";

// This process' stdio, terminal and signals joined to one process of a container, from before it
// starts until it has ended and all of its output is out: what `run`, `exec` and `attach` do in the
// foreground.
class Session {
 public:
  struct Options {
    SandboxPaths paths;
    std::string container_id;
    std::string exec_id;       // empty: the container's own process
    bool terminal = false;     // it has one
    bool input = false;        // stdin goes to it
    bool detach_keys = false;  // Ctrl-P Ctrl-Q leaves it alone
    // This process' number stands for the process: whoever kills it means that one
    // (docs/adr/0064).
    bool stand_in = false;
    bool forward_signals = true;
    bool kill_when_unread = true;  // when nobody reads our stdout any more
  };

  struct Outcome {
    bool detached = false;
    bool lost = false;  // the monitor went away; status and error say no more than that
    int status = 0;     // the process'; 128 + signal
    std::string error;  // why it ended, where that was not its own doing
  };

  // Connects to the monitor, and takes the signals over.
  static base::Result<std::unique_ptr<Session>> Open(Options options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Connects the streams and begins to wait for the end. Before a process starts, so that nothing
  // is missed.
  base::Status Attach();

  // A call to the monitor that may take time. kCancelled when a signal said that nobody wants it
  // any more; interrupted_by() is that signal.
  template <typename Response, typename Request>
  base::Result<Response> Call(const std::string& method, const Request& request) {
    std::optional<base::Result<Response>> answer;
    client_->Call<Response>(
        kMonitorService, method, request, {},
        [&answer](base::Result<Response> result) { answer = std::move(result); });
    while (!answer && interrupted_by_ == 0) loop_->RunOnce(std::chrono::nanoseconds(-1));
    if (!answer) {
      // Its callback refers to this frame.
      client_.reset();
      return base::Error(base::Code::kCancelled, "interrupted");
    }
    return *std::move(answer);
  }
  int interrupted_by() const { return interrupted_by_; }

  // Moves bytes, signals and window sizes until the end. Attach() came first.
  base::Result<Outcome> Run();

 private:
  explicit Session(Options options) : options_(std::move(options)) {}
  base::Status TakeSignals();
  void OnSignal(int number);
  void SendSignal(int number);
  void SendSize();
  base::Status StartOutput(const base::UniqueFd& socket, int fd, std::unique_ptr<Pump>& pump);
  base::Status StartInput();
  void BeginWait();
  base::Status StandIn();
  void OutputEnded(const base::Status& status);
  bool Done() const;

  Options options_;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<rpc::Client> client_;
  base::UniqueFd in_socket_, out_socket_, err_socket_;
  base::UniqueFd control_;  // of a stand-in; its end is the end of both
  std::unique_ptr<Pump> in_pump_, out_pump_, err_pump_;
  RawMode raw_;
  DetachKeys keys_;
  bool running_ = false;
  int interrupted_by_ = 0;
  int open_outputs_ = 0;
  bool detached_ = false;
  bool lost_ = false;
  bool unread_ = false;
  std::string output_error_;
  std::optional<monitor::v1::WaitResponse> exit_;
};

}  // namespace holt::shim
