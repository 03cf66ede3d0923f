#include "shim/monitor/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

namespace holt::shim {
namespace {

constexpr size_t kMaxLine = 1024;

}  // namespace

base::Result<std::unique_ptr<Child>> Child::Start(base::EventLoop& loop, const std::string& name,
                                                  base::SpawnOptions options, OnExit on_exit) {
  std::unique_ptr<Child> child(new Child(loop, name));
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return HOLT_ERRNO("pipe");
  child->output_ = base::UniqueFd(pipe_fds[0]);
  base::UniqueFd write_end(pipe_fds[1]);
  // Only our end: the child's may be what it likes.
  fcntl(child->output_.get(), F_SETFL, O_NONBLOCK);
  options.fds.emplace_back(write_end.get(), 2);
  options.parent_death_signal = SIGKILL;
  TRY_ASSIGN(child->pid_, base::Spawn(options));
  child->running_ = true;
  Child* raw = child.get();
  TRY(loop.AddFd(child->output_.get(), EPOLLIN, [raw](uint32_t) { raw->ReadOutput(); }));
  std::weak_ptr<bool> alive = child->alive_;
  TRY(loop.AddChild(child->pid_, [raw, alive, on_exit = std::move(on_exit)](int status) {
    if (alive.expired()) return;
    raw->running_ = false;
    raw->wait_status_ = status;
    raw->ReadOutput();
    if (!raw->partial_.empty()) raw->TakeLine(std::move(raw->partial_));
    base::log::Debug("{}", raw->Describe());
    if (on_exit) on_exit();
  }));
  return child;
}

Child::~Child() {
  alive_.reset();
  if (output_) loop_.RemoveFd(output_.get());
  if (!running_) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Child::Kill() {
  if (running_) kill(pid_, SIGKILL);
}

void Child::ReadOutput() {
  char buffer[4096];
  while (output_) {
    ssize_t n = read(output_.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      loop_.RemoveFd(output_.get());
      output_.Reset();
      return;
    }
    for (char c : std::string_view(buffer, static_cast<size_t>(n))) {
      if (c != '\n' && partial_.size() < kMaxLine) {
        partial_ += c;
      } else if (c == '\n') {
        TakeLine(std::move(partial_));
        partial_.clear();
      }
    }
  }
}

void Child::TakeLine(std::string line) {
  line = base::log::Sanitize(line);
  if (line.empty()) return;
  if (logged_ < kMaxLogBytes) {
    base::log::Info("{}", line);
    logged_ += line.size() + 1;
    if (logged_ >= kMaxLogBytes)
      base::log::Warning("{} has said enough; the rest is not kept", name_);
  }
  last_line_ = std::move(line);
}

std::string Child::Describe() const {
  std::string text = fmt::format("{} {}", name_, base::DescribeWaitStatus(wait_status_));
  if (!last_line_.empty()) text += ": " + last_line_;
  return text;
}

}  // namespace holt::shim
