#include "vmm/virtio/fake_driver.h"

namespace holt::vmm {

namespace {

constexpr uint16_t kNext = 1;
constexpr uint16_t kWrite = 2;
constexpr uint16_t kIndirect = 4;

// A test that cannot write its rings has no result to give.
void Must(const base::Status& status) { HOLT_CHECK(status.ok()); }

}  // namespace

std::shared_ptr<const GuestMemory> MakeTestMemory(uint64_t bytes) {
  auto fd = CreateMemoryFile("test-memory", bytes);
  HOLT_CHECK(fd.ok());
  GuestMemory::RegionSpec spec{GuestAddr(0), bytes, fd->get(), 0};
  auto memory = GuestMemory::Map(std::span(&spec, 1));
  HOLT_CHECK(memory.ok());
  return *memory;
}

FakeDriver::FakeDriver(std::shared_ptr<const GuestMemory> memory, uint16_t size, uint64_t base)
    : memory_(std::move(memory)),
      size_(size),
      descriptors_(base),
      available_(base + 16ull * size),
      used_((available_ + 6 + 2ull * size + 3) & ~3ull) {}

QueueConfig FakeDriver::Config(bool indirect, bool event_idx) const {
  QueueConfig config;
  config.size = size_;
  config.descriptors = GuestAddr(descriptors_);
  config.available = GuestAddr(available_);
  config.used = GuestAddr(used_);
  config.indirect = indirect;
  config.event_idx = event_idx;
  return config;
}

void FakeDriver::WriteDescriptor(uint16_t index, uint64_t address, uint32_t length, uint16_t flags,
                                 uint16_t next) {
  struct {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
  } descriptor{address, length, flags, next};
  Must(memory_->Write(GuestAddr(descriptors_ + 16ull * index), descriptor));
}

void FakeDriver::SetAvailableIndex(uint16_t index) {
  available_index_ = index;
  Must(memory_->Write(GuestAddr(available_ + 2), index));
}
void FakeDriver::SetAvailableSlot(uint16_t slot, uint16_t head) {
  Must(memory_->Write(GuestAddr(available_ + 4 + 2ull * slot), head));
}
void FakeDriver::SetAvailableFlags(uint16_t flags) {
  Must(memory_->Write(GuestAddr(available_), flags));
}
void FakeDriver::SetUsedEvent(uint16_t index) {
  Must(memory_->Write(GuestAddr(available_ + 4 + 2ull * size_), index));
}
uint16_t FakeDriver::UsedIndex() const { return *memory_->Read<uint16_t>(GuestAddr(used_ + 2)); }
uint16_t FakeDriver::UsedFlags() const { return *memory_->Read<uint16_t>(GuestAddr(used_)); }
uint16_t FakeDriver::AvailableEvent() const {
  return *memory_->Read<uint16_t>(GuestAddr(used_ + 4 + 8ull * size_));
}

void FakeDriver::Offer(uint16_t first, std::span<const Buffer> buffers) {
  for (size_t i = 0; i < buffers.size(); ++i) {
    const auto index = static_cast<uint16_t>(first + i);
    const bool last = i + 1 == buffers.size();
    WriteDescriptor(index, buffers[i].address, buffers[i].length,
                    static_cast<uint16_t>((last ? 0 : kNext) | (buffers[i].write ? kWrite : 0)),
                    static_cast<uint16_t>(index + 1));
  }
  OfferHead(first);
}

void FakeDriver::OfferIndirect(uint16_t head, uint64_t table, std::span<const Buffer> buffers) {
  for (size_t i = 0; i < buffers.size(); ++i) {
    struct {
      uint64_t address;
      uint32_t length;
      uint16_t flags;
      uint16_t next;
    } entry{buffers[i].address, buffers[i].length,
            static_cast<uint16_t>((i + 1 == buffers.size() ? 0 : kNext) |
                                  (buffers[i].write ? kWrite : 0)),
            static_cast<uint16_t>(i + 1)};
    Must(memory_->Write(GuestAddr(table + 16 * i), entry));
  }
  WriteDescriptor(head, table, static_cast<uint32_t>(16 * buffers.size()), kIndirect, 0);
  OfferHead(head);
}

void FakeDriver::OfferHead(uint16_t head) {
  SetAvailableSlot(available_index_ & (size_ - 1), head);
  SetAvailableIndex(static_cast<uint16_t>(available_index_ + 1));
}

std::vector<FakeDriver::Used> FakeDriver::TakeUsed() {
  std::vector<Used> result;
  for (; seen_used_ != UsedIndex(); ++seen_used_)
    result.push_back(
        *memory_->Read<Used>(GuestAddr(used_ + 4 + 8ull * (seen_used_ & (size_ - 1)))));
  return result;
}

void FakeDriver::WriteBytes(uint64_t address, std::string_view bytes) {
  Must(memory_->Write(GuestAddr(address), std::as_bytes(std::span(bytes.data(), bytes.size()))));
}

std::string FakeDriver::ReadBytes(uint64_t address, size_t bytes) const {
  std::string text(bytes, '\0');
  Must(memory_->Read(GuestAddr(address),
                     std::as_writable_bytes(std::span(text.data(), text.size()))));
  return text;
}

}  // namespace holt::vmm
