// A guest that does anything with the rings, buffers and headers of virtio-blk. The disk must keep
// its size, what is in front and behind its file must stay, and every request must end.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "base/log.h"
#include "vmm/devices/blk.h"
#include "vmm/devices/blk_spare_ring.h"
#include "vmm/virtio/fake_driver.h"
#include "vmm/virtio/fake_port.h"
#include "vmm/virtio/fuzz_step.h"

namespace holt::vmm {
namespace {

constexpr uint64_t kMemory = 256 << 10;
constexpr uint16_t kSize = 16;
constexpr uint64_t kDisk = 64 << 10;

// The device for the life of the process: each input starts with a reset.
struct Machine {
  std::unique_ptr<base::EventLoop> loop = *base::EventLoop::Create();
  std::shared_ptr<const GuestMemory> memory = MakeTestMemory(kMemory);
  int file = memfd_create("disk", MFD_CLOEXEC);
  std::unique_ptr<BlkDevice> device;
  FakePort port{blk::kQueueSize};
  Blk* spare = nullptr;  // where the disk comes and goes
  SpareRing ring;

  explicit Machine(bool comes_and_goes) {
    if (ftruncate(file, kDisk) != 0) abort();
    auto blk = comes_and_goes ? MakeSpare() : Blk::Create(*loop, Disk(dup(file)), 1);
    if (!blk) abort();
    if (comes_and_goes) spare = blk->get();
    device = std::make_unique<BlkDevice>(std::move(*blk));
  }
  static BlkDisk Disk(int fd) {
    BlkDisk disk;
    disk.fd.Reset(fd);
    disk.bytes = kDisk;
    disk.id = "holt-0";
    return disk;
  }
  base::Result<std::unique_ptr<Blk>> MakeSpare() {
    TRY_ASSIGN(ring, SpareRing::Create(blk::kMaxQueueSize));
    TRY(ring.SetFile(file));
    std::vector<std::unique_ptr<BlkRing>> rings;
    TRY_ASSIGN(auto adopted, BlkRing::Adopt(base::UniqueFd(dup(ring.fd())), ring.parameters()));
    rings.push_back(std::move(adopted));
    return Blk::CreateSpare(*loop, std::move(rings));
  }
  // The host's doing, in the middle of whatever the guest does.
  void PlugOrUnplug() {
    if (spare->Plug(Disk(-1))) return;
    (void)spare->Unplug([] {});
  }
  void Stop() {
    device->Stop();
    if (port.queue().in_flight() != 0) abort();
    port.queue().Stop();
    struct stat now {};
    if (fstat(file, &now) != 0 || now.st_size != static_cast<off_t>(kDisk)) abort();
  }
  void Start(const FuzzStep& step) {
    Stop();
    FakeDriver driver(memory, kSize, 0x1000);
    QueuePort* ports[] = {&port};
    if (!port.queue().Start(memory, driver.Config((step.small & 1) != 0, (step.small & 2) != 0)))
      abort();
    if (!device->Start(0, ports)) abort();
    device->OnKick(0);
  }
};

void Run(Machine& machine, const FuzzStep& step) {
  const uint64_t value = step.value;  // aligned
  if (machine.spare != nullptr && step.action >= 0x80) return machine.PlugOrUnplug();
  switch (step.action % 6) {
    case 0:
      return machine.Start(step);
    case 1:
      (void)machine.memory->Write(GuestAddr(step.offset), value);
      return;
    case 2:
      (void)machine.memory->Write(GuestAddr(0x1000 + step.offset % 0x2000), value);
      return;
    case 3:
      if (machine.port.queue().running()) machine.device->OnKick(0);
      return;
    case 4:
      machine.loop->RunOnce(std::chrono::seconds(0));
      return;
    case 5: {
      // A request that comes further than chance would.
      FakeDriver driver(machine.memory, kSize, 0x1000);
      const blk::Header header{step.small % 16u, 0, value};
      (void)machine.memory->Write(GuestAddr(0x10000), header);
      const bool in = step.small == blk::kIn || step.small == blk::kGetId;
      const FakeDriver::Buffer buffers[] = {
          {0x10000, 16, false}, {0x11000, step.offset, in}, {0x10100, 1, true}};
      driver.Offer(0, buffers);
      if (machine.port.queue().running()) machine.device->OnKick(0);
      return;
    }
  }
}

}  // namespace
}  // namespace holt::vmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holt::vmm;
  static Machine fixed(false), changing(true);
  holt::base::log::SetLevel(holt::base::log::Level::kError);
  for (Machine* machine : {&fixed, &changing}) {
    FuzzStep start{};
    start.small = 1;
    machine->Start(start);
    ForEachStep(data, size, [machine](const FuzzStep& step) { Run(*machine, step); });
    machine->loop->RunOnce(std::chrono::seconds(0));
    machine->Stop();
  }
  return 0;
}
