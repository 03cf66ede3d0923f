#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/runtime_spec.h"
#include "rpc/monitor.pb.h"
#include "rpc/server.h"
#include "shim/cgroup/host_cgroup.h"
#include "shim/monitor/agent_link.h"
#include "shim/monitor/attach_server.h"
#include "shim/monitor/block_devices.h"
#include "shim/monitor/container.h"
#include "shim/monitor/container_log.h"
#include "shim/monitor/diagnosis.h"
#include "shim/monitor/machine.h"
#include "shim/monitor/notify_relay.h"
#include "shim/monitor/outcome.h"
#include "shim/monitor/resolver.h"
#include "shim/monitor/share.h"
#include "shim/monitor/socket_volumes.h"
#include "shim/monitor/timeline.h"
#include "shim/network/attachment.h"
#include "shim/network/watch.h"
#include "shim/state/boot_turn.h"
#include "shim/state/layout.h"
#include "shim/state/record.h"
#include "shim/state/uid_lease.h"

namespace holt::shim {

// A sandbox from its first process to the last: starts the machine and the container in it, serves
// whoever asks, keeps state.json true, and takes everything down again, once. The phases and what
// moves between them: docs/processes/monitor.md.
class Sandbox {
 public:
  struct Options {
    std::string root;
    Request request;
    oci::Config config;
    base::UniqueFd outcome;  // to the command that waits for the start
    base::UniqueFd life;     // its end, before the container was started, is the end of the sandbox
    base::UniqueFd network;  // the container's network namespace; without: only loopback
    std::vector<base::UniqueFd> descriptors;  // the container's process has them beside its stdio
    base::UniqueFd timeline;                  // gets the steps at the very end
    int64_t began_nanos = 0;                  // CLOCK_MONOTONIC at the monitor's start
  };
  using Done = std::function<void(base::Status)>;

  // `loop` is stopped when everything is down.
  Sandbox(base::EventLoop& loop, Options options);
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  // Starts everything; what goes wrong, now or later, goes to the outcome.
  void Begin();
  // Ends the sandbox as soon as it can be done cleanly.
  void Stop(const std::string& why);

  // What the service and attached clients ask for. `done` is called once.
  void Start(const monitor::v1::StartRequest& request, Done done);
  // Calls back when the host has taken the container's READY=1, at once where it will not.
  void WhenNotified(std::function<void()> done);
  void Kill(const std::string& exec_id, int signal, bool all, Done done);
  void Delete(bool force, Done done);
  // The `count` descriptors that were handed over for an exec; null for none.
  base::Result<std::shared_ptr<Descriptors>> TakeDescriptors(const std::string& exec_id,
                                                             size_t count);
  void Exec(const Container::ExecOptions& options, std::function<void(base::Result<int32_t>)> done);
  // kFailedPrecondition with runc's words when the state does not allow that.
  void Pause(Done done);
  void Resume(Done done);
  // Calls back when the container is not paused (any more), at once if it is not; an error when it
  // ends paused.
  void WhenResumed(Done ready);
  // Limits that change; the others stay. What is now is in state.json.
  void Update(oci::Resources update, Done done);
  void Stats(std::function<void(base::Result<agent::v1::StatsResponse>)> done);
  // Who waits until the kernel killed for want of memory more often than `seen`, or for the end.
  struct OomWaiter {
    uint64_t seen = 0;
    std::function<void(uint64_t count, bool ended)> done;  // called once, while it is wanted
    std::function<bool()> wanted;
  };
  void WaitOom(OomWaiter waiter);
  uint64_t oom_kills() const { return oom_kills_; }
  // kNotFound for one that is not there (any more).
  base::Result<Process*> FindProcess(const std::string& container, const std::string& exec_id);
  // Null while it is taken down.
  Container* container();
  const Record& record() const { return record_; }
  std::vector<TimelineStep> TimelineSteps() const { return timeline_.Steps(); }

 private:
  enum class Phase { kBooting, kCreated, kStarting, kRunning, kExited, kTeardown };

  // sandbox.cc: up.
  void WaitForTurn();
  base::Status StartAll();
  MachineSpec DescribeMachine() const;
  base::Status StartMachine(const MachineSpec& spec);
  void SaveProcesses();
  base::Status Serve();
  void OnAgentReady(base::Result<AgentLink::Ready> ready);
  void CreateContainer();
  void OnCreated();
  void AddGuestTimeline();
  void OnStarted(base::Status status);
  void OnStub(const std::string& exec_id, pid_t pid);
  void Save();

  // sandbox_control.cc: what is done to a container that runs.
  base::Status CheckRunning() const;
  void SetFrozen(bool frozen, Done done);
  void WatchOom();
  // conmon watches the host's memory.events, where a guest's kernel is not seen: Podman and CRI-O
  // find what it would leave, the file "oom" in the bundle and in its persist directory.
  void TellEngineOfOom();
  void AnswerOomWaiters();
  void EndControl();
  // sandbox_cgroup.cc: the host's cgroup.
  base::Status EnterCgroup();
  // `remove` kills what is still in it.
  void LeaveCgroup(bool remove);
  // Other limits; what only the host can limit is an error where it has no cgroup for that.
  base::Status UpdateCgroup(const oci::Resources& update);
  oci::Config ConfigForGuest() const;
  // sandbox_sockets.cc
  base::Status AddSockets(Container::Options& options);
  // sandbox_notify.cc
  base::Status AddNotifySocket(Container::Options& options);
  void OpenNotify(const monitor::v1::StartRequest& request);
  // sandbox_network.cc
  base::Status PrepareNetwork();
  // Gives the machine what is in the network namespace by now, and from then on what changes there.
  void AttachNetwork(Done done);
  base::Result<agent::v1::NetworkConfig> AttachNamespace();
  void FollowNetwork();
  void ConfigureNetwork(agent::v1::NetworkConfig config, Done done);
  void NoteRefused(const std::vector<base::Error>& refused);
  // When the container is told to use Docker's.
  void ServeResolver(Done done);
  base::Status StartResolver();

  // sandbox_end.cc: down.
  void OnSomethingEnded();
  void Settle();
  void FailStart(base::Error error);
  void EndRunning(const ProcessExit& exit);
  void OnExit(const ProcessExit& exit);
  void KillContainer();
  void ScheduleTeardown();
  void Teardown();
  void WriteTimeline();

  bool starting() const { return phase_ == Phase::kBooting; }
  bool paused() const { return record_.status == "paused"; }

  base::EventLoop& loop_;
  Options options_;
  SandboxPaths paths_;
  Record record_;
  Phase phase_ = Phase::kBooting;
  Timeline timeline_;
  std::optional<HostCgroup> cgroup_;
  UidLease uid_;
  Outcome outcome_;
  Share share_;
  std::unique_ptr<AgentLink> link_;
  std::unique_ptr<SocketVolumes> sockets_;        // null: none are wanted
  std::unique_ptr<NotifyRelay> notify_;           // null: nobody listens
  std::unique_ptr<network::Attachment> network_;  // null: only loopback, or passt's
  network::Families families_;                    // passt's
  std::unique_ptr<Resolver> resolver_;            // null: the container does not use Docker's
  std::vector<network::Published> published_;
  std::string resolv_conf_;                        // the container's, with passt
  std::unique_ptr<network::Watch> network_watch_;  // from the start on
  std::string network_config_;                     // what the guest was told last
  bool network_busy_ = false;                      // it is being told
  bool network_changed_ = false;                   // meanwhile
  std::string network_refused_;                    // what was said of it last
  size_t network_warnings_ = 0;
  std::vector<BlockDevice> block_devices_;
  Machine machine_;
  ContainerLog log_;
  std::unique_ptr<Container> container_;
  std::unique_ptr<AttachServer> attach_;
  std::unique_ptr<rpc::Server> server_;

  Evidence evidence_;
  int64_t ready_nanos_ = 0;
  int64_t guest_boot_us_ = 0;
  Done start_done_;
  std::vector<Done> delete_done_;
  bool freezing_ = false;  // a change is on its way
  std::vector<Done> on_resumed_;
  oci::Resources resources_;  // as they are now
  uint64_t oom_kills_ = 0;
  std::vector<OomWaiter> oom_waiters_;
  bool remove_ = false;
  bool settling_ = false;
  bool teardown_scheduled_ = false;
  base::EventLoop::TimerId ready_timer_ = 0;
  // From the turn to the agent's readiness.
  std::optional<BootTurn> boot_turn_;
  base::EventLoop::TimerId turn_timer_ = 0;
};

}  // namespace holt::shim
