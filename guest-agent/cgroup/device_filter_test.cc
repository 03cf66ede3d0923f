#include "guest-agent/cgroup/device_filter.h"

#include <gtest/gtest.h>

#include <random>

namespace holt::guest_agent {
namespace {

constexpr uint32_t kRead = BPF_DEVCG_ACC_READ;
constexpr uint32_t kWrite = BPF_DEVCG_ACC_WRITE;
constexpr uint32_t kMknod = BPF_DEVCG_ACC_MKNOD;
constexpr uint32_t kChar = BPF_DEVCG_DEV_CHAR;
constexpr uint32_t kBlock = BPF_DEVCG_DEV_BLOCK;

// Runs the few instructions that the programs are made of, as the kernel would.
class Interpreter {
 public:
  explicit Interpreter(const std::vector<bpf_insn>& program) : program_(program) {}

  bool Run(uint32_t type, uint32_t access, uint32_t major, uint32_t minor) {
    uint32_t context[3] = {access << 16 | type, major, minor};
    uint64_t r[11] = {};
    for (size_t at = 0; at < program_.size(); ++at) {
      const bpf_insn& i = program_[at];
      uint32_t immediate = static_cast<uint32_t>(i.imm);
      switch (i.code) {
        case BPF_LDX | BPF_MEM | BPF_W:
          r[i.dst_reg] = context[i.off / 4];
          break;
        case BPF_ALU64 | BPF_MOV | BPF_X:
          r[i.dst_reg] = r[i.src_reg];
          break;
        case BPF_ALU | BPF_MOV | BPF_X:
          r[i.dst_reg] = static_cast<uint32_t>(r[i.src_reg]);
          break;
        case BPF_ALU64 | BPF_MOV | BPF_K:
          r[i.dst_reg] = immediate;
          break;
        case BPF_ALU | BPF_AND | BPF_K:
          r[i.dst_reg] = static_cast<uint32_t>(r[i.dst_reg]) & immediate;
          break;
        case BPF_ALU | BPF_RSH | BPF_K:
          r[i.dst_reg] = static_cast<uint32_t>(r[i.dst_reg]) >> immediate;
          break;
        case BPF_JMP32 | BPF_JNE | BPF_K:
          if (static_cast<uint32_t>(r[i.dst_reg]) != immediate) at += static_cast<size_t>(i.off);
          break;
        case BPF_JMP32 | BPF_JEQ | BPF_K:
          if (static_cast<uint32_t>(r[i.dst_reg]) == immediate) at += static_cast<size_t>(i.off);
          break;
        case BPF_JMP | BPF_EXIT:
          return r[0] != 0;
        default:
          ADD_FAILURE() << "unexpected instruction " << int{i.code};
          return false;
      }
    }
    ADD_FAILURE() << "ran off the end";
    return false;
  }

 private:
  const std::vector<bpf_insn>& program_;
};

bool Allowed(const std::vector<oci::DeviceRule>& rules, uint32_t type, uint32_t access,
             uint32_t major, uint32_t minor) {
  auto program = DeviceProgram(rules);
  EXPECT_TRUE(program.ok());
  bool by_program = Interpreter(*program).Run(type, access, major, minor);
  EXPECT_EQ(by_program, DeviceAllowed(rules, type, access, major, minor));
  return by_program;
}

TEST(DeviceFilterTest, WithoutRulesOnlyWhatEveryContainerHas) {
  EXPECT_TRUE(Allowed({}, kChar, kRead | kWrite, 1, 3));
  EXPECT_TRUE(Allowed({}, kChar, kRead | kWrite, 136, 77));
  EXPECT_TRUE(Allowed({}, kBlock, kMknod, 8, 0));
  EXPECT_FALSE(Allowed({}, kBlock, kRead, 8, 0));
  EXPECT_FALSE(Allowed({}, kChar, kRead, 1, 1)) << "/dev/mem";
  EXPECT_FALSE(Allowed({}, kChar, kRead, 1, 11)) << "/dev/kmsg";
  EXPECT_FALSE(Allowed({}, kChar, kRead, 5, 1)) << "the guest's console";
}

TEST(DeviceFilterTest, TheLastRuleWins) {
  std::vector<oci::DeviceRule> rules = {{false, "a", {}, {}, "rwm"}, {true, "b", 8, 1, "r"}};
  EXPECT_TRUE(Allowed(rules, kBlock, kRead, 8, 1));
  EXPECT_FALSE(Allowed(rules, kBlock, kRead | kWrite, 8, 1));
  EXPECT_FALSE(Allowed(rules, kBlock, kRead, 8, 2));
  rules.push_back({false, "b", 8, {}, "r"});
  EXPECT_FALSE(Allowed(rules, kBlock, kRead, 8, 1));
}

TEST(DeviceFilterTest, AllowEverything) {
  EXPECT_TRUE(Allowed({{true, "a", {}, {}, "rwm"}}, kBlock, kRead | kWrite | kMknod, 8, 0));
  EXPECT_TRUE(Allowed({{true, "", {}, {}, ""}}, kChar, kRead, 1, 1));
}

TEST(DeviceFilterTest, NumbersOfMinusOneAreAny) {
  EXPECT_TRUE(Allowed({{true, "c", 10, -1, "rw"}}, kChar, kRead | kWrite, 10, 200));
}

TEST(DeviceFilterTest, TheProgramSaysWhatTheRulesSay) {
  std::mt19937 random(7);
  auto pick = [&](auto first, auto... rest) {
    decltype(first) all[] = {first, rest...};
    return all[random() % std::size(all)];
  };
  for (int round = 0; round < 400; ++round) {
    std::vector<oci::DeviceRule> rules(random() % 6);
    for (auto& rule : rules) {
      rule.allow = random() % 2 == 0;
      rule.type = pick(std::string("a"), std::string("b"), std::string("c"), std::string("c"));
      if (random() % 3 != 0) rule.major = pick(1, 8, 10);
      if (random() % 3 != 0) rule.minor = pick(1, 3, 5);
      rule.access = pick(std::string("r"), std::string("w"), std::string("rwm"), std::string("rw"),
                         std::string("m"));
    }
    auto program = DeviceProgram(rules);
    ASSERT_TRUE(program.ok());
    for (uint32_t type : {kChar, kBlock})
      for (uint32_t access = 1; access < 8; ++access)
        for (uint32_t major : {1u, 8u, 10u, 136u})
          for (uint32_t minor : {1u, 3u, 5u})
            ASSERT_EQ(Interpreter(*program).Run(type, access, major, minor),
                      DeviceAllowed(rules, type, access, major, minor))
                << "round " << round;
  }
}

TEST(DeviceFilterTest, TooManyRulesAreAnError) {
  std::vector<oci::DeviceRule> rules(401, {true, "c", 1, 1, "r"});
  auto program = DeviceProgram(rules);
  ASSERT_FALSE(program.ok());
  EXPECT_EQ(program.error().code(), base::Code::kResourceExhausted);
}

}  // namespace
}  // namespace holt::guest_agent
