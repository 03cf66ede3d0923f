#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "base/unique_fd.h"
#include "guest-agent/container/child.h"

namespace holt::guest_agent {

struct Launched {
  pid_t pid = -1;
  base::UniqueFd pidfd;
};

// Forks the child that RunChild(plan) runs in: straight into the cgroup `plan.cgroup` (or, if a
// program of the container made that an inner node, the one of the container's first process,
// `fallback_cgroup`) and into new namespaces, or, for an exec, into the container's pid namespace.
base::Result<Launched> Launch(const ChildPlan& plan, int fallback_cgroup = -1);

}  // namespace holt::guest_agent
