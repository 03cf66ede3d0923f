// holt-vmm with QEMU's TCG as the processor: the real kernel boots, and the reason it ended is told.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/socket.h"
#include "base/spawn.h"
#include "guest-agent/initramfs.h"
#include "rpc/client.h"
#include "rpc/vmm.pb.h"
#include "vmm/boot/cmdline.h"
#include "vmm/cpu/software.h"

namespace holt {
namespace {

using ::testing::HasSubstr;
using std::chrono::seconds;

constexpr uid_t kUnprivileged = 65534;
constexpr char kQemu[] = "/usr/bin/qemu-system-x86_64";
constexpr char kService[] = "holt.vmm.v1.Vmm";

class VmmSoftwareTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* build = getenv("HOLT_BUILD_DIR");
    ASSERT_NE(build, nullptr) << "HOLT_BUILD_DIR names the build tree";
    build_ = build;
    char name[] = "/tmp/holt-vmm-test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    ASSERT_EQ(chmod(name, 0755), 0);
    guest_agent::NewcArchive archive;
    auto init = base::ReadFile(build_ + "/tests/e2e/vmm_guest");
    ASSERT_TRUE(init.ok()) << init.error().message();
    archive.AddDirectory("dev", 0755);
    archive.AddCharDevice("dev/console", 0600, 5, 1);
    archive.AddFile("init", 0755, *init);
    ASSERT_TRUE(base::WriteFile(dir_ + "/initramfs", archive.Finish()).ok());
  }

  void TearDown() override {
    client_.reset();
    if (qemu_ > 0) {
      kill(qemu_, SIGKILL);
      waitpid(qemu_, nullptr, 0);
    }
    if (vmm_ > 0) {
      // It ends by itself when its control socket does.
      int status = 0;
      for (int i = 0; i < 100 && waitpid(vmm_, &status, WNOHANG) == 0; ++i) usleep(20000);
      EXPECT_NE(kill(vmm_, 0), 0) << "holt-vmm outlived its monitor";
    }
    std::filesystem::remove_all(dir_);
  }

  void Boot(const std::string& action, bool vsock = false) {
    auto kernel = base::Open(build_ + "/share/holt/vmlinux", O_RDONLY);
    ASSERT_TRUE(kernel.ok()) << kernel.error().message();
    auto initramfs = base::Open(dir_ + "/initramfs", O_RDONLY);
    ASSERT_TRUE(initramfs.ok());
    auto [qmp_vmm, qmp_qemu] = *base::SocketPair();
    auto [console_vmm, console_qemu] = *base::SocketPair();
    auto [vsock_vmm, vsock_qemu] = *base::SocketPair();
    auto [control_here, control_vmm] = *base::SocketPair();
    auto console = base::Open(dir_ + "/console", O_RDWR | O_CREAT, 0600);
    ASSERT_TRUE(console.ok());
    auto listener = base::ListenUnix(dir_ + "/vsock.sock");
    ASSERT_TRUE(listener.ok());
    ASSERT_EQ(chown((dir_ + "/vsock.sock").c_str(), kUnprivileged, kUnprivileged), 0);
    auto directory = base::Open(dir_, O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(directory.ok());

    vmm::SoftwareSpec software{.qemu = kQemu, .memory_bytes = 256 << 20, .kernel_fd = 10, .initramfs_fd = 11,
                               .console_fd = 12, .qmp_fd = 13, .vsock_fd = vsock ? 14 : -1};
    software.cmdline = vmm::BaseKernelCmdline(vmm::CpuBackEnd::kSoftware) + " act=" + action;
    auto argv = vmm::SoftwareArgv(software);
    ASSERT_TRUE(argv.ok()) << argv.error().message();
    base::SpawnOptions qemu{.argv = *argv,
                            .fds = {{kernel->get(), 10}, {initramfs->get(), 11}, {console_qemu.get(), 12},
                                    {qmp_qemu.get(), 13}, {vsock_qemu.get(), 14}, {2, 2}},
                            .uid = kUnprivileged, .gid = kUnprivileged, .no_new_privileges = true,
                            .parent_death_signal = SIGKILL};
    auto qemu_pid = base::Spawn(qemu);
    ASSERT_TRUE(qemu_pid.ok()) << qemu_pid.error().message();
    qemu_ = *qemu_pid;

    base::SpawnOptions vmm{.argv = {build_ + "/libexec/holt/holt-vmm", "--control-fd", "3"},
                           .fds = {{control_vmm.get(), 3}, {qmp_vmm.get(), 4}, {console_vmm.get(), 5},
                                   {console->get(), 6}, {vsock_vmm.get(), 7}, {listener->get(), 8},
                                   {directory->get(), 9}, {2, 2}},
                           .uid = kUnprivileged, .gid = kUnprivileged, .no_new_privileges = true,
                           .parent_death_signal = SIGKILL};
    auto vmm_pid = base::Spawn(vmm);
    ASSERT_TRUE(vmm_pid.ok()) << vmm_pid.error().message();
    vmm_ = *vmm_pid;
    client_ = *rpc::BlockingClient::Create(std::move(control_here));

    vmm::v1::CreateRequest create;
    auto* spec = create.mutable_vm();
    spec->set_accel(vmm::v1::ACCEL_SOFTWARE);
    spec->set_vcpus(1);
    spec->set_memory_bytes(256 << 20);
    spec->set_console_fd(6);
    spec->mutable_software()->set_qmp_fd(4);
    spec->mutable_software()->set_console_source_fd(5);
    if (vsock) {
      spec->mutable_software()->set_vsock_vhost_user_fd(7);
      spec->mutable_vsock()->set_guest_cid(3);
      spec->mutable_vsock()->set_listen_fd(8);
      spec->mutable_vsock()->set_directory_fd(9);
      spec->mutable_vsock()->set_name("vsock.sock");
    }
    auto created = client_->Call<vmm::v1::CreateResponse>(kService, "Create", create, {.timeout = seconds(20)});
    ASSERT_TRUE(created.ok()) << created.error().message();
    auto started = client_->Call<vmm::v1::Empty>(kService, "Start", vmm::v1::Empty(), {.timeout = seconds(20)});
    ASSERT_TRUE(started.ok()) << started.error().message();
  }

  vmm::v1::Exit Wait() {
    auto exit = client_->Call<vmm::v1::Exit>(kService, "Wait", vmm::v1::Empty(), {.timeout = seconds(60)});
    EXPECT_TRUE(exit.ok()) << exit.error().message() << "\nconsole:\n" << Console();
    return exit.ok() ? *exit : vmm::v1::Exit();
  }

  std::string Console() { return *base::ReadFile(dir_ + "/console"); }

  std::string build_;
  std::string dir_;
  pid_t qemu_ = -1;
  pid_t vmm_ = -1;
  std::unique_ptr<rpc::BlockingClient> client_;
};

TEST_F(VmmSoftwareTest, PowerOffIsAShutdown) {
  ASSERT_NO_FATAL_FAILURE(Boot("off"));
  vmm::v1::Exit exit = Wait();
  EXPECT_EQ(exit.reason(), vmm::v1::Exit::SHUTDOWN) << exit.detail();
  EXPECT_THAT(Console(), HasSubstr("guest: off"));
}

TEST_F(VmmSoftwareTest, RebootIsAReboot) {
  ASSERT_NO_FATAL_FAILURE(Boot("reboot"));
  vmm::v1::Exit exit = Wait();
  EXPECT_EQ(exit.reason(), vmm::v1::Exit::REBOOT) << exit.detail();
}

TEST_F(VmmSoftwareTest, PanicComesWithItsLine) {
  ASSERT_NO_FATAL_FAILURE(Boot("panic"));
  vmm::v1::Exit exit = Wait();
  EXPECT_EQ(exit.reason(), vmm::v1::Exit::PANIC) << exit.detail();
  EXPECT_THAT(exit.detail(), HasSubstr("Attempted to kill init!"));
}

TEST_F(VmmSoftwareTest, KilledQemuIsAnError) {
  ASSERT_NO_FATAL_FAILURE(Boot("hang"));
  ASSERT_EQ(kill(qemu_, SIGKILL), 0);
  EXPECT_EQ(Wait().reason(), vmm::v1::Exit::ERROR);
}

TEST_F(VmmSoftwareTest, KillIsKilled) {
  ASSERT_NO_FATAL_FAILURE(Boot("hang"));
  ASSERT_TRUE(client_->Call<vmm::v1::Empty>(kService, "Kill", vmm::v1::Empty()).ok());
  EXPECT_EQ(Wait().reason(), vmm::v1::Exit::KILLED);
}

TEST_F(VmmSoftwareTest, VsockCarriesBytesBothWays) {
  auto ready = base::ListenUnix(dir_ + "/vsock.sock_1024");
  ASSERT_TRUE(ready.ok());
  ASSERT_EQ(chown((dir_ + "/vsock.sock_1024").c_str(), kUnprivileged, kUnprivileged), 0);
  ASSERT_NO_FATAL_FAILURE(Boot("vsock", true));
  base::Result<base::UniqueFd> guest = base::Error(base::Code::kUnavailable, "the guest did not dial");
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
