#pragma once

#include "base/netlink.h"

// What joins an interface and a tap: whatever arrives at one leaves by the other (tc-mirred(8)).
namespace holt::shim::network {

// Everything that arrives at `from` leaves by `to`, from now on or already. kAlreadyExists when
// something that arrives there goes to another device, as it does when another machine has the
// interface; what was left behind by one that died is replaced. True: the queueing discipline
// clsact had to be made for it, and is the caller's to remove.
base::Result<bool> Redirect(base::NetlinkSocket& netlink, int from, int to);

// Undoes it, with clsact and all of its filters if `made`. What was not there is no error.
base::Status Unredirect(base::NetlinkSocket& netlink, int from, bool made);

// Undoes one whose `to` is gone: its machine died and could not. What is not there is no error.
base::Status RemoveDeadRedirect(base::NetlinkSocket& netlink, int from);

}  // namespace holt::shim::network
