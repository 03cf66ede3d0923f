#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cgroup/cgroup.h"
#include "oci/runtime_spec.h"
#include "shim/cgroup/limits.h"

namespace holt::shim {

// A sandbox's directory in the host's cgroup v2 hierarchy, with everything of the sandbox in it:
// the monitor, the machine, the file server, the stubs. It is marked as the sandbox's (an extended
// attribute), so that who cleans up never takes away what an engine gave to another one since. Goes
// with RemoveHostCgroup(), not with the object.
class HostCgroup {
 public:
  // That systemd makes it, as a scope.
  struct Scope {
    std::string program;                  // holt-scope
    std::string description;              // for people
    std::vector<std::string> properties;  // AnnotatedProperties()
  };
  struct Options {
    std::string place;  // below the hierarchy: ResolvePlace()
    std::string owner;  // no other sandbox's: its state directory
    HostBudget budget;
    std::optional<Scope> scope;  // with a place of ParseScopeName()
  };

  // Makes it, and parents that are missing; gives them controllers where that is possible; applies
  // the limits that are to be there before the machine. One that is there already is taken if it
  // has no process; with a scope the calling process is in it from here on. kUnsupported names the
  // property and the controller that is missing.
  static base::Result<HostCgroup> Create(Options options, const oci::Resources& resources);

  HostCgroup(HostCgroup&&) = default;
  HostCgroup& operator=(HostCgroup&&) = default;

  // The calling process enters, and with it what it starts from then on.
  base::Status Enter();
  // The limits that would have slowed the boot down.
  base::Status ApplyBandwidth();
  // New limits of a running container, linux.resources as `update` has it; what is absent stays.
  // The machine keeps its memory, so a memory limit never goes below what it has.
  base::Status Update(const oci::Resources& resources);
  // The calling process, alone, goes back to where it came from, so that this can be removed.
  base::Status Leave();
  // Processes that the kernel killed because the host's limit was reached.
  uint64_t OomKills() const { return cgroup_.OomKills(); }

 private:
  HostCgroup(Options options, cgroup::Cgroup made, std::string home)
      : options_(std::move(options)), cgroup_(std::move(made)), home_(std::move(home)) {}
  // Writes, and tells systemd what it would undo otherwise.
  base::Status Apply(const std::vector<cgroup::CgroupWrite>& writes);

  Options options_;
  cgroup::Cgroup cgroup_;
  std::string home_;
  std::vector<cgroup::CgroupWrite> bandwidth_;
};

// Removes the cgroup at `place` if it is `owner`'s: waits `patience` for its processes to end, then
// kills them. One that does not exist, or is another's, is no error. With `kill` false an occupied
// one stays, which is no error either.
base::Status RemoveHostCgroup(const std::string& place, const std::string& owner, bool kill,
                              std::chrono::milliseconds patience = std::chrono::milliseconds(0));

}  // namespace holt::shim
