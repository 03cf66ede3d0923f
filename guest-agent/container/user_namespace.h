#pragma once

#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/runtime_spec.h"

// A container's user namespace (linux.uidMappings, linux.gidMappings). Its ids outside are those of
// the guest, which are the ones that its files have on the host. The container is set up with the
// agent's privileges and moves into the namespace as the last of all (docs/adr/0092).
namespace holt::guest_agent {

bool HasUserNamespace(const oci::Config& config);

// In the agent: makes the namespace, and lets what is in it use the guest's network as root would.
base::Result<base::UniqueFd> MakeContainerUserNamespace(const oci::Linux& linux_spec);

// In the agent: the container's own cgroup belongs to its root, who may divide it.
base::Status GiveCgroupToRoot(int cgroup, const oci::Linux& linux_spec);

// In the child, around the making of files: they belong to the container's root, not to the agent.
// Capabilities stay as they are. Nothing happens without a user namespace.
base::Status BeginFilesOfRoot(const oci::Config& config);
base::Status EndFilesOfRoot(const oci::Config& config);

// In the container's first process: moves into the namespace, and makes the mount, uts and cgroup
// namespaces that it has its root's.
base::Status EnterUserNamespace(int user_namespace, const oci::Config& config);
// In an exec: joins that of the container's first process.
base::Status JoinUserNamespace(int container_pidfd, const oci::Config& config);

}  // namespace holt::guest_agent
