#include "guest-agent/container/seccomp_filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <memory>

#include "base/file.h"
#include "base/unique_fd.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

Result<uint32_t> Action(const std::string& name, std::optional<uint32_t> errno_ret) {
  uint32_t value = errno_ret.value_or(EPERM) & 0xffff;
  if (name == "SCMP_ACT_KILL" || name == "SCMP_ACT_KILL_THREAD") return SCMP_ACT_KILL_THREAD;
  if (name == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
  if (name == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(value);
  if (name == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(value);
  if (name == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (name == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
  return MakeError(Code::kUnsupported, "linux.seccomp: action {}", name);
}

Result<scmp_compare> Operator(const std::string& name) {
  if (name == "SCMP_CMP_NE") return SCMP_CMP_NE;
  if (name == "SCMP_CMP_LT") return SCMP_CMP_LT;
  if (name == "SCMP_CMP_LE") return SCMP_CMP_LE;
  if (name == "SCMP_CMP_EQ") return SCMP_CMP_EQ;
  if (name == "SCMP_CMP_GE") return SCMP_CMP_GE;
  if (name == "SCMP_CMP_GT") return SCMP_CMP_GT;
  if (name == "SCMP_CMP_MASKED_EQ") return SCMP_CMP_MASKED_EQ;
  return MakeError(Code::kInvalidArgument, "linux.seccomp: operator {}", name);
}

struct Architecture {
  std::string_view name;
  uint32_t token;
};
constexpr Architecture kArchitectures[] = {
    {"SCMP_ARCH_X86", SCMP_ARCH_X86},
    {"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},
    {"SCMP_ARCH_X32", SCMP_ARCH_X32},
    {"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
    {"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64},
    {"SCMP_ARCH_MIPS", SCMP_ARCH_MIPS},
    {"SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64},
    {"SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32},
    {"SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL},
    {"SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64},
    {"SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32},
    {"SCMP_ARCH_PPC", SCMP_ARCH_PPC},
    {"SCMP_ARCH_PPC64", SCMP_ARCH_PPC64},
    {"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE},
    {"SCMP_ARCH_S390", SCMP_ARCH_S390},
    {"SCMP_ARCH_S390X", SCMP_ARCH_S390X},
    {"SCMP_ARCH_PARISC", SCMP_ARCH_PARISC},
    {"SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64},
    {"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64},
};

// Bit 30 marks an x32 call; a kernel without that ABI knows no call with it.
bool KernelHasX32() {
#if defined(__x86_64__)
  constexpr long kX32Getpid = 0x40000000 | SYS_getpid;
  return syscall(kX32Getpid) >= 0;
#else
  return false;
#endif
}

Status AddArchitectures(scmp_filter_ctx context, const oci::Strings& names) {
  for (size_t i = 0; i < names.size(); ++i) {
    uint32_t token = 0;
    for (const Architecture& architecture : kArchitectures)
      if (architecture.name == names[i]) token = architecture.token;
    // A processor this libseccomp has never heard of does not run here either.
    if (token == 0) continue;
    // Every architecture makes the filter longer and its making slower, by a third; calls of an ABI
    // that is not in the filter end the process.
    if (token == SCMP_ARCH_X32 && !KernelHasX32()) continue;
    int result = seccomp_arch_add(context, token);
    // One filter holds architectures of one byte order only; the others do not run here.
    if (result != 0 && result != -EEXIST && result != -EDOM)
      return base::ErrnoError(-result, fmt::format("linux.seccomp.architectures[{}]", i));
  }
  return {};
}

Status AddRule(scmp_filter_ctx context, uint32_t action, int number,
               const std::vector<scmp_arg_cmp>& args) {
  int result = seccomp_rule_add_array(context, action, number, static_cast<unsigned>(args.size()),
                                      args.empty() ? nullptr : args.data());
  if (result != 0 && result != -EEXIST) return base::ErrnoError(-result, "rule");
  return {};
}

Status AddSyscall(scmp_filter_ctx context, const oci::SeccompSyscall& rule,
                  uint32_t default_action) {
  TRY_ASSIGN(uint32_t action, Action(rule.action, rule.errno_ret));
  if (action == default_action) return {};
  std::vector<scmp_arg_cmp> args;
  bool repeated = false;
  for (const oci::SeccompArg& arg : rule.args) {
    TRY_ASSIGN(scmp_compare op, Operator(arg.op));
    for (const scmp_arg_cmp& other : args) repeated |= other.arg == arg.index;
    args.push_back({arg.index, op, arg.value, arg.value_two});
  }
  for (const std::string& name : rule.names) {
    int number = seccomp_syscall_resolve_name(name.c_str());
    if (number == __NR_SCMP_ERROR) continue;
    if (!repeated) {
      TRY_CONTEXT(AddRule(context, action, number, args), name);
      continue;
    }
    // Conditions on one argument twice are alternatives, which are rules of their own.
    for (const scmp_arg_cmp& arg : args) TRY_CONTEXT(AddRule(context, action, number, {arg}), name);
  }
  return {};
}

unsigned long Flags(const oci::Strings& names) {
  unsigned long flags = 0;
  for (const std::string& name : names) {
    if (name == "SECCOMP_FILTER_FLAG_TSYNC") flags |= SECCOMP_FILTER_FLAG_TSYNC;
    if (name == "SECCOMP_FILTER_FLAG_LOG") flags |= SECCOMP_FILTER_FLAG_LOG;
    if (name == "SECCOMP_FILTER_FLAG_SPEC_ALLOW") flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  }
  return flags;
}

Result<std::vector<sock_filter>> Export(scmp_filter_ctx context) {
  UniqueFd file(memfd_create("seccomp", MFD_CLOEXEC));
  if (!file) return HOLT_ERRNO("memfd_create");
  if (int result = seccomp_export_bpf(context, file.get()); result != 0)
    return base::ErrnoError(-result, "linux.seccomp: compile");
  if (lseek(file.get(), 0, SEEK_SET) != 0) return HOLT_ERRNO("lseek");
  TRY_ASSIGN(std::string bytes, base::ReadFd(file.get(), 4096 * sizeof(sock_filter) * 8));
  std::vector<sock_filter> out(bytes.size() / sizeof(sock_filter));
  if (out.size() > BPF_MAXINSNS)
    return MakeError(Code::kResourceExhausted,
                     "linux.seccomp: the filter has more than {} instructions", BPF_MAXINSNS);
  bytes.copy(reinterpret_cast<char*>(out.data()), out.size() * sizeof(sock_filter));  // SAFETY: POD
  return out;
}

}  // namespace

Result<SeccompProgram> CompileSeccomp(const oci::Seccomp& seccomp) {
  TRY_ASSIGN(uint32_t default_action, Action(seccomp.default_action, seccomp.default_errno_ret));
  Context context(seccomp_init(default_action), &seccomp_release);
  if (!context) return MakeError(Code::kInternal, "linux.seccomp: out of memory");
  TRY(AddArchitectures(context.get(), seccomp.architectures));
  // A balanced tree instead of a list: the last of 400 system calls costs as little as the first.
  (void)seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  for (size_t i = 0; i < seccomp.syscalls.size(); ++i)
    TRY_CONTEXT(AddSyscall(context.get(), seccomp.syscalls[i], default_action),
                fmt::format("linux.seccomp.syscalls[{}]", i));
  SeccompProgram program;
  TRY_ASSIGN(program.instructions, Export(context.get()));
  program.flags = Flags(seccomp.flags);
  return program;
}

int LoadSeccomp(const SeccompProgram& program) {
  sock_fprog code{};
  code.len = static_cast<unsigned short>(program.instructions.size());
  code.filter = const_cast<sock_filter*>(program.instructions.data());  // the kernel only reads
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, program.flags, &code) == 0) return 0;
  return errno;
}

SeccompProgram VsockFilter() {
  constexpr uint32_t kX32Bit = 0x40000000;
  constexpr uint32_t kI386Socket = 359;
  constexpr uint32_t kFamilyOffset = offsetof(seccomp_data, args[0]);  // low half: little-endian
  constexpr uint32_t kRefuse = SECCOMP_RET_ERRNO | EAFNOSUPPORT;
  SeccompProgram program;
  program.instructions = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_I386, 4, 0),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 4, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket | kX32Bit, 3, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kI386Socket, 0, 2),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kFamilyOffset),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_VSOCK, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, kRefuse),
  };
  return program;
}

}  // namespace holt::guest_agent
