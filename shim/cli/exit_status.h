#pragma once

#include <string>

#include "base/result.h"
#include "shim/run/session.h"
#include "shim/state/registry.h"

// Exit statuses of `run` and `exec`, as Docker counts them.
namespace holt::shim::cli {

// Of an error that the start of a process ended with, in the words of the guest's agent: 127 when
// there is no such program, 126 when it cannot be executed, 125 for anything else.
int StatusOfStartError(const base::Error& error);

// Whether it is about the program to execute (guest-agent/container/program.h), not about a file
// of the host: known already when a container is created.
bool IsExecError(const base::Error& error);

// Says why a process ended where that was not its own doing, and returns the status to exit with.
// When the monitor was lost, its last word is in the registry.
int ReportOutcome(const Registry& registry, const std::string& id, const Session::Outcome& outcome);

// Annotation that keeps --stop-timeout.
inline constexpr char kStopTimeoutAnnotation[] = "holt.stop-timeout";

}  // namespace holt::shim::cli
