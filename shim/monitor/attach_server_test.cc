#include "shim/monitor/attach_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <mutex>
#include <thread>

#include "base/file.h"
#include "base/socket.h"
#include "base/spawn.h"
#include "shim/state/record.h"
#include "shim/stdio/attach_client.h"
#include "shim/stub/start.h"

namespace holt::shim {
namespace {

using base::UniqueFd;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::chrono_literals;

// A monitor's attach.sock with one process behind it, whose guest side is in the test's hands.
class AttachTest : public ::testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    std::string name = ::testing::TempDir() + "holt-attach-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    paths_.directory = name;
    loop_ = std::move(*base::EventLoop::Create());
    process_ = std::make_unique<Process>(*loop_, "", false, true, nullptr, nullptr);
    Join(guest_in_, [&](UniqueFd fd) { process_->input().SetTarget(std::move(fd)); });
    Join(guest_out_, [&](UniqueFd fd) { process_->output().SetSource(std::move(fd)); });
    Join(guest_err_, [&](UniqueFd fd) { process_->error_output().SetSource(std::move(fd)); });
    AttachServer::Handlers handlers;
    handlers.find = [this](const std::string& container,
                           const std::string& exec) -> base::Result<Process*> {
      if (container != "c" || !exec.empty())
        return base::Error(base::Code::kNotFound, "no such process");
      return process_.get();
    };
    handlers.on_signal = [this](const std::string&, int signal) {
      Note("signal " + std::to_string(signal));
    };
    handlers.on_resize = [this](const std::string&, uint32_t rows, uint32_t columns) {
      Note("resize " + std::to_string(rows) + " " + std::to_string(columns));
    };
    handlers.on_stub = [this](const std::string&, pid_t pid) {
      Note("stub " + std::to_string(pid));
    };
    handlers.on_stub_lost = [this](const std::string&) { Note("stub lost"); };
    server_ = std::make_unique<AttachServer>(*loop_, std::move(handlers));
    ASSERT_TRUE(server_->Listen(std::move(*base::ListenUnix(paths_.AttachSocket()))).ok());
    thread_ = std::thread([this] { loop_->Run(); });
  }
  void TearDown() override {
    loop_->Stop();
    thread_.join();
    server_.reset();
    process_.reset();
    (void)base::RemoveTree(paths_.directory);
  }
  template <typename F>
  void Join(UniqueFd& guest, F give) {
    auto pair = std::move(*base::SocketPair());
    guest = std::move(pair.second);
    give(std::move(pair.first));
  }
  void Note(std::string text) {
    std::lock_guard lock(mutex_);
    notes_.push_back(std::move(text));
  }
  std::vector<std::string> Notes() {
    std::lock_guard lock(mutex_);
    return notes_;
  }
  bool WaitForNote(const std::string& text) {
    for (int i = 0; i < 500; ++i) {
      for (const std::string& note : Notes())
        if (note == text) return true;
      usleep(10'000);
    }
    return false;
  }
  void Exit(int status) {
    loop_->Post([this, status] { process_->SetExit({status, false, ""}); });
  }
  base::Result<UniqueFd> Attach(const std::string& stream) {
    return AttachStream(paths_.AttachSocket(), stream, "c", "");
  }

  // A stub with pipes for its stdio.
  struct StubRun {
    pid_t pid = -1;
    UniqueFd in;
    UniqueFd out;
    UniqueFd err;
  };
  StubRun StartStubWithPipes() {
    int in[2], out[2], err[2], status[2];
    EXPECT_EQ(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC) | pipe2(err, O_CLOEXEC) |
                  pipe2(status, O_CLOEXEC),
              0);
    base::SpawnOptions options;
    options.argv = {HOLT_STUB,     "--attach", paths_.AttachSocket(), "--container", "c",
                    "--status-fd", "3"};
    options.fds = {{in[0], 0}, {out[1], 1}, {err[1], 2}, {status[1], 3}};
    options.new_session = true;
    StubRun run;
    auto pid = base::Spawn(options);
    EXPECT_TRUE(pid.ok()) << (pid ? "" : pid.error().message());
    for (int fd : {in[0], out[1], err[1], status[1]}) close(fd);
    run.pid = pid.value_or(-1);
    run.in = UniqueFd(in[1]);
    run.out = UniqueFd(out[0]);
    run.err = UniqueFd(err[0]);
    UniqueFd answer(status[0]);
    EXPECT_EQ(*base::ReadFd(answer.get(), 1000), "ok");
    return run;
  }
  static int Reap(pid_t pid) {
    int status = 0;
    for (int i = 0; i < 1000; ++i) {
      if (waitpid(pid, &status, WNOHANG) == pid) return base::ExitCodeFromWaitStatus(status);
      usleep(10'000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return -1;
  }

  SandboxPaths paths_;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<Process> process_;
  std::unique_ptr<AttachServer> server_;
  UniqueFd guest_in_;
  UniqueFd guest_out_;
  UniqueFd guest_err_;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<std::string> notes_;
};

TEST_F(AttachTest, StreamsAreRawBehindTheAnswer) {
  auto out = Attach("stdout");
  ASSERT_TRUE(out.ok()) << out.error().message();
  auto in = Attach("stdin");
  ASSERT_TRUE(in.ok());
  ASSERT_TRUE(base::WriteFd(in->get(), "to the guest").ok());
  shutdown(in->get(), SHUT_WR);
  EXPECT_EQ(*base::ReadFd(guest_in_.get(), 1000), "to the guest");
  ASSERT_TRUE(base::WriteFd(guest_out_.get(), "from the guest").ok());
  guest_out_.Reset();
  EXPECT_EQ(*base::ReadFd(out->get(), 1000), "from the guest");
}

TEST_F(AttachTest, BytesRightBehindTheRequestBelongToTheStream) {
  auto socket = base::ConnectUnix(paths_.AttachSocket());
  ASSERT_TRUE(base::WriteFd(socket->get(), "stdin c -\nhello\nworld").ok());
  EXPECT_EQ(*ReadLine(socket->get(), 100), "ok");
  shutdown(socket->get(), SHUT_WR);
  EXPECT_EQ(*base::ReadFd(guest_in_.get(), 1000), "hello\nworld");
}

TEST_F(AttachTest, WrongRequestsGetAnErrorLine) {
  auto ask = [&](const std::string& line) {
    auto socket = base::ConnectUnix(paths_.AttachSocket());
    (void)base::WriteFd(socket->get(), line + "\n");
    return base::ReadFd(socket->get(), 1000).value_or("?");
  };
  EXPECT_EQ(ask("stdout other -"), "error no such process\n");
  EXPECT_EQ(ask("stdout c exec1"), "error no such process\n");
  EXPECT_EQ(ask("stdwhat c -"), "error unknown stream\n");
  EXPECT_EQ(ask("stdout"), "error malformed request\n");
  EXPECT_EQ(ask(""), "error malformed request\n");
  EXPECT_NE(ask(std::string(100'000, 'x')), "ok\n");
  EXPECT_TRUE(Attach("stdout").ok()) << "the server still serves";
}

TEST_F(AttachTest, TooManyThatSayNothingAreTurnedAway) {
  std::vector<UniqueFd> silent;
  bool refused = false;
  for (size_t i = 0; i < AttachServer::kMaxConnections + 8 && !refused; ++i) {
    auto socket = base::ConnectUnix(paths_.AttachSocket());
    if (!socket) break;
    silent.push_back(std::move(*socket));
    pollfd answer{silent.back().get(), POLLIN, 0};
    if (i >= AttachServer::kMaxConnections) refused = poll(&answer, 1, 2000) == 1;
  }
  EXPECT_TRUE(refused);
  silent.clear();
  for (int i = 0; i < 100; ++i)
    if (Attach("stdout")) return;
  FAIL() << "no room again after they left";
}

TEST_F(AttachTest, ControlTakesLinesAndTellsTheExit) {
  auto control = Attach("control");
  ASSERT_TRUE(control.ok()) << control.error().message();
  ASSERT_TRUE(base::WriteFd(control->get(),
                            "resize 24 80\nsignal 15\nnonsense\nsignal 0\nsignal 9999\nsignal x\n"
                            "resize 1 2 3\nresize 99999999 1\nsig")
                  .ok());
  ASSERT_TRUE(WaitForNote("signal 15"));
  ASSERT_TRUE(base::WriteFd(control->get(), "nal 2\n").ok());
  ASSERT_TRUE(WaitForNote("signal 2"));
  EXPECT_THAT(Notes(), ElementsAre("resize 24 80", "signal 15", "signal 2"));
  Exit(7);
  EXPECT_EQ(*base::ReadFd(control->get(), 1000), "exit 7\n");
  auto late = Attach("control");
  ASSERT_TRUE(late.ok());
  EXPECT_EQ(*base::ReadFd(late->get(), 1000), "exit 7\n");
}

TEST_F(AttachTest, TheStubMirrorsAProcess) {
  StubRun stub = StartStubWithPipes();
  EXPECT_TRUE(WaitForNote("stub " + std::to_string(stub.pid)));
  ASSERT_TRUE(base::WriteFd(stub.in.get(), "input").ok());
  stub.in.Reset();
  EXPECT_EQ(*base::ReadFd(guest_in_.get(), 1000), "input");
  const std::string big(1 << 20, 'o');
  std::thread guest([&] {
    EXPECT_TRUE(base::WriteFd(guest_out_.get(), big).ok());
    EXPECT_TRUE(base::WriteFd(guest_err_.get(), "warning").ok());
    Exit(42);
    // The exit overtakes the tail.
    usleep(50'000);
    EXPECT_TRUE(base::WriteFd(guest_out_.get(), "tail").ok());
    guest_out_.Reset();
    guest_err_.Reset();
  });
  EXPECT_TRUE(*base::ReadFd(stub.out.get(), 8 << 20) == big + "tail");
  EXPECT_EQ(*base::ReadFd(stub.err.get(), 1000), "warning");
  guest.join();
  EXPECT_EQ(Reap(stub.pid), 42);
  EXPECT_THAT(Notes(), Not(Contains("stub lost")));
}

// As an exec may, that is shorter than the start of its stub.
TEST_F(AttachTest, TheStubComesAfterTheEnd) {
  // Another one, whose output nobody has begun to read.
  std::promise<void> ready;
  loop_->Post([&] {
    process_ = std::make_unique<Process>(*loop_, "", false, true, nullptr, nullptr);
    process_->output().HoldForClient();
    process_->error_output().HoldForClient();
    Join(guest_out_, [&](UniqueFd fd) { process_->output().SetSource(std::move(fd)); });
    Join(guest_err_, [&](UniqueFd fd) { process_->error_output().SetSource(std::move(fd)); });
    ready.set_value();
  });
  ready.get_future().wait();
  ASSERT_TRUE(base::WriteFd(guest_out_.get(), "last words").ok());
  guest_out_.Reset();
  guest_err_.Reset();
  Exit(42);
  auto ended = Attach("control");
  ASSERT_TRUE(ended.ok());
  EXPECT_EQ(*base::ReadFd(ended->get(), 1000), "exit 42\n");
  StubRun stub = StartStubWithPipes();
  EXPECT_EQ(*base::ReadFd(stub.out.get(), 1000), "last words");
  EXPECT_EQ(Reap(stub.pid), 42);
}

TEST_F(AttachTest, TheStubPassesSignalsOn) {
  StubRun stub = StartStubWithPipes();
  for (int signal : {SIGTERM, SIGHUP, SIGINT, SIGUSR1, SIGTSTP, SIGRTMIN + 3}) {
    ASSERT_EQ(kill(stub.pid, signal), 0);
    EXPECT_TRUE(WaitForNote("signal " + std::to_string(signal))) << signal;
  }
  Exit(128 + SIGTERM);
  guest_out_.Reset();
  guest_err_.Reset();
  EXPECT_EQ(Reap(stub.pid), 128 + SIGTERM);
}

TEST_F(AttachTest, AKilledStubIsSeen) {
  StubRun stub = StartStubWithPipes();
  kill(stub.pid, SIGKILL);
  waitpid(stub.pid, nullptr, 0);
  EXPECT_TRUE(WaitForNote("stub lost"));
}

TEST_F(AttachTest, AStubWhoseReaderLeftGoesOn) {
  StubRun stub = StartStubWithPipes();
  stub.out.Reset();
  ASSERT_TRUE(base::WriteFd(guest_out_.get(), "nobody reads this").ok());
  usleep(50'000);
  ASSERT_TRUE(base::WriteFd(guest_out_.get(), std::string(1 << 20, 'x')).ok())
      << "the guest is held up";
  Exit(0);
  guest_out_.Reset();
  guest_err_.Reset();
  EXPECT_EQ(Reap(stub.pid), 0);
}

TEST_F(AttachTest, AStubWhoseMonitorDiedEndsAsKilled) {
  StubRun stub = StartStubWithPipes();
  loop_->Stop();
  thread_.join();
  server_.reset();
  process_.reset();
  EXPECT_EQ(Reap(stub.pid), 137);
  thread_ = std::thread([] {});
}

TEST_F(AttachTest, AStubThatCannotAttachSaysWhy) {
  // Where StartStub looks for the cgroup and the monitor: this sandbox has none, and this one.
  Record record;
  record.monitor_pid = getpid();
  ASSERT_TRUE(WriteRecord(paths_.State(), record).ok());
  ASSERT_TRUE(base::WriteFile(paths_.Config(), R"({"ociVersion":"1.0.2"})").ok());
  StubOptions options;
  options.paths = paths_;
  options.container_id = "other";
  options.installation.libexec =
      std::string(HOLT_STUB).substr(0, std::string(HOLT_STUB).find_last_of('/'));
  auto stub = StartStub(options);
  ASSERT_FALSE(stub.ok());
  EXPECT_THAT(stub.error().message(), HasSubstr("no such process"));
}

}  // namespace
}  // namespace holt::shim
