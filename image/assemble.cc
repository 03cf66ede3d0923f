#include "image/assemble.h"

#include <time.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "image/file_lock.h"
#include "image/layer_builder.h"
#include "image/platform.h"
#include "image/store_json.h"

namespace holt::image {

using base::Code;
using base::Error;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

constexpr int kMostParallel = 16;
constexpr int kMostAttempts = 3;

// Works through the layers of one image on several threads, lowest first. A thread that holds a
// layer's lock waits only for layers below it, here and in other processes, so nobody waits in a
// ring.
class LayerWork {
 public:
  LayerWork(Store& store, const ImagePlan& plan, const AssembleOptions& options)
      : store_(store), plan_(plan), options_(options), done_(plan.layers.size(), false) {
    for (const LayerPlan& layer : plan.layers)
      chain_.push_back(ChainId(chain_.empty() ? Digest() : chain_.back(), layer.diff_id));
  }

  Status Run() {
    size_t count = std::clamp<size_t>(options_.parallel, 1, kMostParallel);
    count = std::min(count, plan_.layers.size());
    std::vector<std::thread> threads;
    for (size_t i = 1; i < count; ++i) threads.emplace_back([this] { Work(); });
    if (count > 0) Work();
    for (std::thread& thread : threads) thread.join();
    if (error_) return std::move(*error_);
    return {};
  }

  const std::vector<Digest>& chain() const { return chain_; }

 private:
  void Work() {
    while (true) {
      size_t index = next_.fetch_add(1);
      if (index >= plan_.layers.size() || cancelled_) return;
      Status status = Layer(index);
      std::lock_guard lock(mutex_);
      if (status) {
        done_[index] = true;
      } else {
        if (!error_) error_ = std::move(status).error().Wrap("layer " + plan_.layers[index].label);
        cancelled_ = true;
      }
      changed_.notify_all();
    }
  }

  Status Layer(size_t index) {
    const LayerPlan& plan = plan_.layers[index];
    if (store_.HasLayer(chain_[index])) return AlreadyHere(plan);
    TRY_ASSIGN(FileLock lock, LockLayer(index));
    if (store_.HasLayer(chain_[index])) return AlreadyHere(plan);
    TRY_ASSIGN(LayerBuilder builder, Unpack(plan));
    TRY(WaitForLower(index));
    TRY(builder.Commit({chain_.begin(), chain_.begin() + static_cast<std::ptrdiff_t>(index)}));
    Say(plan, "done", true);
    return {};
  }

  Status AlreadyHere(const LayerPlan& plan) {
    Say(plan, "already here", true);
    return {};
  }

  Result<FileLock> LockLayer(size_t index) {
    std::string path = store_.LayerLockPath(chain_[index]);
    auto lock = FileLock::Acquire(path, LockMode::kExclusive, std::chrono::milliseconds(0));
    if (lock || lock.error().code() != Code::kDeadlineExceeded) return lock;
    Say(plan_.layers[index], "waiting for another holt that fetches it", false);
    return FileLock::Acquire(path, LockMode::kExclusive, kLockForever,
                             [this] { return cancelled_.load(); });
  }

  Result<LayerBuilder> Unpack(const LayerPlan& plan) {
    layer::UnpackOptions unpack;
    unpack.driver = store_.driver();
    unpack.limits = options_.limits;
    unpack.expected_blob = plan.blob;
    unpack.expected_diff_id = plan.diff_id;
    for (int attempt = 1;; ++attempt) {
      TRY_ASSIGN(auto source, plan.open([this] { return cancelled_.load(); }));
      if (options_.progress) options_.progress->Start(plan.label, plan.size);
      auto builder = LayerBuilder::Unpack(store_, *source, unpack);
      if (builder) {
        source->Accept();
        return builder;
      }
      bool wrong = builder.error().code() == Code::kDataLoss ||
                   builder.error().code() == Code::kInvalidArgument;
      // A full disk is not helped by what could be resumed, whoever found it full.
      if (IsFull(builder.error())) (void)source->Reject();
      if (!wrong || !source->Reject() || attempt == kMostAttempts) return builder;
      Say(plan, "what an earlier pull left of it was wrong; from the start", false);
    }
  }

  Status WaitForLower(size_t index) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      return cancelled_ ||
             std::all_of(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(index),
                         [](bool done) { return done; });
    });
    if (cancelled_) return MakeError(Code::kCancelled, "cancelled");
    return {};
  }

  void Say(const LayerPlan& plan, const std::string& state, bool finished) {
    if (options_.progress) options_.progress->State(plan.label, state, finished);
  }

  Store& store_;
  const ImagePlan& plan_;
  const AssembleOptions& options_;
  std::vector<Digest> chain_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<bool> done_;
  std::optional<Error> error_;
};

Status KeepBlob(Store& store, const std::string& content) {
  Status written = store.WriteBlob(Sha256(content), content);
  if (!written) return ExplainSpace(std::move(written).error(), store.path());
  return {};
}

}  // namespace

Status PlanLayers(const oci::ImageManifest& manifest, const oci::ImageConfig& config,
                  ImagePlan& plan) {
  if (manifest.layers.size() != config.rootfs.diff_ids.size())
    return MakeError(
        Code::kInvalidArgument,
        "the manifest has {} layers, the configuration {}: they do not belong together",
        manifest.layers.size(), config.rootfs.diff_ids.size());
  plan.layers.clear();
  for (size_t i = 0; i < manifest.layers.size(); ++i) {
    const oci::Descriptor& descriptor = manifest.layers[i];
    if (descriptor.media_type.find("foreign") != std::string::npos ||
        descriptor.media_type.find("nondistributable") != std::string::npos)
      return MakeError(Code::kUnsupported, "layer {} is of a kind that registries do not hold ({})",
                       i + 1, descriptor.media_type.substr(0, 150));
    if (descriptor.media_type.find("encrypted") != std::string::npos)
      return MakeError(Code::kUnsupported, "layer {} is encrypted, which holt cannot undo", i + 1);
    LayerPlan layer;
    TRY_ASSIGN(layer.blob, Digest::Parse(descriptor.digest));
    TRY_ASSIGN(layer.diff_id, Digest::Parse(config.rootfs.diff_ids[i]));
    layer.size = static_cast<uint64_t>(descriptor.size);
    layer.label = layer.blob.Short();
    plan.layers.push_back(std::move(layer));
  }
  return {};
}

Result<StoredImage> Assemble(Store& store, const ImagePlan& plan, const AssembleOptions& options) {
  TRY_ASSIGN(oci::ImageConfig config, oci::ParseImageConfig(plan.config));
  LayerWork work(store, plan, options);
  TRY(work.Run());
  if (!plan.index.empty()) TRY(KeepBlob(store, plan.index));
  TRY(KeepBlob(store, plan.manifest));
  TRY(KeepBlob(store, plan.config));
  TRY(store.FlushLayers(work.chain()));
  StoredImage image;
  image.name = plan.name;
  image.id = Sha256(plan.config).text();
  image.manifest_digest = Sha256(plan.manifest).text();
  image.digest = plan.index.empty() ? image.manifest_digest : Sha256(plan.index).text();
  image.platform =
      PlatformText({config.architecture, config.os, config.os_version, config.variant});
  image.created = config.created;
  image.stored_at = time(nullptr);
  for (const Digest& chain_id : work.chain()) {
    TRY_ASSIGN(LayerInfo info, store.ReadLayer(chain_id));
    image.size += info.size;
    image.layers.push_back(chain_id.text());
  }
  Status put = store.PutImage(image);
  if (!put) return ExplainSpace(std::move(put).error(), store.path());
  return image;
}

}  // namespace holt::image
