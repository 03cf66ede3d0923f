#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace holt::shim {

// A process that can be told from a later one with the same pid: by when it began, in clock ticks
// since the boot (field 22 of /proc/<pid>/stat, proc(5)).
struct ProcessIdentity {
  std::string name;
  int32_t pid = 0;
  uint64_t start_ticks = 0;
};

// kNotFound when there is no such process (a zombie counts as one that is there).
base::Result<ProcessIdentity> IdentifyProcess(pid_t pid, std::string name);

// Sends the signal if it is still that process; one that is gone is no error.
base::Status SignalProcess(const ProcessIdentity& process, int signal);

// SIGKILL, then waits until it has ended; kDeadlineExceeded when it has not.
base::Status KillProcess(const ProcessIdentity& process, std::chrono::milliseconds deadline);

// SIGKILL to every process of this user id (which is nobody's on this host: see uid_lease.h).
base::Status KillAllOfUser(uid_t uid);

}  // namespace holt::shim
