#include "shim/monitor/start_gate.h"

namespace holt::shim {

struct StartGate::State : std::enable_shared_from_this<State> {
  State(base::EventLoop& its_loop, size_t places) : loop(its_loop), free(places) {}

  Place Take() {
    --free;
    // The pointer only says that it is one; what counts is that it goes.
    return Place(this, [gate = weak_from_this()](void*) {
      if (auto state = gate.lock()) state->GiveBack();
    });
  }
  void GiveBack() {
    ++free;
    if (waiting.empty()) return;
    // Not from within whoever lets go of its place.
    loop.Post([gate = weak_from_this()] {
      if (auto state = gate.lock()) state->LetIn();
    });
  }
  void LetIn() {
    while (free > 0 && !waiting.empty()) {
      auto enter = std::move(waiting.front());
      waiting.pop_front();
      enter(Take());
    }
  }

  base::EventLoop& loop;
  size_t free;
  std::deque<std::function<void(Place)>> waiting;
};

StartGate::StartGate(base::EventLoop& loop, size_t places)
    : state_(std::make_shared<State>(loop, places)) {}

StartGate::~StartGate() = default;

void StartGate::Enter(std::function<void(Place)> enter) {
  state_->waiting.push_back(std::move(enter));
  state_->LetIn();
}

size_t StartGate::waiting() const { return state_->waiting.size(); }

}  // namespace holt::shim
