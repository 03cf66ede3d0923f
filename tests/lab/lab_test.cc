// The lab's own promise: where HOLT_TEST_ACCEL is kvm, /dev/kvm runs guest code at once, and the
// trees are where they are outside.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/unique_fd.h"

namespace holt::lab {
namespace {

using base::UniqueFd;

constexpr size_t kPage = 4096;
constexpr uint64_t kTopPage = 0xfffff000;  // holds the reset vector, 0xfffffff0

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

TEST(LabTest, KvmRunsAGuestAtSpeed) {
  const UniqueFd kvm(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(kvm) << std::strerror(errno);
  const UniqueFd vm(ioctl(kvm.get(), KVM_CREATE_VM, 0));
  ASSERT_TRUE(vm) << std::strerror(errno);
  void* page = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  // mov ecx, 1000000; loop onto itself; hlt
  constexpr unsigned char kGuest[] = {0x66, 0xb9, 0x40, 0x42, 0x0f, 0x00, 0x67, 0xe2, 0xfd, 0xf4};
  std::memcpy(static_cast<char*>(page) + 0xff0, kGuest, sizeof(kGuest));
  kvm_userspace_memory_region region{};
  region.guest_phys_addr = kTopPage;
  region.memory_size = kPage;
  region.userspace_addr = reinterpret_cast<uint64_t>(page);
  ASSERT_EQ(ioctl(vm.get(), KVM_SET_USER_MEMORY_REGION, &region), 0) << std::strerror(errno);
  const UniqueFd vcpu(ioctl(vm.get(), KVM_CREATE_VCPU, 0));
  ASSERT_TRUE(vcpu) << std::strerror(errno);
  const int run_size = ioctl(kvm.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  ASSERT_GT(run_size, 0);
  auto* run = static_cast<kvm_run*>(mmap(nullptr, static_cast<size_t>(run_size),
                                         PROT_READ | PROT_WRITE, MAP_SHARED, vcpu.get(), 0));
  ASSERT_NE(run, MAP_FAILED);
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(ioctl(vcpu.get(), KVM_RUN, 0), 0) << std::strerror(errno);
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(run->exit_reason, static_cast<uint32_t>(KVM_EXIT_HLT));
  EXPECT_LT(took, std::chrono::milliseconds(100));
}

TEST(LabTest, TreesAreWhereTheyAreOutside) {
  EXPECT_TRUE(std::filesystem::exists(std::string(HOLT_SOURCE_DIR) + "/CMakeLists.txt"));
  EXPECT_EQ(Environment("HOLT_SOURCE_DIR"), HOLT_SOURCE_DIR);
  EXPECT_TRUE(std::filesystem::exists(Environment("HOLT_BUILD_DIR") + "/tests/e2e/lab_test"));
  EXPECT_EQ(Environment("HOLT_TEST_ACCEL"), "kvm");
  EXPECT_TRUE(std::filesystem::exists(Environment("HOLT_TEST_IMAGES") + "/demo.tar"));
}

TEST(LabTest, ResultsCanBeKept) {
  const std::string path = Environment("HOLT_RESULTS") + "/kept";
  std::ofstream(path) << "x";
  EXPECT_TRUE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace holt::lab
