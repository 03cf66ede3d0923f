// holt-vmm on /dev/kvm: the real kernel boots, and the reason it ended is told.

#include <gmock/gmock.h>
#include <sys/socket.h>

#include <thread>

#include "tests/e2e/kvm_vm.h"

namespace holt {
namespace {

using ::testing::HasSubstr;

class VmmKvmTest : public KvmVm {
 protected:
  vmm::v1::StatsResponse Stats() {
    auto stats = client_->Call<vmm::v1::StatsResponse>(kService, "Stats", vmm::v1::Empty());
    EXPECT_TRUE(stats.ok()) << stats.error().message();
    return stats.ok() ? *stats : vmm::v1::StatsResponse();
  }
  // Waits until the guest printed `text`.
  void UntilPrinted(const std::string& text) {
    for (int i = 0; i < 600 && Console().find(text) == std::string::npos; ++i) usleep(50000);
    EXPECT_THAT(Console(), HasSubstr(text));
  }
};

TEST_F(VmmKvmTest, PowerOffIsAShutdown) {
  ASSERT_NO_FATAL_FAILURE(Boot("off", {}));
  vmm::v1::Exit exit = Wait();
  EXPECT_EQ(exit.reason(), vmm::v1::Exit::SHUTDOWN) << exit.detail() << "\n" << Console();
  EXPECT_THAT(Console(), HasSubstr("guest: off"));
}

TEST_F(VmmKvmTest, RebootIsAReboot) {
  ASSERT_NO_FATAL_FAILURE(Boot("reboot", {}));
  vmm::v1::Exit exit = Wait();
  EXPECT_EQ(exit.reason(), vmm::v1::Exit::REBOOT) << exit.detail() << "\n" << Console();
}

TEST_F(VmmKvmTest, PanicComesWithItsLine) {
  ASSERT_NO_FATAL_FAILURE(Boot("panic", {}));
  vmm::v1::Exit exit = Wait();
  EXPECT_EQ(exit.reason(), vmm::v1::Exit::PANIC) << exit.detail() << "\n" << Console();
  EXPECT_THAT(exit.detail(), HasSubstr("Attempted to kill init!"));
}

TEST_F(VmmKvmTest, APanicBeforeTheConsoleWorksComesWithItsLine) {
  // No init and no root: the kernel gives up. It says so on the early console too.
  more_cmdline_ = "rdinit=/nothing root=/dev/nothing";
  ASSERT_NO_FATAL_FAILURE(Boot("off", {}));
  vmm::v1::Exit exit = Wait();
  EXPECT_EQ(exit.reason(), vmm::v1::Exit::PANIC) << exit.detail() << "\n" << Console();
  EXPECT_THAT(exit.detail(), HasSubstr("Kernel panic - not syncing: VFS: Unable to mount root fs"));
}

TEST_F(VmmKvmTest, KillIsKilled) {
  ASSERT_NO_FATAL_FAILURE(Boot("hang", {}));
  UntilPrinted("guest: hang");
  ASSERT_TRUE(client_->Call<vmm::v1::Empty>(kService, "Kill", vmm::v1::Empty()).ok());
  EXPECT_EQ(Wait().reason(), vmm::v1::Exit::KILLED);
}

TEST_F(VmmKvmTest, EndsWithItsMonitor) {
  ASSERT_NO_FATAL_FAILURE(Boot("hang", {}));
  client_.reset();
  int status = 1;
  for (int i = 0; i < 200 && waitpid(vmm_, &status, WNOHANG) == 0; ++i) usleep(20000);
  EXPECT_EQ(status, 0);
}

TEST_F(VmmKvmTest, BzImageBoots) {
  ASSERT_NO_FATAL_FAILURE(Boot("off", {.kernel = "bzImage"}));
  EXPECT_EQ(Wait(std::chrono::seconds(300)).reason(), vmm::v1::Exit::SHUTDOWN) << Console();
  EXPECT_THAT(Console(), HasSubstr("guest: off"));
}

TEST_F(VmmKvmTest, TwoAndFourProcessors) {
  ASSERT_NO_FATAL_FAILURE(Boot("cpus", {.vcpus = 2}));
  EXPECT_EQ(Wait().reason(), vmm::v1::Exit::SHUTDOWN) << Console();
  EXPECT_THAT(Console(), HasSubstr("cpus: 2\r\n"));
  TearDown();
  SetUp();
  ASSERT_NO_FATAL_FAILURE(Boot("cpus", {.vcpus = 4}));
  EXPECT_EQ(Wait().reason(), vmm::v1::Exit::SHUTDOWN) << Console();
  EXPECT_THAT(Console(), HasSubstr("cpus: 4\r\n"));
}

TEST_F(VmmKvmTest, MemoryAboveTheHole) {
  ASSERT_NO_FATAL_FAILURE(Boot("memory", {.memory_bytes = 5ull << 30}));
  EXPECT_EQ(Wait().reason(), vmm::v1::Exit::SHUTDOWN) << Console();
  // The kernel keeps some for itself, less than the GiB that would be missing.
  EXPECT_THAT(Console(), ::testing::ContainsRegex("memory: (48|49|50|51)[0-9][0-9] MiB"));
}

TEST_F(VmmKvmTest, PauseStopsTheGuestAndResumeGoesOn) {
  ASSERT_NO_FATAL_FAILURE(Boot("spin", {}));
  UntilPrinted("guest: spin");
  ASSERT_TRUE(client_->Call<vmm::v1::Empty>(kService, "Pause", vmm::v1::Empty()).ok());
  const auto paused = Stats();
  usleep(300000);
  // Less than a tick: what a thread used while it went to sleep.
  EXPECT_LT(Stats().vcpu_nanos(), paused.vcpu_nanos() + 4'000'000);
  ASSERT_TRUE(client_->Call<vmm::v1::Empty>(kService, "Resume", vmm::v1::Empty()).ok());
  usleep(300000);
  const auto later = Stats();
  EXPECT_GT(later.vcpu_nanos(), paused.vcpu_nanos() + 50'000'000);
  EXPECT_GT(later.memory_resident_bytes(), 16u << 20);
  EXPECT_LT(later.memory_resident_bytes(), 256u << 20);
  EXPECT_GT(later.uptime_nanos(), 300'000'000u);
}

TEST_F(VmmKvmTest, VsockCarriesBytesBothWays) {
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
  std::string sent(4 << 20, 0);
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

class VmmKvmShareTest : public VmmKvmTest {
 protected:
  void SetUp() override {
    VmmKvmTest::SetUp();
    share_ = dir_ + "/share";
    ASSERT_TRUE(base::MakeDirs(share_).ok());
    ASSERT_EQ(chmod(share_.c_str(), 0755), 0);
    ASSERT_TRUE(base::WriteFile(share_ + "/given", "given").ok());
    ASSERT_TRUE(base::WriteFile(dir_ + "/holt-host-marker", "").ok());
    ASSERT_EQ(symlink(dir_.c_str(), (share_ + "/escape").c_str()), 0);
  }
  std::string share_;
};

TEST_F(VmmKvmShareTest, HasWhatAContainersRootNeeds) {
  ASSERT_NO_FATAL_FAILURE(Boot("fs", {.share = share_}));
  EXPECT_EQ(Wait(std::chrono::seconds(300)).reason(), vmm::v1::Exit::SHUTDOWN) << Console();
  EXPECT_THAT(Console(), HasSubstr("fs: 0 checks failed"));
  struct stat st {};
  ASSERT_EQ(stat((share_ + "/attr").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 1000u);
}

TEST_F(VmmKvmShareTest, TheSameOnTwoProcessors) {
  ASSERT_NO_FATAL_FAILURE(Boot("fs", {.share = share_, .vcpus = 2}));
  EXPECT_EQ(Wait(std::chrono::seconds(300)).reason(), vmm::v1::Exit::SHUTDOWN) << Console();
  EXPECT_THAT(Console(), HasSubstr("fs: 0 checks failed"));
}

TEST_F(VmmKvmShareTest, ReadOnlyIsKeptByTheHost) {
  ASSERT_NO_FATAL_FAILURE(Boot("fs-readonly", {.share = share_, .fsd_options = {"--readonly"}}));
  EXPECT_EQ(Wait().reason(), vmm::v1::Exit::SHUTDOWN) << Console();
  EXPECT_THAT(Console(), HasSubstr("fs: 0 checks failed"));
}

TEST_F(VmmKvmShareTest, AFileServerThatDiesEndsTheMachineWithItsName) {
  ASSERT_NO_FATAL_FAILURE(Boot("hang", {.share = share_}));
  UntilPrinted("guest: hang");
  ASSERT_EQ(kill(fsd_, SIGKILL), 0);
  vmm::v1::Exit exit = Wait();
  EXPECT_EQ(exit.reason(), vmm::v1::Exit::ERROR);
  EXPECT_THAT(exit.detail(), HasSubstr("share holt: its server failed"));
}

TEST_F(VmmKvmTest, WhatCannotBootIsRefusedWithTheReason) {
  std::string error;
  ASSERT_TRUE(base::WriteFile(dir_ + "/no-kernel", std::string(10000, 'x')).ok());
  ASSERT_NO_FATAL_FAILURE(Boot("off", {.kernel = dir_ + "/no-kernel"}, &error));
  EXPECT_THAT(error, HasSubstr("not a kernel: neither an ELF file nor a bzImage"));
  TearDown();
  SetUp();
  ASSERT_NO_FATAL_FAILURE(Boot("off", {.memory_bytes = 8 << 20}, &error));
  EXPECT_THAT(error, HasSubstr("8 MiB"));
  TearDown();
  SetUp();
  ASSERT_NO_FATAL_FAILURE(Boot("off", {.vcpus = 33}, &error));
  EXPECT_THAT(error, HasSubstr("33 vCPUs"));
}

TEST_F(VmmKvmTest, RunsUnprivilegedUnderTheFilterOnEveryThread) {
  ASSERT_NO_FATAL_FAILURE(Boot("hang", {.vcpus = 2}));
  int threads = 0;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(vmm_) + "/task")) {
    auto status = base::ReadFile(task.path().string() + "/status");
    ASSERT_TRUE(status.ok());
    EXPECT_THAT(*status, HasSubstr("\nSeccomp:\t2\n"));
    EXPECT_THAT(*status, HasSubstr("\nNoNewPrivs:\t1\n"));
    EXPECT_THAT(*status, HasSubstr("\nCapPrm:\t0000000000000000\n"));
    EXPECT_THAT(*status, HasSubstr("\nCapEff:\t0000000000000000\n"));
    EXPECT_THAT(*status, HasSubstr("\nCapAmb:\t0000000000000000\n"));
    EXPECT_THAT(*status, HasSubstr("\nUid:\t65534\t65534\t65534\t65534\n"));
    ++threads;
  }
  EXPECT_EQ(threads, 3) << "the loop and two vCPUs";
}

}  // namespace
}  // namespace holt
