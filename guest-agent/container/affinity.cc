#include "guest-agent/container/affinity.h"

#include <sched.h>

#include "oci/cpu_list.h"

namespace holt::guest_agent {

base::Status SetAffinity(const std::string& list, const std::string& path) {
  if (list.empty()) return {};
  TRY_ASSIGN(auto ranges, oci::ParseCpuList(list, path));
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const oci::CpuRange& range : ranges) {
    if (range.last >= CPU_SETSIZE)
      return base::MakeError(base::Code::kInvalidArgument, "{}: there is no CPU {}", path,
                             range.last);
    for (uint32_t cpu = range.first; cpu <= range.last; ++cpu) CPU_SET(cpu, &set);
  }
  if (sched_setaffinity(0, sizeof set, &set) != 0) return HOLT_ERRNO("{}: {}", path, list);
  return {};
}

}  // namespace holt::guest_agent
