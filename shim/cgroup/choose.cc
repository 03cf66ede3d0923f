#include "shim/cgroup/choose.h"

#include "shim/cgroup/limits.h"
#include "shim/cgroup/place.h"
#include "shim/cgroup/scope.h"
#include "shim/cgroup/scope_name.h"
#include "shim/cgroup/scope_properties.h"

namespace holt::shim {

using base::Code;
using base::MakeError;

namespace {

base::Result<CgroupChoice> ChooseScope(const std::string& path, const oci::Config& config,
                                       const std::string& id) {
  auto missing = [](const char* what) {
    return MakeError(Code::kUnsupported,
                     "--cgroup-manager systemd (--systemd-cgroup): {}: use --cgroup-manager "
                     "cgroupfs",
                     what);
  };
  if (!HostHasCgroup2()) return missing("needs cgroup v2 on the host, and it has v1");
  if (!HostHasSystemd()) return missing("systemd does not run this host");
  // Before anything is made; it is the monitor that uses them.
  TRY(AnnotatedProperties(config.annotations));
  TRY_ASSIGN(ScopeName name, ParseScopeName(path, id));
  return CgroupChoice{.place = std::move(name.place), .scope = true, .warning = ""};
}

}  // namespace

base::Result<CgroupChoice> ChooseCgroup(const std::string& manager, const oci::Config& config,
                                        const std::string& id) {
  const std::string path = config.linux_ ? config.linux_->cgroups_path : "";
  if (manager == "systemd") return ChooseScope(path, config, id);
  CgroupChoice choice;
  if (manager != "disabled" && HostHasCgroup2()) {
    TRY_ASSIGN(std::string own, OwnCgroup());
    TRY_ASSIGN(choice.place, ResolvePlace(path, id, own));
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
