#include "guest-agent/container/seccomp_filter.h"

#include <gmock/gmock.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

namespace holt::guest_agent {
namespace {

using ::testing::HasSubstr;

// Runs `check` in a child with the filter loaded; its return value is the child's exit status.
int Under(const SeccompProgram& program, const std::function<int()>& check) {
  pid_t pid = fork();
  if (pid == 0) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || LoadSeccomp(program) != 0) _exit(100);
    // Not _exit: before what does not return the address sanitizer makes calls of its own.
    syscall(SYS_exit_group, check());
  }
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

SeccompProgram Compile(const oci::Seccomp& seccomp) {
  auto program = CompileSeccomp(seccomp);
  EXPECT_TRUE(program.ok()) << program.error().message();
  return program ? *program : SeccompProgram();
}

int ErrnoOf(long result) { return result == -1 ? errno : 0; }

TEST(SeccompTest, AListOfWhatIsDenied) {
  oci::Seccomp seccomp;
  seccomp.default_action = "SCMP_ACT_ALLOW";
  seccomp.syscalls = {{{"getppid"}, "SCMP_ACT_ERRNO", 99, {}},
                      {{"mkdir", "no_such_call"}, "SCMP_ACT_ERRNO", {}, {}}};
  SeccompProgram program = Compile(seccomp);
  EXPECT_EQ(Under(program, [] { return ErrnoOf(syscall(SYS_getppid)); }), 99);
  EXPECT_EQ(Under(program, [] { return ErrnoOf(syscall(SYS_mkdir, "/x", 0)); }), EPERM);
  EXPECT_EQ(Under(program, [] { return ErrnoOf(syscall(SYS_getpid)); }), 0);
}

TEST(SeccompTest, AListOfWhatIsAllowed) {
  oci::Seccomp seccomp;
  seccomp.default_action = "SCMP_ACT_ERRNO";
  seccomp.default_errno_ret = ENOSYS;
  seccomp.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"};
  seccomp.syscalls = {{{"exit_group", "getpid"}, "SCMP_ACT_ALLOW", {}, {}}};
  SeccompProgram program = Compile(seccomp);
  EXPECT_EQ(Under(program, [] { return ErrnoOf(syscall(SYS_getpid)); }), 0);
  EXPECT_EQ(Under(program, [] { return ErrnoOf(syscall(SYS_getuid)); }), ENOSYS);
}

TEST(SeccompTest, ArgumentsAreAllToHoldAndTwiceTheSameOneIsAChoice) {
  oci::Seccomp seccomp;
  seccomp.default_action = "SCMP_ACT_ALLOW";
  seccomp.syscalls = {
      {{"close"}, "SCMP_ACT_ERRNO", 50, {{0, 1000, 0, "SCMP_CMP_EQ"}, {0, 1001, 0, "SCMP_CMP_EQ"}}},
      {{"dup2"}, "SCMP_ACT_ERRNO", 51, {{0, 1000, 0, "SCMP_CMP_EQ"}, {1, 1001, 0, "SCMP_CMP_EQ"}}}};
  SeccompProgram program = Compile(seccomp);
  auto close_errno = [&](long fd) {
    return Under(program, [fd] { return ErrnoOf(syscall(SYS_close, fd)); });
  };
  EXPECT_EQ(close_errno(1000), 50);
  EXPECT_EQ(close_errno(1001), 50);
  EXPECT_EQ(close_errno(1002), EBADF);
  auto dup_errno = [&](long from, long to) {
    return Under(program, [from, to] { return ErrnoOf(syscall(SYS_dup2, from, to)); });
  };
  EXPECT_EQ(dup_errno(1000, 1001), 51);
  EXPECT_EQ(dup_errno(1000, 1002), EBADF);
}

TEST(SeccompTest, KillsWhenAsked) {
  oci::Seccomp seccomp;
  seccomp.default_action = "SCMP_ACT_ALLOW";
  seccomp.syscalls = {{{"getppid"}, "SCMP_ACT_KILL_PROCESS", {}, {}}};
  EXPECT_EQ(Under(Compile(seccomp), [] { return ErrnoOf(syscall(SYS_getppid)); }), 128 + SIGSYS);
}

TEST(SeccompTest, NotifyIsAnErrorThatNamesIt) {
  oci::Seccomp seccomp;
  seccomp.default_action = "SCMP_ACT_NOTIFY";
  auto program = CompileSeccomp(seccomp);
  ASSERT_FALSE(program.ok());
  EXPECT_THAT(program.error().message(), HasSubstr("SCMP_ACT_NOTIFY"));
}

TEST(VsockFilterTest, RefusesVsockAndNothingElse) {
  SeccompProgram program = VsockFilter();
  EXPECT_EQ(Under(program, [] { return ErrnoOf(socket(AF_VSOCK, SOCK_STREAM, 0)); }), EAFNOSUPPORT);
  EXPECT_EQ(Under(program, [] { return ErrnoOf(socket(AF_UNIX, SOCK_STREAM, 0)); }), 0);
  EXPECT_EQ(Under(program, [] { return ErrnoOf(socket(AF_INET, SOCK_DGRAM, 0)); }), 0);
  // The upper half of the argument register is not the family.
  EXPECT_EQ(
      Under(program,
            [] { return ErrnoOf(syscall(SYS_socket, AF_VSOCK | 0x500000000, SOCK_STREAM, 0)); }),
      EAFNOSUPPORT);
}

// What the kernel would answer, for architectures that this test cannot call from.
uint32_t Answer(const SeccompProgram& program, const seccomp_data& data) {
  uint32_t a = 0;
  for (size_t at = 0; at < program.instructions.size(); ++at) {
    const sock_filter& i = program.instructions[at];
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        memcpy(&a, reinterpret_cast<const char*>(&data) + i.k, sizeof a);
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        at += a == i.k ? i.jt : i.jf;
        break;
      case BPF_RET | BPF_K:
        return i.k;
      default:
        ADD_FAILURE() << "unexpected instruction " << i.code;
        return 0;
    }
  }
  ADD_FAILURE() << "ran off the end";
  return 0;
}

TEST(VsockFilterTest, KnowsTheOtherWaysToCallSocket) {
  constexpr uint32_t kRefused = SECCOMP_RET_ERRNO | EAFNOSUPPORT;
  auto answer = [](uint32_t arch, int number, uint64_t family) {
    seccomp_data data{};
    data.arch = arch;
    data.nr = number;
    data.args[0] = family;
    return Answer(VsockFilter(), data);
  };
  EXPECT_EQ(answer(AUDIT_ARCH_X86_64, SYS_socket, AF_VSOCK), kRefused);
  EXPECT_EQ(answer(AUDIT_ARCH_X86_64, SYS_socket | 0x40000000, AF_VSOCK), kRefused) << "x32";
  EXPECT_EQ(answer(AUDIT_ARCH_I386, 359, AF_VSOCK), kRefused);
  EXPECT_EQ(answer(AUDIT_ARCH_I386, 359, AF_INET), uint32_t{SECCOMP_RET_ALLOW});
  EXPECT_EQ(answer(AUDIT_ARCH_X86_64, 359, AF_VSOCK), uint32_t{SECCOMP_RET_ALLOW});
  EXPECT_EQ(answer(AUDIT_ARCH_I386, SYS_socket, AF_VSOCK), uint32_t{SECCOMP_RET_ALLOW});
}

}  // namespace
}  // namespace holt::guest_agent
