#pragma once

// The host's systemd as a test asks it.

#include "base/file.h"
#include "tests/e2e/holt.h"

namespace holt {

// It is PID 1, and cgroup v2 is all that there is.
inline bool HostHasSystemd() {
  return base::PathExists("/run/systemd/system") &&
         base::PathExists("/sys/fs/cgroup/cgroup.controllers");
}
// What it says, without the last line end.
inline std::string Systemctl(std::vector<std::string> args) {
  args.insert(args.begin(), {"/bin/systemctl", "--no-pager"});
  std::string out = Program::Start(args, {})->Finish().out;
  while (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}
// A unit's property.
inline std::string ShowUnit(const std::string& unit, const std::string& property) {
  return Systemctl({"show", "--value", "-p", property, unit});
}
// A line for each that matches, failed ones too; of one that is gone nothing is loaded.
inline std::string ListUnits(std::vector<std::string> patterns) {
  patterns.insert(patterns.begin(), {"list-units", "--all", "--plain", "--no-legend"});
  return Systemctl(patterns);
}

}  // namespace holt
