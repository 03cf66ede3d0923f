#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/event_loop.h"
#include "base/relay.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "rpc/agent.pb.h"
#include "shim/monitor/input_stream.h"
#include "shim/monitor/output_stream.h"
#include "shim/state/descriptor_kind.h"

namespace holt::shim {

// The host's ends of what a process has beside its stdio, from descriptor 3 on
// (docs/adr/0141-descriptors-beside-stdio.md). Pipes and connections are joined to a stream each;
// what connects to a listening socket is told, to be joined to one.
class Descriptors {
 public:
  // Connections to listening sockets at once; who comes then waits in the socket's queue.
  static constexpr size_t kMaxConnections = 128;

  // Takes them. An error names the first that cannot be had by its number.
  static base::Result<std::unique_ptr<Descriptors>> Make(base::EventLoop& loop,
                                                         std::vector<base::UniqueFd> fds);
  ~Descriptors();
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;

  // How many streams they need.
  size_t streams() const;
  // As the agent gets them; `ids` are those streams'.
  google::protobuf::RepeatedPtrField<agent::v1::Descriptor> Describe(
      const std::vector<uint64_t>& ids) const;
  // Joins them to the streams, in their order.
  void Connect(std::vector<base::UniqueFd> streams);

  // A connection to the listening socket `index`, and its place among kMaxConnections.
  struct Arrival {
    size_t index = 0;
    base::UniqueFd connection;
    std::shared_ptr<void> place;
  };
  // Calls for each one from now on, until the process has ended.
  void OnArrival(std::function<void(Arrival)> callback);
  void Join(Arrival arrival, base::UniqueFd stream);

  // What it wrote still arrives; what takes longer than `idle` without moving ends.
  void ProcessExited(std::chrono::milliseconds idle);
  // Calls back once when all that the process wrote is out.
  void OnEnd(std::function<void()> callback);
  bool ended() const;
  void Abort();

 private:
  struct Given {
    DescriptorKind kind;
    base::UniqueFd fd;  // of a connection, and of a listening socket
    std::unique_ptr<InputStream> input;
    std::unique_ptr<OutputStream> output;
    bool watched = false;
  };
  explicit Descriptors(base::EventLoop& loop) : loop_(loop) {}
  base::Status Add(base::UniqueFd fd);
  void StartRelay(base::UniqueFd connection, base::UniqueFd stream, std::shared_ptr<void> place);
  void OnAccept(size_t index);
  void Watch();
  void CheckEnd();

  base::EventLoop& loop_;
  std::vector<Given> given_;
  std::function<void(Arrival)> on_arrival_;
  size_t connections_ = 0;
  std::map<uint64_t, std::weak_ptr<base::Relay>> relays_;
  uint64_t next_relay_ = 0;
  bool exited_ = false;
  base::EventLoop::TimerId idle_ = 0;
  std::function<void()> on_end_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace holt::shim
