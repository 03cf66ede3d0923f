#pragma once

#include <linux/bpf.h>

#include <vector>

#include "base/result.h"
#include "oci/runtime_spec.h"

// linux.resources.devices in cgroup v2: a BPF program that the kernel asks at every open and mknod
// of a device node.
namespace holt::guest_agent {

// The program for these rules. Denied unless a rule allows; the last rule that speaks about a
// device decides; what every container may use (null, zero, full, random, urandom, tty, ptmx, pts,
// and mknod of any number) is allowed last, as other runtimes do.
base::Result<std::vector<bpf_insn>> DeviceProgram(const std::vector<oci::DeviceRule>& rules);

// Loads it and attaches it to the cgroup directory `cgroup` in place of one attached before.
base::Status AttachDeviceProgram(int cgroup, const std::vector<bpf_insn>& program);

// Both: the rules of a container whose cgroup directory is `cgroup`.
base::Status ApplyDevices(int cgroup, const std::vector<oci::DeviceRule>& rules);

// What the program answers to an access (BPF_DEVCG_ACC_* bits, BPF_DEVCG_DEV_*): the same rules
// without BPF, which the tests compare with the kernel's answer.
bool DeviceAllowed(const std::vector<oci::DeviceRule>& rules, uint32_t type, uint32_t access,
                   uint32_t major, uint32_t minor);

}  // namespace holt::guest_agent
