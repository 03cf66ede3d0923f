#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "rpc/monitor.pb.h"

// The options of ps(1) that `holt ps CONTAINER` takes, as runc's does. There is no ps in the guest,
// and the host's does not see the guest's processes; so these are the ones that choose columns.
namespace holt::shim::cli {

struct PsColumn {
  std::string_view name;
  std::string_view heading;
  std::string (*cell)(const monitor::v1::ProcessInfo& process);
};

// The columns that the options ask for; without any, and with those that ask for all (-ef, aux):
// UID, PID, PPID, COMMAND. kUnsupported for what is not there.
base::Result<std::vector<const PsColumn*>> ParsePsOptions(const std::vector<std::string>& options);

}  // namespace holt::shim::cli
