#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "shim/state/record.h"
#include "vmm/cpu/probe.h"

// Which of the two processors a machine gets.
namespace holt::shim {

// What this host has.
struct HostProcessors {
  vmm::KvmProbe kvm;
  std::string qemu;  // its path; empty: not found
};

// Probes /dev/kvm (the answer is kept under `root`, which is made if need be, until the next boot)
// and looks QEMU up in PATH; HOLT_QEMU names another.
HostProcessors ProbeProcessors(const std::string& root);
// Only the part about QEMU.
std::string FindQemu();

struct AccelChoice {
  Accel accel = Accel::kKvm;
  std::string qemu;  // software only
  // For the one line on stderr when it is `software` without having been asked for; else empty.
  std::string note;
};

// `wanted` is auto, kvm or software. Errors name what is missing and the mend.
base::Result<AccelChoice> ChooseAccel(std::string_view wanted, const HostProcessors& host);
// What --accel is when nobody gives it: HOLT_ACCEL, or auto. Engines cannot pass the flag
// everywhere.
std::string DefaultAccel();
// Probes no more than `wanted` needs.
base::Result<AccelChoice> ChooseAccel(std::string_view wanted, const std::string& root);

}  // namespace holt::shim
