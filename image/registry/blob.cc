#include "image/registry/blob.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <thread>

#include "image/file_lock.h"
#include "image/store_json.h"

namespace holt::image::registry {

using base::Code;
using base::Error;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

// An attempt that brought this much was a good one, and the count of failures starts anew. Less
// does not count, or a server that cuts every connection after a byte would be asked for ever.
constexpr uint64_t kProgressBytes = 1 << 20;

class BlobDownload : public LayerSource {
 public:
  BlobDownload(Registry& registry, Store& store, const LayerPlan& layer, Cancelled cancelled,
               FileLock lock)
      : registry_(registry),
        path_(store.PartialPath(layer.blob)),
        store_path_(store.path()),
        digest_(layer.blob),
        size_(layer.size),
        label_(layer.label),
        cancelled_(std::move(cancelled)),
        lock_(std::move(lock)) {}

  ~BlobDownload() override { Stop(); }

  Status Start() {
    struct stat st {};
    if (fstat(lock_.fd(), &st) != 0) return HOLT_ERRNO("stat {}", path_);
    available_ = static_cast<uint64_t>(st.st_size);
    if (available_ > size_) {
      available_ = 0;
      if (ftruncate(lock_.fd(), 0) != 0) return HOLT_ERRNO("truncate {}", path_);
    }
    resumed_ = available_ > 0;
    thread_ = std::thread([this] { Run(); });
    return {};
  }

  Result<size_t> Read(std::span<std::byte> buffer) override {
    std::unique_lock lock(mutex_);
    while (available_ == read_ && !ended_) {
      changed_.wait_for(lock, std::chrono::milliseconds(100));
      if (cancelled_()) return MakeError(Code::kCancelled, "cancelled");
    }
    uint64_t ready = available_ - read_;
    if (ready == 0) {
      if (!status_) return status_.error();
      return size_t{0};
    }
    lock.unlock();
    size_t most = static_cast<size_t>(std::min<uint64_t>(ready, buffer.size()));
    ssize_t n = pread(lock_.fd(), buffer.data(), most, static_cast<off_t>(read_));
    if (n < 0) return HOLT_ERRNO("read {}", path_);
    if (n == 0) return MakeError(Code::kInternal, "{} became shorter", path_);
    read_ += static_cast<uint64_t>(n);
    return static_cast<size_t>(n);
  }

  void Accept() override { Remove(); }

  bool Reject() override {
    Remove();
    return resumed_;
  }

 private:
  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }

  // Under its lock, so nobody else can be at it.
  void Remove() {
    Stop();
    unlink(path_.c_str());
  }

  bool Stopped() const { return stop_ || cancelled_(); }

  void Run() {
    Status status = DownloadAll();
    std::lock_guard lock(mutex_);
    ended_ = true;
    status_ = std::move(status);
    changed_.notify_all();
  }

  Status DownloadAll() {
    Progress* progress = registry_.options().progress;
    auto stopped = [this] { return Stopped(); };
    Retry retry(registry_.options().retry, stopped, [&](const std::string& text) {
      if (progress) progress->State(label_, text, false);
    });
    bool shown = true;
    auto sink = [&](std::string_view bytes) -> Status {
      if (progress && !shown) progress->Start(label_, size_);
      shown = true;
      return Append(bytes);
    };
    while (available_ < size_) {
      uint64_t before = available_;
      std::optional<Failure> failure =
          registry_.Download(digest_, available_, size_, sink, stopped);
      if (!failure) break;
      if (Stopped()) return MakeError(Code::kCancelled, "cancelled");
      if (available_ - before >= kProgressBytes) retry.Progress();
      TRY(retry.Wait(std::move(*failure)));
      resumed_ = resumed_ || available_ > 0;
      shown = false;
    }
    return {};
  }

  Status Append(std::string_view bytes) {
    uint64_t at = available_;
    while (!bytes.empty()) {
      ssize_t n = pwrite(lock_.fd(), bytes.data(), bytes.size(), static_cast<off_t>(at));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ExplainSpace(HOLT_ERRNO("write {}", path_), store_path_);
      at += static_cast<uint64_t>(n);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    {
      std::lock_guard lock(mutex_);
      available_ = at;
      changed_.notify_all();
    }
    if (registry_.options().progress) registry_.options().progress->Advance(label_, at);
    return {};
  }

  Registry& registry_;
  const std::string path_;
  const std::string store_path_;
  const Digest digest_;
  const uint64_t size_;
  const std::string label_;
  const Cancelled cancelled_;
  FileLock lock_;  // also the file

  std::thread thread_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> resumed_{false};  // some of it came another time
  uint64_t read_ = 0;                 // the reader's

  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<uint64_t> available_{0};  // written by the thread, under the mutex
  bool ended_ = false;
  Status status_;
};

}  // namespace

Result<std::unique_ptr<LayerSource>> OpenLayer(Registry& registry, Store& store,
                                               const LayerPlan& layer, const Cancelled& cancelled) {
  auto lock = FileLock::Acquire(store.PartialPath(layer.blob), LockMode::kExclusive, kLockForever,
                                cancelled);
  if (!lock) return ExplainSpace(std::move(lock).error(), store.path());
  auto download =
      std::make_unique<BlobDownload>(registry, store, layer, cancelled, std::move(*lock));
  TRY(download->Start());
  return download;
}

}  // namespace holt::image::registry
