#include "guest-agent/container/time_namespace.h"

#include <fcntl.h>
#include <sched.h>

#include "base/file.h"
#include "base/unique_fd.h"

namespace holt::guest_agent {

using base::UniqueFd;

base::Status EnterTimeNamespace(int proc, const std::map<std::string, oci::TimeOffset>& offsets) {
  // Only children would be in it: its clocks stand still for as long as nobody is.
  if (unshare(CLONE_NEWTIME) != 0) return HOLT_ERRNO("time namespace");
  if (!offsets.empty()) {
    std::string lines;
    for (const auto& [clock, offset] : offsets)
      lines += fmt::format("{} {} {}\n", clock, offset.secs, offset.nanosecs);
    TRY_ASSIGN(UniqueFd file, base::OpenAt(proc, "self/timens_offsets", O_WRONLY));
    TRY_CONTEXT(base::WriteFd(file.get(), lines), "linux.timeOffsets");
  }
  TRY_ASSIGN(UniqueFd made, base::OpenAt(proc, "self/ns/time_for_children", O_RDONLY));
  if (setns(made.get(), CLONE_NEWTIME) != 0) return HOLT_ERRNO("join the time namespace");
  return {};
}

}  // namespace holt::guest_agent
