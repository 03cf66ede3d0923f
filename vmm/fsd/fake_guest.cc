#include "vmm/fsd/fake_guest.h"

#include <array>

namespace holt::fsd {
namespace {

constexpr uint64_t kRequestAt = 0x100000;
constexpr uint64_t kReplyAt = 0x400000;

}  // namespace

Reply FakeGuest::Init(uint32_t major, uint32_t minor) {
  fuse_init_in in{};
  in.major = major;
  in.minor = minor;
  in.max_readahead = 128 << 10;
  in.flags = UINT32_MAX;
  in.flags2 = UINT32_MAX;
  return Send(FUSE_INIT, 0, Bytes(in));
}

Reply FakeGuest::Send(uint32_t opcode, uint64_t nodeid, std::string_view payload, uint32_t room) {
  fuse_in_header header{};
  header.len = static_cast<uint32_t>(sizeof header + payload.size());
  header.opcode = opcode;
  header.unique = ++unique_;
  header.nodeid = nodeid;
  header.uid = uid;
  header.gid = gid;
  return SendRaw(Bytes(header) + std::string(payload),
                 static_cast<uint32_t>(sizeof(fuse_out_header)) + room);
}

Reply FakeGuest::SendRaw(std::string_view bytes, uint32_t room) {
  if (!started_) {
    HOLT_CHECK(queue_.Start(memory_, driver_.Config()).ok());
    started_ = true;
  }
  driver_.WriteBytes(kRequestAt, bytes);
  driver_.WriteBytes(kReplyAt, std::string(sizeof(fuse_out_header), '\xff'));
  std::vector<vmm::FakeDriver::Buffer> buffers;
  if (!bytes.empty()) buffers.push_back({kRequestAt, static_cast<uint32_t>(bytes.size()), false});
  if (room > 0) buffers.push_back({kReplyAt, room, true});
  if (buffers.empty()) return {};
  driver_.Offer(0, buffers);
  vmm::DescriptorChain chain;
  auto popped = queue_.Pop(chain);
  HOLT_CHECK(popped.ok() && *popped);
  const uint16_t head = chain.head;
  auto written = server_->Handle(worker_, chain);
  if (!written) {
    // The head stays in flight; the driver goes on with a queue of its own, as if it were another
    // one.
    queue_.Push(head, 0);
    return {};
  }
  queue_.Push(head, *written);
  return Take(*written);
}

Reply FakeGuest::Take(uint32_t written) const {
  Reply reply;
  if (written < sizeof(fuse_out_header)) return reply;
  const std::string bytes = driver_.ReadBytes(kReplyAt, written);
  fuse_out_header header{};
  __builtin_memcpy(&header, bytes.data(), sizeof header);
  reply.answered = header.len == written;
  reply.error = -header.error;
  reply.body = bytes.substr(sizeof header);
  return reply;
}

void FakeGuest::Complete(vmm::DescriptorChain, uint32_t written) { late_.push_back(written); }

Reply FakeGuest::Late() {
  if (late_.empty()) return {};
  const uint32_t written = late_.front();
  late_.erase(late_.begin());
  return Take(written);
}

}  // namespace holt::fsd
