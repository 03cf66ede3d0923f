#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::shim::network {

// A tap, which is there as long as somebody has a descriptor of it.
struct Tap {
  std::vector<base::UniqueFd> queues;  // at least one
  std::string name;                    // "holt0", …
  int index = 0;                       // in the namespace it was made in
};

// Makes one in the calling thread's network namespace, in the form that holt-vmm wants
// (rpc/vmm.proto: Net), with so many queues. It is down.
base::Result<Tap> MakeTap(size_t queues);

inline constexpr char kTapPrefix[] = "holt";

}  // namespace holt::shim::network
