#include "base/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

namespace holt::base {

Result<std::unique_ptr<EventLoop>> EventLoop::Create() {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return HOLT_ERRNO("epoll_create1");
  UniqueFd wakeup(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup) return HOLT_ERRNO("eventfd");
  std::unique_ptr<EventLoop> loop(new EventLoop(std::move(epoll), std::move(wakeup)));
  int wakeup_fd = loop->wakeup_.get();
  TRY(loop->AddFd(wakeup_fd, EPOLLIN, [wakeup_fd](uint32_t) {
    uint64_t count;
    ssize_t ignored = read(wakeup_fd, &count, sizeof count);
    (void)ignored;
  }));
  return loop;
}

EventLoop::~EventLoop() = default;

Status EventLoop::AddFd(int fd, uint32_t events, FdCallback callback) {
  if (watches_.contains(fd)) return MakeError(Code::kAlreadyExists, "fd {} is watched already", fd);
  auto watch = std::make_shared<Watch>(Watch{std::move(callback), next_generation_++});
  epoll_event event{};
  event.events = events;
  // The generation tells a stale event of a closed fd from one of its successor with the same
  // number.
  event.data.u64 = ((watch->generation & 0xffffffff) << 32) | static_cast<uint32_t>(fd);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    return HOLT_ERRNO("epoll add {}", fd);
  watches_[fd] = std::move(watch);
  return {};
}

Status EventLoop::ModifyFd(int fd, uint32_t events) {
  auto it = watches_.find(fd);
  if (it == watches_.end()) return MakeError(Code::kNotFound, "fd {} is not watched", fd);
  epoll_event event{};
  event.events = events;
  event.data.u64 = ((it->second->generation & 0xffffffff) << 32) | static_cast<uint32_t>(fd);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0)
    return HOLT_ERRNO("epoll mod {}", fd);
  return {};
}

void EventLoop::RemoveFd(int fd) {
  if (watches_.erase(fd) != 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::AddTimer(std::chrono::nanoseconds delay, Callback callback) {
  TimerId id = next_timer_++;
  auto deadline = Clock::now() + delay;
  timers_.emplace(std::pair(deadline, id), std::move(callback));
  timer_deadlines_[id] = deadline;
  return id;
}

void EventLoop::CancelTimer(TimerId id) {
  auto it = timer_deadlines_.find(id);
  if (it == timer_deadlines_.end()) return;
  timers_.erase({it->second, id});
  timer_deadlines_.erase(it);
}

void EventLoop::Post(Callback callback) {
  {
    std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(callback));
  }
  uint64_t one = 1;
  ssize_t ignored = write(wakeup_.get(), &one, sizeof one);
  (void)ignored;
}

Status EventLoop::AddSignals(const std::vector<int>& signals, std::function<void(int)> callback) {
  if (signal_fd_) return MakeError(Code::kAlreadyExists, "signals are watched already");
  sigset_t set;
  sigemptyset(&set);
  for (int signal : signals) sigaddset(&set, signal);
  if (int err = pthread_sigmask(SIG_BLOCK, &set, nullptr); err != 0)
    return ErrnoError(err, "pthread_sigmask");
  signal_fd_.Reset(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signal_fd_) return HOLT_ERRNO("signalfd");
  return AddFd(signal_fd_.get(), EPOLLIN, [this, callback = std::move(callback)](uint32_t) {
    signalfd_siginfo info;
    while (read(signal_fd_.get(), &info, sizeof info) == sizeof info)
      callback(static_cast<int>(info.ssi_signo));
  });
}

Status EventLoop::AddChild(pid_t pid, std::function<void(int)> callback) {
  int raw = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (raw < 0) return HOLT_ERRNO("pidfd_open {}", pid);
  auto pidfd = std::make_shared<UniqueFd>(raw);
  return AddFd(raw, EPOLLIN, [this, pid, pidfd, callback = std::move(callback)](uint32_t) {
    int status = 0;
    if (waitpid(pid, &status, WNOHANG) == 0) return;
    auto keep = pidfd;  // NOLINT(performance-*): RemoveFd ends this lambda and what it holds
    auto call = callback;
    RemoveFd(keep->get());
    call(status);
  });
}

void EventLoop::Run() {
  stopped_ = false;
  while (!stopped_) RunOnce(std::chrono::nanoseconds(-1));
}

int EventLoop::TimeoutMs(std::chrono::nanoseconds timeout) const {
  auto wait = timeout;
  if (!timers_.empty()) {
    auto until = timers_.begin()->first.first - Clock::now();
    if (until.count() < 0) until = std::chrono::nanoseconds(0);
    if (wait.count() < 0 || until < wait) wait = until;
  }
  if (wait.count() < 0) return -1;
  // Rounded up, so that a timer is due when the wait ends.
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(wait).count());
}

void EventLoop::RunOnce(std::chrono::nanoseconds timeout) {
  {
    std::lock_guard lock(posted_mutex_);
    if (!posted_.empty()) timeout = std::chrono::nanoseconds(0);
  }
  std::array<epoll_event, 64> events;
  int n =
      epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), TimeoutMs(timeout));
  for (int i = 0; i < n; ++i) {
    int fd = static_cast<int>(events[i].data.u64 & 0xffffffff);
    auto it = watches_.find(fd);
    if (it == watches_.end() || (it->second->generation & 0xffffffff) != events[i].data.u64 >> 32)
      continue;
    auto watch = it->second;  // the callback may remove itself
    watch->callback(events[i].events);
  }
  RunTimers();
  RunPosted();
}

void EventLoop::RunTimers() {
  auto now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto node = timers_.extract(timers_.begin());
    timer_deadlines_.erase(node.key().second);
    node.mapped()();
  }
}

void EventLoop::RunPosted() {
  std::vector<Callback> run;
  {
    std::lock_guard lock(posted_mutex_);
    run.swap(posted_);
  }
  for (auto& callback : run) callback();
}

void EventLoop::Stop() {
  Post([this] { stopped_ = true; });
}

}  // namespace holt::base
