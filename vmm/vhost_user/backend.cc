#include "vmm/vhost_user/backend.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <cstring>
#include <semaphore>

#include "base/file.h"
#include "base/log.h"

namespace holt::vmm::vhost_user {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

constexpr uint64_t kRingFeatures =
    kFeatureVersion1 | kFeatureIndirectDesc | kFeatureEventIdx | kFeatureProtocolFeatures;
constexpr uint64_t kProtocolFeatures =
    kProtocolMultiQueue | kProtocolReplyAck | kProtocolResetDevice | kProtocolConfigureMemSlots;

void Signal(int fd) {
  uint64_t one = 1;
  // A full counter means that the other side has not looked yet: nothing is lost.
  ssize_t ignored = write(fd, &one, sizeof one);
  (void)ignored;
}

}  // namespace

void BackendQueue::Notify() {
  if (queue_.NeedsNotify() && call_) Signal(call_.get());
}

void BackendQueue::ReportBroken(const base::Error& error) {
  base::log::Warning("queue {}: {}; it is served no more", index_, error.message());
  if (error_) Signal(error_.get());
}

Backend::Backend(Options options) : options_(std::move(options)), reader_(options_.socket.get()) {}

Result<std::unique_ptr<Backend>> Backend::Create(Options options) {
  HOLT_CHECK(options.loop != nullptr && options.device != nullptr);
  std::unique_ptr<Backend> backend(new Backend(std::move(options)));
  Options& o = backend->options_;
  for (unsigned i = 0; i < o.device->QueueCount(); ++i) {
    base::EventLoop* loop =
        o.queue_loops.empty() ? o.loop : o.queue_loops[i % o.queue_loops.size()];
    Ring ring;
    ring.queue = std::make_unique<BackendQueue>(i, o.device->MaxQueueSize(), loop);
    backend->rings_.push_back(std::move(ring));
  }
  TRY(o.loop->AddFd(o.socket.get(), EPOLLIN, [b = backend.get()](uint32_t) { b->OnSocket(); }));
  return backend;
}

Backend::~Backend() {
  StopAll();
  options_.loop->RemoveFd(options_.socket.get());
}

void Backend::OnSocket() {
  Message message;
  while (!closed_) {
    auto complete = reader_.Read(message);
    if (!complete) return Close(complete.error());
    if (!*complete) return;
    if (Status status = Handle(message); !status) return Close(status.error());
  }
}

void Backend::Close(const base::Error& why) {
  closed_ = true;
  options_.loop->RemoveFd(options_.socket.get());
  StopAll();
  options_.device->Reset();
  if (options_.on_closed) options_.on_closed(why);
}

Status Backend::Reply(const Message& message, std::string_view payload) {
  return SendMessage(options_.socket.get(), message.header.request, kFlagReply, payload);
}

Status Backend::Handle(Message& message) {
  bool replied = false;
  Status status = Dispatch(message, replied);
  if (!status)
    status = std::move(status).error().Wrap("vhost-user " + RequestName(message.header.request));
  const bool wants_ack =
      (message.header.flags & kFlagNeedReply) != 0 && (protocol_features_ & kProtocolReplyAck) != 0;
  if (!wants_ack || replied) return status;
  if (!status) base::log::Warning("{}", status.error().message());
  return Reply(message, BytesOf(uint64_t{status.ok() ? 0u : 1u}));
}

Status Backend::Dispatch(Message& message, bool& replied) {
  auto reply_u64 = [&](uint64_t value) {
    replied = true;
    return Reply(message, BytesOf(value));
  };
  switch (message.request()) {
    case Request::kGetFeatures:
      return reply_u64(options_.device->Features() | kRingFeatures);
    case Request::kSetFeatures: {
      TRY_ASSIGN(uint64_t features, message.As<uint64_t>());
      return SetFeatures(features);
    }
    case Request::kGetProtocolFeatures:
      return reply_u64(ProtocolFeatures());
    case Request::kSetProtocolFeatures: {
      TRY_ASSIGN(uint64_t features, message.As<uint64_t>());
      const uint64_t unknown = features & ~ProtocolFeatures();
      if (unknown != 0)
        return MakeError(Code::kInvalidArgument, "features {:#x} were not offered", unknown);
      protocol_features_ = features;
      return {};
    }
    case Request::kGetQueueNum:
      return reply_u64(rings_.size());
    case Request::kGetMaxMemSlots:
      return reply_u64(kMaxSlots);
    case Request::kSetOwner:
      return {};
    case Request::kResetOwner:
    case Request::kResetDevice:
      return ResetDevice();
    case Request::kSetMemTable:
      return SetMemTable(message);
    case Request::kAddMemReg:
      return AddMemReg(message);
    case Request::kRemMemReg:
      return RemMemReg(message);
    case Request::kSetVringNum:
      return SetVringNum(message);
    case Request::kSetVringAddr:
      return SetVringAddr(message);
    case Request::kSetVringBase:
      return SetVringBase(message);
    case Request::kGetVringBase:
      replied = true;
      return GetVringBase(message);
    case Request::kSetVringKick:
    case Request::kSetVringCall:
    case Request::kSetVringErr:
      return SetVringFd(message);
    case Request::kSetVringEnable:
      return SetVringEnable(message);
    case Request::kGetConfig:
      replied = true;
      return GetConfig(message);
    case Request::kSetConfig:
      return SetConfig(message);
    case Request::kSetBackendRequestFd:
      return SetBackendRequestFd(message);
    case Request::kGetStatus:
      return reply_u64(status_);
    case Request::kSetStatus: {
      TRY_ASSIGN(uint64_t value, message.As<uint64_t>());
      status_ = static_cast<uint8_t>(value);
      return status_ == 0 ? ResetDevice() : Status();
    }
    case Request::kSetLogBase:
    case Request::kSetLogFd:
      break;
  }
  return MakeError(Code::kUnsupported, "not offered by this back end");
}

Status Backend::SetFeatures(uint64_t features) {
  const uint64_t offered = options_.device->Features() | kRingFeatures;
  if ((features & ~offered) != 0)
    return MakeError(Code::kInvalidArgument, "features {:#x} were not offered",
                     features & ~offered);
  for (const Ring& ring : rings_) {
    if (ring.running && features != features_)
      return MakeError(Code::kFailedPrecondition, "features change while queue {} runs",
                       ring.queue->index());
  }
  features_ = features;
  options_.device->FeaturesNegotiated(features);
  // Without protocol features there is no SET_VRING_ENABLE: rings are born enabled.
  if ((features & kFeatureProtocolFeatures) == 0)
    for (Ring& ring : rings_) ring.enabled = true;
  return {};
}

uint64_t Backend::ProtocolFeatures() const {
  return kProtocolFeatures | (options_.device->HasConfig() ? kProtocolConfig : 0) |
         (options_.device->ConfigChanges() ? kProtocolBackendRequests : 0);
}

Status Backend::SetBackendRequestFd(Message& message) {
  if (!options_.device->ConfigChanges())
    return MakeError(Code::kUnsupported, "not offered by this back end");
  if (message.fds.size() != 1)
    return MakeError(Code::kInvalidArgument, "{} descriptors", message.fds.size());
  // A front end that does not read must not stop the loop.
  TRY(base::SetNonblocking(message.fds[0].get(), true));
  to_front_end_ = std::move(message.fds[0]);
  return {};
}

void Backend::TellConfigChanged() {
  if (!to_front_end_) return;
  const auto request = static_cast<uint32_t>(BackendRequest::kConfigChange);
  if (Status status = SendMessage(to_front_end_.get(), request, 0, {}); !status)
    base::log::Warning("the front end is not told of a change: {}", status.error().message());
}

Status Backend::GetConfig(const Message& message) {
  ConfigHeader header{};
  if (message.payload.size() < sizeof header)
    return MakeError(Code::kInvalidArgument, "payload of {} bytes", message.payload.size());
  std::memcpy(&header, message.payload.data(), sizeof header);
  if (header.size > kMaxConfigBytes || header.offset > kMaxConfigBytes - header.size)
    return MakeError(Code::kInvalidArgument, "{} bytes at {} of the configuration space",
                     header.size, header.offset);
  std::array<std::byte, kMaxConfigBytes> space{};
  options_.device->ReadConfig(header.offset, std::span(space).first(header.size));
  std::string payload(BytesOf(header));
  payload.append(reinterpret_cast<const char*>(space.data()), header.size);
  return Reply(message, payload);
}

Status Backend::SetConfig(const Message& message) {
  ConfigHeader header{};
  if (message.payload.size() < sizeof header)
    return MakeError(Code::kInvalidArgument, "payload of {} bytes", message.payload.size());
  std::memcpy(&header, message.payload.data(), sizeof header);
  if (header.size > kMaxConfigBytes || header.offset > kMaxConfigBytes - header.size ||
      message.payload.size() != sizeof header + header.size)
    return MakeError(Code::kInvalidArgument, "{} bytes at {} of the configuration space",
                     header.size, header.offset);
  auto bytes = std::as_bytes(std::span(message.payload)).subspan(sizeof header);
  options_.device->WriteConfig(header.offset, bytes);
  return {};
}

Status Backend::ResetDevice() {
  StopAll();
  for (Ring& ring : rings_) {
    ring.enabled = false;
    ring.address_set = false;
    ring.base = 0;
    ring.kick.Reset();
  }
  options_.device->Reset();
  return {};
}

}  // namespace holt::vmm::vhost_user
