#include "vmm/vhost_user/frontend.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace holt::vmm::vhost_user {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

using Clock = std::chrono::steady_clock;

// Without acknowledgements a refusal would go unseen.
constexpr uint64_t kNeededProtocol = kProtocolMultiQueue | kProtocolReplyAck;

// Where our process has the guest's address: back ends are told addresses of ours.
Result<uint64_t> UserAddress(const GuestMemory& memory, GuestAddr address) {
  for (size_t i = 0; i < memory.region_count(); ++i) {
    const GuestMemory::Region region = memory.region(i);
    if (address < region.start) continue;
    const uint64_t offset = address.value() - region.start.value();
    if (offset < region.size) return memory.HostAddressForKernel(i) + offset;
  }
  return MakeError(Code::kInvalidArgument, "guest address {:#x} is not memory", address.value());
}

std::string_view NameOf(std::string& storage, Request request) {
  storage = "vhost-user " + RequestName(static_cast<uint32_t>(request));
  return storage;
}

}  // namespace

Result<std::unique_ptr<Frontend>> Frontend::Connect(base::UniqueFd socket) {
  const timeval deadline{kDeadline.count(), 0};
  if (setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline) != 0)
    return HOLT_ERRNO("vhost-user socket");
  std::unique_ptr<Frontend> frontend(new Frontend(std::move(socket)));
  TRY(frontend->Negotiate());
  return frontend;
}

Status Frontend::Negotiate() {
  TRY_ASSIGN(const uint64_t offered, Ask(Request::kGetFeatures));
  if ((offered & kFeatureVersion1) == 0 || (offered & kFeatureProtocolFeatures) == 0)
    return MakeError(Code::kUnsupported,
                     "vhost-user: the back end offers features {:#x}, which is "
                     "without VERSION_1 or PROTOCOL_FEATURES",
                     offered);
  features_ = offered & ~kFeatureProtocolFeatures;
  TRY_ASSIGN(const uint64_t protocol, Ask(Request::kGetProtocolFeatures));
  if ((protocol & kNeededProtocol) != kNeededProtocol)
    return MakeError(Code::kUnsupported,
                     "vhost-user: the back end offers protocol features {:#x}, {:#x} are needed",
                     protocol, kNeededProtocol);
  const uint64_t wanted = protocol & (kNeededProtocol | kProtocolResetDevice);
  TRY(SendMessage(socket_.get(), static_cast<uint32_t>(Request::kSetProtocolFeatures), 0,
                  BytesOf(wanted)));
  protocol_features_ = wanted;
  TRY_ASSIGN(const uint64_t queues, Ask(Request::kGetQueueNum));
  if (queues == 0 || queues > kMaxQueues)
    return MakeError(Code::kInvalidArgument, "vhost-user: the back end has {} queues", queues);
  queue_count_ = static_cast<unsigned>(queues);
  TRY(Send(Request::kSetOwner, {}));
  return CollectAcks();
}

Status Frontend::Start(uint64_t features, const GuestMemory& memory, int memory_fd,
                       std::span<const ExternalQueue> queues) {
  if ((features & ~features_) != 0)
    return MakeError(Code::kInvalidArgument, "vhost-user: features {:#x} were not offered",
                     features & ~features_);
  TRY(Send(Request::kSetFeatures, BytesOf(features | kFeatureProtocolFeatures)));
  TRY(SendMemory(memory, memory_fd));
  for (const ExternalQueue& queue : queues) TRY(SendQueue(memory, queue));
  return CollectAcks();
}

Status Frontend::SendMemory(const GuestMemory& memory, int memory_fd) {
  const size_t count = memory.region_count();
  if (count > kMaxTableRegions)
    return MakeError(Code::kUnsupported, "vhost-user: {} memory regions", count);
  std::string payload(BytesOf(MemoryTableHeader{static_cast<uint32_t>(count), 0}));
  for (size_t i = 0; i < count; ++i) {
    const GuestMemory::Region region = memory.region(i);
    payload += BytesOf(MemoryRegion{region.start.value(), region.size,
                                    memory.HostAddressForKernel(i), region.fd_offset});
  }
  const std::vector<int> fds(count, memory_fd);
  return Send(Request::kSetMemTable, payload, fds);
}

Status Frontend::SendQueue(const GuestMemory& memory, const ExternalQueue& queue) {
  const uint32_t index = queue.index;
  const QueueConfig& config = queue.config;
  VringAddress address{};
  address.index = index;
  TRY_ASSIGN(address.descriptors, UserAddress(memory, config.descriptors));
  TRY_ASSIGN(address.used, UserAddress(memory, config.used));
  TRY_ASSIGN(address.available, UserAddress(memory, config.available));
  TRY(Send(Request::kSetVringNum, BytesOf(VringState{index, config.size})));
  TRY(Send(Request::kSetVringBase, BytesOf(VringState{index, config.next_available})));
  TRY(Send(Request::kSetVringAddr, BytesOf(address)));
  TRY(Send(Request::kSetVringCall, BytesOf(uint64_t{index}), std::span(&queue.call_fd, 1)));
  TRY(Send(Request::kSetVringKick, BytesOf(uint64_t{index}), std::span(&queue.kick_fd, 1)));
  return Send(Request::kSetVringEnable, BytesOf(VringState{index, 1}));
}

Status Frontend::Stop(std::span<ExternalQueue> queues) {
  for (ExternalQueue& queue : queues) {
    TRY(Send(Request::kSetVringEnable, BytesOf(VringState{queue.index, 0})));
    TRY(CollectAcks());
    // Answered by itself, not by an acknowledgement.
    TRY(SendMessage(socket_.get(), static_cast<uint32_t>(Request::kGetVringBase), 0,
                    BytesOf(VringState{queue.index, 0})));
    TRY_ASSIGN(Message answer, Receive(Request::kGetVringBase));
    TRY_ASSIGN(VringState state, answer.As<VringState>());
    if (state.index != queue.index || state.number > UINT16_MAX)
      return MakeError(Code::kInvalidArgument, "vhost-user GET_VRING_BASE: queue {} at {}",
                       state.index, state.number);
    queue.config.next_available = static_cast<uint16_t>(state.number);
  }
  if ((protocol_features_ & kProtocolResetDevice) == 0) return {};
  TRY(Send(Request::kResetDevice, {}));
  return CollectAcks();
}

Status Frontend::Send(Request request, std::string_view payload, std::span<const int> fds) {
  TRY(SendMessage(socket_.get(), static_cast<uint32_t>(request), kFlagNeedReply, payload, fds));
  unacknowledged_.push_back(request);
  return {};
}

Status Frontend::CollectAcks() {
  for (Request request : std::exchange(unacknowledged_, {})) {
    TRY_ASSIGN(Message answer, Receive(request));
    TRY_ASSIGN(uint64_t status, answer.As<uint64_t>());
    std::string name;
    if (status != 0)
      return MakeError(Code::kUnavailable, "{}: the back end refused", NameOf(name, request));
  }
  return {};
}

Result<uint64_t> Frontend::Ask(Request request) {
  TRY(SendMessage(socket_.get(), static_cast<uint32_t>(request), 0, {}));
  TRY_ASSIGN(Message answer, Receive(request));
  return answer.As<uint64_t>();
}

Result<Message> Frontend::Receive(Request request) {
  const auto end = Clock::now() + kDeadline;
  std::string name;
  while (true) {
    Message message;
    TRY_ASSIGN_CONTEXT(bool complete, reader_.Read(message), NameOf(name, request));
    if (complete) {
      if (message.request() != request || (message.header.flags & kFlagReply) == 0 ||
          !message.fds.empty())
        return MakeError(Code::kInvalidArgument, "{}: the back end answered something else ({})",
                         NameOf(name, request), RequestName(message.header.request));
      return message;
    }
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd poll_fd{socket_.get(), POLLIN, 0};
    const int ready = left <= 0 ? 0 : poll(&poll_fd, 1, static_cast<int>(left));
    if (ready == 0)
      return MakeError(Code::kDeadlineExceeded, "{}: no answer in {} s", NameOf(name, request),
                       kDeadline.count());
    if (ready < 0 && errno != EINTR) return HOLT_ERRNO("{}", NameOf(name, request));
  }
}

base::Error Frontend::Unexpected() {
  Message message;
  auto complete = reader_.Read(message);
  if (!complete) return complete.error();
  return MakeError(Code::kInvalidArgument, "vhost-user: the back end sent what nobody asked for");
}

}  // namespace holt::vmm::vhost_user
