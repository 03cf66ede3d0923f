// Sockets of the host's in a container: who connects there reaches the service on the host.
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/socket.h"
#include "tests/e2e/volumes_fixture.h"

namespace holt {
namespace {

using ::testing::HasSubstr;

// Echoes what it gets, as it comes, and says its name at the end of it.
class EchoService {
 public:
  EchoService(const std::string& path, std::string name) : name_(std::move(name)) {
    auto listener = base::ListenUnix(path, 8);
    EXPECT_TRUE(listener.ok()) << listener.error().message();
    listener_ = std::move(*listener);
    EXPECT_TRUE(base::SetNonblocking(listener_.get(), false).ok());
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~EchoService() {
    shutdown(listener_.get(), SHUT_RDWR);
    acceptor_.join();
    for (auto& thread : threads_) thread.join();
  }
  int open() const { return open_; }
  int served() const { return served_; }

 private:
  void Accept() {
    while (true) {
      base::UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!socket) return;
      ++open_;
      threads_.emplace_back([this, fd = std::move(socket)] {
        char buffer[65536];
        ssize_t n;
        while ((n = read(fd.get(), buffer, sizeof buffer)) > 0)
          for (ssize_t at = 0; at < n;) {
            ssize_t sent = send(fd.get(), buffer + at, static_cast<size_t>(n - at), MSG_NOSIGNAL);
            if (sent <= 0) break;
            at += sent;
          }
        (void)send(fd.get(), name_.data(), name_.size(), MSG_NOSIGNAL);
        --open_;
        ++served_;
      });
    }
  }
  std::string name_;
  base::UniqueFd listener_;
  std::thread acceptor_;
  std::vector<std::thread> threads_;
  std::atomic<int> open_{0}, served_{0};
};

class SocketVolumeTest : public VolumesTest {
 protected:
  std::string Path() const { return Scratch("service.sock"); }
  std::vector<std::string> WithSocket(std::vector<std::string> args) const {
    args.insert(args.begin(), {"-v", Path() + ":/run/service.sock:socket"});
    return ProbeCommand(std::move(args));
  }
};

TEST_F(SocketVolumeTest, LeadsToTheHostsServiceBothWaysWithHalfClose) {
  EchoService service(Path(), " back\n");
  std::string input(8 << 20, 0);
  for (size_t i = 0; i < input.size(); ++i) input[i] = static_cast<char>(i * 2654435761u >> 13);
  Finished run =
      Program::Start(WithSocket({"-i", "demo", "/probe", "connect", "/run/service.sock"}),
                     {.input = input})
          ->Finish();
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_TRUE(run.out == input + " back\n") << run.out.size() << " bytes";
  EXPECT_EQ(service.served(), 1);
}

TEST_F(SocketVolumeTest, HasTheModeAndOwnerOfTheHostsAndManyConnections) {
  EchoService service(Path(), "back\n");
  ASSERT_EQ(chmod(Path().c_str(), 0620), 0);
  ASSERT_EQ(chown(Path().c_str(), 1000, 1001), 0);
  auto run = Program::Start(
      WithSocket({"demo", "sh", "-c",
                  "stat -c '%a %u %g %F' /run/service.sock; "
                  "setpriv --reuid 7 --regid 7 --clear-groups /probe connect /run/service.sock; "
                  "setpriv --reuid 1000 --regid 7 --clear-groups /probe connect "
                  "/run/service.sock </dev/null; "
                  "for i in $(seq 50); do /probe connect /run/service.sock </dev/null & done; "
                  "wait; /probe flood /run/service.sock 400; "
                  "/probe connect /run/service.sock </dev/null"}),
      {});
  // 200 are served, the socket's queue takes some more, then connect(2) waits.
  ASSERT_TRUE(run->WaitFor("flooded")) << run->out();
  EXPECT_EQ(run->Finish().status, 0);
  EXPECT_THAT(run->out(), HasSubstr("620 1000 1001 socket\nconnect: Permission denied\nback\n"));
  size_t backs = 0;
  for (size_t at = 0; (at = run->out().find("back\n", at)) != std::string::npos; ++at) ++backs;
  EXPECT_EQ(backs, 52u);
}

TEST_F(SocketVolumeTest, IsTheSocketThatWasThereAtCreate) {
  auto service = std::make_unique<EchoService>(Path(), "the first\n");
  std::string id =
      RunDetached({"-v", Probe() + ":/probe:ro", "-v", Path() + ":/run/service.sock:socket", "demo",
                   "sh", "-c", "sleep 1000"});
  ASSERT_NE(id, "");
  // Somebody puts another in its place.
  ASSERT_EQ(rename(Path().c_str(), Scratch("moved.sock").c_str()), 0);
  EchoService other(Path(), "another\n");
  Finished first = Holt({"exec", id, "/probe", "connect", "/run/service.sock"});
  EXPECT_EQ(first.out, "the first\n") << first.err;
  service.reset();
  Finished gone = Holt({"exec", id, "/probe", "connect", "/run/service.sock"});
  EXPECT_NE(gone.out, "another\n");
  EXPECT_EQ(other.served(), 0);
  EXPECT_EQ(Holt({"rm", "-f", id}).status, 0);
}

TEST_F(SocketVolumeTest, OpenConnectionsEndWithTheContainer) {
  EchoService service(Path(), "");
  std::string id =
      RunDetached({"-v", Probe() + ":/probe:ro", "-v", Path() + ":/run/service.sock:socket", "demo",
                   "/probe", "flood", "/run/service.sock", "5", "stay"});
  for (int i = 0; i < 200 && service.open() < 5; ++i) usleep(50'000);
  EXPECT_EQ(service.open(), 5);
  EXPECT_EQ(Holt({"rm", "-f", id}).status, 0);
  for (int i = 0; i < 100 && service.open() > 0; ++i) usleep(50'000);
  EXPECT_EQ(service.open(), 0);
}

TEST_F(SocketVolumeTest, IsAskedForAndIsASocket) {
  EchoService service(Path(), "back\n");
  Finished refused = Run({"--rm", "-v", Path() + ":/run/service.sock", "demo", "true"});
  EXPECT_EQ(refused.status, 125);
  EXPECT_THAT(refused.err, HasSubstr("is a socket; to let the container connect to it"));
  Finished file = Run({"--rm", "-v", Probe() + ":/x:socket", "demo", "true"});
  EXPECT_THAT(file.err, HasSubstr("is not a socket"));
  Finished none = Run({"--rm", "--annotation", "holt.sockets=/nowhere", "demo", "true"});
  EXPECT_THAT(none.err, HasSubstr("no bind mount has the destination \"/nowhere\""));
}

}  // namespace
}  // namespace holt
