#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "oci/known_values.h"

namespace holt::oci {

enum class Status { kCreating, kCreated, kRunning, kStopped, kPaused };

std::string_view StatusName(Status status);
base::Result<Status> StatusFromName(std::string_view name);

// The state of a container as the runtime specification defines it, in the JSON of `holt state` and
// of the standard input of hooks.
struct State {
  std::string oci_version = kSpecVersion;
  std::string id;
  Status status = Status::kCreating;
  int64_t pid = 0;  // left out of the JSON when 0
  std::string bundle;
  std::map<std::string, std::string> annotations;
};

base::Result<State> ParseState(std::string_view json);
std::string SerializeState(const State& state, int indent = -1);

}  // namespace holt::oci
