// Streams of a process: what a guest sends and what clients do with it, over real sockets.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/file.h"
#include "base/socket.h"
#include "shim/monitor/process.h"

namespace holt::shim {
namespace {

using base::UniqueFd;
using namespace std::chrono_literals;

class StreamsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    loop_ = std::move(*base::EventLoop::Create());
  }

  // Runs the loop until `done` or for ten seconds.
  template <typename F>
  bool RunUntil(F done) {
    auto end = std::chrono::steady_clock::now() + 10s;
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      loop_->RunOnce(10ms);
    }
    return true;
  }
  void RunFor(std::chrono::milliseconds time) {
    auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) loop_->RunOnce(5ms);
  }

  // (ours, the far side's)
  static std::pair<UniqueFd, UniqueFd> Pair() {
    auto pair = std::move(*base::SocketPair());
    EXPECT_TRUE(base::SetNonblocking(pair.first.get(), true).ok());
    return pair;
  }

  static std::string Pattern(size_t size) {
    std::string out(size, 0);
    for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 2654435761u >> 11);
    return out;
  }

  std::unique_ptr<base::EventLoop> loop_;
};

TEST_F(StreamsTest, OutputReachesTheLogAndEveryClientWholeAndInOrder) {
  std::string logged;
  OutputStream stream(*loop_, [&](std::string_view data) { logged += data; });
  auto [ours, guest] = Pair();
  auto [a_ours, a] = Pair();
  auto [b_ours, b] = Pair();
  stream.AddClient(std::move(a_ours));
  stream.AddClient(std::move(b_ours));
  stream.SetSource(std::move(ours));
  const std::string sent = Pattern(8 << 20);
  std::string got_a;
  std::string got_b;
  std::thread writer([&, fd = std::move(guest)]() mutable {
    EXPECT_TRUE(base::WriteFd(fd.get(), sent).ok());
    fd.Reset();
  });
  std::thread reader_a([&] { got_a = *base::ReadFd(a.get(), 64 << 20); });
  std::thread reader_b([&] { got_b = *base::ReadFd(b.get(), 64 << 20); });
  bool ended = false;
  stream.OnEnd([&] { ended = true; });
  EXPECT_TRUE(RunUntil([&] { return ended; }));
  writer.join();
  reader_a.join();
  reader_b.join();
  EXPECT_TRUE(logged == sent);
  EXPECT_TRUE(got_a == sent);
  EXPECT_TRUE(got_b == sent);
}

TEST_F(StreamsTest, ASlowClientStopsTheGuestAndNotTheLoop) {
  size_t logged = 0;
  OutputStream stream(*loop_, [&](std::string_view data) { logged += data.size(); });
  auto [ours, guest] = Pair();
  auto [client_ours, client] = Pair();
  stream.AddClient(std::move(client_ours));
  stream.SetSource(std::move(ours));
  ASSERT_TRUE(base::SetNonblocking(guest.get(), true).ok());
  const std::string chunk(64 << 10, 'x');
  size_t sent = 0;
  for (int quiet = 0; quiet < 20;) {
    ssize_t n = write(guest.get(), chunk.data(), chunk.size());
    if (n > 0) sent += static_cast<size_t>(n);
    quiet = n > 0 ? 0 : quiet + 1;
    loop_->RunOnce(5ms);
  }
  // The client's socket buffer, what we keep for it, and the guest's socket buffer; not more.
  EXPECT_LT(sent, OutputStream::kMaxPending + (2 << 20));
  EXPECT_GT(logged, 0u);
  bool ended = false;
  stream.OnEnd([&] { ended = true; });
  shutdown(guest.get(), SHUT_WR);
  std::string got;
  std::thread reader([&] { got = *base::ReadFd(client.get(), 64 << 20); });
  EXPECT_TRUE(RunUntil([&] { return ended; }));
  reader.join();
  EXPECT_EQ(got.size(), sent) << "the tail was cut";
}

TEST_F(StreamsTest, ADeadClientHoldsNobodyUp) {
  std::string logged;
  OutputStream stream(*loop_, [&](std::string_view data) { logged += data; });
  auto [ours, guest] = Pair();
  auto [dead_ours, dead] = Pair();
  auto [alive_ours, alive] = Pair();
  stream.AddClient(std::move(dead_ours));
  stream.AddClient(std::move(alive_ours));
  stream.SetSource(std::move(ours));
  dead.Reset();
  const std::string sent = Pattern(3 << 20);
  std::string got;
  std::thread reader([&] { got = *base::ReadFd(alive.get(), 64 << 20); });
  std::thread writer([&, fd = std::move(guest)]() mutable {
    EXPECT_TRUE(base::WriteFd(fd.get(), sent).ok());
    fd.Reset();
  });
  bool ended = false;
  stream.OnEnd([&] { ended = true; });
  EXPECT_TRUE(RunUntil([&] { return ended; }));
  writer.join();
  reader.join();
  EXPECT_TRUE(got == sent);
}

TEST_F(StreamsTest, AClientThatDiesFullFreesTheGuest) {
  OutputStream stream(*loop_, nullptr);
  auto [ours, guest] = Pair();
  auto [client_ours, client] = Pair();
  stream.AddClient(std::move(client_ours));
  stream.SetSource(std::move(ours));
  ASSERT_TRUE(base::SetNonblocking(guest.get(), true).ok());
  const std::string chunk(64 << 10, 'x');
  for (int quiet = 0; quiet < 20;) {
    quiet = write(guest.get(), chunk.data(), chunk.size()) > 0 ? 0 : quiet + 1;
    loop_->RunOnce(5ms);
  }
  client.Reset();
  EXPECT_TRUE(RunUntil([&] { return write(guest.get(), chunk.data(), chunk.size()) > 0; }));
  guest.Reset();
  EXPECT_TRUE(
      RunUntil([&] { return stream.bytes() > 0 && (stream.OnEnd([] {}), stream.ended()); }));
}

TEST_F(StreamsTest, AHeldStreamWaitsForItsFirstClient) {
  OutputStream stream(*loop_, nullptr);
  stream.HoldForClient();
  auto [ours, guest] = Pair();
  stream.SetSource(std::move(ours));
  ASSERT_TRUE(base::WriteFd(guest.get(), "first words").ok());
  guest.Reset();
  stream.ProcessExited(50ms);
  RunFor(120ms);
  EXPECT_FALSE(stream.ended()) << "nobody has come for it yet";
  auto [client_ours, client] = Pair();
  stream.AddClient(std::move(client_ours));
  EXPECT_TRUE(RunUntil([&] { return stream.ended(); }));
  EXPECT_EQ(*base::ReadFd(client.get(), 1000), "first words");
}

TEST_F(StreamsTest, AHeldStreamThatNobodyComesForEnds) {
  OutputStream stream(*loop_, nullptr);
  stream.HoldForClient();
  auto [ours, guest] = Pair();
  stream.SetSource(std::move(ours));
  stream.ProcessExited(5ms);
  EXPECT_TRUE(RunUntil([&] { return stream.ended(); }));
}

TEST_F(StreamsTest, AnIdleStreamOfADeadProcessEnds) {
  OutputStream stream(*loop_, nullptr);
  auto [ours, guest] = Pair();  // a background child holds it open
  auto [client_ours, client] = Pair();
  stream.AddClient(std::move(client_ours));
  stream.SetSource(std::move(ours));
  stream.ProcessExited(40ms);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(base::WriteFd(guest.get(), "more").ok());
    RunFor(20ms);
    EXPECT_FALSE(stream.ended()) << "it still had something to say";
  }
  EXPECT_TRUE(RunUntil([&] { return stream.ended(); }));
  EXPECT_EQ(*base::ReadFd(client.get(), 1000), "moremoremoremoremore");
}

TEST_F(StreamsTest, AReaderThatIsSlowIsNoIdleStream) {
  OutputStream stream(*loop_, nullptr);
  auto [ours, guest] = Pair();
  auto [client_ours, client] = Pair();
  stream.AddClient(std::move(client_ours));
  stream.SetSource(std::move(ours));
  const std::string sent = Pattern(2 << 20);
  std::thread writer([&, fd = std::move(guest)]() mutable {
    EXPECT_TRUE(base::WriteFd(fd.get(), sent).ok());
    fd.Reset();
  });
  ASSERT_TRUE(RunUntil([&] { return stream.bytes() >= OutputStream::kMaxPending; }));
  stream.ProcessExited(300ms);
  RunFor(700ms);
  EXPECT_FALSE(stream.ended());
  std::string got;
  std::thread reader([&] { got = *base::ReadFd(client.get(), 64 << 20); });
  EXPECT_TRUE(RunUntil([&] { return stream.ended(); }));
  writer.join();
  reader.join();
  EXPECT_TRUE(got == sent) << got.size() << " of " << sent.size();
}

TEST_F(StreamsTest, InputPassesWholeAndItsEndIsTheHalfClose) {
  InputStream stream(*loop_);
  auto [client_ours, client] = Pair();
  stream.AddClient(std::move(client_ours));
  const std::string sent = Pattern(4 << 20);
  std::thread writer([&] {
    EXPECT_TRUE(base::WriteFd(client.get(), sent).ok());
    shutdown(client.get(), SHUT_WR);
  });
  RunFor(30ms);  // the guest is late
  auto [target, guest] = Pair();
  stream.SetTarget(std::move(target));
  std::string got;
  std::atomic<bool> read_all = false;
  std::thread reader([&] {
    got = *base::ReadFd(guest.get(), 64 << 20);
    read_all = true;
  });
  EXPECT_TRUE(RunUntil([&] { return read_all.load(); }));
  writer.join();
  reader.join();
  EXPECT_TRUE(got == sent);
}

TEST_F(StreamsTest, InputThatTheGuestDoesNotTakeIsNotRead) {
  InputStream stream(*loop_);
  auto [target, guest] = Pair();
  auto [client_ours, client] = Pair();
  stream.SetTarget(std::move(target));
  stream.AddClient(std::move(client_ours));
  ASSERT_TRUE(base::SetNonblocking(client.get(), true).ok());
  const std::string chunk(64 << 10, 'x');
  size_t sent = 0;
  for (int quiet = 0; quiet < 20;) {
    ssize_t n = write(client.get(), chunk.data(), chunk.size());
    if (n > 0) sent += static_cast<size_t>(n);
    quiet = n > 0 ? 0 : quiet + 1;
    loop_->RunOnce(5ms);
  }
  EXPECT_LT(sent, 2u << 20);
}

TEST_F(StreamsTest, AClientOfATerminalOnlyDetaches) {
  InputStream stream(*loop_);
  stream.SetTerminal(true);
  auto [target, guest] = Pair();
  stream.SetTarget(std::move(target));
  for (const char* word : {"one", "two"}) {
    auto [ours, client] = Pair();
    stream.AddClient(std::move(ours));
    ASSERT_TRUE(base::WriteFd(client.get(), word).ok());
    client.Reset();
    RunFor(30ms);
  }
  char buffer[32];
  ssize_t n = recv(guest.get(), buffer, sizeof buffer, MSG_DONTWAIT);
  EXPECT_EQ(std::string(buffer, static_cast<size_t>(std::max<ssize_t>(n, 0))), "onetwo");
  EXPECT_EQ(recv(guest.get(), buffer, sizeof buffer, MSG_DONTWAIT), -1) << "the input was ended";
}

TEST_F(StreamsTest, InputToAGuestThatHungUpIsDropped) {
  InputStream stream(*loop_);
  auto [target, guest] = Pair();
  auto [ours, client] = Pair();
  stream.SetTarget(std::move(target));
  stream.AddClient(std::move(ours));
  guest.Reset();
  RunFor(30ms);
  char c;
  EXPECT_EQ(recv(client.get(), &c, 1, MSG_DONTWAIT), 0) << "the client is not told";
  auto [late_ours, late] = Pair();
  stream.AddClient(std::move(late_ours));
  EXPECT_EQ(recv(late.get(), &c, 1, MSG_DONTWAIT), 0);
}

TEST_F(StreamsTest, TheExitIsToldBeforeTheOutputIsOut) {
  Process process(*loop_, "", false, false, nullptr, nullptr);
  auto [ours, guest] = Pair();
  auto [err_ours, err_guest] = Pair();
  process.output().SetSource(std::move(ours));
  process.error_output().SetSource(std::move(err_ours));
  std::vector<std::string> order;
  process.OnExit(
      [&](const ProcessExit& exit) { order.push_back("exit " + std::to_string(exit.status)); });
  process.OnDrained([&] { order.push_back("drained"); });
  process.SetExit({3, false, ""});
  process.SetExit({4, false, ""});
  EXPECT_THAT(order, ::testing::ElementsAre("exit 3"));
  ASSERT_TRUE(base::WriteFd(guest.get(), "tail").ok());
  guest.Reset();
  err_guest.Reset();
  EXPECT_TRUE(RunUntil([&] { return order.size() == 2; }));
  EXPECT_EQ(process.output().bytes(), 4u);
  bool late = false;
  process.OnExit([&](const ProcessExit&) { late = true; });
  EXPECT_TRUE(late);
}

}  // namespace
}  // namespace holt::shim
