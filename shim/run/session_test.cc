#include "shim/run/session.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/file.h"
#include "base/socket.h"
#include "rpc/server.h"
#include "shim/stdio/attach_client.h"

namespace holt::shim {
namespace {

using namespace std::chrono_literals;
namespace v1 = monitor::v1;

// A monitor's two sockets: its calls, and its streams, which are given only to who waits already.
class SessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "holt-session-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    paths_.directory = name;
    loop_ = std::move(*base::EventLoop::Create());
    server_ = std::make_unique<rpc::Server>(*loop_);
    server_->Handle<v1::ProcessRequest, v1::WaitResponse>(
        kMonitorService, "Wait",
        [this](const v1::ProcessRequest&, const rpc::TypedCall<v1::WaitResponse>& call) {
          std::lock_guard lock(mutex_);
          waits_.push_back(call);
          waited_.notify_all();
        });
    ASSERT_TRUE(server_->Listen(*base::ListenUnix(paths_.MonitorSocket())).ok());
    attach_ = *base::ListenUnix(paths_.AttachSocket());
    calls_thread_ = std::thread([this] { loop_->Run(); });
    streams_thread_ = std::thread([this] { ServeStreams(); });
  }
  void TearDown() override {
    shutdown(attach_.get(), SHUT_RDWR);  // ends the wait of ServeStreams
    streams_thread_.join();
    loop_->Stop();
    calls_thread_.join();
    waits_.clear();
    server_.reset();
    (void)base::RemoveTree(paths_.directory);
  }
  // Each stream is at its end at once, as that of a process that ended before anybody came.
  void ServeStreams() {
    for (;;) {
      pollfd ready{.fd = attach_.get(), .events = POLLIN, .revents = 0};
      if (poll(&ready, 1, -1) < 0 || !(ready.revents & POLLIN) || ready.revents & POLLHUP) return;
      base::UniqueFd client(accept4(attach_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client || !ReadLine(client.get(), kMaxAttachLine)) continue;
      std::unique_lock lock(mutex_);
      bool waits = waited_.wait_for(lock, 5s, [this] { return !waits_.empty(); });
      (void)base::WriteFd(client.get(), waits ? "ok\n" : "error forgotten: nobody waited\n");
    }
  }
  void Exit(int status) {
    loop_->Post([this, status] {
      std::lock_guard lock(mutex_);
      v1::WaitResponse response;
      response.set_exit_status(status);
      for (auto& call : waits_) call.Reply(response);
    });
  }

  SandboxPaths paths_;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<rpc::Server> server_;
  base::UniqueFd attach_;
  std::thread calls_thread_, streams_thread_;
  std::mutex mutex_;
  std::condition_variable waited_;
  std::vector<rpc::TypedCall<v1::WaitResponse>> waits_;
};

// The monitor forgets a process whose output was taken and whose end nobody waits for.
TEST_F(SessionTest, WaitsForTheEndBeforeItTakesTheOutput) {
  auto session = Session::Open({.paths = paths_, .container_id = "c", .exec_id = "e"});
  ASSERT_TRUE(session.ok());
  auto attached = (*session)->Attach();
  ASSERT_TRUE(attached.ok()) << attached.error().message();
  Exit(7);
  auto outcome = (*session)->Run();
  ASSERT_TRUE(outcome.ok()) << outcome.error().message();
  EXPECT_FALSE(outcome->lost);
  EXPECT_EQ(outcome->status, 7);
}

TEST_F(SessionTest, AMonitorThatGoesAwayIsSaid) {
  auto session = Session::Open({.paths = paths_, .container_id = "c"});
  ASSERT_TRUE(session.ok());
  ASSERT_TRUE((*session)->Attach().ok());
  loop_->Post([this] {
    waits_.clear();
    server_.reset();
  });
  auto outcome = (*session)->Run();
  ASSERT_TRUE(outcome.ok());
  EXPECT_TRUE(outcome->lost);
}

}  // namespace
}  // namespace holt::shim
