#pragma once

#include "base/result.h"

namespace holt::shim {

// What of a descriptor of the host's a process in a machine can have
// (docs/adr/0141-descriptors-beside-stdio.md).
enum class DescriptorKind {
  kNull,        // /dev/null
  kInput,       // a pipe or FIFO that is read
  kOutput,      // one that is written
  kConnection,  // a connected stream socket
  kListener,    // a listening one
};

// How many of them a process can have beside its stdio: with three streams for each of
// AgentLink::kStartsAtOnce processes, fewer than the agent parks.
inline constexpr size_t kMaxDescriptors = 16;
// The number of the first of them in the monitor.
inline constexpr int kFirstDescriptor = 8;

// kUnsupported for any other; the message says what it is.
base::Result<DescriptorKind> KindOfDescriptor(int fd);

}  // namespace holt::shim
