#include "guest-agent/container/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/socket.h"
#include "base/spawn.h"
#include "guest-agent/container/channel.h"
#include "guest-agent/container/launch.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

UniqueFd Duplicate(int fd) { return UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

struct PipeEnds {
  UniqueFd read;
  UniqueFd write;
};
Result<PipeEnds> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return HOLT_ERRNO("pipe");
  return PipeEnds{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

ProcessExit FromWaitStatus(int wait_status) {
  ProcessExit exit;
  if (WIFSIGNALED(wait_status)) {
    exit.signal = WTERMSIG(wait_status);
    exit.status = 128 + exit.signal;
  } else {
    exit.status = WEXITSTATUS(wait_status);
  }
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  exit.at_unix_nanos = static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
  return exit;
}

}  // namespace

Result<std::unique_ptr<Process>> Process::Start(base::EventLoop& loop, Reaper& reaper,
                                                ChildPlan plan, int fallback_cgroup,
                                                ProcessStreams streams) {
  std::unique_ptr<Process> process(new Process(loop, reaper));
  process->name_ = plan.container_id;
  TRY_ASSIGN(Channel channel, MakeChannel());
  plan.channel = channel.child.get();
  std::vector<UniqueFd> child_ends;
  TRY(process->ConnectOthers(std::move(streams.others), plan, child_ends));
  if (plan.terminal) {
    process->pty_streams_ = std::move(streams);
  } else {
    TRY(process->ConnectPipes(plan.container_id, std::move(streams), plan, child_ends));
  }
  auto launched = Launch(plan, fallback_cgroup);
  if (!launched) {
    for (auto& pump : process->pumps_) pump->Abort();
    return std::move(launched).error();
  }
  process->pid_ = launched->pid;
  process->pidfd_ = std::move(launched->pidfd);
  process->channel_ = std::move(channel.agent);
  Process* raw = process.get();
  reaper.Watch(raw->pid_, [raw](int wait_status) { raw->OnWaitStatus(wait_status); });
  TRY(loop.AddFd(raw->channel_.get(), EPOLLIN, [raw](uint32_t) { raw->ReadChannel(); }));
  return process;
}

Process::~Process() {
  if (channel_) loop_.RemoveFd(channel_.get());
  if (pid_ > 0 && !exit_) {
    syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
    reaper_.Forget(pid_);  // reaped as an orphan
  }
  // Output goes on as long as somebody writes and the host listens.
  for (auto& pump : pumps_) pump->ProcessExited();
  for (auto& weak : relays_)
    if (auto relay = weak.lock()) relay->Abort();
}

Status Process::ConnectOthers(std::vector<GivenDescriptor> others, ChildPlan& plan,
                              std::vector<UniqueFd>& child_ends) {
  for (size_t i = 0; i < others.size(); ++i) {
    TRY_ASSIGN_CONTEXT(UniqueFd end, ConnectOther(i, std::move(others[i])),
                       fmt::format("descriptor {}", i + 3));
    plan.others.push_back(end.get());
    child_ends.push_back(std::move(end));
  }
  return {};
}

// The process's end.
Result<UniqueFd> Process::ConnectOther(size_t index, GivenDescriptor other) {
  using agent::v1::Descriptor;
  switch (other.what.kind()) {
    case Descriptor::NULL_DEVICE:
      return base::Open("/dev/null", O_RDWR);
    case Descriptor::INPUT: {
      TRY_ASSIGN(PipeEnds pipe, MakePipe());
      StartPump(Pump::Kind::kInput, std::move(other.stream), std::move(pipe.write));
      return std::move(pipe.read);
    }
    case Descriptor::OUTPUT: {
      TRY_ASSIGN(PipeEnds pipe, MakePipe());
      StartPump(Pump::Kind::kOutput, std::move(pipe.read), std::move(other.stream));
      return std::move(pipe.write);
    }
    case Descriptor::CONNECTION: {
      TRY_ASSIGN(auto pair, base::SocketPair());
      TRY(Join(std::move(pair.first), std::move(other.stream)));
      return std::move(pair.second);
    }
    case Descriptor::LISTENER: {
      TRY_ASSIGN(auto made, Listener::Make(static_cast<int>(other.what.family()),
                                           static_cast<uint16_t>(other.what.port())));
      listeners_[index] = std::move(made.listener);
      return std::move(made.socket);
    }
    default:
      return MakeError(Code::kInvalidArgument, "kind {} is unknown",
                       static_cast<int>(other.what.kind()));
  }
}

Status Process::Join(UniqueFd local, UniqueFd stream) {
  TRY_ASSIGN(auto relay, base::Relay::Start(loop_, std::move(local), std::move(stream)));
  std::erase_if(relays_, [](const auto& weak) { return weak.expired(); });
  relays_.push_back(relay);
  return {};
}

Status Process::Deliver(size_t index, UniqueFd stream) {
  auto listener = listeners_.find(index);
  if (exit_ || listener == listeners_.end())
    return MakeError(Code::kNotFound, "descriptor {}: is no listening socket", index + 3);
  TRY_ASSIGN(UniqueFd local, listener->second->Connect());
  return Join(std::move(local), std::move(stream));
}

Status Process::ConnectPipes(const std::string& what, ProcessStreams streams, ChildPlan& plan,
                             std::vector<UniqueFd>& child_ends) {
  UniqueFd* ends[3] = {&streams.in, &streams.out, &streams.err};
  for (int i = 0; i < 3; ++i) {
    if (!*ends[i]) continue;
    TRY_ASSIGN_CONTEXT(PipeEnds pipe, MakePipe(), what);
    auto& [read_end, write_end] = pipe;
    plan.standard[i] = i == 0 ? read_end.get() : write_end.get();
    child_ends.push_back(std::move(i == 0 ? read_end : write_end));
    if (i == 0) {
      StartPump(Pump::Kind::kInput, std::move(*ends[i]), std::move(write_end));
    } else {
      StartPump(Pump::Kind::kOutput, std::move(read_end), std::move(*ends[i]));
    }
  }
  return {};
}

void Process::StartPump(Pump::Kind kind, UniqueFd source, UniqueFd sink) {
  auto pump = Pump::Start(loop_, kind, std::move(source), std::move(sink));
  if (!pump) return base::log::Error("{}: stdio: {}", name_, pump.error().message());
  if (exit_) (*pump)->ProcessExited();
  pumps_.push_back(std::move(*pump));
}

void Process::AttachPty(UniqueFd master) {
  if (pty_ || !master) return;
  pty_ = std::move(master);
  ProcessStreams streams = std::move(pty_streams_);
  if (streams.out) StartPump(Pump::Kind::kPtyOutput, Duplicate(pty_.get()), std::move(streams.out));
  if (streams.in) StartPump(Pump::Kind::kInput, std::move(streams.in), Duplicate(pty_.get()));
}

void Process::ReadChannel() {
  while (channel_) {
    Received received = Receive(channel_.get());
    if (received.empty) return;
    if (received.closed) return OnChannelClosed();
    switch (received.message.kind) {
      case ChannelKind::kReady:
        ready_ = true;
        if (auto done = std::exchange(on_ready_, nullptr)) done({});
        break;
      case ChannelKind::kPty:
        AttachPty(std::move(received.fd));
        break;
      case ChannelKind::kWarning:
        base::log::Warning("{}: {}", name_, received.message.ToError().message());
        break;
      case ChannelKind::kFailed:
        failure_ = received.message.ToError();
        break;
    }
  }
}

// Exec closes the channel, and so does the end of the process.
void Process::OnChannelClosed() {
  loop_.RemoveFd(channel_.get());
  channel_.Reset();
  if (!failure_ && !go_sent_)
    failure_ = MakeError(Code::kInternal, "the process ended while it was set up");
  auto on_ready = std::exchange(on_ready_, nullptr);
  auto on_go = std::exchange(on_go_, nullptr);
  Status result = failure_ ? Status(*failure_) : Status();
  // One of them only, and last: it may destroy this.
  if (on_ready) return on_ready(result);
  if (on_go) on_go(result);
}

void Process::OnReady(Done done) {
  if (failure_) return done(*failure_);
  if (ready_) return done({});
  on_ready_ = std::move(done);
}

void Process::Go(Done done) {
  if (failure_) return done(*failure_);
  if (!channel_ || go_sent_ || on_go_)
    return done(MakeError(Code::kFailedPrecondition, "was started already"));
  // To a child that has failed already it cannot be sent; the channel's end brings the reason.
  go_sent_ = SendGo(channel_.get()).ok();
  on_go_ = std::move(done);
}

void Process::OnWaitStatus(int wait_status) {
  exit_ = FromWaitStatus(wait_status);
  if (oom_check_) exit_->oom_killed = oom_check_(*exit_);
  // Told first; output that is still on the way follows (docs/adr/0003).
  auto waiters = std::move(waiters_);
  waiters_.clear();
  ProcessExit exit = *exit_;
  for (auto& pump : pumps_) pump->ProcessExited();
  listeners_.clear();
  for (auto& waiter : waiters) waiter(exit);
}

void Process::OnExit(std::function<void(const ProcessExit&)> callback) {
  if (exit_) return callback(*exit_);
  waiters_.push_back(std::move(callback));
}

Status Process::Signal(int signal) {
  if (exit_) return MakeError(Code::kNotFound, "process already finished");
  if (syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0) == 0) return {};
  if (errno == ESRCH) return MakeError(Code::kNotFound, "process already finished");
  if (errno == EINVAL)
    return MakeError(Code::kInvalidArgument, "signal {}: there is no such signal", signal);
  return HOLT_ERRNO("signal {}", signal);
}

Status Process::Resize(uint32_t rows, uint32_t columns) {
  if (!pty_) return MakeError(Code::kFailedPrecondition, "the process has no terminal");
  winsize window{};
  window.ws_row = static_cast<unsigned short>(std::min(rows, 65535u));
  window.ws_col = static_cast<unsigned short>(std::min(columns, 65535u));
  if (ioctl(pty_.get(), TIOCSWINSZ, &window) != 0) return HOLT_ERRNO("resize the terminal");
  return {};
}

}  // namespace holt::guest_agent
