#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::guest_agent {

// Where raw streams wait between their arrival and the call that names them (docs/adr/0003). A
// stream says its 8-byte little-endian id first. The call may come before its streams do: different
// connections have no order.
class StreamPark {
 public:
  // How many connections wait here at once; the oldest gives way to a new one.
  static constexpr size_t kMaxParked = 64;
  // How long a stream waits to be named, and a call for its streams.
  static constexpr auto kPatience = std::chrono::seconds(10);

  explicit StreamPark(base::EventLoop& loop, std::chrono::milliseconds patience = kPatience)
      : loop_(loop), patience_(patience) {}
  ~StreamPark();
  StreamPark(const StreamPark&) = delete;
  StreamPark& operator=(const StreamPark&) = delete;

  // Takes a new nonblocking connection.
  void Park(base::UniqueFd connection);

  // The streams of `ids`, in their order, once all are here; an id of 0 gives an empty descriptor.
  // A missing one is kDeadlineExceeded after the patience, an id that is waited for already
  // kInvalidArgument. `done` may be called before this returns.
  using Taken = std::function<void(base::Result<std::vector<base::UniqueFd>>)>;
  void Take(const std::vector<uint64_t>& ids, Taken done);

  size_t parked() const { return parked_.size(); }

 private:
  struct Parked {
    base::UniqueFd fd;
    uint64_t id = 0;  // 0: not said yet
    char bytes[8] = {};
    size_t received = 0;
    base::EventLoop::TimerId timer = 0;
  };
  struct Order {
    std::vector<uint64_t> ids;
    Taken done;
    base::EventLoop::TimerId timer = 0;
  };

  void ReadId(uint64_t key);
  void Drop(uint64_t key);
  // Serves the order if all its streams are here.
  bool Serve(Order& order);
  void ServeAny();
  Parked* Find(uint64_t id);
  bool IsAwaited(uint64_t id) const;
  void OnTooLate(uint64_t order_key);

  base::EventLoop& loop_;
  std::chrono::milliseconds patience_;
  uint64_t next_key_ = 1;
  std::map<uint64_t, Parked> parked_;  // by arrival
  std::map<uint64_t, std::shared_ptr<Order>> orders_;
};

}  // namespace holt::guest_agent
