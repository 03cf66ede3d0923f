#include "base/event_loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <thread>

#include "base/socket.h"

namespace holt::base {
namespace {

using std::chrono::milliseconds;

TEST(EventLoopTest, DeliversFdsTimersAndPosts) {
  auto loop = *EventLoop::Create();
  auto [a, b] = *SocketPair();
  std::string order;
  ASSERT_TRUE(loop->AddFd(a.get(), EPOLLIN,
                          [&, fd = a.get()](uint32_t) {
                            char c;
                            ASSERT_EQ(read(fd, &c, 1), 1);
                            order += c;
                            loop->RemoveFd(fd);
                          })
                  .ok());
  loop->AddTimer(milliseconds(30), [&] {
    order += 't';
    loop->Stop();
  });
  auto cancelled = loop->AddTimer(milliseconds(1), [&] { order += 'x'; });
  loop->CancelTimer(cancelled);
  std::thread other([&, fd = b.get()] { loop->Post([fd] { ASSERT_EQ(write(fd, "r", 1), 1); }); });
  loop->Run();
  other.join();
  EXPECT_EQ(order, "rt");
}

TEST(EventLoopTest, RemovedWatchIsNotCalledForAnEventAlreadyCollected) {
  auto loop = *EventLoop::Create();
  auto [a, b] = *SocketPair();
  auto [c, d] = *SocketPair();
  int calls = 0;
  // Both are readable at once; whichever runs first removes the other.
  ASSERT_TRUE(loop->AddFd(a.get(), EPOLLIN,
                          [&, other = c.get()](uint32_t) {
                            ++calls;
                            loop->RemoveFd(other);
                          })
                  .ok());
  ASSERT_TRUE(loop->AddFd(c.get(), EPOLLIN,
                          [&, other = a.get()](uint32_t) {
                            ++calls;
                            loop->RemoveFd(other);
                          })
                  .ok());
  ASSERT_EQ(write(b.get(), "x", 1), 1);
  ASSERT_EQ(write(d.get(), "x", 1), 1);
  loop->RunOnce(milliseconds(100));
  EXPECT_EQ(calls, 1);
}

TEST(EventLoopTest, ReapsChildren) {
  auto loop = *EventLoop::Create();
  pid_t pid = fork();
  if (pid == 0) _exit(7);
  int status = -1;
  ASSERT_TRUE(loop->AddChild(pid,
                             [&](int s) {
                               status = s;
                               loop->Stop();
                             })
                  .ok());
  loop->Run();
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

}  // namespace
}  // namespace holt::base
