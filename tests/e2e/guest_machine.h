#pragma once

// What tests of holt-vmm without holt around it have in common: holt-vmm, holt-fsd when asked, and
// a guest of our own, tests/e2e/vmm_guest.cc, which does what "act=" says. The monitor's work, by
// hand.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/socket.h"
#include "base/spawn.h"
#include "guest-agent/initramfs.h"
#include "rpc/client.h"
#include "rpc/vmm.pb.h"

namespace holt {

inline constexpr uid_t kUnprivileged = 65534;
inline constexpr char kService[] = "holt.vmm.v1.Vmm";

class GuestMachine : public ::testing::Test {
 protected:
  struct Options {
    bool vsock = false;
    std::string share;  // a directory for holt-fsd, tag "holt"; empty: none
    std::vector<std::string> fsd_options;
    uint32_t vcpus = 1;
    uint64_t memory_bytes = 256 << 20;
    std::string kernel = "vmlinux";  // in share/holt of the build tree, or an absolute path
  };

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
    EndOthers();
    // Each ends by itself when its socket does.
    for (auto [pid, name] : {std::pair(vmm_, "holt-vmm"), std::pair(fsd_, "holt-fsd")}) {
      if (pid <= 0) continue;
      for (int i = 0; i < 100 && waitpid(pid, nullptr, WNOHANG) == 0; ++i) usleep(20000);
      EXPECT_NE(kill(pid, 0), 0) << name << " outlived its machine";
    }
    std::filesystem::remove_all(dir_);
  }

  // Ends the processes that do not end with holt-vmm.
  virtual void EndOthers() {}

  // The descriptors that every machine has.
  struct Files {
    base::UniqueFd kernel;
    base::UniqueFd initramfs;
    base::UniqueFd console;
    base::UniqueFd listener;
    base::UniqueFd directory;
  };
  void OpenFiles(const Options& options, Files& files) {
    const std::string path =
        options.kernel.starts_with('/') ? options.kernel : build_ + "/share/holt/" + options.kernel;
    auto kernel = base::Open(path, O_RDONLY);
    ASSERT_TRUE(kernel.ok()) << kernel.error().message();
    auto initramfs = base::Open(dir_ + "/initramfs", O_RDONLY);
    ASSERT_TRUE(initramfs.ok());
    auto console = base::Open(dir_ + "/console", O_RDWR | O_CREAT, 0600);
    ASSERT_TRUE(console.ok());
    auto listener = base::ListenUnix(dir_ + "/vsock.sock");
    ASSERT_TRUE(listener.ok());
    ASSERT_EQ(chown((dir_ + "/vsock.sock").c_str(), kUnprivileged, kUnprivileged), 0);
    auto directory = base::Open(dir_, O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(directory.ok());
    files = {std::move(*kernel), std::move(*initramfs), std::move(*console), std::move(*listener),
             std::move(*directory)};
  }

  void StartFsd(const Options& options, const base::UniqueFd& socket) {
    base::SpawnOptions fsd{.argv = {build_ + "/libexec/holt/holt-fsd", "--socket-fd", "3",
                                    "--shared-dir", options.share, "--log-level", "debug"},
                           .fds = {{socket.get(), 3}, {2, 2}},
                           .parent_death_signal = SIGKILL};
    fsd.argv.insert(fsd.argv.end(), options.fsd_options.begin(), options.fsd_options.end());
    auto pid = base::Spawn(fsd);
    ASSERT_TRUE(pid.ok()) << pid.error().message();
    fsd_ = *pid;
  }

  // Starts holt-vmm with `fds` (its control socket is added as 3) and lets it set up and start what
  // `spec` says. `create_error`, where given, gets Create's error, and the guest does not start.
  void StartVmm(std::vector<std::pair<int, int>> fds, const vmm::v1::CreateRequest& create,
                std::string* create_error = nullptr) {
    auto [control_here, control_vmm] = *base::SocketPair();
    fds.emplace_back(control_vmm.get(), 3);
    fds.emplace_back(2, 2);
    base::SpawnOptions vmm{.argv = {build_ + "/libexec/holt/holt-vmm", "--control-fd", "3"},
                           .fds = fds,
                           .uid = kUnprivileged,
                           .gid = kUnprivileged,
                           .no_new_privileges = true,
                           .parent_death_signal = SIGKILL};
    if (getenv("HOLT_TEST_DEBUG") != nullptr)
      vmm.argv.insert(vmm.argv.end(), {"--log-level", "debug"});
    auto pid = base::Spawn(vmm);
    ASSERT_TRUE(pid.ok()) << pid.error().message();
    vmm_ = *pid;
    client_ = *rpc::BlockingClient::Create(std::move(control_here));
    auto created = client_->Call<vmm::v1::CreateResponse>(kService, "Create", create,
                                                          {.timeout = std::chrono::seconds(20)});
    if (create_error != nullptr) {
      ASSERT_FALSE(created.ok());
      *create_error = created.error().message();
      return;
    }
    ASSERT_TRUE(created.ok()) << created.error().message();
    auto started = client_->Call<vmm::v1::Empty>(kService, "Start", vmm::v1::Empty(),
                                                 {.timeout = std::chrono::seconds(20)});
    ASSERT_TRUE(started.ok()) << started.error().message();
  }

  vmm::v1::Exit Wait(std::chrono::seconds timeout = std::chrono::seconds(60)) {
    auto exit =
        client_->Call<vmm::v1::Exit>(kService, "Wait", vmm::v1::Empty(), {.timeout = timeout});
    EXPECT_TRUE(exit.ok()) << exit.error().message() << "\nconsole:\n" << Console();
    return exit.ok() ? *exit : vmm::v1::Exit();
  }

  std::string Console() { return *base::ReadFile(dir_ + "/console"); }

  std::string build_;
  std::string dir_;
  pid_t vmm_ = -1;
  pid_t fsd_ = -1;
  std::unique_ptr<rpc::BlockingClient> client_;
};

}  // namespace holt
