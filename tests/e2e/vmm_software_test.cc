// holt-vmm with QEMU's TCG as the processor: the real kernel boots, and the reason it ended is
// told.

#include <gmock/gmock.h>
#include <sys/socket.h>

#include <thread>

#include "tests/e2e/software_vm.h"

namespace holt {
namespace {

using ::testing::HasSubstr;

class VmmSoftwareTest : public SoftwareVm {};

TEST_F(VmmSoftwareTest, PowerOffIsAShutdown) {
  ASSERT_NO_FATAL_FAILURE(Boot("off", {}));
  vmm::v1::Exit exit = Wait();
  EXPECT_EQ(exit.reason(), vmm::v1::Exit::SHUTDOWN) << exit.detail();
  EXPECT_THAT(Console(), HasSubstr("guest: off"));
}

TEST_F(VmmSoftwareTest, RebootIsAReboot) {
  ASSERT_NO_FATAL_FAILURE(Boot("reboot", {}));
  vmm::v1::Exit exit = Wait();
  EXPECT_EQ(exit.reason(), vmm::v1::Exit::REBOOT) << exit.detail();
}

TEST_F(VmmSoftwareTest, PanicComesWithItsLine) {
  ASSERT_NO_FATAL_FAILURE(Boot("panic", {}));
  vmm::v1::Exit exit = Wait();
  EXPECT_EQ(exit.reason(), vmm::v1::Exit::PANIC) << exit.detail();
  EXPECT_THAT(exit.detail(), HasSubstr("Attempted to kill init!"));
}

TEST_F(VmmSoftwareTest, KilledQemuIsAnError) {
  ASSERT_NO_FATAL_FAILURE(Boot("hang", {}));
  ASSERT_EQ(kill(qemu_, SIGKILL), 0);
  EXPECT_EQ(Wait().reason(), vmm::v1::Exit::ERROR);
}

TEST_F(VmmSoftwareTest, KillIsKilled) {
  ASSERT_NO_FATAL_FAILURE(Boot("hang", {}));
  ASSERT_TRUE(client_->Call<vmm::v1::Empty>(kService, "Kill", vmm::v1::Empty()).ok());
  EXPECT_EQ(Wait().reason(), vmm::v1::Exit::KILLED);
}

TEST_F(VmmSoftwareTest, VsockCarriesBytesBothWays) {
  auto ready = base::ListenUnix(dir_ + "/vsock.sock_1024");
  ASSERT_TRUE(ready.ok());
  ASSERT_EQ(chown((dir_ + "/vsock.sock_1024").c_str(), kUnprivileged, kUnprivileged), 0);
  ASSERT_NO_FATAL_FAILURE(Boot("vsock", {.vsock = true}));
  base::Result<base::UniqueFd> guest =
      base::Error(base::Code::kUnavailable, "the guest did not dial");
  for (int i = 0; i < 600 && !guest; ++i) {
    guest = base::AcceptUnix(ready->get());
    if (!guest) usleep(50000);
  }
  ASSERT_TRUE(guest.ok()) << guest.error().message() << "\nconsole:\n" << Console();

  auto stream = base::ConnectUnix(dir_ + "/vsock.sock");
  ASSERT_TRUE(stream.ok()) << stream.error().message();
  ASSERT_TRUE(base::WriteFd(stream->get(), "CONNECT 1025\n").ok());
  std::string answer;
  for (char c = 0; c != '\n' && read(stream->get(), &c, 1) == 1;) answer += c;
  EXPECT_THAT(answer, ::testing::StartsWith("OK "));

  // More than every buffer on the way, so that credit must flow.
  std::string sent(8 << 20, 0);
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 2654435761u >> 13);
  std::thread writer([&] {
    EXPECT_TRUE(base::WriteFd(stream->get(), sent).ok());
    shutdown(stream->get(), SHUT_WR);
  });
  auto received = base::ReadFd(stream->get(), 64 << 20);
  writer.join();
  ASSERT_TRUE(received.ok()) << received.error().message();
  EXPECT_TRUE(*received == sent) << received->size() << " bytes came back of " << sent.size();
  EXPECT_EQ(Wait().reason(), vmm::v1::Exit::SHUTDOWN);
}

}  // namespace
}  // namespace holt
