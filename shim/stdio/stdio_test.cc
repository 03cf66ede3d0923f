#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "base/file.h"
#include "base/socket.h"
#include "base/unique_fd.h"
#include "shim/stdio/attach_client.h"
#include "shim/stdio/pump.h"
#include "shim/stdio/terminal.h"

namespace holt::shim {
namespace {

using base::UniqueFd;
using namespace std::chrono_literals;

struct PipePair {
  UniqueFd read;
  UniqueFd write;
};
PipePair Pipe() {
  int fds[2];
  EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

class PumpTest : public ::testing::Test {
 protected:
  void SetUp() override { loop_ = std::move(*base::EventLoop::Create()); }
  template <typename F>
  bool RunUntil(F done) {
    auto end = std::chrono::steady_clock::now() + 10s;
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      loop_->RunOnce(10ms);
    }
    return true;
  }
  static std::string Pattern(size_t size) {
    std::string out(size, 0);
    for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 2654435761u >> 9);
    return out;
  }
  std::unique_ptr<base::EventLoop> loop_;
};

TEST_F(PumpTest, MovesAllOfItThroughPipesAndSockets) {
  const std::string sent = Pattern(3 << 20);
  auto in = Pipe();
  auto out = Pipe();
  auto sockets = std::move(*base::SocketPair());
  Pump first(*loop_, in.read.get(), sockets.first.get());
  Pump second(*loop_, sockets.second.get(), out.write.get());
  bool first_done = false;
  bool second_done = false;
  ASSERT_TRUE(first
                  .Start([&](base::Status status) {
                    EXPECT_TRUE(status.ok());
                    first_done = true;
                    shutdown(sockets.first.get(), SHUT_WR);
                  })
                  .ok());
  ASSERT_TRUE(second
                  .Start([&](base::Status status) {
                    EXPECT_TRUE(status.ok());
                    second_done = true;
                  })
                  .ok());
  std::thread writer([&] {
    EXPECT_TRUE(base::WriteFd(in.write.get(), sent).ok());
    in.write.Reset();
  });
  std::string got;
  std::thread reader([&] {
    got.resize(sent.size());
    size_t at = 0;
    while (at < got.size()) {
      ssize_t n = read(out.read.get(), got.data() + at, got.size() - at);
      if (n <= 0) break;
      at += static_cast<size_t>(n);
    }
    got.resize(at);
  });
  EXPECT_TRUE(RunUntil([&] { return first_done && second_done; }));
  writer.join();
  reader.join();
  EXPECT_TRUE(got == sent);
}

TEST_F(PumpTest, FilesAreReadAndWrittenToo) {
  std::string path = ::testing::TempDir() + "holt-pump-XXXXXX";
  UniqueFd file(mkstemp(path.data()));
  const std::string text = Pattern(300'000);
  ASSERT_TRUE(base::WriteFd(file.get(), text).ok());
  lseek(file.get(), 0, SEEK_SET);
  std::string copy_path = path + ".copy";
  auto copy = base::Open(copy_path, O_RDWR | O_CREAT, 0600);
  Pump pump(*loop_, file.get(), copy->get());
  bool done = false;
  ASSERT_TRUE(pump.Start([&](base::Status status) { done = status.ok(); }).ok());
  EXPECT_TRUE(RunUntil([&] { return done; }));
  EXPECT_TRUE(*base::ReadFile(copy_path) == text);
  unlink(path.c_str());
  unlink(copy_path.c_str());
}

TEST_F(PumpTest, ATargetThatDoesNotTakeIsWaitedForWithoutBlocking) {
  auto in = Pipe();
  auto out = Pipe();
  Pump pump(*loop_, in.read.get(), out.write.get());
  bool done = false;
  ASSERT_TRUE(pump.Start([&](base::Status) { done = true; }).ok());
  fcntl(in.write.get(), F_SETFL, O_NONBLOCK);
  const std::string chunk(64 << 10, 'x');
  size_t sent = 0;
  for (int quiet = 0; quiet < 10;) {
    ssize_t n = write(in.write.get(), chunk.data(), chunk.size());
    if (n > 0) sent += static_cast<size_t>(n);
    quiet = n > 0 ? 0 : quiet + 1;
    loop_->RunOnce(5ms);  // would hang here
  }
  EXPECT_LT(sent, 512u << 10);
  EXPECT_EQ(fcntl(out.write.get(), F_GETFL) & O_NONBLOCK, 0) << "others may hold the same pipe";
  in.write.Reset();
  std::string got;
  std::thread reader([&] {
    char buffer[4096];
    ssize_t n;
    while (got.size() < sent && (n = read(out.read.get(), buffer, sizeof buffer)) > 0)
      got.append(buffer, static_cast<size_t>(n));
  });
  EXPECT_TRUE(RunUntil([&] { return done; }));
  reader.join();
  EXPECT_EQ(got.size(), sent);
}

TEST_F(PumpTest, ATargetThatIsGoneIsAnErrorNotASignal) {
  auto in = Pipe();
  auto sockets = std::move(*base::SocketPair());
  sockets.second.Reset();
  Pump pump(*loop_, in.read.get(), sockets.first.get());
  base::Status result;
  bool done = false;
  ASSERT_TRUE(pump.Start([&](base::Status status) {
                    result = std::move(status);
                    done = true;
                  })
                  .ok());
  ASSERT_TRUE(base::WriteFd(in.write.get(), "x").ok());
  EXPECT_TRUE(RunUntil([&] { return done; }));
  EXPECT_EQ(result.error().err(), EPIPE);
}

TEST_F(PumpTest, AClosedTerminalIsTheEnd) {
  int master;
  int slave;
  ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  UniqueFd m(master);
  UniqueFd s(slave);
  auto out = Pipe();
  Pump pump(*loop_, m.get(), out.write.get());
  base::Status result = base::Error(base::Code::kInternal, "not called");
  ASSERT_TRUE(pump.Start([&](base::Status status) { result = std::move(status); }).ok());
  ASSERT_TRUE(base::WriteFd(s.get(), "bye").ok());
  s.Reset();
  EXPECT_TRUE(RunUntil([&] { return result.ok(); }));
  char buffer[16];
  EXPECT_EQ(read(out.read.get(), buffer, sizeof buffer), 3);
}

TEST_F(PumpTest, AFilterThatRefusesEndsIt) {
  auto in = Pipe();
  auto out = Pipe();
  Pump pump(*loop_, in.read.get(), out.write.get());
  DetachKeys keys;
  pump.SetFilter([&](std::string& data) { return keys.Filter(data); });
  base::Status result;
  bool done = false;
  ASSERT_TRUE(pump.Start([&](base::Status status) {
                    result = std::move(status);
                    done = true;
                  })
                  .ok());
  ASSERT_TRUE(base::WriteFd(in.write.get(), "\x10\x11").ok());
  EXPECT_TRUE(RunUntil([&] { return done; }));
  EXPECT_EQ(result.error().code(), base::Code::kCancelled);
}

TEST(DetachKeysTest, OnlyTheWholeSequenceDetaches) {
  DetachKeys keys;
  auto type = [&](std::string text) {
    bool stay = keys.Filter(text);
    return (stay ? "" : "detach ") + text;
  };
  EXPECT_EQ(type("abc"), "abc");
  EXPECT_EQ(type("a\x10"), "a") << "held until the next key";
  EXPECT_EQ(type("b"),
            "\x10"
            "b");
  EXPECT_EQ(type("\x10\x10"), "\x10");
  EXPECT_EQ(type("x\x11"), "\x10x\x11");
  EXPECT_EQ(type("\x10"), "");
  EXPECT_EQ(type("\x11rest"), "detach ");
}

TEST(TerminalTest, RawModeIsLeftAsItWas) {
  int master;
  int slave;
  winsize size{33, 99, 0, 0};
  ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, &size), 0);
  UniqueFd m(master);
  UniqueFd s(slave);
  termios before{};
  tcgetattr(s.get(), &before);
  {
    RawMode raw;
    ASSERT_TRUE(raw.Enter(s.get()).ok());
    termios now{};
    tcgetattr(s.get(), &now);
    EXPECT_EQ(now.c_lflag & (ICANON | ECHO | ISIG), 0u);
  }
  termios after{};
  tcgetattr(s.get(), &after);
  EXPECT_EQ(after.c_lflag, before.c_lflag);
  auto seen = GetTerminalSize(s.get());
  ASSERT_TRUE(seen.has_value());
  EXPECT_EQ(seen->rows, 33u);
  EXPECT_EQ(seen->columns, 99u);
  EXPECT_FALSE(GetTerminalSize(open("/dev/null", O_RDONLY | O_CLOEXEC)).has_value());
}

TEST(ReadLineTest, TakesNotAByteTooMany) {
  auto pipe = Pipe();
  ASSERT_TRUE(base::WriteFd(pipe.write.get(), "one\ntwo").ok());
  EXPECT_EQ(*ReadLine(pipe.read.get(), 100), "one");
  char buffer[8];
  EXPECT_EQ(read(pipe.read.get(), buffer, sizeof buffer), 3);
  pipe.write.Reset();
  EXPECT_EQ(ReadLine(pipe.read.get(), 100).error().code(), base::Code::kUnavailable);
}

}  // namespace
}  // namespace holt::shim
