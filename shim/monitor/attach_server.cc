#include "shim/monitor/attach_server.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <charconv>
#include <optional>
#include <vector>

#include "base/log.h"
#include "base/socket.h"
#include "shim/monitor/line_reader.h"
#include "shim/state/descriptor_kind.h"
#include "shim/stdio/attach_client.h"

namespace holt::shim {
namespace {

// A client says what it wants within this time.
constexpr auto kHelloDeadline = std::chrono::seconds(10);

std::vector<std::string> Words(const std::string& line) {
  std::vector<std::string> out;
  size_t at = 0;
  while (at <= line.size()) {
    size_t end = std::min(line.find(' ', at), line.size());
    out.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

template <typename T>
std::optional<T> Number(const std::string& text, T max) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

// Answers are short and the socket is fresh; a client whose buffer has no room for one is not
// reading.
bool SendLine(int fd, std::string_view line) {
  std::string text(line);
  text += '\n';
  return send(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL) ==
         static_cast<ssize_t>(text.size());
}

}  // namespace

// A client until it has said what it wants; a control connection until its end.
class AttachServer::Connection : public std::enable_shared_from_this<AttachServer::Connection> {
 public:
  Connection(AttachServer& server, base::UniqueFd fd)
      : server_(server), fd_(std::move(fd)), lines_(fd_.get(), kMaxAttachLine) {}
  ~Connection() {
    if (timer_ != 0) server_.loop_.CancelTimer(timer_);
    if (watched_) server_.loop_.RemoveFd(fd_.get());
  }

  bool Start() {
    int fd = fd_.get();
    watched_ = static_cast<bool>(
        server_.loop_.AddFd(fd, EPOLLIN, [this](uint32_t) { shared_from_this()->OnReadable(); }));
    timer_ = server_.loop_.AddTimer(kHelloDeadline, [this, fd] {
      timer_ = 0;
      server_.Remove(fd);
    });
    return watched_;
  }

  std::vector<base::UniqueFd> TakeDescriptors(const std::string& exec) {
    if (exec != exec_) return {};
    return std::move(descriptors_);
  }

 private:
  void OnReadable() {
    auto self = shared_from_this();
    if (gives_) return OnDescriptors();
    std::string line;
    while (fd_) {
      switch (lines_.Next(line)) {
        case LineReader::Result::kMore:
          return;
        case LineReader::Result::kLine:
          if (control_) {
            OnControlLine(line);
          } else if (!OnHello(line)) {
            return;
          }
          break;
        case LineReader::Result::kEnd:
        case LineReader::Result::kTooLong:
          return End();
      }
    }
  }

  // False when nothing more is to be read here.
  bool OnHello(const std::string& line) {
    auto refuse = [&](std::string_view why) {
      SendLine(fd_.get(), fmt::format("error {}", why));
      End();
      return false;
    };
    std::vector<std::string> words = Words(line);
    if (words.size() != 3) return refuse("malformed request");
    if (words[2] == "-") words[2].clear();
    if (words[0] == "descriptors") {
      // Of an exec that is not there yet.
      exec_ = words[2];
      gives_ = true;
      if (!SendLine(fd_.get(), "ok")) End();
      return false;
    }
    auto process = server_.handlers_.find(words[1], words[2]);
    if (!process) return refuse(process.error().message());
    exec_ = words[2];
    if (words[0] == "control") {
      BeControl(**process);
      return true;
    }
    bool in = words[0] == "stdin";
    if (!in && words[0] != "stdout" && words[0] != "stderr") return refuse("unknown stream");
    if (in && !(*process)->has_input()) return refuse("standard input is not open");
    if (words[0] == "stderr" && (*process)->terminal())
      return refuse("a terminal has no stderr of its own");
    if (!SendLine(fd_.get(), "ok")) {
      End();
      return false;
    }
    // From here on the socket is the stream's.
    server_.loop_.RemoveFd(fd_.get());
    watched_ = false;
    int number = fd_.get();
    base::UniqueFd socket = std::move(fd_);
    server_.Remove(number);
    if (in) {
      (*process)->input().AddClient(std::move(socket));
    } else {
      OutputStream& stream =
          words[0] == "stdout" ? (*process)->output() : (*process)->error_output();
      stream.AddClient(std::move(socket));
    }
    return false;
  }

  void OnDescriptors() {
    // Once; what comes then is the end.
    if (timer_ == 0) return End();
    auto message = base::ReceiveWithFds(fd_.get(), 1, kMaxDescriptors);
    if (!message || message->fds.empty()) return End();
    server_.loop_.CancelTimer(std::exchange(timer_, 0));
    descriptors_ = std::move(message->fds);
    if (!SendLine(fd_.get(), "ok")) End();
  }

  void BeControl(Process& process) {
    control_ = true;
    server_.loop_.CancelTimer(timer_);
    timer_ = 0;
    SendLine(fd_.get(), "ok");
    process.OnExit([weak = weak_from_this()](const ProcessExit& exit) {
      auto self = weak.lock();
      if (!self || !self->fd_) return;
      self->ended_ = true;
      SendLine(self->fd_.get(), fmt::format("exit {}", exit.status));
      // The client reads the end of the stream after the line, and closes.
      shutdown(self->fd_.get(), SHUT_WR);
    });
  }

  void OnControlLine(const std::string& line) {
    if (ended_) return;
    std::vector<std::string> words = Words(line);
    if (words[0] == "signal" && words.size() == 2) {
      if (auto signal = Number<int>(words[1], SIGRTMAX); signal && *signal > 0)
        return server_.handlers_.on_signal(exec_, *signal);
    } else if (words[0] == "resize" && words.size() == 3) {
      auto rows = Number<uint32_t>(words[1], UINT16_MAX);
      auto columns = Number<uint32_t>(words[2], UINT16_MAX);
      if (rows && columns) return server_.handlers_.on_resize(exec_, *rows, *columns);
    } else if (words[0] == "stub" && words.size() == 1 && !stub_) {
      auto peer = base::GetPeerCredentials(fd_.get());
      if (!peer) return;
      stub_ = true;
      server_.handlers_.on_stub(exec_, peer->pid);
      SendLine(fd_.get(), "ok");
      return;
    }
    base::log::Debug("attach: not understood: {}", base::log::Sanitize(line));
  }

  void End() {
    bool lost = stub_ && !ended_;
    std::string exec = exec_;
    AttachServer& server = server_;
    server.Remove(fd_.get());
    if (lost) server.handlers_.on_stub_lost(exec);
  }

  AttachServer& server_;
  base::UniqueFd fd_;
  LineReader lines_;
  bool watched_ = false;
  base::EventLoop::TimerId timer_ = 0;
  std::string exec_;
  bool gives_ = false;
  std::vector<base::UniqueFd> descriptors_;
  bool control_ = false;
  bool stub_ = false;
  bool ended_ = false;
};

AttachServer::~AttachServer() { StopListening(); }

base::Status AttachServer::Listen(base::UniqueFd listener) {
  listener_ = std::move(listener);
  return loop_.AddFd(listener_.get(), EPOLLIN, [this](uint32_t) { OnAccept(); });
}

std::vector<base::UniqueFd> AttachServer::TakeDescriptors(const std::string& exec) {
  for (auto& [fd, connection] : connections_)
    if (auto given = connection->TakeDescriptors(exec); !given.empty()) return given;
  return {};
}

void AttachServer::StopListening() {
  if (listener_) loop_.RemoveFd(listener_.get());
  listener_.Reset();
}

void AttachServer::OnAccept() {
  while (listener_) {
    auto socket = base::AcceptUnix(listener_.get());
    if (!socket) return;
    if (connections_.size() >= kMaxConnections) {
      SendLine(socket->get(), "error too many connections");
      continue;
    }
    int fd = socket->get();
    auto connection = std::make_shared<Connection>(*this, std::move(*socket));
    if (connection->Start()) connections_[fd] = std::move(connection);
  }
}

void AttachServer::Remove(int fd) {
  auto it = connections_.find(fd);
  if (it == connections_.end()) return;
  // Destroyed at the end of this function, or by whoever holds it while it calls.
  auto keep = std::move(it->second);
  connections_.erase(it);
}

}  // namespace holt::shim
