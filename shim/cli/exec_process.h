#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "oci/runtime_spec.h"
#include "shim/cli/flags.h"
#include "shim/state/registry.h"

namespace holt::shim::cli {

// The command line of `holt exec`, which is Docker's and runc's at once.
struct ExecFlags {
  bool interactive = false;
  bool terminal = false;
  bool detach = false;
  std::vector<std::string> env;
  std::vector<std::string> env_files;
  std::string working_directory;
  std::string user;
  std::vector<std::string> additional_gids;
  std::vector<std::string> cap_add;
  bool no_new_privileges = false;
  std::string apparmor;
  std::string process_label;
  std::string process_file;
  std::string pid_file;
  std::string console_socket;
  std::string cgroup;
  bool ignore_paused = false;
  int64_t preserve_fds = 0;
  std::vector<std::string> operands;

  // An engine's call: the process is watched by a pid of this host.
  bool of_an_engine() const {
    return !process_file.empty() || !pid_file.empty() || !console_socket.empty();
  }

  void Define(Flags& flags);
  // What holt cannot do, or what does not go together.
  base::Status Check() const;
};

// The process that the flags ask for: that of the file, or what the container's own is like, with
// the flags' changes.
base::Result<oci::Process> MakeExecProcess(const ExecFlags& flags, const Sandbox& sandbox);

}  // namespace holt::shim::cli
