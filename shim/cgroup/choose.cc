#include "shim/cgroup/choose.h"

#include "shim/cgroup/limits.h"
#include "shim/cgroup/place.h"

namespace holt::shim {

using base::Code;
using base::MakeError;

base::Result<CgroupChoice> ChooseCgroup(const std::string& manager, const oci::Config& config,
                                        const std::string& id) {
  if (manager == "systemd")
    return MakeError(
        Code::kUnsupported,
        "--cgroup-manager systemd (--systemd-cgroup): not supported yet: use cgroupfs");
  CgroupChoice choice;
  if (manager != "disabled" && HostHasCgroup2()) {
    TRY_ASSIGN(std::string own, OwnCgroup());
    TRY_ASSIGN(choice.place,
               ResolvePlace(config.linux_ ? config.linux_->cgroups_path : "", id, own));
    return choice;
  }
  if (!config.linux_ || !config.linux_->resources) return choice;
  TRY_ASSIGN(auto only_here, HostOnlyProperties(*config.linux_->resources));
  if (!only_here.empty())
    return MakeError(Code::kUnsupported, "{}: {}", only_here.front(),
                     manager == "disabled"
                         ? "needs a cgroup on the host (--cgroup-manager disabled)"
                         : "needs cgroup v2 on the host, and it has v1");
  TRY_ASSIGN(bool limited, HasHostLimits(*config.linux_->resources));
  if (limited && manager != "disabled")
    choice.warning =
        "this host has cgroup v1: the limits of linux.resources are enforced in the guest only";
  return choice;
}

}  // namespace holt::shim
