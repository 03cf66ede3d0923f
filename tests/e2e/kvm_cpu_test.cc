// vCPUs on the host's /dev/kvm, without a kernel: guests of a few bytes.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <functional>
#include <map>

#include "base/file.h"
#include "vmm/cpu/kvm_vm.h"
#include "vmm/cpu/probe.h"
#include "vmm/cpu/vcpu_threads.h"
#include "vmm/memory/layout.h"

namespace holt::vmm {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

constexpr uint64_t kCode = 0x1000;
constexpr uint64_t kCounter = 0x9000;
constexpr uint16_t kPort = 0x3f8;
constexpr uint64_t kMmio = 0xd0000000;

// Remembers what was written, and answers 0x5a.
struct Recorder : BusDevice {
  void Read(uint64_t, std::span<std::byte> out) override {
    std::ranges::fill(out, std::byte{0x5a});
  }
  void Write(uint64_t offset, std::span<const std::byte> data) override {
    if (on_write) on_write();
    std::lock_guard lock(mutex);
    for (std::byte byte : data) text += std::to_integer<char>(byte);
    last_offset = offset;
  }
  std::string Text() {
    std::lock_guard lock(mutex);
    return text;
  }
  std::mutex mutex;
  std::string text;
  uint64_t last_offset = 0;
  std::function<void()> on_write;
};

class KvmCpuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_ = *base::EventLoop::Create();
    memory_ = std::move(*AllocateGuestMemory(LayoutFor(4 * kMiB)));
    auto kvm = base::Open("/dev/kvm", O_RDWR);
    ASSERT_TRUE(kvm.ok()) << kvm.error().message();
    auto vm = KvmVm::Create(std::move(*kvm));
    ASSERT_TRUE(vm.ok()) << vm.error().message();
    vm_ = std::move(*vm);
    ASSERT_TRUE(vm_->SetMemory(memory_.memory).ok());
    ASSERT_TRUE(ports_.Add(kPort, 1, &serial_).ok());
    ASSERT_TRUE(mmio_.Add(kMmio, 8, &device_).ok());
  }
  void Put(uint64_t address, std::string_view code) {
    ASSERT_TRUE(memory_.memory->Write(GuestAddr(address), std::as_bytes(std::span(code))).ok());
  }
  // 32-bit code for the first vCPU; nothing runs yet.
  void Load(std::string_view code, uint32_t vcpus = 1) {
    Put(kCode, code);
    std::vector<std::unique_ptr<Vcpu>> made;
    for (uint32_t i = 0; i < vcpus; ++i) {
      auto vcpu = Vcpu::Create(*vm_, i, vcpus, {.ports = &ports_, .memory = &mmio_});
      ASSERT_TRUE(vcpu.ok()) << vcpu.error().message();
      made.push_back(std::move(*vcpu));
    }
    BootEntry entry;
    entry.rip = kCode;
    ASSERT_TRUE(made[0]->SetEntry(entry).ok());
    auto threads = VcpuThreads::Create(
        *loop_, std::move(made), [this](const VcpuFailure& failure) { failure_ = failure.text; });
    ASSERT_TRUE(threads.ok());
    threads_ = std::move(*threads);
  }
  // Turns the loop until `done`, at most 10 s.
  void Until(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!done() && std::chrono::steady_clock::now() < end) loop_->RunOnce(5ms);
    EXPECT_TRUE(done());
  }
  uint32_t Counter() { return *memory_.memory->Read<uint32_t>(GuestAddr(kCounter)); }

  std::unique_ptr<base::EventLoop> loop_;
  GuestMemoryFile memory_;
  std::unique_ptr<KvmVm> vm_;
  Recorder serial_;
  Recorder device_;
  Bus ports_;
  Bus mmio_;
  std::unique_ptr<VcpuThreads> threads_;
  std::string failure_;
};

std::string Code(std::initializer_list<int> bytes) {
  std::string code;
  for (int byte : bytes) code += static_cast<char>(byte);
  return code;
}

// mov dx, 0x3f8; mov al, 'A'; out dx, al
const std::string kSayA = Code({0x66, 0xba, 0xf8, 0x03, 0xb0, 0x41, 0xee});
// jmp to itself
const std::string kForever = Code({0xeb, 0xfe});
// inc dword [0x9000]; jmp back
const std::string kCount = Code({0xff, 0x05, 0x00, 0x90, 0x00, 0x00, 0xeb, 0xf8});

TEST_F(KvmCpuTest, ThisHostIsUsable) {
  KvmProbe probe = ProbeKvm();
  EXPECT_EQ(probe.state, KvmState::kUsable) << probe.text;
  std::printf("probe: %s\n", probe.text.c_str());
}

TEST_F(KvmCpuTest, PortsAndRegistersReachTheirDevices) {
  // mov eax, [0xd0000000]; mov [0xd0000004], eax
  Load(kSayA + Code({0xa1, 0, 0, 0, 0xd0, 0xa3, 4, 0, 0, 0xd0}) + kForever);
  threads_->Run();
  Until([&] { return device_.Text().size() == 4; });
  EXPECT_EQ(serial_.Text(), "A");
  EXPECT_EQ(device_.Text(), "ZZZZ");
  EXPECT_EQ(device_.last_offset, 4u);
  EXPECT_GE(threads_->Exits(), 2u);
  EXPECT_GT(threads_->CpuNanos(), 0u);
}

TEST_F(KvmCpuTest, NothingRunsBeforeRunAndAfterPause) {
  Load(kCount);
  usleep(20000);
  EXPECT_EQ(Counter(), 0u);
  for (int round = 0; round < 20; ++round) {
    const uint32_t before = Counter();
    threads_->Run();
    Until([&] { return Counter() != before; });
    threads_->Pause();
    const uint32_t paused = Counter();
    usleep(2000);
    EXPECT_EQ(Counter(), paused);
  }
  threads_->Stop();
  threads_->Run();  // too late, and no harm
}

TEST_F(KvmCpuTest, TripleFaultIsToldAsOne) {
  Load(Code({0x0f, 0x0b}));  // ud2, with an empty interrupt table
  threads_->Run();
  Until([&] { return !failure_.empty(); });
  EXPECT_THAT(failure_, HasSubstr("triple fault"));
}

TEST_F(KvmCpuTest, CodeInADeviceIsAnInternalError) {
  Load(Code({0xb8, 0, 0, 0, 0xd0, 0xff, 0xe0}));  // mov eax, 0xd0000000; jmp eax
  threads_->Run();
  Until([&] { return !failure_.empty(); });
  EXPECT_THAT(failure_, HasSubstr("KVM internal error 1"));
  EXPECT_THAT(failure_, HasSubstr("at 0xd0000000"));
}

TEST_F(KvmCpuTest, FourProcessorsStartEachOther) {
  // Each says 'B' in real mode at 0x8000 and halts: mov al, 'B'; mov dx, 0x3f8; out dx, al; hlt;
  // jmp
  Put(0x8000, Code({0xb0, 0x42, 0xba, 0xf8, 0x03, 0xee, 0xf4, 0xeb, 0xfd}));
  std::string code;
  auto store = [&](uint32_t address, uint32_t value) {  // mov dword [address], value
    code += Code({0xc7, 0x05});
    for (uint32_t number : {address, value})
      for (int i = 0; i < 4; ++i) code += static_cast<char>(number >> (8 * i));
  };
  auto to_each = [&](uint32_t command) {
    for (uint32_t id = 1; id < 4; ++id) {
      store(0xfee00310, id << 24);
      store(0xfee00300, command);
    }
    // A pause: a processor that is still at its INIT hears no SIPI (Intel SDM volume 3, 10.4.4).
    code += Code({0xb9, 0, 0, 0x10, 0, 0xe2, 0xfe});  // mov ecx, 1 << 20; loop to itself
  };
  to_each(0x4500);  // INIT
  to_each(0x4608);  // SIPI for page 8, twice, as the algorithm there has it
  to_each(0x4608);
  Load(code + kForever, 4);
  threads_->Run();
  Until([&] { return serial_.Text() == "BBB"; });
  EXPECT_EQ(serial_.Text(), "BBB");
  threads_->Pause();  // halted and running ones alike
  threads_->Run();
}

TEST_F(KvmCpuTest, ADeviceThatAsksTheLoopDoesNotHoldUpPause) {
  std::atomic<int> served{0};
  serial_.on_write = [&] { threads_->CallInLoop([&] { ++served; }); };
  Load(kSayA + Code({0xeb, 0xf7}));  // for ever
  for (int round = 0; round < 20; ++round) {
    threads_->Run();
    Until([&] { return served > round * 3; });
    threads_->Pause();
    threads_->Run();
    usleep(1000);
    threads_->Pause();
  }
  // One that waits for a loop that never comes back to it.
  threads_->Run();
  usleep(10000);
  threads_->Stop();
  EXPECT_GT(served, 20);
}

TEST_F(KvmCpuTest, KicksAndInterruptsGoByDescriptor) {
  base::UniqueFd kick(eventfd(0, EFD_CLOEXEC));
  ASSERT_TRUE(vm_->AddKick(kMmio + 0x50, 3, kick.get()).ok());
  // mov dword [0xd0000050], 3
  Load(Code({0xc7, 0x05, 0x50, 0, 0, 0xd0, 3, 0, 0, 0}) + kSayA + kForever);
  threads_->Run();
  Until([&] { return serial_.Text() == "A"; });
  eventfd_t count = 0;
  ASSERT_EQ(eventfd_read(kick.get(), &count), 0);
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(device_.Text(), "") << "the write went to the descriptor alone";
}

}  // namespace
}  // namespace holt::vmm
