#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

// BPF programs on cgroups, written instruction by instruction.
namespace holt::guest_agent {

bpf_insn BpfInsn(int code, int dst, int src, int offset, int32_t immediate);

// bpf(2).
int Bpf(int command, bpf_attr* attributes);

// Loads a program of `type` (BPF_PROG_TYPE_*) for `attach_type`; the errno is the verifier's.
base::Result<base::UniqueFd> LoadBpf(uint32_t type, uint32_t attach_type,
                                     const std::vector<bpf_insn>& program);

// Attaches it to the cgroup directory `cgroup`, beside others there and below.
base::Status AttachBpf(int cgroup, int program, uint32_t attach_type);

}  // namespace holt::guest_agent
