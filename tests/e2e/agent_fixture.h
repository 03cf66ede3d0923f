#pragma once

// One machine for all tests of a suite, and what they do to its containers.

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/file.h"
#include "tests/e2e/agent_vm.h"

namespace holt {

template <typename Suite>
class SharedVm : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { vm_ = AgentVm::Boot({}).release(); }
  static void TearDownTestSuite() {
    if (vm_ != nullptr) vm_->ShutDown();
    delete vm_;
    vm_ = nullptr;
  }
  void SetUp() override { ASSERT_NE(vm_, nullptr); }

  static AgentVm& vm() { return *vm_; }
  static agent::v1::ContainerRequest Named(const std::string& id) {
    agent::v1::ContainerRequest request;
    request.set_container_id(id);
    return request;
  }
  static base::Status SendSignal(const std::string& id, int signal, bool all = false) {
    agent::v1::SignalRequest request;
    request.set_container_id(id);
    request.set_signal(signal);
    request.set_all(all);
    TRY(vm().template Call<agent::v1::Empty>("Signal", request));
    return {};
  }
  // A container that runs `args` in the background.
  static AgentVm::Process Background(const std::string& id, const oci::Config& config) {
    auto process = vm().Create(id, config);
    EXPECT_TRUE(process.ok()) << process.error().message();
    auto started = vm().Start(id);
    EXPECT_TRUE(started.ok()) << started.error().message();
    return process ? std::move(*process) : AgentVm::Process();
  }
  static void DeleteOk(const std::string& id) {
    auto deleted = vm().Delete(id);
    EXPECT_TRUE(deleted.ok()) << deleted.error().message();
  }
  static oci::Config Sleeper() {
    return ContainerConfig(
        {"sh", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done"});
  }

  static AgentVm* vm_;
};
template <typename Suite>
AgentVm* SharedVm<Suite>::vm_ = nullptr;

}  // namespace holt
