#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/netlink.h"
#include "base/unique_fd.h"

namespace holt::guest_agent {

// The machine's network devices. Those that no interface is joined to are put away, in a network
// namespace that only the agent has: containers see the interfaces that they have, and nothing of a
// device that is put away stays with it.
class Devices {
 public:
  struct Device {
    int index = 0;
    std::string name;
  };
  // Those in a namespace, by the address that they came with, whatever they have now.
  static base::Result<std::map<std::string, Device>> List(base::NetlinkSocket& netlink);

  // Both ask of and change the guest's own namespace by `netlink`; not to have anything to do is no
  // error.
  base::Status PutAway(base::NetlinkSocket& netlink, const std::string& mac);
  base::Status TakeOut(const std::string& mac);

 private:
  // The namespace of those that are put away, made when the first one is.
  struct Drawer {
    base::UniqueFd home;  // the guest's own
    base::UniqueFd away;
    base::NetlinkSocket netlink;  // in `away`
  };
  base::Status OpenDrawer();

  std::optional<Drawer> drawer_;
};

}  // namespace holt::guest_agent
