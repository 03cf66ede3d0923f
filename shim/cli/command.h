#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "shim/cgroup/limits.h"
#include "shim/cli/flags.h"
#include "shim/state/registry.h"

// What a subcommand is: each lives in a file of its own, shim/cli/<name>.cc.
namespace holt::shim::cli {

// The flags in front of the subcommand.
struct Global {
  std::string root;   // --root: the sandboxes' state
  std::string store;  // --store: the images
  std::string log;    // --log: errors go there too
  std::string log_format = "text";
  bool debug = false;
  std::string cgroup_manager = "cgroupfs";  // cgroupfs, systemd, disabled
  bool systemd_cgroup = false;              // runc's flag for the second
  uint64_t machine_overhead = kDefaultMachineOverhead;

  Registry registry() const { return Registry(root); }
};

// Runs the subcommand and returns its exit status. An error is printed by the caller, which exits
// with Subcommand::error_status.
using Body = std::function<base::Result<int>(const Global&)>;

enum class Group { kRun, kImages, kRuntime, kHost };

struct Subcommand {
  std::string_view name;
  Group group = Group::kRun;
  std::string_view summary;
  // Adds the flags and operands, and returns what uses them.
  std::function<Body(Flags&)> define;
  // Of an error of holt's own; for a wrong command line too.
  int error_status = 1;
  // Not empty: there is no such command, and this says why; not even its help is printed.
  std::string_view refusal;
  // Paragraphs below the flags in `holt NAME --help`.
  std::string_view notes;
  bool hidden = false;
};

const std::vector<Subcommand>& AllSubcommands();

// The text of `holt --help`.
std::string GeneralHelp();

// Exit statuses as Docker has them.
inline constexpr int kStatusHoltFailed = 125;
inline constexpr int kStatusCannotExecute = 126;
inline constexpr int kStatusNotFound = 127;
inline constexpr int kStatusRuncFailed = 1;
inline constexpr int kStatusExecFailed = 255;

}  // namespace holt::shim::cli
