#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "shim/cli/command.h"
#include "shim/run/launch.h"

// Containers of OCI bundles: what `create` and `run --bundle` have in common.
namespace holt::shim::cli {

struct CreateFlags {
  std::string bundle;
  std::string pid_file;
  std::string console_socket;
  std::string accel;
  int64_t preserve_fds = 0;
  bool ignored = false;
  std::vector<std::string> operands;

  const std::string& id() const { return operands.front(); }
  // All but --accel and the operands.
  void Define(Flags& flags, std::string_view bundle_help);
};

struct BundleUse {
  // The command stays with the container: its stdio and its terminal are this process'.
  bool foreground = false;
  bool auto_remove = false;
};

struct CreatedContainer {
  Launched launched;
  bool terminal = false;
  base::UniqueFd network;  // the container's network namespace
  std::map<std::string, oci::NetDevice> net_devices;
  std::string apparmor_profile;
  std::optional<oci::Hooks> hooks;
  // To be said when all is done: of a command that fails, engines read one line.
  std::string warning;
};

// Makes the container, up to the moment before exec. On an error nothing of it is left.
base::Result<CreatedContainer> CreateFromBundle(const CreateFlags& flags, const Global& global,
                                                BundleUse use);

// The stub that stands for its process, then what is to happen before the creation is done:
// linux.netDevices, the prestart, createRuntime and createContainer hooks, and last the pid-file.
// `holder` as in StubOptions.
base::Status AddStub(const CreateFlags& flags, const Global& global,
                     const CreatedContainer& created, int holder);

// Both; the stub has this process's stdio.
base::Result<CreatedContainer> CreateWithStub(const CreateFlags& flags, const Global& global);

}  // namespace holt::shim::cli
