#include "guest-agent/net/resolver_redirect.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <cstddef>

#include "guest-agent/cgroup/bpf.h"

namespace holt::guest_agent {
namespace {

// The context (bpf_sock_addr) stays in r6; every way ends with 1, "allowed".
class Program {
 public:
  Program() { Add(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1); }

  void LeaveUnlessField(size_t offset, uint32_t value) {
    Load(offset);
    leave_.push_back(out_.size());
    Add(BPF_JMP32 | BPF_JNE | BPF_K, 2, 0, 0, static_cast<int32_t>(value));
  }
  void LeaveUnlessNamespace(uint64_t cookie) {
    Add(BPF_ALU64 | BPF_MOV | BPF_X, 1, 6);
    Add(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_netns_cookie);
    Add(BPF_LD | BPF_IMM | BPF_DW, 1, 0, 0, static_cast<int32_t>(cookie));
    Add(0, 0, 0, 0, static_cast<int32_t>(cookie >> 32));
    leave_.push_back(out_.size());
    Add(BPF_JMP | BPF_JNE | BPF_X, 0, 1);
  }
  // A port is two bytes in network order in a word.
  void SetPort(uint16_t port) {
    Add(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, htons(port));
    Add(BPF_STX | BPF_MEM | BPF_W, 6, 3, offsetof(bpf_sock_addr, user_port));
  }
  void SetPortOfType(uint16_t datagrams, uint16_t streams) {
    Load(offsetof(bpf_sock_addr, type));
    Add(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, htons(datagrams));
    Add(BPF_JMP32 | BPF_JEQ | BPF_K, 2, 0, 1, SOCK_DGRAM);
    Add(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, htons(streams));
    Add(BPF_STX | BPF_MEM | BPF_W, 6, 3, offsetof(bpf_sock_addr, user_port));
  }
  std::vector<bpf_insn> Finish() {
    for (size_t at : leave_) out_[at].off = static_cast<int16_t>(out_.size() - at - 1);
    Add(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
    Add(BPF_JMP | BPF_EXIT, 0, 0);
    return std::move(out_);
  }

 private:
  void Load(size_t offset) { Add(BPF_LDX | BPF_MEM | BPF_W, 2, 6, static_cast<int>(offset)); }
  void Add(int code, int dst, int src, int offset = 0, int32_t immediate = 0) {
    out_.push_back(BpfInsn(code, dst, src, offset, immediate));
  }

  std::vector<bpf_insn> out_;
  std::vector<size_t> leave_;
};

}  // namespace

std::vector<bpf_insn> ResolverProgramOut(const ResolverPorts& ports) {
  Program program;
  program.LeaveUnlessField(offsetof(bpf_sock_addr, user_ip4), htonl(kResolverAddress));
  program.LeaveUnlessField(offsetof(bpf_sock_addr, user_port), htons(kDnsPort));
  program.LeaveUnlessNamespace(ports.netns_cookie);
  program.SetPortOfType(ports.udp, ports.tcp);
  return program.Finish();
}

std::vector<bpf_insn> ResolverProgramIn(const ResolverPorts& ports) {
  Program program;
  program.LeaveUnlessField(offsetof(bpf_sock_addr, user_ip4), htonl(kResolverAddress));
  program.LeaveUnlessField(offsetof(bpf_sock_addr, user_port), htons(ports.udp));
  program.LeaveUnlessNamespace(ports.netns_cookie);
  program.SetPort(kDnsPort);
  return program.Finish();
}

base::Status RedirectResolver(int cgroup, const ResolverPorts& ports) {
  for (uint32_t type :
       {BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_UDP4_SENDMSG, BPF_CGROUP_UDP4_RECVMSG}) {
    const auto program =
        type == BPF_CGROUP_UDP4_RECVMSG ? ResolverProgramIn(ports) : ResolverProgramOut(ports);
    TRY_ASSIGN(base::UniqueFd loaded, LoadBpf(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, type, program));
    TRY(AttachBpf(cgroup, loaded.get(), type));
  }
  return {};
}

}  // namespace holt::guest_agent
