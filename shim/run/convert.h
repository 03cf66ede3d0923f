#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "oci/image_spec.h"
#include "oci/runtime_spec.h"
#include "shim/run/devices.h"

namespace holt::shim {

// What a person asked of `holt run`, already parsed; absent means "as the image says".
struct ContainerOptions {
  std::string id;
  std::vector<std::string> args;          // behind IMAGE
  std::optional<std::string> entrypoint;  // --entrypoint; "" is none
  std::vector<std::string> env;           // changes, as ApplyVariables takes them
  std::string working_directory;
  std::string user;
  std::string hostname;            // empty: the id
  std::vector<oci::Mount> mounts;  // of -v, --mount, --tmpfs
  bool terminal = false;
  std::optional<oci::ConsoleSize> console_size;
  bool read_only = false;
  bool no_new_privileges = false;
  bool seccomp_unconfined = false;
  std::vector<std::string> cap_add;
  std::vector<std::string> cap_drop;
  std::optional<uint64_t> memory_bytes;
  uint32_t cpus_milli = 0;
  std::optional<int64_t> pids_limit;
  uint64_t shm_bytes = 0;  // 0: the default
  std::vector<oci::Rlimit> rlimits;
  std::vector<GivenDevice> devices;  // of --device
  std::string stop_signal;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
};

// The image's configuration and the user's options as one config.json: the conversion of the OCI
// image specification ("Conversion to OCI Runtime Configuration"), and Docker's rules where that
// leaves it open. root.path is "rootfs". A user by name is resolved in the guest
// (process.user.username). The result is valid (oci::Validate). docs/cli.md lists the rules.
base::Result<oci::Config> ConvertToConfig(const oci::ImageConfig& image,
                                          const ContainerOptions& options);

// The command as a person would write it, for `ps`.
std::string DescribeCommand(const std::vector<std::string>& args);

}  // namespace holt::shim
