#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"
#include "shim/state/layout.h"

// Freeing what a sandbox left behind whose monitor is dead. Each function may be called again after
// it was cut off at any point, and by several processes at once.
namespace holt::shim {

// Everything of one sandbox: its processes, its cgroup, its hold on a network namespace, its root
// file system in the image store, its directory. kFailedPrecondition when its monitor is alive. A
// sandbox that does not exist is no error.
base::Status Cleanup(const std::string& root, const std::string& id);

// The same for one that may be alive: its monitor is asked to end (SIGTERM: the container is killed
// and the machine torn down), and killed when it has not after `patience`. For `rm -f`,
// `delete --force`.
base::Status ForceCleanup(const std::string& root, const std::string& id,
                          std::chrono::milliseconds patience = std::chrono::seconds(10));

// The root file system and the directory, for who holds the sandbox's lock and knows that its
// processes are gone. The id is free as soon as the directory has gone from under its name.
base::Status RemoveSandbox(const std::string& root, const std::string& id,
                           const std::string& store);

// For `gc`: directories of Begin() whose maker died, and sandboxes that nobody can have seen
// started (their start was cut off). Stopped sandboxes stay, without a cgroup: they have an exit
// status to tell.
// Returns what was removed, by name; an error names the first that could not be, after all were
// tried.
struct CleanedUp {
  std::vector<std::string> removed;
  base::Status status;
};
CleanedUp CleanupDebris(const std::string& root);

}  // namespace holt::shim
