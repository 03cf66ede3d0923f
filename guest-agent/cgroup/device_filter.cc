#include "guest-agent/cgroup/device_filter.h"

#include <cstring>
#include <optional>

#include "base/unique_fd.h"
#include "guest-agent/cgroup/bpf.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

// Rules beyond this would not fit a program of 4096 instructions.
constexpr size_t kMaxRules = 400;
constexpr char kName[] = "linux.resources.devices";
constexpr uint32_t kAllAccess = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;

struct Rule {
  bool allow;
  std::optional<uint32_t> type;  // BPF_DEVCG_DEV_*, any if empty
  std::optional<uint32_t> major;
  std::optional<uint32_t> minor;
  uint32_t access;

  bool SameDevices(const Rule& other) const {
    return type == other.type && major == other.major && minor == other.minor;
  }
};

constexpr uint32_t kChar = BPF_DEVCG_DEV_CHAR;
constexpr uint32_t kBlock = BPF_DEVCG_DEV_BLOCK;
const Rule kAlwaysAllowed[] = {
    {true, kChar, std::nullopt, std::nullopt, BPF_DEVCG_ACC_MKNOD},
    {true, kBlock, std::nullopt, std::nullopt, BPF_DEVCG_ACC_MKNOD},
    {true, kChar, 1, 3, kAllAccess},               // null
    {true, kChar, 1, 5, kAllAccess},               // zero
    {true, kChar, 1, 7, kAllAccess},               // full
    {true, kChar, 1, 8, kAllAccess},               // random
    {true, kChar, 1, 9, kAllAccess},               // urandom
    {true, kChar, 5, 0, kAllAccess},               // tty
    {true, kChar, 5, 2, kAllAccess},               // ptmx
    {true, kChar, 136, std::nullopt, kAllAccess},  // pts
};

std::optional<uint32_t> Number(const std::optional<int64_t>& number) {
  if (!number || *number < 0) return std::nullopt;
  return static_cast<uint32_t>(*number);
}

uint32_t AccessBits(const std::string& access) {
  if (access.empty()) return kAllAccess;
  uint32_t bits = 0;
  for (char c : access)
    bits |= c == 'r' ? BPF_DEVCG_ACC_READ : c == 'w' ? BPF_DEVCG_ACC_WRITE : BPF_DEVCG_ACC_MKNOD;
  return bits;
}

// In the order in which they are asked: the last of the configuration first.
std::vector<Rule> OrderedRules(const std::vector<oci::DeviceRule>& rules) {
  std::vector<Rule> list;
  auto add = [&list](const Rule& rule) {
    // "allow r" and then "allow w" of one device allow an open for both.
    if (!list.empty() && list.back().allow && rule.allow && list.back().SameDevices(rule)) {
      list.back().access |= rule.access;
      return;
    }
    list.push_back(rule);
  };
  for (const oci::DeviceRule& rule : rules) {
    Rule out{rule.allow, std::nullopt, Number(rule.major), Number(rule.minor),
             AccessBits(rule.access)};
    if (rule.type == "c") out.type = kChar;
    if (rule.type == "b") out.type = kBlock;
    // "a" is every device: numbers and access have no say.
    if (rule.type == "a" || rule.type.empty()) out = {rule.allow, {}, {}, {}, kAllAccess};
    add(out);
  }
  for (const Rule& rule : kAlwaysAllowed) add(rule);
  return {list.rbegin(), list.rend()};
}

// r1 is the context; the type goes to r2, the access to r3, the numbers to r4 and r5.
void EmitPrologue(std::vector<bpf_insn>& out) {
  constexpr uint8_t kLoad = BPF_LDX | BPF_MEM | BPF_W;
  out.push_back(BpfInsn(kLoad, 2, 1, offsetof(bpf_cgroup_dev_ctx, access_type), 0));
  out.push_back(BpfInsn(BPF_ALU64 | BPF_MOV | BPF_X, 3, 2, 0, 0));
  out.push_back(BpfInsn(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff));
  out.push_back(BpfInsn(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16));
  out.push_back(BpfInsn(kLoad, 4, 1, offsetof(bpf_cgroup_dev_ctx, major), 0));
  out.push_back(BpfInsn(kLoad, 5, 1, offsetof(bpf_cgroup_dev_ctx, minor), 0));
}

void EmitReturn(std::vector<bpf_insn>& out, bool allow) {
  out.push_back(BpfInsn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, allow ? 1 : 0));
  out.push_back(BpfInsn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

// Answers if the rule speaks about the access, else falls through to the next. An allowing rule
// must cover all of the access, a denying one only touch it.
void EmitRule(std::vector<bpf_insn>& out, const Rule& rule) {
  std::vector<size_t> to_next;
  auto next_unless_equal = [&](uint8_t reg, uint32_t value) {
    to_next.push_back(out.size());
    out.push_back(BpfInsn(BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, 0, static_cast<int32_t>(value)));
  };
  if (rule.type) next_unless_equal(2, *rule.type);
  if (rule.major) next_unless_equal(4, *rule.major);
  if (rule.minor) next_unless_equal(5, *rule.minor);
  if (rule.access != kAllAccess) {
    out.push_back(BpfInsn(BPF_ALU | BPF_MOV | BPF_X, 1, 3, 0, 0));
    out.push_back(
        BpfInsn(BPF_ALU | BPF_AND | BPF_K, 1, 0, 0,
                static_cast<int32_t>(rule.allow ? kAllAccess & ~rule.access : rule.access)));
    to_next.push_back(out.size());
    const int jump = rule.allow ? BPF_JNE : BPF_JEQ;
    out.push_back(BpfInsn(BPF_JMP32 | jump | BPF_K, 1, 0, 0, 0));
  }
  EmitReturn(out, rule.allow);
  for (size_t at : to_next) out[at].off = static_cast<int16_t>(out.size() - at - 1);
}

}  // namespace

Result<std::vector<bpf_insn>> DeviceProgram(const std::vector<oci::DeviceRule>& rules) {
  if (rules.size() > kMaxRules)
    return MakeError(Code::kResourceExhausted, "linux.resources.devices: more than {} rules",
                     kMaxRules);
  std::vector<bpf_insn> program;
  EmitPrologue(program);
  bool decided = false;
  for (const Rule& rule : OrderedRules(rules)) {
    EmitRule(program, rule);
    // What follows a rule about everything cannot be reached, and the verifier refuses dead code.
    decided = !rule.type && !rule.major && !rule.minor && rule.access == kAllAccess;
    if (decided) break;
  }
  if (!decided) EmitReturn(program, false);
  return program;
}

Status AttachDeviceProgram(int cgroup, const std::vector<bpf_insn>& program) {
  TRY_ASSIGN_CONTEXT(UniqueFd loaded, LoadBpf(BPF_PROG_TYPE_CGROUP_DEVICE, 0, program), kName);

  // The programs there now, to be taken off once the new one is on: access is never wider between.
  uint32_t old_ids[16] = {};
  bpf_attr query{};
  query.query.target_fd = static_cast<uint32_t>(cgroup);
  query.query.attach_type = BPF_CGROUP_DEVICE;
  query.query.prog_ids = reinterpret_cast<uint64_t>(old_ids);
  query.query.prog_cnt = 16;
  uint32_t old_count = Bpf(BPF_PROG_QUERY, &query) == 0 ? query.query.prog_cnt : 0;

  TRY_CONTEXT(AttachBpf(cgroup, loaded.get(), BPF_CGROUP_DEVICE), kName);
  for (uint32_t i = 0; i < old_count; ++i) {
    bpf_attr get{};
    get.prog_id = old_ids[i];
    UniqueFd old(Bpf(BPF_PROG_GET_FD_BY_ID, &get));
    if (!old) continue;
    bpf_attr detach{};
    detach.target_fd = static_cast<uint32_t>(cgroup);
    detach.attach_bpf_fd = static_cast<uint32_t>(old.get());
    detach.attach_type = BPF_CGROUP_DEVICE;
    if (Bpf(BPF_PROG_DETACH, &detach) != 0)
      return HOLT_ERRNO("linux.resources.devices: detach the former BPF program");
  }
  return {};
}

Status ApplyDevices(int cgroup, const std::vector<oci::DeviceRule>& rules) {
  TRY_ASSIGN(auto program, DeviceProgram(rules));
  return AttachDeviceProgram(cgroup, program);
}

bool DeviceAllowed(const std::vector<oci::DeviceRule>& rules, uint32_t type, uint32_t access,
                   uint32_t major, uint32_t minor) {
  for (const Rule& rule : OrderedRules(rules)) {
    if (rule.type.value_or(type) != type || rule.major.value_or(major) != major ||
        rule.minor.value_or(minor) != minor)
      continue;
    if (rule.allow ? (access & ~rule.access) == 0 : (access & rule.access) != 0) return rule.allow;
  }
  return false;
}

}  // namespace holt::guest_agent
