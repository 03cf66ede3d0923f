#pragma once

#include <string>
#include <vector>

#include "shim/state/registry.h"

// A container as JSON: the state of the runtime specification with runc's additions, and what is
// known beyond that.
namespace holt::shim::cli {

// One object, indented: `holt state`.
std::string StateJson(const Sandbox& sandbox);
// An array, `null` when it is empty, as runc prints it: `holt list --format json`.
std::string StateListJson(const std::vector<Sandbox>& sandboxes);
// An array with image, command, times and the like: `holt ps --format json`.
std::string DetailListJson(const std::vector<Sandbox>& sandboxes);

// Who made it: the name of its state directory's owner, or "#1000" without one.
std::string OwnerOf(const Sandbox& sandbox);

// runc gives a stopped container no pid.
int ShownPid(const Record& record);

}  // namespace holt::shim::cli
