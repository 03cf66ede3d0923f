#include "shim/monitor/process.h"

namespace holt::shim {
namespace {

// After the end of a process its output has this long to send another byte. Long enough for a slow
// machine to deliver what is on the way, short enough that a background child does not hold up the
// exit.
constexpr std::chrono::milliseconds kIdle{2000};

}  // namespace

Process::Process(base::EventLoop& loop, std::string exec_id, bool terminal, bool has_input,
                 OutputStream::Sink out_sink, OutputStream::Sink err_sink)
    : exec_id_(std::move(exec_id)),
      terminal_(terminal),
      has_input_(has_input),
      input_(loop),
      output_(std::make_unique<OutputStream>(loop, std::move(out_sink))),
      error_output_(std::make_unique<OutputStream>(loop, std::move(err_sink))) {
  input_.SetTerminal(terminal);
}

void Process::OnExit(std::function<void(const ProcessExit&)> callback) {
  if (exited_) return callback(exit_);
  waiters_.push_back(std::move(callback));
}

void Process::OnDrained(std::function<void()> callback) {
  on_drained_ = std::move(callback);
  CheckDrained();
}

void Process::SetExit(ProcessExit exit) {
  if (exited_) return;
  exited_ = true;
  exit_ = std::move(exit);
  auto waiters = std::move(waiters_);
  waiters_.clear();
  for (auto& waiter : waiters) waiter(exit_);
  input_.Close();
  output_->OnEnd([this] { CheckDrained(); });
  error_output_->OnEnd([this] { CheckDrained(); });
  output_->ProcessExited(kIdle);
  error_output_->ProcessExited(kIdle);
  if (!descriptors_) return;
  descriptors_->OnEnd([this] { CheckDrained(); });
  descriptors_->ProcessExited(kIdle);
}

void Process::Abort() {
  input_.Close();
  output_->Abort();
  error_output_->Abort();
  if (descriptors_) descriptors_->Abort();
}

void Process::CheckDrained() {
  if (!exited_ || !output_->ended() || !error_output_->ended() || !on_drained_) return;
  if (descriptors_ && !descriptors_->ended()) return;
  auto callback = std::move(on_drained_);
  on_drained_ = nullptr;
  callback();
}

}  // namespace holt::shim
