#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "cgroup/cgroup.h"
#include "guest-agent/block/block_devices.h"
#include "guest-agent/changes/replayer.h"
#include "guest-agent/container/process.h"
#include "guest-agent/init/reaper.h"
#include "guest-agent/stream/notify_socket.h"
#include "guest-agent/stream/socket_forward.h"
#include "oci/runtime_spec.h"

namespace holt::guest_agent {

// What containers are made with.
struct Engine {
  base::EventLoop& loop;
  Reaper& reaper;
  int share = -1;
  std::string cgroup_parent;  // a cgroup v2 directory
  std::string root_place;     // an empty directory
};

// One container: its cgroup, its first process and those exec'd into it.
class Container {
 public:
  using Done = std::function<void(base::Status)>;

  // `config` has the guest's numbers of `block_devices`. `bundle` is the host's directory of it,
  // for the state that hooks get.
  Container(Engine& engine, std::string id, oci::Config config, std::string bundle,
            std::vector<BlockDevice> block_devices)
      : engine_(engine),
        id_(std::move(id)),
        config_(std::move(config)),
        bundle_(std::move(bundle)),
        block_devices_(std::move(block_devices)) {}
  // Kills what is left of it; Destroy is the way to know that it is gone.
  ~Container();
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;

  // The bind mount with `source` shows a socket that leads to the host's `port`. Before Create.
  base::Status AddSocket(const std::string& source, SocketForward::Options options);
  // The same for one that takes notifications.
  base::Status AddNotifySocket(const std::string& source, NotifySocket::Options options);
  // Makes the cgroup and sets the first process up; calls back when it waits to be started. After
  // an error the container is to be destroyed.
  void Create(ProcessStreams streams, const std::optional<oci::ConsoleSize>& size, Done done);
  // Changes of the host's to its volumes, from `stream` (Replayer), once it is created.
  base::Status ReplayChanges(base::UniqueFd stream);
  void Start(Done done);
  // Runs another process in it; `exec_id` is free (the caller asked FindProcess).
  void Exec(const std::string& exec_id, oci::Process process, ProcessStreams streams,
            const std::optional<oci::ConsoleSize>& size, Done done);
  // Freezes or thaws every process; calls back when they are.
  void SetFrozen(bool frozen, Done done);
  // To one process; an empty exec_id is the first.
  base::Status Signal(const std::string& exec_id, int signal);
  // Kills all, waits for their end, removes the cgroup and gives back the disks that came later.
  void Destroy(Done done);

  const std::string& id() const { return id_; }
  const std::vector<BlockDevice>& block_devices() const { return block_devices_; }
  const oci::Config& config() const { return config_; }
  // Null before Create.
  cgroup::Cgroup* cgroup() { return cgroup_ ? &*cgroup_ : nullptr; }
  // Null when there is none.
  Process* FindProcess(const std::string& exec_id);
  bool HasExec(const std::string& exec_id) const { return execs_.contains(exec_id); }
  bool running() const { return init_ && init_->started() && !init_->exit(); }
  const std::map<std::string, std::unique_ptr<Process>>& execs() const { return execs_; }
  // Forgets an exec; kFailedPrecondition while it runs.
  base::Status ForgetExec(const std::string& exec_id);

 private:
  base::Status Launch(ProcessStreams streams, const std::optional<oci::ConsoleSize>& size);
  base::Status LaunchExec(const std::string& exec_id, const oci::Process& process,
                          ProcessStreams streams, const std::optional<oci::ConsoleSize>& size);
  void SyncVolumes() const;
  bool AllReaped() const;
  base::UniqueFd FirstProcessCgroup() const;
  void CheckGone(int turn, Done done);
  void CheckFrozen(bool frozen, int turn, Done done);

  Engine& engine_;
  std::string id_;
  oci::Config config_;
  std::string bundle_;
  std::vector<BlockDevice> block_devices_;
  std::optional<cgroup::Cgroup> cgroup_;
  std::unique_ptr<Process> init_;
  std::map<std::string, std::unique_ptr<Process>> execs_;
  std::unique_ptr<Replayer> replayer_;
  // By the mount's source.
  std::map<std::string, std::unique_ptr<SocketForward>> sockets_;
  std::map<std::string, std::unique_ptr<NotifySocket>> notify_sockets_;
  // For timers that outlive this.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Whether SIGTERM would do something to process `pid`: caught, waited for (blocked) or ignored on
// purpose. The kernel drops it silently for a first process of a pid namespace otherwise.
bool HandlesSigterm(pid_t pid);
// The same from the text of /proc/<pid>/status.
bool StatusHandlesSigterm(std::string_view status);

}  // namespace holt::guest_agent
