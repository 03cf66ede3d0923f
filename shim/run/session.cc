#include "shim/run/session.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/socket.h"
#include "shim/stdio/attach_client.h"

namespace holt::shim {
namespace {

using base::Code;
using std::chrono::nanoseconds;

constexpr int kForwarded[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                              SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH};

bool IsIgnored(int number) {
  struct sigaction action {};
  return sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

base::Result<std::unique_ptr<Session>> Session::Open(Options options) {
  std::unique_ptr<Session> session(new Session(std::move(options)));
  TRY_ASSIGN(session->loop_, base::EventLoop::Create());
  TRY_ASSIGN_CONTEXT(base::UniqueFd socket,
                     base::ConnectUnix(session->options_.paths.MonitorSocket()), "monitor");
  TRY_ASSIGN(session->client_, rpc::Client::Create(*session->loop_, std::move(socket)));
  TRY(session->TakeSignals());
  return session;
}

Session::~Session() {
  // What watches the loop goes before it.
  in_pump_.reset();
  out_pump_.reset();
  err_pump_.reset();
  client_.reset();
}

base::Status Session::TakeSignals() {
  std::vector<int> taken;
  for (int number : kForwarded) {
    // Whoever started us with a signal ignored (nohup, a shell's background job) wants it ignored.
    if (IsIgnored(number)) continue;
    if (number == SIGWINCH ? options_.terminal : options_.forward_signals) taken.push_back(number);
  }
  if (taken.empty()) return {};
  return loop_->AddSignals(taken, [this](int number) { OnSignal(number); });
}

void Session::OnSignal(int number) {
  if (number == SIGWINCH) {
    if (running_) SendSize();
    return;
  }
  if (running_) return SendSignal(number);
  // There is nothing yet that could take it: whoever sends it wants the start undone.
  if (number != SIGUSR1 && number != SIGUSR2 && number != SIGALRM) interrupted_by_ = number;
}

void Session::SendSignal(int number) {
  if (!client_ || exit_) return;
  monitor::v1::KillRequest request;
  request.set_container_id(options_.container_id);
  request.set_exec_id(options_.exec_id);
  request.set_signal(number);
  // It may just have ended: then its end is on the way, too.
  client_->Call<monitor::v1::Empty>(kMonitorService, "Kill", request, {},
                                    [](base::Result<monitor::v1::Empty>) {});
}

void Session::SendSize() {
  auto size = GetTerminalSize(0);
  if (!size || !client_ || exit_) return;
  monitor::v1::ResizeTtyRequest request;
  request.set_container_id(options_.container_id);
  request.set_exec_id(options_.exec_id);
  request.set_rows(size->rows);
  request.set_columns(size->columns);
  client_->Call<monitor::v1::Empty>(kMonitorService, "ResizeTty", request, {},
                                    [](base::Result<monitor::v1::Empty>) {});
}

base::Status Session::Attach() {
  auto attach = [&](const char* stream) {
    return AttachStream(options_.paths.AttachSocket(), stream, options_.container_id,
                        options_.exec_id);
  };
  // First: a process that ended is forgotten when its output was taken, unless somebody waits.
  BeginWait();
  if (options_.stand_in) TRY(StandIn());
  TRY_ASSIGN(out_socket_, attach("stdout"));
  if (!options_.terminal) {
    TRY_ASSIGN(err_socket_, attach("stderr"));
  }
  if (options_.input) {
    TRY_ASSIGN(in_socket_, attach("stdin"));
  }
  return {};
}

base::Status Session::StandIn() {
  TRY_ASSIGN(control_, AttachStream(options_.paths.AttachSocket(), "control", options_.container_id,
                                    options_.exec_id));
  TRY(base::WriteFd(control_.get(), "stub\n"));
  // "ok", or how it ended already; the call that waits tells that, too.
  TRY(ReadLine(control_.get(), kMaxAttachLine));
  return {};
}

void Session::BeginWait() {
  monitor::v1::ProcessRequest request;
  request.set_container_id(options_.container_id);
  request.set_exec_id(options_.exec_id);
  client_->Call<monitor::v1::WaitResponse>(kMonitorService, "Wait", request, {},
                                           [this](base::Result<monitor::v1::WaitResponse> answer) {
                                             if (answer) {
                                               exit_ = *std::move(answer);
                                             } else {
                                               lost_ = true;
                                             }
                                           });
}

base::Status Session::StartOutput(const base::UniqueFd& socket, int fd,
                                  std::unique_ptr<Pump>& pump) {
  TRY(base::SetNonblocking(socket.get(), true));
  pump = std::make_unique<Pump>(*loop_, socket.get(), fd);
  ++open_outputs_;
  return pump->Start([this](base::Status status) { OutputEnded(status); });
}

void Session::OutputEnded(const base::Status& status) {
  --open_outputs_;
  if (status || unread_) return;
  // A monitor that died resets its connections; the call that waits says so.
  if (status.error().err() == ECONNRESET) return;
  unread_ = true;
  if (status.error().err() != EPIPE) output_error_ = "standard output: " + status.error().message();
  if (options_.kill_when_unread) SendSignal(SIGKILL);
}

base::Status Session::StartInput() {
  TRY(base::SetNonblocking(in_socket_.get(), true));
  in_pump_ = std::make_unique<Pump>(*loop_, 0, in_socket_.get());
  if (options_.detach_keys)
    in_pump_->SetFilter([this](std::string& data) { return keys_.Filter(data); });
  return in_pump_->Start([this](base::Status status) {
    if (!status && status.error().code() == Code::kCancelled) {
      detached_ = true;
    } else if (!options_.terminal) {
      // The end of ours is the end of its input; so is our not being able to read.
      shutdown(in_socket_.get(), SHUT_WR);
    }
  });
}

bool Session::Done() const {
  if (detached_ || lost_) return true;
  if (unread_ && !options_.kill_when_unread) return true;
  return exit_ && open_outputs_ <= 0;
}

base::Result<Session::Outcome> Session::Run() {
  HOLT_CHECK(client_ != nullptr);
  running_ = true;
  if (out_socket_) TRY(StartOutput(out_socket_, 1, out_pump_));
  if (err_socket_) TRY(StartOutput(err_socket_, 2, err_pump_));
  if (options_.terminal && isatty(0)) {
    if (options_.input) TRY(raw_.Enter(0));
    SendSize();
  }
  if (in_socket_) TRY(StartInput());
  while (!Done()) loop_->RunOnce(nanoseconds(-1));

  raw_.Leave();
  Outcome outcome;
  outcome.detached = detached_;
  if (lost_) {
    outcome.lost = true;
    outcome.status = 125;
    outcome.error = "the connection to the container's monitor was lost";
  } else if (unread_) {
    outcome.status = 128 + SIGPIPE;
    outcome.error = output_error_;
  } else if (exit_) {
    outcome.status = exit_->exit_status();
    outcome.error = exit_->error();
  }
  return outcome;
}

}  // namespace holt::shim
