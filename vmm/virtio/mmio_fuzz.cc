// A guest that does anything to virtio-mmio's registers and to the memory behind them.
#include <optional>

#include "base/log.h"
#include "vmm/devices/console.h"
#include "vmm/devices/rng.h"
#include "vmm/virtio/fake_mmio_driver.h"
#include "vmm/virtio/fuzz_step.h"

namespace holt::vmm {
namespace {

// Both devices, for the life of the process: each input starts with a reset.
struct Machine {
  std::unique_ptr<base::EventLoop> loop = *base::EventLoop::Create();
  std::shared_ptr<const GuestMemory> memory = MakeTestMemory(64 << 10);
  ConsoleLog log{base::UniqueFd()};
  std::unique_ptr<MmioTransport> console = Wrap(std::make_unique<ConsoleDevice>(*loop, log));
  std::unique_ptr<MmioTransport> rng = Wrap(std::make_unique<RngDevice>(*loop));

  std::unique_ptr<MmioTransport> Wrap(std::unique_ptr<VirtioDevice> device) {
    MmioTransport::Options options;
    options.loop = loop.get();
    options.memory = memory;
    options.device = std::move(device);
    options.run_in_loop = [](const std::function<void()>& call) { call(); };
    return *MmioTransport::Create(std::move(options));
  }
};

void Run(Machine& machine, MmioTransport& transport, const FuzzStep& step) {
  FakeMmioDriver driver(transport);
  std::array<std::byte, 8> value;
  std::memcpy(value.data(), &step.value, sizeof value);
  const size_t bytes = size_t{1} << (step.small & 3);
  const uint64_t offset = step.offset % (kMmioBytes - bytes + 1);
  switch (step.action % 8) {
    case 0:
      transport.Read(offset, std::span(value).first(bytes));
      return;
    case 1:
      transport.Write(offset, std::span<const std::byte>(value).first(bytes));
      return;
    case 2:
      transport.Write(offset & ~3ull, std::span<const std::byte>(value).first(4));
      return;
    case 3:
      driver.Negotiate(kFeatureVersion1 | (step.value & (kFeatureEventIdx | kFeatureIndirectDesc)));
      return;
    case 4:
      driver.SetQueue(step.small & 1, {.size = static_cast<uint16_t>(1u << (step.offset & 7)),
                                       .descriptors = GuestAddr(step.value & 0xfff0),
                                       .available = GuestAddr((step.value >> 16) & 0xfffe),
                                       .used = GuestAddr((step.value >> 32) & 0xfffc)});
      return;
    case 5:
      driver.DriverOk();
      return;
    case 6:
      (void)machine.memory->Write(GuestAddr(step.offset), step.value);
      return;
    case 7:
      machine.loop->RunOnce(std::chrono::seconds(0));
      return;
  }
}

}  // namespace
}  // namespace holt::vmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holt::vmm;
  static Machine machine;
  holt::base::log::SetLevel(holt::base::log::Level::kError);
  for (MmioTransport* transport : {machine.console.get(), machine.rng.get()}) {
    FakeMmioDriver(*transport).Write(MmioRegister::kStatus, 0);
    ForEachStep(data, size, [transport](const FuzzStep& step) { Run(machine, *transport, step); });
    machine.loop->RunOnce(std::chrono::seconds(0));
  }
  return 0;
}
