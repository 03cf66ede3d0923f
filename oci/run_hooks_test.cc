#include "oci/run_hooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"

namespace holt::oci {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class RunHooksTest : public ::testing::Test {
 protected:
  void SetUp() override {
    file_ = ::testing::TempDir() + "/hooks-" + std::to_string(getpid());
    unlink(file_.c_str());
  }
  void TearDown() override { unlink(file_.c_str()); }
  // A hook that runs a shell command, whose arguments are $0, $1, ….
  static Hook Shell(const std::string& command) {
    return {.path = "/bin/sh", .args = {"sh", "-c", command}, .env = {}, .timeout = {}};
  }
  std::string Seen() const { return base::ReadFile(file_).value_or(""); }
  std::string file_;
};

TEST_F(RunHooksTest, InOrderWithTheStateOnStandardInput) {
  std::vector<Hook> hooks = {Shell("(echo 1; /bin/cat; echo) >>" + file_),
                             Shell("(echo 2; /bin/cat; echo) >>" + file_)};
  auto status = RunHooks(hooks, "hooks.prestart", "{state}");
  ASSERT_TRUE(status.ok()) << status.error().message();
  EXPECT_EQ(Seen(), "1\n{state}\n2\n{state}\n");
}

TEST_F(RunHooksTest, ArgumentsAndEnvironmentAsGivenAndNothingElse) {
  ASSERT_EQ(setenv("HOLT_TEST_OF_HOOKS", "leaked", 1), 0);
  Hook hook{.path = "/usr/bin/env", .args = {"not env"}, .env = {"A=b", "EMPTY="}, .timeout = {}};
  // env prints on standard output, which is discarded; so through a shell.
  hook = {.path = "/bin/sh",
          .args = {"odd", "-c", "/usr/bin/env >" + file_ + "; echo \"$0,$1\" >>" + file_, "zero",
                   "one two"},
          .env = {"A=b", "EMPTY="},
          .timeout = {}};
  ASSERT_TRUE(RunHooks({hook}, "hooks.prestart", "").ok());
  std::string seen = Seen();
  EXPECT_THAT(seen, AllOf(HasSubstr("A=b\n"), HasSubstr("EMPTY=\n"), HasSubstr("zero,one two\n")));
  EXPECT_EQ(seen.find("HOLT_TEST_OF_HOOKS"), std::string::npos);
  EXPECT_EQ(seen.find("PATH="), std::string::npos);
}

TEST_F(RunHooksTest, AFailureNamesTheHookItsPathStatusAndLastWords) {
  std::vector<Hook> hooks = {Shell("exit 0"), Shell("echo first >&2; echo last words >&2; exit 3"),
                             Shell("echo ran >>" + file_)};
  auto status = RunHooks(hooks, "hooks.createRuntime", "");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message(),
            "hooks.createRuntime[1]: /bin/sh: exited with status 3: first last words");
  EXPECT_EQ(Seen(), "") << "those after it must not run";
}

TEST_F(RunHooksTest, ASignalAndAMissingProgramAreFailures) {
  auto killed = RunHooks({Shell("kill -9 $$")}, "hooks.poststart", "");
  ASSERT_FALSE(killed.ok());
  EXPECT_THAT(killed.error().message(), HasSubstr("killed by signal 9"));
  auto missing = RunHooks({{"/no/such/hook", {"x"}, {}, {}}}, "hooks.poststart", "");
  ASSERT_FALSE(missing.ok());
  EXPECT_THAT(missing.error().message(),
              AllOf(HasSubstr("hooks.poststart[0]: /no/such/hook"), HasSubstr("No such file")));
}

TEST_F(RunHooksTest, ATimeoutIsAFailure) {
  Hook hook = Shell("while :; do /bin/sleep 1; done");
  hook.timeout = 1;
  auto status = RunHooks({hook}, "hooks.prestart", "");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), base::Code::kDeadlineExceeded);
  EXPECT_THAT(status.error().message(), HasSubstr("timeout of 1 s"));
}

TEST_F(RunHooksTest, ItsLastWordsForgeNoLines) {
  auto status = RunHooks({Shell("printf 'a\\033[2Jb\\nholt: error: c' >&2; exit 1")}, "h", "");
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message(), HasSubstr("a\\x1b[2Jb holt: error: c"));
}

TEST_F(RunHooksTest, AllRunWhereFailuresAreWarnings) {
  std::vector<std::string> warnings;
  RunHooksAll({Shell("exit 1"), Shell("echo ran >>" + file_), Shell("exit 2")}, "hooks.poststop",
              "", {}, [&](const std::string& text) { warnings.push_back(text); });
  EXPECT_EQ(Seen(), "ran\n");
  ASSERT_THAT(warnings, SizeIs(2));
  EXPECT_THAT(warnings[0], HasSubstr("hooks.poststop[0]"));
  EXPECT_THAT(warnings[1], HasSubstr("hooks.poststop[2]"));
}

TEST_F(RunHooksTest, AScriptMayBeAHook) {
  std::string script = file_ + ".sh";
  ASSERT_TRUE(base::WriteFile(script, "#!/bin/sh\necho \"$1\" >" + file_ + "\n", 0755).ok());
  auto status = RunHooks({{script, {"name", "argument"}, {}, {}}}, "h", "");
  EXPECT_TRUE(status.ok()) << status.error().message();
  EXPECT_EQ(Seen(), "argument\n");
  unlink(script.c_str());
}

}  // namespace
}  // namespace holt::oci
