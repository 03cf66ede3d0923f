#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "rpc/client.h"
#include "shim/monitor/start_gate.h"

namespace holt::shim {

// The ways to the guest over vsock, as the Unix sockets that holt-vmm serves: the ready connection
// that the agent makes, its RPC, and raw streams.
class AgentLink {
 public:
  // What the agent says first on its ready connection.
  struct Ready {
    std::string version;
    int64_t boot_us = 0;  // since the guest's kernel started
  };
  struct Handlers {
    // Once: the agent is up and its RPC is connected; an error is its own report of a failed boot.
    std::function<void(base::Result<Ready>)> on_ready;
    // The ready connection ended: the agent is dead.
    std::function<void()> on_lost;
  };

  // Makes the sockets in `directory`, which belongs to `owner` alone.
  static base::Result<std::unique_ptr<AgentLink>> Create(base::EventLoop& loop,
                                                         const std::string& directory, uid_t owner,
                                                         Handlers handlers);
  ~AgentLink();
  AgentLink(const AgentLink&) = delete;
  AgentLink& operator=(const AgentLink&) = delete;

  // For holt-vmm: the listener of host-to-guest connections and where guest-to-host ones arrive.
  int listener() const { return listener_.get(); }
  int directory() const { return directory_fd_.get(); }
  static constexpr char kSocketName[] = "vsock.sock";
  // Listens, nonblocking, where connections of the guest to the host's vsock `port` arrive.
  base::Result<base::UniqueFd> ListenForGuest(uint32_t port) const;
  // holt-vmm has its copy; kept here it would let connections wait for nobody.
  void ReleaseListener() { listener_.Reset(); }

  // Null until ready.
  rpc::Client* client() { return client_.get(); }

  // Connects a raw stream; `done` gets its id and the connection.
  struct Stream {
    uint64_t id = 0;
    base::UniqueFd fd;
  };
  void OpenStream(std::function<void(base::Result<Stream>)> done);

  // How many processes may be on their way into the guest at once: with three streams each, fewer
  // than holt-vmm takes handshakes (64), than the agent's socket lets wait (128) and than it parks
  // (64).
  static constexpr size_t kStartsAtOnce = 16;
  StartGate& start_gate() { return start_gate_; }

 private:
  class Dial;
  AgentLink(base::EventLoop& loop, std::string directory, uid_t owner, Handlers handlers)
      : loop_(loop),
        path_(std::move(directory)),
        owner_(owner),
        handlers_(std::move(handlers)),
        start_gate_(loop, kStartsAtOnce) {}
  void Connect(uint32_t port, std::string greeting,
               std::function<void(base::Result<base::UniqueFd>)> done);
  void OnAccept();
  void OnReadyData();
  void OnReadyLine(const std::string& line);

  base::EventLoop& loop_;
  std::string path_;
  uid_t owner_;
  Handlers handlers_;
  base::UniqueFd listener_;
  base::UniqueFd directory_fd_;
  base::UniqueFd ready_listener_;
  base::UniqueFd ready_;
  std::string ready_line_;
  bool ready_seen_ = false;
  uint64_t next_stream_ = 1;
  std::unique_ptr<rpc::Client> client_;
  StartGate start_gate_;
  std::vector<std::shared_ptr<Dial>> dials_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace holt::shim
