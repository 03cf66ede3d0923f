#include "shim/network/leftovers.h"

#include <net/if.h>

#include <memory>

#include "base/file.h"
#include "shim/network/namespace.h"
#include "shim/network/redirect.h"

namespace holt::shim::network {

base::Status RemoveLeftovers(const std::string& path) {
  if (path.empty()) return {};
  auto opened = OpenNamespace(path);
  // Its name may be something else's now.
  if (!opened) return {};
  return RunInNamespace(opened->get(), []() -> base::Status {
    TRY_ASSIGN(auto netlink, base::NetlinkSocket::Open());
    std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex*)> all(if_nameindex(),
                                                                             if_freenameindex);
    if (!all) return HOLT_ERRNO("list the interfaces");
    base::Status first;
    for (const struct if_nameindex* one = all.get(); one->if_index != 0; ++one) {
      auto removed = RemoveDeadRedirect(netlink, static_cast<int>(one->if_index));
      if (!removed && first) first = std::move(removed).error().Wrap(one->if_name);
    }
    return first;
  });
}

}  // namespace holt::shim::network
