#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rpc/agent.pb.h"

// The lines of `holt events`, in the form of runc's types/events.go: times in nanoseconds, sizes in
// bytes, what is 0 left out where Go leaves it out.
namespace holt::shim::cli {

// {"type":"stats","id":ID,"data":{…}}, with its newline. What the guest says is shown, never
// believed: numbers are numbers, and bytes that are not UTF-8 are replaced.
std::string StatsLine(const std::string& id, const agent::v1::StatsResponse& stats);

// {"type":"oom","id":ID}, with its newline.
std::string OomLine(const std::string& id);

// "0-3,7" as numbers; at most 1024, and none of what is no such list.
std::vector<uint16_t> ExpandList(const std::string& list);

}  // namespace holt::shim::cli
