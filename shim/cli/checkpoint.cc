// holt checkpoint and holt restore: refused. Podman takes `checkpoint --help` with status 0 for
// support, so there is no help either.
#include "shim/cli/subcommands.h"

namespace holt::shim::cli {
namespace {

constexpr char kWhy[] =
    "not supported: the processes of a container live in a virtual machine, which CRIU cannot see";

}  // namespace

Subcommand CheckpointCommand() { return {.name = "checkpoint", .refusal = kWhy, .hidden = true}; }
Subcommand RestoreCommand() { return {.name = "restore", .refusal = kWhy, .hidden = true}; }

}  // namespace holt::shim::cli
