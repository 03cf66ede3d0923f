#include "shim/monitor/outcome.h"

#include <sys/epoll.h>

#include <charconv>

#include "base/file.h"
#include "base/log.h"

namespace holt::shim {
namespace {

using base::Code;

constexpr size_t kMaxText = 3000;  // with its line fits into a pipe's buffer, whatever is in it
constexpr int kLastCode = static_cast<int>(Code::kDataLoss);

}  // namespace

Outcome::~Outcome() {
  if (pipe_) loop_.RemoveFd(pipe_.get());
}

base::Status Outcome::Take(base::UniqueFd pipe, std::function<void()> on_reader_gone) {
  pipe_ = std::move(pipe);
  // Only the error that a pipe without a reader has.
  return loop_.AddFd(pipe_.get(), 0, [this, on_reader_gone = std::move(on_reader_gone)](uint32_t) {
    auto call = on_reader_gone;
    loop_.RemoveFd(pipe_.get());
    pipe_.Reset();
    call();
  });
}

void Outcome::Created() { Send("created\n"); }

void Outcome::Failed(const base::Error& error) {
  Send(fmt::format("error {} {}\n", static_cast<int>(error.code()),
                   base::log::Sanitize(error.message().substr(0, kMaxText))));
}

void Outcome::Send(std::string line) {
  if (!pipe_) return;
  if (auto status = base::WriteFd(pipe_.get(), line); !status)
    base::log::Debug("outcome: {}", status.error().message());
  loop_.RemoveFd(pipe_.get());
  pipe_.Reset();
}

base::Status ReadOutcome(int pipe) {
  TRY_ASSIGN(std::string text, base::ReadFd(pipe, 64 << 10));
  if (text == "created\n") return {};
  constexpr std::string_view kError = "error ";
  if (!text.starts_with(kError) || !text.ends_with('\n'))
    return base::Error(Code::kUnavailable, kMonitorDied);
  text.pop_back();
  int code = 0;
  const char* begin = text.data() + kError.size();
  auto [end, error] = std::from_chars(begin, text.data() + text.size(), code);
  if (error != std::errc() || *end != ' ' || code < 0 || code > kLastCode)
    code = static_cast<int>(Code::kInternal);
  return base::Error(static_cast<Code>(code), std::string(end + (*end == ' ' ? 1 : 0)));
}

}  // namespace holt::shim
