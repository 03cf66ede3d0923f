// The part of the transport that lives in the device's loop: starting, stopping, kicks.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "vmm/virtio/mmio.h"

namespace holt::vmm {

using base::Result;
using base::Status;

class MmioTransport::Port : public QueuePort {
 public:
  Port(MmioTransport& transport, uint16_t max_size) : transport_(transport), queue_(max_size) {}
  Queue& queue() override { return queue_; }
  void Notify() override {
    if (queue_.NeedsNotify()) transport_.Interrupt(kInterruptUsedBuffer);
  }
  void ReportBroken(const base::Error& error) override { transport_.NeedsReset(error); }

 private:
  MmioTransport& transport_;
  Queue queue_;
};

MmioTransport::MmioTransport(Options options) : options_(std::move(options)) {}

Result<std::unique_ptr<MmioTransport>> MmioTransport::Create(Options options) {
  HOLT_CHECK(options.loop != nullptr && options.memory && options.device && options.run_in_loop);
  std::unique_ptr<MmioTransport> transport(new MmioTransport(std::move(options)));
  MmioTransport& t = *transport;
  VirtioDevice& device = *t.options_.device;
  t.device_features_ = device.Features() | kFeatureVersion1;
  if (!device.External()) t.device_features_ |= kFeatureIndirectDesc | kFeatureEventIdx;
  t.queue_sizes_ = device.QueueSizes();
  t.state_.queues.resize(t.queue_sizes_.size());
  auto event = [] { return base::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); };
  t.interrupt_ = event();
  if (!t.interrupt_) return HOLT_ERRNO("eventfd");
  for (size_t i = 0; i < t.queue_sizes_.size(); ++i) {
    t.kicks_.push_back(event());
    if (!t.kicks_.back()) return HOLT_ERRNO("eventfd");
    t.ports_.push_back(std::make_unique<Port>(t, t.queue_sizes_[i]));
    if (device.External()) continue;
    TRY(t.options_.loop->AddFd(t.kicks_[i].get(), EPOLLIN,
                               [raw = &t, i](uint32_t) { raw->OnKickEvent(i); }));
  }
  return transport;
}

MmioTransport::~MmioTransport() {
  options_.on_failed = nullptr;
  for (const auto& kick : kicks_)
    if (kick) options_.loop->RemoveFd(kick.get());
  StopDevice();
}

void MmioTransport::OnKickEvent(size_t queue) {
  uint64_t count;
  if (read(kicks_[queue].get(), &count, sizeof count) < 0) return;
  if (running_ && ports_[queue]->queue().running()) options_.device->OnKick(queue);
}

void MmioTransport::ServeQueues() {
  if (!running_ || options_.device->External()) return;
  for (size_t i = 0; i < ports_.size(); ++i)
    if (ports_[i]->queue().running()) options_.device->OnKick(i);
}

void MmioTransport::ChangeConfig(const std::function<void()>& change) {
  // Who reads a half of the old and a half of the new sees one of the two between (4.2.2.2).
  ++config_generation_;
  change();
  ++config_generation_;
  if (running_)
    Interrupt(kInterruptConfigChange);
  else
    config_changed_ = true;
}

void MmioTransport::Interrupt(uint32_t cause) {
  interrupt_status_.fetch_or(cause, std::memory_order_acq_rel);
  const uint64_t one = 1;
  // A full counter means that the interrupt is on its way already.
  ssize_t ignored = write(interrupt_.get(), &one, sizeof one);
  (void)ignored;
}

void MmioTransport::NeedsReset(const base::Error& why) {
  if (needs_reset_.exchange(true)) return;
  base::log::Warning("virtio {}: {}; it waits for a reset", options_.device->Name(), why.message());
  Interrupt(kInterruptConfigChange);
}

void MmioTransport::ChangeStatusInLoop(uint32_t value) {
  bool start = false;
  {
    std::lock_guard lock(mutex_);
    if (value != 0) {
      // Another vCPU may have been quicker.
      const bool valid = (state_.status & ~value) == 0 &&
                         (state_.status & kStatusFeaturesOk) != 0 &&
                         (state_.status & kStatusDriverOk) == 0;
      if (!valid) return;
      state_.status = value & ~kStatusNeedsReset;
      start = true;
    }
  }
  // From here the driver can write no queue register: they are frozen while the device reads them.
  if (start) {
    if (Status status = StartDevice(); !status) NeedsReset(status.error());
    return;
  }
  StopDevice();
  std::lock_guard lock(mutex_);
  const size_t queues = state_.queues.size();
  state_ = MmioState();
  state_.queues.resize(queues);
  interrupt_status_ = 0;
  needs_reset_ = false;
}

Status MmioTransport::StartDevice() {
  running_ = true;
  // It may have read before the change.
  if (std::exchange(config_changed_, false)) Interrupt(kInterruptConfigChange);
  if (options_.device->External()) return StartExternalQueues();
  Status status = StartOwnQueues();
  if (!status) {
    StopDevice();
    return status;
  }
  // Buffers may be waiting.
  ServeQueues();
  return {};
}

namespace {

QueueConfig ConfigOf(const MmioState::QueueRegisters& registers, uint64_t features) {
  QueueConfig config;
  config.size = static_cast<uint16_t>(registers.size);
  config.descriptors = GuestAddr(registers.descriptors);
  config.available = GuestAddr(registers.driver);
  config.used = GuestAddr(registers.device);
  config.indirect = (features & kFeatureIndirectDesc) != 0;
  config.event_idx = (features & kFeatureEventIdx) != 0;
  return config;
}

}  // namespace

Status MmioTransport::StartOwnQueues() {
  const MmioState state = Save();
  std::vector<QueuePort*> ports(ports_.size(), nullptr);
  for (size_t i = 0; i < ports_.size(); ++i) {
    if (!state.queues[i].ready) continue;
    TRY_CONTEXT(
        ports_[i]->queue().Start(options_.memory, ConfigOf(state.queues[i], state.driver_features)),
        fmt::format("queue {}", i));
    ports[i] = ports_[i].get();
  }
  return options_.device->Start(state.driver_features, ports);
}

Status MmioTransport::StartExternalQueues() {
  const MmioState state = Save();
  for (size_t i = 0; i < kicks_.size(); ++i) {
    if (!state.queues[i].ready) continue;
    const QueueConfig config = ConfigOf(state.queues[i], state.driver_features);
    // The other end checks too; this names the guest as the one at fault.
    Queue check(queue_sizes_[i]);
    if (Status status = check.Start(options_.memory, config); !status) {
      external_.clear();
      running_ = false;
      return std::move(status).error().Wrap(fmt::format("queue {}", i));
    }
    external_.push_back({static_cast<uint16_t>(i), config, kicks_[i].get(), interrupt_.get()});
  }
  Status status = options_.device->StartExternal(state.driver_features, external_);
  if (!status && options_.on_failed) options_.on_failed(status.error());
  return status;
}

void MmioTransport::StopDevice() {
  if (!running_) return;
  running_ = false;
  if (options_.device->External()) {
    Status status = options_.device->StopExternal(external_);
    external_.clear();
    if (!status && options_.on_failed) options_.on_failed(status.error());
    return;
  }
  options_.device->Stop();
  for (auto& port : ports_) port->queue().Stop();
  // A kick for the driver that went must not reach the device of the next.
  for (const auto& kick : kicks_) {
    uint64_t count;
    ssize_t ignored = read(kick.get(), &count, sizeof count);
    (void)ignored;
  }
}

MmioState MmioTransport::Save() const {
  std::lock_guard lock(mutex_);
  return state_;
}

}  // namespace holt::vmm
