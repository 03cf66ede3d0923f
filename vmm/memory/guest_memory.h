#pragma once

#include <sys/uio.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

// Memory of a guest, which changes under our hands: every value is copied once and the copy is
// checked; nobody outside this folder holds a pointer into it.
namespace holt::vmm {

// A guest-physical address. No arithmetic without a check.
class GuestAddr {
 public:
  constexpr GuestAddr() = default;
  explicit constexpr GuestAddr(uint64_t value) : value_(value) {}

  constexpr uint64_t value() const { return value_; }
  // Nothing when the sum does not fit in 64 bits.
  constexpr std::optional<GuestAddr> Add(uint64_t bytes) const {
    uint64_t sum = 0;
    if (__builtin_add_overflow(value_, bytes, &sum)) return std::nullopt;
    return GuestAddr(sum);
  }
  constexpr bool AlignedTo(uint64_t power_of_two) const {
    return (value_ & (power_of_two - 1)) == 0;
  }
  friend constexpr auto operator<=>(GuestAddr, GuestAddr) = default;

 private:
  uint64_t value_ = 0;
};

// A run of guest bytes inside one region. Valid as long as the GuestMemory it came from; offsets
// are checked against the run's length, and one that is outside aborts, because it is our own
// mistake: what the guest says is checked when a slice is made.
class GuestSlice {
 public:
  GuestSlice() = default;

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Copies once, out of and into the guest.
  void CopyOut(size_t offset, std::span<std::byte> destination) const;
  void CopyIn(size_t offset, std::span<const std::byte> source) const;
  void Fill(size_t offset, size_t bytes, std::byte value) const;

  template <typename T>
  T Read(size_t offset) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    CopyOut(offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  template <typename T>
  void Write(size_t offset, const T& value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    CopyIn(offset, std::as_bytes(std::span(&value, 1)));
  }

  // Ring indices: one load or store each, ordered. The place must be aligned for T.
  template <typename T>
  T LoadAcquire(size_t offset) const {
    return __atomic_load_n(At<T>(offset), __ATOMIC_ACQUIRE);
  }
  template <typename T>
  void StoreRelease(size_t offset, T value) const {
    __atomic_store_n(At<T>(offset), value, __ATOMIC_RELEASE);
  }

  // A part of the slice.
  GuestSlice Sub(size_t offset, size_t bytes) const;

  // For readv, writev and their kin: the kernel copies, nobody here looks.
  iovec AsIovec() const { return iovec{data_, size_}; }

 private:
  friend class GuestMemory;
  GuestSlice(std::byte* data, size_t size) : data_(data), size_(size) {}

  template <typename T>
  T* At(size_t offset) const {
    static_assert(std::is_integral_v<T>);
    HOLT_CHECK(offset <= size_ && sizeof(T) <= size_ - offset);
    HOLT_CHECK(reinterpret_cast<uintptr_t>(data_ + offset) % alignof(T) == 0);
    // SAFETY: inside the slice and aligned; only __atomic builtins touch the result.
    return reinterpret_cast<T*>(data_ + offset);
  }

  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// The regions of a guest's memory, each a shared mapping of a file. Immutable, so that threads
// share it without a lock; a new table is a new object (std::shared_ptr<const GuestMemory>).
class GuestMemory {
 public:
  struct RegionSpec {
    GuestAddr start;
    uint64_t size = 0;
    int fd = -1;  // borrowed: the mapping keeps the file
    uint64_t fd_offset = 0;
  };

  // Refuses regions that are empty, overlap, wrap around, or reach past the end of their file.
  static base::Result<std::shared_ptr<const GuestMemory>> Map(std::span<const RegionSpec> regions);

  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  // The run [start, start+bytes), which must lie in one region.
  base::Result<GuestSlice> Slice(GuestAddr start, uint64_t bytes) const;
  // The same run in as many slices as it touches regions, appended to `out`; all of it must be
  // memory. On an error `out` is as it was.
  base::Status AppendSlices(GuestAddr start, uint64_t bytes, std::vector<GuestSlice>& out) const;

  // One copy; the run must lie in one region.
  base::Status Read(GuestAddr start, std::span<std::byte> destination) const;
  base::Status Write(GuestAddr start, std::span<const std::byte> source) const;

  template <typename T>
  base::Result<T> Read(GuestAddr start) const {
    TRY_ASSIGN(GuestSlice slice, Slice(start, sizeof(T)));
    return slice.Read<T>(0);
  }
  template <typename T>
  base::Status Write(GuestAddr start, const T& value) const {
    TRY_ASSIGN(GuestSlice slice, Slice(start, sizeof(T)));
    slice.Write(0, value);
    return {};
  }

  struct Region {
    GuestAddr start;
    uint64_t size;
    uint64_t fd_offset;
  };
  size_t region_count() const { return regions_.size(); }
  Region region(size_t index) const;
  // Bytes of all regions together.
  uint64_t size() const;

  // The host address of a region, for KVM_SET_USER_MEMORY_REGION and vhost-user's
  // SET_MEM_TABLE, which want the number and not the bytes.
  uint64_t HostAddressForKernel(size_t index) const;

  static constexpr size_t kMaxRegions = 64;

 private:
  struct Mapping {
    GuestAddr start;
    uint64_t size = 0;
    uint64_t fd_offset = 0;
    std::byte* data = nullptr;  // first byte of the region
    void* map_base = nullptr;   // what mmap returned: data rounded down to a page
    size_t map_size = 0;
  };

  GuestMemory() = default;
  const Mapping* Find(GuestAddr address) const;

  std::vector<Mapping> regions_;  // by start
};

// A memfd of `bytes` sealed against shrinking (a shrunk file would be a SIGBUS in who maps it).
base::Result<base::UniqueFd> CreateMemoryFile(const char* name, uint64_t bytes);

}  // namespace holt::vmm
