#pragma once

#include <map>
#include <string>
#include <vector>

#include "oci/runtime_spec.h"

namespace holt::guest_agent {

// What a forked child needs to become a process of a container. Descriptors are the agent's,
// inherited by the fork; every other one is closed first of all, so that nothing in the container
// can reach it.
struct ChildPlan {
  const oci::Config* config = nullptr;
  const oci::Process* process = nullptr;  // of the container, or of the exec
  std::string container_id;
  bool terminal = false;
  std::optional<oci::ConsoleSize> console_size;
  int channel = -1;
  int standard[3] = {-1, -1, -1};  // -1: /dev/null; unused with a terminal
  std::vector<int> others;         // 3 and following
  // The container's first process only:
  int share = -1;
  int cgroup = -1;
  int user_namespace = -1;  // if it has one
  std::string mount_point;
  std::map<std::string, std::string> sockets;  // RootfsInputs
  std::string bundle;                          // the host's, for the state that hooks get
  // An exec only: the container's first process, whose namespaces are joined (the pid namespace is
  // already: the child is born in it).
  int container_pidfd = -1;

  bool is_exec() const { return container_pidfd >= 0; }
};

// Sets the process up, reports over the channel, waits for go, executes. Never returns. It
// allocates freely: the agent has one thread, so a fork of it is a whole process (docs/adr/0041).
[[noreturn]] void RunChild(const ChildPlan& plan);

}  // namespace holt::guest_agent
