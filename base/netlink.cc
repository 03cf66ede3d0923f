#include "base/netlink.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace holt::base {
namespace {

constexpr size_t Align(size_t bytes) { return (bytes + 3) & ~size_t{3}; }

// The kernel fills at most 32 KiB of it (NLMSG_GOODSIZE of a dump).
constexpr size_t kDatagramBytes = 64 << 10;
// A namespace with more than this in one dump is not a container's.
constexpr size_t kMaxMessages = 65536;
constexpr int kAttempts = 5;
// The kernel answers at once; this is for a socket that never does.
constexpr int kAnswerMs = 10'000;

// The error's text, with the kernel's own explanation (NLMSGERR_ATTR_MSG) where there is one.
Error AnswerError(const nlmsgerr& answer, uint16_t flags, std::span<const std::byte> rest) {
  std::string words = "netlink";
  // Without CAPPED the failed request stands between the error and its explanation.
  size_t skip = 0;
  if ((flags & NLM_F_CAPPED) == 0 && answer.msg.nlmsg_len >= sizeof(nlmsghdr))
    skip = Align(answer.msg.nlmsg_len) - sizeof(nlmsghdr);
  if ((flags & NLM_F_ACK_TLVS) != 0 && skip < rest.size()) {
    auto attributes = NetlinkAttributes::Parse(rest.subspan(skip));
    if (attributes && attributes->Has(NLMSGERR_ATTR_MSG))
      words += ": " + attributes->String(NLMSGERR_ATTR_MSG);
  }
  return ErrnoError(-answer.error, words);
}

}  // namespace

NetlinkRequest::NetlinkRequest(uint16_t type, uint16_t flags) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  Append(std::as_bytes(std::span(&header, 1)));
}

void NetlinkRequest::Append(std::span<const std::byte> bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  bytes_.resize(Align(bytes_.size()));
}

void NetlinkRequest::Attribute(uint16_t type, std::span<const std::byte> value) {
  HOLT_CHECK(value.size() <= UINT16_MAX - sizeof(nlattr));
  nlattr header{static_cast<uint16_t>(sizeof header + value.size()), type};
  Append(std::as_bytes(std::span(&header, 1)));
  Append(value);
}

void NetlinkRequest::String(uint16_t type, const std::string& value) {
  Attribute(type, std::as_bytes(std::span(value.c_str(), value.size() + 1)));
}

size_t NetlinkRequest::Begin(uint16_t type) {
  const size_t begun = bytes_.size();
  Attribute(static_cast<uint16_t>(type | NLA_F_NESTED), {});
  return begun;
}

void NetlinkRequest::End(size_t begun) {
  const size_t bytes = bytes_.size() - begun;
  HOLT_CHECK(bytes <= UINT16_MAX);
  const auto length = static_cast<uint16_t>(bytes);
  std::memcpy(bytes_.data() + begun + offsetof(nlattr, nla_len), &length, sizeof length);
}

Result<NetlinkAttributes> NetlinkAttributes::Parse(std::span<const std::byte> bytes) {
  NetlinkAttributes attributes;
  while (bytes.size() >= sizeof(nlattr)) {
    nlattr header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.nla_len < sizeof header || header.nla_len > bytes.size())
      return MakeError(Code::kDataLoss, "netlink: attribute of {} bytes in {}", header.nla_len,
                       bytes.size());
    const auto type = static_cast<uint16_t>(header.nla_type & NLA_TYPE_MASK);
    attributes.values_[type] = bytes.subspan(sizeof header, header.nla_len - sizeof header);
    bytes = bytes.subspan(std::min(Align(header.nla_len), bytes.size()));
  }
  return attributes;
}

std::span<const std::byte> NetlinkAttributes::Raw(uint16_t type) const {
  auto it = values_.find(type);
  return it == values_.end() ? std::span<const std::byte>() : it->second;
}

std::string NetlinkAttributes::Bytes(uint16_t type) const {
  const auto raw = Raw(type);
  return {reinterpret_cast<const char*>(raw.data()), raw.size()};
}

std::string NetlinkAttributes::String(uint16_t type) const {
  std::string text = Bytes(type);
  return text.substr(0, text.find('\0'));
}

Status ParseNetlinkDatagram(std::span<const std::byte> datagram, uint32_t sequence,
                            std::vector<NetlinkMessage>& messages, bool& done, bool& interrupted) {
  while (datagram.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header;
    std::memcpy(&header, datagram.data(), sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > datagram.size())
      return MakeError(Code::kDataLoss, "netlink: message of {} bytes in {}", header.nlmsg_len,
                       datagram.size());
    const auto payload = datagram.subspan(sizeof header, header.nlmsg_len - sizeof header);
    datagram = datagram.subspan(std::min(Align(header.nlmsg_len), datagram.size()));
    // What is left of a dump that was given up.
    if (header.nlmsg_seq != sequence) continue;
    if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted = true;
    if (header.nlmsg_type == NLMSG_ERROR) {
      nlmsgerr answer;
      if (payload.size() < sizeof answer)
        return MakeError(Code::kDataLoss, "netlink: answer of {} bytes", payload.size());
      std::memcpy(&answer, payload.data(), sizeof answer);
      done = true;
      if (answer.error >= 0) return {};
      return AnswerError(answer, header.nlmsg_flags, payload.subspan(sizeof answer));
    }
    if (header.nlmsg_type == NLMSG_DONE) {
      done = true;
      return {};
    }
    if (messages.size() == kMaxMessages)
      return MakeError(Code::kResourceExhausted, "netlink: more than {} messages", kMaxMessages);
    messages.push_back({header.nlmsg_type, {payload.begin(), payload.end()}});
  }
  return {};
}

Result<NetlinkSocket> NetlinkSocket::Open() {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return HOLT_ERRNO("netlink: socket");
  const int on = 1;
  // Explanations and strict filters are welcome, not needed.
  (void)setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  (void)setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  (void)setsockopt(fd.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  return NetlinkSocket(std::move(fd));
}

Result<UniqueFd> NetlinkSocket::Subscribe(uint32_t groups) {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!fd) return HOLT_ERRNO("netlink: socket");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return HOLT_ERRNO("netlink: subscribe");
  return fd;
}

Result<std::vector<NetlinkMessage>> NetlinkSocket::Exchange(const NetlinkRequest& request,
                                                            uint16_t flags, bool& interrupted) {
  std::vector<std::byte> bytes(request.bytes().begin(), request.bytes().end());
  nlmsghdr header;
  std::memcpy(&header, bytes.data(), sizeof header);
  header.nlmsg_len = static_cast<uint32_t>(bytes.size());
  header.nlmsg_flags |= flags;
  header.nlmsg_seq = ++sequence_;
  std::memcpy(bytes.data(), &header, sizeof header);
  if (send(fd_.get(), bytes.data(), bytes.size(), 0) < 0) return HOLT_ERRNO("netlink: send");
  std::vector<NetlinkMessage> messages;
  std::vector<std::byte> datagram(kDatagramBytes);
  bool done = false;
  while (!done) {
    pollfd wait{fd_.get(), POLLIN, 0};
    const int ready = poll(&wait, 1, kAnswerMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready != 1) return MakeError(Code::kDeadlineExceeded, "netlink: no answer");
    const ssize_t got = recv(fd_.get(), datagram.data(), datagram.size(), MSG_TRUNC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return HOLT_ERRNO("netlink: receive");
    if (got == 0) return MakeError(Code::kUnavailable, "netlink: closed");
    if (static_cast<size_t>(got) > datagram.size())
      return MakeError(Code::kDataLoss, "netlink: datagram of {} bytes", got);
    TRY(ParseNetlinkDatagram(std::span(datagram).first(static_cast<size_t>(got)), sequence_,
                             messages, done, interrupted));
  }
  return messages;
}

Status NetlinkSocket::Do(const NetlinkRequest& request) {
  bool interrupted = false;
  TRY(Exchange(request, NLM_F_ACK, interrupted));
  return {};
}

Result<std::vector<NetlinkMessage>> NetlinkSocket::Dump(const NetlinkRequest& request) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    bool interrupted = false;
    TRY_ASSIGN(auto messages, Exchange(request, NLM_F_DUMP, interrupted));
    if (!interrupted) return messages;
  }
  return MakeError(Code::kUnavailable, "netlink: what is listed keeps changing");
}

}  // namespace holt::base
