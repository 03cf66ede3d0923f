// A guest that dials, and services of the host's in every state.
#include "shim/monitor/socket_volumes.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "base/socket.h"

namespace holt::shim {
namespace {

using namespace std::chrono_literals;

class SocketVolumesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "sockets-XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    directory_ = path;
    loop_ = *base::EventLoop::Create();
    sockets_ = std::make_unique<SocketVolumes>(*loop_);
    service_ = *base::ListenUnix(Service(), 4);
    auto added = sockets_->Add(*base::Open(Service(), O_PATH), *base::ListenUnix(Guest()));
    ASSERT_TRUE(added.ok()) << added.error().message();
  }
  void TearDown() override {
    sockets_.reset();
    std::filesystem::remove_all(directory_);
  }
  std::string Service() const { return directory_ + "/service"; }
  std::string Guest() const { return directory_ + "/guest"; }
  base::UniqueFd Dial() const {
    auto fd = base::ConnectUnix(Guest(), SOCK_NONBLOCK);
    return fd ? std::move(*fd) : base::UniqueFd();
  }
  void Turn(int times = 10) {
    for (int i = 0; i < times; ++i) loop_->RunOnce(1ms);
  }
  // What a read finds: "end", "nothing", or it.
  static std::string Read(int fd) {
    char buffer[256];
    ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN ? "nothing" : "end";
    return n == 0 ? "end" : std::string(buffer, static_cast<size_t>(n));
  }

  std::string directory_;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<SocketVolumes> sockets_;
  base::UniqueFd service_;
};

TEST_F(SocketVolumesTest, JoinsAConnectionToTheService) {
  base::UniqueFd guest = Dial();
  Turn();
  auto host = base::AcceptUnix(service_.get());
  ASSERT_TRUE(host.ok()) << host.error().message();
  ASSERT_TRUE(base::WriteFd(guest.get(), "ping").ok());
  Turn();
  EXPECT_EQ(Read(host->get()), "ping");
  ASSERT_TRUE(base::WriteFd(host->get(), "pong").ok());
  host->Reset();
  Turn();
  EXPECT_EQ(Read(guest.get()), "pong");
  EXPECT_EQ(Read(guest.get()), "end");
  guest.Reset();
  Turn();
  EXPECT_EQ(sockets_->connections(), 0u);
}

TEST_F(SocketVolumesTest, ManyConnectionsAreBounded) {
  std::vector<base::UniqueFd> guests, hosts;
  for (size_t i = 0; i < SocketVolumes::kMaxConnections + 20; ++i) {
    guests.push_back(Dial());
    Turn(3);
    while (auto host = base::AcceptUnix(service_.get())) hosts.push_back(std::move(*host));
  }
  Turn(50);
  while (auto host = base::AcceptUnix(service_.get())) hosts.push_back(std::move(*host));
  EXPECT_EQ(sockets_->connections(), SocketVolumes::kMaxConnections);
  EXPECT_EQ(hosts.size(), SocketVolumes::kMaxConnections);
  EXPECT_EQ(Read(guests.back().get()), "end");
  EXPECT_EQ(Read(guests.front().get()), "nothing");
  guests.clear();
  Turn(50);
  // The services see their ends, and new connections are taken.
  for (const auto& host : hosts) EXPECT_EQ(Read(host.get()), "end");
  hosts.clear();
  Turn(50);
  EXPECT_EQ(sockets_->connections(), 0u);
  base::UniqueFd again = Dial();
  Turn();
  EXPECT_TRUE(base::AcceptUnix(service_.get()).ok());
}

TEST_F(SocketVolumesTest, AServiceWithAFullQueueIsAskedAgain) {
  std::vector<base::UniqueFd> guests;
  for (int i = 0; i < 12; ++i) guests.push_back(Dial());
  Turn(30);
  // Its queue has room for five.
  size_t accepted = 0;
  for (int i = 0; i < 400 && accepted < 12; ++i) {
    while (base::AcceptUnix(service_.get())) ++accepted;
    loop_->RunOnce(5ms);
  }
  EXPECT_EQ(accepted, 12u);
}

TEST_F(SocketVolumesTest, ADeadServiceOrAnotherInItsPlaceIsNotReached) {
  unlink(Service().c_str());
  base::UniqueFd other = *base::ListenUnix(Service());
  service_.Reset();
  base::UniqueFd guest = Dial();
  Turn();
  EXPECT_EQ(Read(guest.get()), "end");
  EXPECT_FALSE(base::AcceptUnix(other.get()).ok());
}

}  // namespace
}  // namespace holt::shim
