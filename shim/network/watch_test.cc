#include "shim/network/watch.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/file.h"
#include "base/netlink.h"
#include "shim/network/namespace.h"

namespace holt::shim::network {
namespace {

using namespace std::chrono_literals;
using base::NetlinkRequest;
using base::NetlinkSocket;
using base::Status;

constexpr int kLoopback = 1;

class WatchTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs a network namespace";
    auto made = NewNamespace();
    ASSERT_TRUE(made.ok()) << made.error().message();
    namespace_ = std::move(*made);
    loop_ = std::move(*base::EventLoop::Create());
  }
  void RunFor(std::chrono::milliseconds time) {
    const auto end = base::EventLoop::Clock::now() + time;
    while (base::EventLoop::Clock::now() < end) loop_->RunOnce(5ms);
  }
  // Changes that make a notice each.
  void Change(int times) {
    ASSERT_TRUE(RunInNamespace(namespace_.get(), [times]() -> Status {
                  TRY_ASSIGN(NetlinkSocket netlink, NetlinkSocket::Open());
                  for (int i = 0; i < times; ++i) {
                    NetlinkRequest request(i % 2 == 0 ? RTM_NEWADDR : RTM_DELADDR, NLM_F_CREATE);
                    ifaddrmsg header{};
                    header.ifa_family = AF_INET;
                    header.ifa_prefixlen = 32;
                    header.ifa_index = kLoopback;
                    request.Header(header);
                    request.Value<in_addr_t>(IFA_LOCAL, htonl(0x0a4d0000));
                    TRY(netlink.Do(request));
                  }
                  return {};
                }).ok());
  }

  base::UniqueFd namespace_;
  std::unique_ptr<base::EventLoop> loop_;
};

TEST_F(WatchTest, ChangesThereAreToldAsOneAndOthersNotAtAll) {
  int calls = 0;
  auto watch = Watch::Create(*loop_, namespace_.get(), [&] { ++calls; });
  ASSERT_TRUE(watch.ok()) << watch.error().message();
  RunFor(60ms);
  EXPECT_EQ(calls, 0);
  Change(4);
  RunFor(200ms);
  EXPECT_EQ(calls, 1);
  Change(2);
  RunFor(200ms);
  EXPECT_EQ(calls, 2);
}

TEST_F(WatchTest, AFloodCostsATenthOfTheTimeAndItsEndIsSeen) {
  std::atomic<bool> flooding = true;
  std::thread flood([&] {
    while (flooding) Change(200);
  });
  int calls = 0;
  std::chrono::nanoseconds work{};
  auto watch = Watch::Create(*loop_, namespace_.get(), [&] {
    const auto began = base::EventLoop::Clock::now();
    ++calls;
    std::this_thread::sleep_for(10ms);
    work += base::EventLoop::Clock::now() - began;
  });
  ASSERT_TRUE(watch.ok()) << watch.error().message();
  RunFor(1000ms);
  EXPECT_GE(calls, 2);
  EXPECT_LE(work, 200ms) << calls << " calls";
  flooding = false;
  flood.join();
  RunFor(300ms);
  const int before = calls;
  Change(2);
  RunFor(1000ms);
  EXPECT_EQ(calls, before + 1);
}

}  // namespace
}  // namespace holt::shim::network
