#include "guest-agent/cgroup/bpf.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace holt::guest_agent {

using base::UniqueFd;

bpf_insn BpfInsn(int code, int dst, int src, int offset, int32_t immediate) {
  bpf_insn insn{};
  insn.code = static_cast<uint8_t>(code);
  insn.dst_reg = static_cast<uint8_t>(dst & 0xf);
  insn.src_reg = static_cast<uint8_t>(src & 0xf);
  insn.off = static_cast<int16_t>(offset);
  insn.imm = immediate;
  return insn;
}

int Bpf(int command, bpf_attr* attributes) {
  return static_cast<int>(syscall(SYS_bpf, command, attributes, sizeof *attributes));
}

base::Result<UniqueFd> LoadBpf(uint32_t type, uint32_t attach_type,
                               const std::vector<bpf_insn>& program) {
  static constexpr char kLicense[] = "GPL";
  bpf_attr load{};
  load.prog_type = type;
  load.expected_attach_type = attach_type;
  load.insn_cnt = static_cast<uint32_t>(program.size());
  // SAFETY: addresses, as bpf(2) takes them.
  load.insns = reinterpret_cast<uint64_t>(program.data());
  load.license = reinterpret_cast<uint64_t>(kLicense);
  UniqueFd loaded(Bpf(BPF_PROG_LOAD, &load));
  if (!loaded) return HOLT_ERRNO("load the BPF program");
  return loaded;
}

base::Status AttachBpf(int cgroup, int program, uint32_t attach_type) {
  bpf_attr attach{};
  attach.target_fd = static_cast<uint32_t>(cgroup);
  attach.attach_bpf_fd = static_cast<uint32_t>(program);
  attach.attach_type = attach_type;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  if (Bpf(BPF_PROG_ATTACH, &attach) != 0) return HOLT_ERRNO("attach the BPF program");
  return {};
}

}  // namespace holt::guest_agent
