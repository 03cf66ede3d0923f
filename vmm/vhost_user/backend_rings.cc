// The part of the back end that deals with memory and rings.
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <semaphore>

#include "base/file.h"
#include "base/log.h"
#include "vmm/vhost_user/backend.h"

namespace holt::vmm::vhost_user {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

bool IsSameFile(int one, int other) {
  struct stat a {};
  struct stat b {};
  return fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

}  // namespace

Result<Backend::Ring*> Backend::FindRing(uint64_t index) {
  if (index >= rings_.size())
    return MakeError(Code::kInvalidArgument, "queue {} of {}", index, rings_.size());
  return &rings_[index];
}

Result<GuestAddr> Backend::Translate(uint64_t user_address) const {
  for (const Region& region : regions_) {
    if (user_address < region.spec.user_address) continue;
    uint64_t offset = user_address - region.spec.user_address;
    if (offset >= region.spec.size) continue;
    // Cannot wrap: GuestMemory::Map checked that the region's end is an address.
    return GuestAddr(region.spec.guest_address + offset);
  }
  return MakeError(Code::kInvalidArgument, "address {:#x} is in no memory region", user_address);
}

Status Backend::ReplaceMemory(std::vector<Region> regions) {
  std::shared_ptr<const GuestMemory> memory;
  if (!regions.empty()) {
    std::vector<GuestMemory::RegionSpec> specs;
    for (const Region& region : regions)
      specs.push_back({GuestAddr(region.spec.guest_address), region.spec.size, region.fd.get(),
                       region.spec.mmap_offset});
    TRY_ASSIGN(memory, GuestMemory::Map(specs));
  }
  std::vector<Ring*> ran;
  for (Ring& ring : rings_) {
    if (!ring.running) continue;
    ran.push_back(&ring);
    StopRing(ring);
  }
  memory_ = std::move(memory);
  regions_ = std::move(regions);
  for (Ring* ring : ran) TRY(MaybeStart(*ring));
  return {};
}

Status Backend::SetMemTable(Message& message) {
  MemoryTableHeader header{};
  if (message.payload.size() < sizeof header)
    return MakeError(Code::kInvalidArgument, "payload of {} bytes", message.payload.size());
  std::memcpy(&header, message.payload.data(), sizeof header);
  if (header.count > kMaxTableRegions ||
      message.payload.size() < sizeof header + header.count * sizeof(MemoryRegion) ||
      message.fds.size() != header.count)
    return MakeError(Code::kInvalidArgument, "{} regions with {} descriptors in {} bytes",
                     header.count, message.fds.size(), message.payload.size());
  std::vector<Region> regions(header.count);
  for (size_t i = 0; i < header.count; ++i) {
    std::memcpy(&regions[i].spec, message.payload.data() + sizeof header + i * sizeof(MemoryRegion),
                sizeof(MemoryRegion));
    regions[i].fd = std::move(message.fds[i]);
  }
  return ReplaceMemory(std::move(regions));
}

Status Backend::AddMemReg(Message& message) {
  TRY_ASSIGN(SingleRegion single, message.As<SingleRegion>());
  if (message.fds.size() != 1)
    return MakeError(Code::kInvalidArgument, "{} descriptors, not one", message.fds.size());
  // QEMU 7.2 says each once for every pair of a network device's queues.
  for (const Region& region : regions_)
    if (std::memcmp(&region.spec, &single.region, sizeof single.region) == 0 &&
        IsSameFile(region.fd.get(), message.fds[0].get()))
      return {};
  if (regions_.size() >= kMaxSlots)
    return MakeError(Code::kResourceExhausted, "all slots are taken");
  std::vector<Region> regions;
  for (const Region& region : regions_) {
    UniqueFd copy(dup(region.fd.get()));
    if (!copy) return HOLT_ERRNO("dup");
    TRY(base::SetCloexec(copy.get(), true));
    regions.push_back({region.spec, std::move(copy)});
  }
  regions.push_back({single.region, std::move(message.fds[0])});
  return ReplaceMemory(std::move(regions));
}

Status Backend::RemMemReg(const Message& message) {
  TRY_ASSIGN(SingleRegion single, message.As<SingleRegion>());
  std::vector<Region> regions;
  bool found = false;
  for (const Region& region : regions_) {
    if (region.spec.guest_address == single.region.guest_address &&
        region.spec.size == single.region.size &&
        region.spec.user_address == single.region.user_address) {
      found = true;
      continue;
    }
    UniqueFd copy(dup(region.fd.get()));
    if (!copy) return HOLT_ERRNO("dup");
    TRY(base::SetCloexec(copy.get(), true));
    regions.push_back({region.spec, std::move(copy)});
  }
  if (!found) return MakeError(Code::kNotFound, "no such region");
  return ReplaceMemory(std::move(regions));
}

Status Backend::SetVringNum(const Message& message) {
  TRY_ASSIGN(VringState state, message.As<VringState>());
  TRY_ASSIGN(Ring * ring, FindRing(state.index));
  if (ring->running) return MakeError(Code::kFailedPrecondition, "queue {} runs", state.index);
  // The rest of what makes a size valid is checked when the queue starts.
  if (state.number == 0 || state.number > ring->queue->queue().max_size())
    return MakeError(Code::kInvalidArgument, "size {}, at most {} is offered", state.number,
                     ring->queue->queue().max_size());
  ring->size = state.number;
  return {};
}

Status Backend::SetVringAddr(const Message& message) {
  TRY_ASSIGN(VringAddress address, message.As<VringAddress>());
  TRY_ASSIGN(Ring * ring, FindRing(address.index));
  if (ring->running) return MakeError(Code::kFailedPrecondition, "queue {} runs", address.index);
  ring->address = address;
  ring->address_set = true;
  return {};
}

Status Backend::SetVringBase(const Message& message) {
  TRY_ASSIGN(VringState state, message.As<VringState>());
  TRY_ASSIGN(Ring * ring, FindRing(state.index));
  if (ring->running) return MakeError(Code::kFailedPrecondition, "queue {} runs", state.index);
  if (state.number > UINT16_MAX) return MakeError(Code::kInvalidArgument, "base {}", state.number);
  ring->base = static_cast<uint16_t>(state.number);
  return {};
}

Status Backend::GetVringBase(const Message& message) {
  TRY_ASSIGN(VringState state, message.As<VringState>());
  TRY_ASSIGN(Ring * ring, FindRing(state.index));
  StopRing(*ring);
  ring->kick.Reset();
  state.number = ring->base;
  return Reply(message, BytesOf(state));
}

Status Backend::SetVringFd(Message& message) {
  TRY_ASSIGN(uint64_t value, message.As<uint64_t>());
  TRY_ASSIGN(Ring * ring, FindRing(value & kVringIndexMask));
  const bool no_fd = (value & kVringNoFd) != 0;
  if (message.fds.size() != (no_fd ? 0 : 1))
    return MakeError(Code::kInvalidArgument, "{} descriptors", message.fds.size());
  UniqueFd fd;
  if (!no_fd) {
    fd = std::move(message.fds[0]);
    // A read or write of an empty or full eventfd must not stop the loop.
    TRY(base::SetNonblocking(fd.get(), true));
  }
  switch (message.request()) {
    case Request::kSetVringCall:
      InLoopOf(*ring, [&] { ring->queue->call_ = std::move(fd); });
      return {};
    case Request::kSetVringErr:
      InLoopOf(*ring, [&] { ring->queue->error_ = std::move(fd); });
      return {};
    default:
      break;
  }
  if (no_fd)
    return MakeError(Code::kUnsupported, "queues are not polled: a kick descriptor is needed");
  StopRing(*ring);
  ring->kick = std::move(fd);
  return MaybeStart(*ring);
}

Status Backend::SetVringEnable(const Message& message) {
  TRY_ASSIGN(VringState state, message.As<VringState>());
  TRY_ASSIGN(Ring * ring, FindRing(state.index));
  ring->enabled = state.number != 0;
  if (ring->enabled) return MaybeStart(*ring);
  StopRing(*ring);
  return {};
}

Status Backend::MaybeStart(Ring& ring) {
  if (ring.running || !ring.enabled || !ring.kick || !ring.address_set || ring.size == 0 ||
      !memory_)
    return {};
  QueueConfig config;
  config.size = static_cast<uint16_t>(ring.size);
  TRY_ASSIGN(config.descriptors, Translate(ring.address.descriptors));
  TRY_ASSIGN(config.available, Translate(ring.address.available));
  TRY_ASSIGN(config.used, Translate(ring.address.used));
  config.indirect = (features_ & kFeatureIndirectDesc) != 0;
  config.event_idx = (features_ & kFeatureEventIdx) != 0;
  config.next_available = ring.base;
  config.next_used = std::nullopt;
  Status status;
  InLoopOf(ring, [&] {
    BackendQueue& queue = *ring.queue;
    status = queue.queue().Start(memory_, config);
    if (!status) return;
    const int kick = ring.kick.get();
    status = queue.loop().AddFd(kick, EPOLLIN, [this, &queue, kick](uint32_t) {
      uint64_t count;
      ssize_t ignored = read(kick, &count, sizeof count);
      (void)ignored;
      options_.device->OnKick(queue);
    });
    if (!status) return queue.queue().Stop();
    options_.device->StartQueue(queue);
    options_.device->OnKick(queue);
  });
  if (!status) return std::move(status).error().Wrap(fmt::format("queue {}", ring.queue->index()));
  ring.running = true;
  return {};
}

void Backend::StopRing(Ring& ring) {
  if (!ring.running) return;
  ring.running = false;
  InLoopOf(ring, [&] {
    BackendQueue& queue = *ring.queue;
    queue.loop().RemoveFd(ring.kick.get());
    options_.device->StopQueue(queue);
    queue.Notify();
    ring.base = queue.queue().next_available();
    queue.queue().Stop();
  });
}

void Backend::StopAll() {
  for (Ring& ring : rings_) StopRing(ring);
}

void Backend::InLoopOf(Ring& ring, const std::function<void()>& call) {
  base::EventLoop& loop = ring.queue->loop();
  if (&loop == options_.loop) return call();
  std::binary_semaphore done(0);
  loop.Post([&] {
    call();
    done.release();
  });
  done.acquire();
}

}  // namespace holt::vmm::vhost_user
