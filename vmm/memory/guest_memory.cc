#include "vmm/memory/guest_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace holt::vmm {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

constexpr uint64_t kPage = 4096;

// Makes the compiler take what was copied for all it will ever know: without it a copy may be
// dropped and the guest's bytes read a second time.
inline void CompilerBarrier() { asm volatile("" ::: "memory"); }

}  // namespace

void GuestSlice::CopyOut(size_t offset, std::span<std::byte> destination) const {
  HOLT_CHECK(offset <= size_ && destination.size() <= size_ - offset);
  CompilerBarrier();
  if (!destination.empty()) std::memcpy(destination.data(), data_ + offset, destination.size());
  CompilerBarrier();
}

void GuestSlice::CopyIn(size_t offset, std::span<const std::byte> source) const {
  HOLT_CHECK(offset <= size_ && source.size() <= size_ - offset);
  CompilerBarrier();
  if (!source.empty()) std::memcpy(data_ + offset, source.data(), source.size());
  CompilerBarrier();
}

void GuestSlice::Fill(size_t offset, size_t bytes, std::byte value) const {
  HOLT_CHECK(offset <= size_ && bytes <= size_ - offset);
  if (bytes != 0) std::memset(data_ + offset, static_cast<int>(value), bytes);
  CompilerBarrier();
}

GuestSlice GuestSlice::Sub(size_t offset, size_t bytes) const {
  HOLT_CHECK(offset <= size_ && bytes <= size_ - offset);
  return GuestSlice(data_ + offset, bytes);
}

Result<std::shared_ptr<const GuestMemory>> GuestMemory::Map(std::span<const RegionSpec> regions) {
  if (regions.empty()) return MakeError(Code::kInvalidArgument, "guest memory without a region");
  if (regions.size() > kMaxRegions)
    return MakeError(Code::kInvalidArgument, "{} memory regions, at most {} are taken",
                     regions.size(), kMaxRegions);
  std::shared_ptr<GuestMemory> memory(new GuestMemory);
  for (const RegionSpec& spec : regions) {
    if (spec.size == 0) return MakeError(Code::kInvalidArgument, "empty memory region");
    if (!spec.start.Add(spec.size))
      return MakeError(Code::kInvalidArgument, "memory region at {:#x} wraps around",
                       spec.start.value());
    struct stat file {};
    if (fstat(spec.fd, &file) != 0) return HOLT_ERRNO("memory region file");
    uint64_t end = 0;
    if (__builtin_add_overflow(spec.fd_offset, spec.size, &end) || file.st_size < 0 ||
        end > static_cast<uint64_t>(file.st_size))
      return MakeError(
          Code::kInvalidArgument,
          "memory region of {:#x} bytes at file offset {:#x} reaches past the file's {:#x}",
          spec.size, spec.fd_offset, file.st_size);

    Mapping mapping;
    mapping.start = spec.start;
    mapping.size = spec.size;
    mapping.fd_offset = spec.fd_offset;
    uint64_t slack = spec.fd_offset % kPage;
    mapping.map_size = spec.size + slack;
    mapping.map_base =
        mmap(nullptr, mapping.map_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, spec.fd,
             static_cast<off_t>(spec.fd_offset - slack));
    if (mapping.map_base == MAP_FAILED)
      return HOLT_ERRNO("map {:#x} bytes of guest memory", spec.size);
    mapping.data = static_cast<std::byte*>(mapping.map_base) + slack;
    // A core dump of ours must not carry the guest's memory.
    madvise(mapping.map_base, mapping.map_size, MADV_DONTDUMP);
    memory->regions_.push_back(mapping);
  }
  std::sort(memory->regions_.begin(), memory->regions_.end(),
            [](const Mapping& a, const Mapping& b) { return a.start < b.start; });
  for (size_t i = 1; i < memory->regions_.size(); ++i) {
    const Mapping& before = memory->regions_[i - 1];
    if (before.start.value() + before.size > memory->regions_[i].start.value())
      return MakeError(Code::kInvalidArgument, "memory regions at {:#x} and {:#x} overlap",
                       before.start.value(), memory->regions_[i].start.value());
  }
  return std::shared_ptr<const GuestMemory>(std::move(memory));
}

GuestMemory::~GuestMemory() {
  for (const Mapping& mapping : regions_) munmap(mapping.map_base, mapping.map_size);
}

const GuestMemory::Mapping* GuestMemory::Find(GuestAddr address) const {
  auto after = std::upper_bound(regions_.begin(), regions_.end(), address,
                                [](GuestAddr a, const Mapping& m) { return a < m.start; });
  if (after == regions_.begin()) return nullptr;
  const Mapping& mapping = *std::prev(after);
  return address.value() - mapping.start.value() < mapping.size ? &mapping : nullptr;
}

Result<GuestSlice> GuestMemory::Slice(GuestAddr start, uint64_t bytes) const {
  const Mapping* mapping = Find(start);
  if (mapping == nullptr)
    return MakeError(Code::kInvalidArgument, "guest address {:#x} is not memory", start.value());
  uint64_t offset = start.value() - mapping->start.value();
  // No sum that could wrap: what is left of the region is compared with the length.
  if (bytes > mapping->size - offset)
    return MakeError(Code::kInvalidArgument,
                     "guest buffer of {:#x} bytes at {:#x} leaves its memory region", bytes,
                     start.value());
  return GuestSlice(mapping->data + offset, bytes);
}

Status GuestMemory::AppendSlices(GuestAddr start, uint64_t bytes,
                                 std::vector<GuestSlice>& out) const {
  const size_t before = out.size();
  GuestAddr at = start;
  while (bytes != 0) {
    const Mapping* mapping = Find(at);
    if (mapping == nullptr) {
      out.resize(before);
      return MakeError(Code::kInvalidArgument, "guest buffer at {:#x} leaves memory at {:#x}",
                       start.value(), at.value());
    }
    uint64_t offset = at.value() - mapping->start.value();
    uint64_t here = std::min(bytes, mapping->size - offset);
    out.push_back(GuestSlice(mapping->data + offset, here));
    bytes -= here;
    if (bytes == 0) break;
    // Cannot wrap: a region's end was checked to be an address.
    at = GuestAddr(at.value() + here);
  }
  return {};
}

Status GuestMemory::Read(GuestAddr start, std::span<std::byte> destination) const {
  TRY_ASSIGN(GuestSlice slice, Slice(start, destination.size()));
  slice.CopyOut(0, destination);
  return {};
}

Status GuestMemory::Write(GuestAddr start, std::span<const std::byte> source) const {
  TRY_ASSIGN(GuestSlice slice, Slice(start, source.size()));
  slice.CopyIn(0, source);
  return {};
}

GuestMemory::Region GuestMemory::region(size_t index) const {
  HOLT_CHECK(index < regions_.size());
  return {regions_[index].start, regions_[index].size, regions_[index].fd_offset};
}

uint64_t GuestMemory::size() const {
  uint64_t total = 0;
  for (const Mapping& mapping : regions_) total += mapping.size;
  return total;
}

uint64_t GuestMemory::HostAddressForKernel(size_t index) const {
  HOLT_CHECK(index < regions_.size());
  return reinterpret_cast<uint64_t>(regions_[index].data);
}

Result<base::UniqueFd> CreateMemoryFile(const char* name, uint64_t bytes) {
  base::UniqueFd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return HOLT_ERRNO("memfd_create");
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0)
    return HOLT_ERRNO("memory file of {:#x} bytes", bytes);
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return HOLT_ERRNO("seal memory file");
  return fd;
}

}  // namespace holt::vmm
