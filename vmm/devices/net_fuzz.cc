// A guest that does anything with the rings, buffers and headers of virtio-net. What comes out at
// the tap must be what the host's network stack can take without the guest's word for it.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "base/log.h"
#include "vmm/devices/net.h"
#include "vmm/virtio/fake_driver.h"
#include "vmm/virtio/fake_port.h"
#include "vmm/virtio/fuzz_step.h"

namespace holt::vmm {
namespace {

using net::Header;

constexpr uint64_t kMemory = 256 << 10;
constexpr uint16_t kSize = 16;

// The device for the life of the process: each input starts with a reset.
struct Machine {
  std::unique_ptr<base::EventLoop> loop = *base::EventLoop::Create();
  std::shared_ptr<const GuestMemory> memory = MakeTestMemory(kMemory);
  base::UniqueFd wire;
  std::unique_ptr<NetDevice> device;
  FakePort receive{NetQueues::kQueueSize};
  FakePort transmit{NetQueues::kQueueSize};
  uint64_t features = 0;

  Machine() {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) abort();
    wire.Reset(fds[0]);
    std::vector<std::unique_ptr<NetEnd>> ends;
    ends.push_back(
        MakeTapEnd(base::UniqueFd(fds[1]), [](int, unsigned) { return base::Status(); }));
    device = std::make_unique<NetDevice>(NetIdentity{}, *MakeNetPairs(*loop, std::move(ends)));
  }
  void Stop() {
    device->Stop();
    receive.queue().Stop();
    transmit.queue().Stop();
  }
  void Start(const FuzzStep& step) {
    Stop();
    features = step.value & net::kOffloadFeatures;
    const bool indirect = (step.small & 1) != 0;
    const bool event_idx = (step.small & 2) != 0;
    FakeDriver rx(memory, kSize, 0x1000), tx(memory, kSize, 0x4000);
    QueuePort* ports[] = {&receive, &transmit};
    if (!receive.queue().Start(memory, rx.Config(indirect, event_idx))) abort();
    if (!transmit.queue().Start(memory, tx.Config(indirect, event_idx))) abort();
    if (!device->Start(features, ports)) abort();
    for (size_t i : {NetQueues::kReceive, NetQueues::kTransmit}) device->OnKick(i);
  }
  // What left for the tap, checked.
  void DrainWire() {
    static std::array<std::byte, 70000> bytes;
    ssize_t got;
    while ((got = recv(wire.get(), bytes.data(), bytes.size(), 0)) >= 0) {
      const auto size = static_cast<size_t>(got);
      if (size < sizeof(Header) + net::kEthernetHeader || size > sizeof(Header) + net::kMaxFrame)
        abort();
      Header header;
      std::memcpy(&header, bytes.data(), sizeof header);
      const size_t frame = size - sizeof header;
      if ((header.flags & ~net::kNeedsChecksum) != 0) abort();
      if (header.flags != 0 && size_t{header.csum_start} + header.csum_offset + 2 > frame) abort();
      if (header.gso_type != 0 && (header.flags == 0 || header.gso_size < net::kMinSegment))
        abort();
      if (header.hdr_len > frame) abort();
    }
  }
};

void Run(Machine& machine, const FuzzStep& step) {
  const uint64_t value = step.value;  // aligned
  switch (step.action % 7) {
    case 0:
      return machine.Start(step);
    case 1:
      (void)machine.memory->Write(GuestAddr(step.offset), value);
      return;
    case 2:
      (void)machine.memory->Write(GuestAddr(0x1000 + step.offset % 0x5000), value);
      return;
    case 3:
      if (machine.receive.queue().running()) machine.device->OnKick(step.small & 1);
      return;
    case 4: {
      // A frame from the wire; its header is the host's, so that it may say anything too.
      std::array<std::byte, 70000> bytes{};
      std::memcpy(bytes.data(), &value, sizeof value);
      (void)send(machine.wire.get(), bytes.data(), step.offset, 0);
      return;
    }
    case 5:
      machine.loop->RunOnce(std::chrono::seconds(0));
      machine.DrainWire();
      return;
    case 6: {
      // A frame that comes further than chance would.
      FakeDriver driver(machine.memory, kSize, 0x4000);
      std::array<uint8_t, sizeof(Header)> header{};
      std::memcpy(header.data(), &value, sizeof value);
      header[8] = step.small;
      (void)machine.memory->Write(GuestAddr(0x10000), std::as_bytes(std::span(header)));
      const FakeDriver::Buffer buffers[] = {{0x10000, 12, false}, {0x11000, step.offset, false}};
      driver.Offer(0, buffers);
      if (machine.transmit.queue().running()) machine.device->OnKick(NetQueues::kTransmit);
      machine.DrainWire();
      return;
    }
  }
}

}  // namespace
}  // namespace holt::vmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holt::vmm;
  static Machine machine;
  holt::base::log::SetLevel(holt::base::log::Level::kError);
  FuzzStep start{};
  start.value = ~0ull;
  start.small = 1;
  machine.Start(start);
  ForEachStep(data, size, [](const FuzzStep& step) { Run(machine, step); });
  machine.loop->RunOnce(std::chrono::seconds(0));
  machine.Stop();
  machine.DrainWire();
  return 0;
}
