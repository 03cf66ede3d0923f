#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/relay.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "guest-agent/container/child.h"
#include "guest-agent/init/reaper.h"
#include "guest-agent/stream/listener.h"
#include "guest-agent/stream/pump.h"
#include "rpc/agent.pb.h"

namespace holt::guest_agent {

// How a process ended.
struct ProcessExit {
  int32_t status = 0;  // 0 to 255, or 128 + signal
  int32_t signal = 0;
  int64_t at_unix_nanos = 0;
  bool oom_killed = false;
};

// What a process has beside its stdio, and the host's stream for it (agent::v1::Descriptor).
struct GivenDescriptor {
  agent::v1::Descriptor what;
  base::UniqueFd stream;
};

// The host's streams of a process; empty is /dev/null. With a terminal, `in` and `out` both name
// the pty and may be two copies of one connection.
struct ProcessStreams {
  base::UniqueFd in;
  base::UniqueFd out;
  base::UniqueFd err;
  std::vector<GivenDescriptor> others;
};

// A process of a container, from its fork to its exit: the container's first one or an exec'd one.
// Lives on the loop. Killed when destroyed while running.
class Process {
 public:
  using Done = std::function<void(base::Status)>;

  // Forks it. `plan.channel`, `plan.standard` are filled in here; the rest is the caller's.
  static base::Result<std::unique_ptr<Process>> Start(base::EventLoop& loop, Reaper& reaper,
                                                      ChildPlan plan, int fallback_cgroup,
                                                      ProcessStreams streams);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Calls back once everything is set up and it waits for Go, or with what failed.
  void OnReady(Done done);
  // Lets it execute its program; calls back when it did, or with why not. Once.
  void Go(Done done);

  // In the agent's pid namespace.
  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }
  bool started() const { return go_sent_; }
  const std::optional<ProcessExit>& exit() const { return exit_; }
  // Calls back at the exit, at once if that was before.
  void OnExit(std::function<void(const ProcessExit&)> callback);
  // Asked once at the exit, before anybody is told of it: did the lack of memory end it?
  void SetOomCheck(std::function<bool(const ProcessExit&)> check) { oom_check_ = std::move(check); }

  // kNotFound when it has ended.
  base::Status Signal(int signal);
  // Somebody connected to the host's socket of which descriptor `index` of its `others` is the
  // guest's. The process is not waited for: kUnavailable when too many are there that it did not
  // take.
  base::Status Deliver(size_t index, base::UniqueFd stream);
  // kFailedPrecondition without a terminal.
  base::Status Resize(uint32_t rows, uint32_t columns);

 private:
  Process(base::EventLoop& loop, Reaper& reaper) : loop_(loop), reaper_(reaper) {}
  base::Status ConnectPipes(const std::string& what, ProcessStreams streams, ChildPlan& plan,
                            std::vector<base::UniqueFd>& child_ends);
  base::Status ConnectOthers(std::vector<GivenDescriptor> others, ChildPlan& plan,
                             std::vector<base::UniqueFd>& child_ends);
  base::Result<base::UniqueFd> ConnectOther(size_t index, GivenDescriptor other);
  base::Status Join(base::UniqueFd local, base::UniqueFd stream);
  void StartPump(Pump::Kind kind, base::UniqueFd source, base::UniqueFd sink);
  void AttachPty(base::UniqueFd master);
  void ReadChannel();
  void OnChannelClosed();
  void OnWaitStatus(int wait_status);

  base::EventLoop& loop_;
  Reaper& reaper_;
  std::string name_;  // for messages
  pid_t pid_ = -1;
  base::UniqueFd pidfd_;
  base::UniqueFd channel_;
  base::UniqueFd pty_;
  ProcessStreams pty_streams_;
  std::vector<std::shared_ptr<Pump>> pumps_;
  std::map<size_t, std::unique_ptr<Listener>> listeners_;
  std::vector<std::weak_ptr<base::Relay>> relays_;
  bool ready_ = false;
  bool go_sent_ = false;
  std::optional<base::Error> failure_;
  std::optional<ProcessExit> exit_;
  Done on_ready_;
  Done on_go_;
  std::function<bool(const ProcessExit&)> oom_check_;
  std::vector<std::function<void(const ProcessExit&)>> waiters_;
};

}  // namespace holt::guest_agent
