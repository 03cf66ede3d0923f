#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/result.h"

namespace holt::image::layer {

// A bounded pipe of byte chunks between the thread that decompresses and the one that writes files.
class ChunkQueue {
 public:
  explicit ChunkQueue(size_t capacity) : capacity_(capacity) {}

  // Waits for room; false if the reader has gone.
  bool Push(std::vector<std::byte> chunk) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return chunks_.size() < capacity_ || abandoned_; });
    if (abandoned_) return false;
    chunks_.push_back(std::move(chunk));
    changed_.notify_all();
    return true;
  }

  // The writer's last word: the end, or the error that stopped it.
  void Close(base::Status status) {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
    status_ = std::move(status);
    changed_.notify_all();
  }

  // Waits for the next chunk; an empty one is the end. `recycled` is given back to the writer.
  base::Result<std::vector<std::byte>> Pop(std::vector<std::byte> recycled) {
    std::unique_lock lock(mutex_);
    if (recycled.capacity() > 0) spare_.push_back(std::move(recycled));
    changed_.wait(lock, [&] { return !chunks_.empty() || closed_; });
    if (chunks_.empty()) {
      if (!status_) return status_.error();
      return std::vector<std::byte>();
    }
    auto chunk = std::move(chunks_.front());
    chunks_.pop_front();
    changed_.notify_all();
    return chunk;
  }

  // An emptied buffer to fill again.
  std::vector<std::byte> Spare() {
    std::lock_guard lock(mutex_);
    if (spare_.empty()) return {};
    auto chunk = std::move(spare_.back());
    spare_.pop_back();
    chunk.clear();
    return chunk;
  }

  // The reader is done, whatever comes.
  void Abandon() {
    std::lock_guard lock(mutex_);
    abandoned_ = true;
    changed_.notify_all();
  }

 private:
  size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::vector<std::byte>> chunks_;
  std::vector<std::vector<std::byte>> spare_;
  bool closed_ = false;
  bool abandoned_ = false;
  base::Status status_;
};

}  // namespace holt::image::layer
