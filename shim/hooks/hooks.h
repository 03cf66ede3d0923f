#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "base/result.h"
#include "oci/runtime_spec.h"
#include "shim/state/layout.h"
#include "shim/state/record.h"

// The hooks that run on the host, each at its step of the life cycle (runtime-spec runtime.md,
// "Lifecycle"): the command that takes the step runs them and blocks. startContainer is the guest's
// (guest-agent/container/child.cc). docs/adr/0091-hooks-are-the-commands.md.
namespace holt::shim {

// The hooks of a sandbox, from the configuration that it was made with. Errors: it cannot be read.
base::Result<oci::Hooks> ReadHooks(const SandboxPaths& paths);

// prestart, createRuntime and createContainer, once the stub stands for the container: its pid is
// the state's. createContainer hooks run in the sandbox's mount namespace, which shows the
// container's root file system, and in the stub's network namespace. The caller undoes the creation
// after an error.
base::Status RunCreateHooks(const oci::Hooks& hooks, const Record& record);

// Before `start` returns. The caller stops the container after an error.
base::Status RunPoststartHooks(const oci::Hooks& hooks, const Record& record);

// When nothing of the container is left. What fails is a warning.
void RunPoststopHooks(const oci::Hooks& hooks, const Record& record,
                      const std::function<void(const std::string&)>& warn);

}  // namespace holt::shim
