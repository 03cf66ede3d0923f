#pragma once

#include <string_view>

#include "base/result.h"
#include "oci/runtime_spec.h"

// Which properties that a valid config.json sets holt cannot honour yet. Each is an error that
// names the property (kUnsupported), never a silent drop. A property is taken out of here in the
// change that makes it work.
namespace holt::oci {

// What the guest's container engine cannot do.
base::Status CheckGuestSupport(const Config& config);
base::Status CheckGuestSupport(const Process& process);
base::Status CheckGuestSupport(const Resources& resources);

inline constexpr std::string_view kNoAppArmorProfile = "unconfined";

// Whether this AppArmor profile is what engines give a container for which nobody asked for one
// (Docker's "docker-default"), or "unconfined". What it forbids keeps a container from harming the
// kernel that it runs on: to the host's kernel the stub is the container, so the stub is given it;
// the container's processes are in a machine. ADR 105.
bool IsDefaultAppArmorProfile(std::string_view name);

// What the host side cannot do: hooks, network namespaces, `vm`, Intel RDT and the like.
base::Status CheckHostSupport(const Config& config);

// Both.
base::Status CheckSupported(const Config& config);

}  // namespace holt::oci
