#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace holt::base {

// How to start a program. Only what is named here reaches it: no other fd (CLOEXEC or not), no
// other environment.
struct SpawnOptions {
  std::vector<std::string> argv;
  std::string program;                   // the path, where that is not argv[0]
  std::vector<std::string> environment;  // "NAME=value"
  std::optional<int> executable_fd;      // exec this instead; not a script's
  // (parent's fd, child's number). Descriptors of the parent are borrowed. 0, 1, 2 that are not
  // named are opened on /dev/null.
  std::vector<std::pair<int, int>> fds;
  std::optional<uid_t> uid;  // with gid: setresgid, setgroups({}), setresuid
  std::optional<gid_t> gid;
  bool no_new_privileges = false;
  bool new_session = false;  // setsid()
  // Signal at the death of the parent *thread* (PR_SET_PDEATHSIG), 0 for none. Lost when the
  // program changes credentials, so it is set after uid and gid.
  int parent_death_signal = 0;
  // The open cgroup.procs of a cgroup that the child enters first; borrowed.
  std::optional<int> cgroup_procs_fd;
  // Open namespaces that the child joins, a mount namespace among them before the working directory
  // is changed to; borrowed.
  std::vector<int> join_namespaces;
  unsigned long unshare_flags = 0;  // CLONE_NEW* for the child, before the program starts
  // The child is the init of a pid namespace of its own, whose end is its end: without a
  // parent_death_signal. Or it joins this one; borrowed.
  bool new_pid_namespace = false;
  std::optional<int> pid_namespace;
  std::string working_directory;  // empty: the parent's
  std::optional<int> working_directory_fd;
};

// Forks and execs; returns the pid, in the caller's pid namespace. An error of any step in the
// child, exec included, comes back as the Error naming the step; the child is reaped then.
Result<pid_t> Spawn(const SpawnOptions& options);

// Text of a wait status: "exited with status 3", "killed by signal 9 (Killed)".
std::string DescribeWaitStatus(int wait_status);

// Exit status as a shell gives it: the status, or 128 + signal.
int ExitCodeFromWaitStatus(int wait_status);

}  // namespace holt::base
