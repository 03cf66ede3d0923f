#include "vmm/devices/fs.h"

#include <linux/virtio_fs.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cstring>

#include "vmm/virtio/config_space.h"

namespace holt::vmm {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

Result<std::unique_ptr<FsDevice>> FsDevice::Create(Options options) {
  std::unique_ptr<FsDevice> device(new FsDevice(std::move(options)));
  Options& o = device->options_;
  TRY_ASSIGN(device->frontend_, vhost_user::Frontend::Connect(std::move(o.socket)));
  const unsigned queues = device->frontend_->queue_count();
  if (queues < 2)
    return MakeError(Code::kUnsupported, "the server has {} queues, at least 2 are needed", queues);
  // Queue 0 is for what must not wait behind others; of the rest, no more than can be in use at
  // once.
  device->request_queues_ = std::min(queues - 1, o.vcpus);
  TRY(o.loop->AddFd(device->frontend_->socket(), EPOLLIN | EPOLLRDHUP,
                    [raw = device.get()](uint32_t) {
                      if (std::exchange(raw->failed_, true)) return;
                      raw->options_.loop->RemoveFd(raw->frontend_->socket());
                      raw->options_.on_failed(raw->frontend_->Unexpected());
                    }));
  return device;
}

FsDevice::~FsDevice() {
  if (frontend_) options_.loop->RemoveFd(frontend_->socket());
}

std::vector<uint16_t> FsDevice::QueueSizes() const {
  return std::vector<uint16_t>(1 + request_queues_, kQueueSize);
}

void FsDevice::ReadConfig(uint32_t offset, std::span<std::byte> out) const {
  virtio_fs_config config{};
  HOLT_CHECK(options_.tag.size() <= sizeof config.tag);
  std::memcpy(config.tag, options_.tag.data(), options_.tag.size());
  config.num_request_queues = request_queues_;
  CopyConfig(config, offset, out);
}

Status FsDevice::StartExternal(uint64_t features, std::span<const ExternalQueue> queues) {
  if (failed_) return MakeError(Code::kUnavailable, "the server is gone");
  return frontend_->Start(features, *options_.memory, options_.memory_fd, queues);
}

Status FsDevice::StopExternal(std::span<ExternalQueue> queues) {
  if (failed_) return {};
  return frontend_->Stop(queues);
}

}  // namespace holt::vmm
