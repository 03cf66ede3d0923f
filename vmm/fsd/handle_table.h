#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/unique_fd.h"

namespace holt::fsd {

// Entries of a directory as the kernel gave them, with where reading goes on.
struct DirectoryBuffer {
  std::mutex mutex;
  std::vector<std::byte> bytes;
  size_t at = 0;  // first entry not given to the guest
  size_t end = 0;
  int64_t offset = 0;  // the cookie of that entry
};

// An open file or directory of the guest.
struct OpenFile {
  uint64_t nodeid = 0;
  base::UniqueFd fd;
  bool writable = false;
  std::unique_ptr<DirectoryBuffer> directory;  // null for a file
};

// Open files by the number the guest has for them. Thread-safe.
class HandleTable {
 public:
  uint64_t Add(std::shared_ptr<OpenFile> file) {
    std::lock_guard lock(mutex_);
    uint32_t index;
    if (free_.empty()) {
      index = static_cast<uint32_t>(slots_.size());
      slots_.emplace_back();
    } else {
      index = free_.back();
      free_.pop_back();
    }
    slots_[index].file = std::move(file);
    return (uint64_t{slots_[index].generation} << 32) | index;
  }

  // Null when there is no such handle, or it is a directory's and a file was meant, or the reverse.
  std::shared_ptr<OpenFile> File(uint64_t handle) const { return Find(handle, false); }
  std::shared_ptr<OpenFile> Directory(uint64_t handle) const { return Find(handle, true); }
  std::shared_ptr<OpenFile> Any(uint64_t handle) const {
    std::lock_guard lock(mutex_);
    const Slot* slot = FindSlot(handle);
    return slot == nullptr ? nullptr : slot->file;
  }

  std::shared_ptr<OpenFile> Remove(uint64_t handle) {
    std::lock_guard lock(mutex_);
    Slot* slot = const_cast<Slot*>(FindSlot(handle));
    if (slot == nullptr) return nullptr;
    auto file = std::move(slot->file);
    slot->file.reset();
    ++slot->generation;
    free_.push_back(static_cast<uint32_t>(handle & 0xffffffff));
    return file;
  }

  void Clear() {
    std::lock_guard lock(mutex_);
    slots_.clear();
    free_.clear();
  }

  size_t size() const {
    std::lock_guard lock(mutex_);
    return slots_.size() - free_.size();
  }

 private:
  struct Slot {
    uint32_t generation = 0;
    std::shared_ptr<OpenFile> file;
  };

  const Slot* FindSlot(uint64_t handle) const {
    const uint64_t index = handle & 0xffffffff;
    if (index >= slots_.size()) return nullptr;
    const Slot& slot = slots_[index];
    return slot.file && slot.generation == handle >> 32 ? &slot : nullptr;
  }
  std::shared_ptr<OpenFile> Find(uint64_t handle, bool directory) const {
    auto file = Any(handle);
    return file && (file->directory != nullptr) == directory ? file : nullptr;
  }

  mutable std::mutex mutex_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
};

}  // namespace holt::fsd
