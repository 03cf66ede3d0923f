#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>

#include "base/event_loop.h"

namespace holt::shim {

// Lets a bounded number of processes be on their way into the guest at once; the others wait their
// turn, first come, first served. Everything that a start takes on its way (connections not
// accepted yet, streams not named yet) is bounded in holt-vmm and in the agent, and a burst of
// hundreds would be refused there.
class StartGate {
 public:
  explicit StartGate(base::EventLoop& loop, size_t places);
  ~StartGate();
  StartGate(const StartGate&) = delete;
  StartGate& operator=(const StartGate&) = delete;

  // A place; given back when the last copy goes. May outlive the gate.
  using Place = std::shared_ptr<void>;
  // `enter` is called from the loop, or at once when there is a place; never when the gate goes
  // first.
  void Enter(std::function<void(Place)> enter);

  size_t waiting() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace holt::shim
