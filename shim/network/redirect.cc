#include "shim/network/redirect.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>

#include <cstring>
#include <optional>
#include <string>

namespace holt::shim::network {
namespace {

using base::Code;
using base::NetlinkAttributes;
using base::NetlinkMessage;
using base::NetlinkRequest;
using base::NetlinkSocket;
using base::Result;
using base::Status;

// Behind whatever an engine put there to limit or watch what comes.
constexpr uint32_t kPriority = 50000;
// The cookie of a redirect whose clsact was made for it.
constexpr std::string_view kMadeQdisc = "holt:clsact";
constexpr uint32_t kIngress = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);

tcmsg FilterHeader(int index, uint32_t priority) {
  tcmsg header{};
  header.tcm_ifindex = index;
  header.tcm_parent = kIngress;
  // Both in one number: priority and, in network order, protocol.
  header.tcm_info = TC_H_MAKE(priority << 16, htons(ETH_P_ALL));
  return header;
}

NetlinkRequest QdiscRequest(uint16_t type, uint16_t flags, int index) {
  NetlinkRequest request(type, flags);
  tcmsg header{};
  header.tcm_ifindex = index;
  header.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
  header.tcm_parent = TC_H_CLSACT;
  request.Header(header);
  request.String(TCA_KIND, "clsact");
  return request;
}

// False when there is one: an engine's own, or that of a machine that died. Its filters stay.
Result<bool> AddQdisc(NetlinkSocket& netlink, int index) {
  Status added = netlink.Do(QdiscRequest(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index));
  if (!added && added.error().err() == EEXIST) return false;
  if (!added) return std::move(added).error();
  return true;
}

Status IgnoreMissing(Status removed) {
  const int err = removed ? 0 : removed.error().err();
  if (err == ENOENT || err == EINVAL || err == ENODEV) return {};
  return removed;
}

// u32 with one key that is always true: the classifier that every kernel with any has.
Status AddFilter(NetlinkSocket& netlink, int from, int to, bool made_qdisc) {
  NetlinkRequest request(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL);
  request.Header(FilterHeader(from, kPriority));
  request.String(TCA_KIND, "u32");
  const size_t options = request.Begin(TCA_OPTIONS);
  tc_u32_sel selector{};
  selector.flags = TC_U32_TERMINAL;
  selector.nkeys = 1;
  // The key, whose mask is zero, follows it.
  std::string match(sizeof selector + sizeof(tc_u32_key), '\0');
  std::memcpy(match.data(), &selector, sizeof selector);
  request.Bytes(TCA_U32_SEL, match);
  const size_t actions = request.Begin(TCA_U32_ACT);
  const size_t first = request.Begin(1);
  request.String(TCA_ACT_KIND, "mirred");
  if (made_qdisc) request.Bytes(TCA_ACT_COOKIE, kMadeQdisc);
  const size_t parameters = request.Begin(TCA_ACT_OPTIONS);
  tc_mirred mirred{};
  mirred.action = TC_ACT_STOLEN;
  mirred.eaction = TCA_EGRESS_REDIR;
  mirred.ifindex = static_cast<uint32_t>(to);
  request.Value(TCA_MIRRED_PARMS, mirred);
  request.End(parameters);
  request.End(first);
  request.End(actions);
  request.End(options);
  return netlink.Do(request);
}

struct Found {
  uint32_t target = 0;  // the device's number; 0 when that is gone
  bool made_qdisc = false;
};

// What a filter of ours does; nothing when the message is no such filter.
Result<std::optional<Found>> ParseFilter(const NetlinkMessage& message) {
  if (message.type != RTM_NEWTFILTER) return std::nullopt;
  TRY_ASSIGN(auto header, message.Header<tcmsg>());
  TRY_ASSIGN(auto attributes, message.Attributes<tcmsg>());
  if (TC_H_MAJ(header.tcm_info) >> 16 != kPriority || attributes.String(TCA_KIND) != "u32")
    return std::nullopt;
  TRY_ASSIGN(auto options, NetlinkAttributes::Parse(attributes.Raw(TCA_OPTIONS)));
  TRY_ASSIGN(auto actions, NetlinkAttributes::Parse(options.Raw(TCA_U32_ACT)));
  TRY_ASSIGN(auto action, NetlinkAttributes::Parse(actions.Raw(1)));
  TRY_ASSIGN(auto parameters, NetlinkAttributes::Parse(action.Raw(TCA_ACT_OPTIONS)));
  auto mirred = parameters.Value<tc_mirred>(TCA_MIRRED_PARMS);
  if (!mirred) return std::nullopt;
  return Found{mirred->ifindex, action.Bytes(TCA_ACT_COOKIE) == kMadeQdisc};
}

// The redirect of ours there. Of several, which nobody makes, one that leads somewhere.
Result<std::optional<Found>> FindRedirect(NetlinkSocket& netlink, int index) {
  NetlinkRequest request(RTM_GETTFILTER);
  request.Header(FilterHeader(index, 0));
  auto messages = netlink.Dump(request);
  if (!messages) return std::move(messages).error();
  std::optional<Found> found;
  for (const NetlinkMessage& message : *messages) {
    TRY_ASSIGN(auto one, ParseFilter(message));
    if (one && (!found || found->target == 0)) found = one;
  }
  return found;
}

}  // namespace

Result<bool> Redirect(NetlinkSocket& netlink, int from, int to) {
  TRY_ASSIGN_CONTEXT(bool made, AddQdisc(netlink, from), "queueing discipline clsact");
  TRY_ASSIGN(const auto found, FindRedirect(netlink, from));
  if (found && found->target == static_cast<uint32_t>(to)) return made;
  if (found && found->target != 0)
    return base::Error(Code::kAlreadyExists, "another machine has it");
  // What one that died had made is ours now.
  if (found && found->made_qdisc) made = true;
  TRY(Unredirect(netlink, from, false));
  Status added = AddFilter(netlink, from, to, made);
  if (added) return made;
  if (made) (void)Unredirect(netlink, from, true);
  return std::move(added).error().Wrap("redirect");
}

Status RemoveDeadRedirect(NetlinkSocket& netlink, int from) {
  TRY_ASSIGN(const auto found, FindRedirect(netlink, from));
  if (!found || found->target != 0) return {};
  return Unredirect(netlink, from, found->made_qdisc);
}

Status Unredirect(NetlinkSocket& netlink, int from, bool made) {
  if (made) return IgnoreMissing(netlink.Do(QdiscRequest(RTM_DELQDISC, 0, from)));
  NetlinkRequest request(RTM_DELTFILTER);
  request.Header(FilterHeader(from, kPriority));
  return IgnoreMissing(netlink.Do(request));
}

}  // namespace holt::shim::network
