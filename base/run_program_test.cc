#include "base/run_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

namespace holt::base {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

Result<ProgramEnd> Shell(const std::string& script, std::string_view input = "",
                         std::optional<std::chrono::milliseconds> timeout = std::nullopt) {
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", script};
  return RunProgram(std::move(options), input, timeout);
}

TEST(RunProgramTest, InputStatusAndTheEndOfItsErrors) {
  auto end = Shell("read line; echo \"got $line\" >&2; echo to nobody; exit 7", "a line\n");
  ASSERT_TRUE(end.ok()) << end.error().message();
  EXPECT_FALSE(end->ok());
  EXPECT_EQ(WEXITSTATUS(end->wait_status), 7);
  EXPECT_EQ(end->error_text, "got a line\n");
  EXPECT_FALSE(end->timed_out);
}

TEST(RunProgramTest, InputThatIsNotReadBlocksNobody) {
  std::string input(1 << 20, 'x');
  auto end = Shell("exit 0", input);
  ASSERT_TRUE(end.ok());
  EXPECT_TRUE(end->ok());
}

TEST(RunProgramTest, LongErrorsAreReadAndOnlyTheEndIsKept) {
  auto end = Shell("yes error | head -c 1000000 >&2; echo last >&2; exit 1");
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(end->error_text.size(), 1024u);
  EXPECT_TRUE(end->error_text.ends_with("last\n"));
}

TEST(RunProgramTest, TheTimeoutKillsTheWholeGroup) {
  // The pid of a grandchild that ignores what can be ignored.
  std::string file = ::testing::TempDir() + "/grandchild-" + std::to_string(getpid());
  std::string text;
  // However slow the machine is, one of these is enough for the grandchild to start.
  for (auto timeout : {500ms, 5000ms, 60000ms}) {
    auto end = Shell("sh -c 'trap \"\" TERM; echo $$ >" + file + "; sleep 1000' & sleep 1000", "",
                     timeout);
    ASSERT_TRUE(end.ok());
    EXPECT_TRUE(end->timed_out);
    EXPECT_FALSE(end->ok());
    text = ReadFile(file).value_or("");
    if (!text.empty()) break;
  }
  ASSERT_NE(text, "");
  pid_t grandchild = std::stoi(text);
  auto alive = [&] {
    // A zombie of whoever adopts it is dead.
    auto stat = ReadFile("/proc/" + std::to_string(grandchild) + "/stat");
    return stat && stat->find(") Z ") == std::string::npos;
  };
  for (int i = 0; i < 500 && alive(); ++i) usleep(10'000);
  EXPECT_FALSE(alive());
  unlink(file.c_str());
}

TEST(RunProgramTest, WhatStaysInTheBackgroundIsNotWaitedFor) {
  // It holds standard error open longer than any test may last.
  auto end = Shell("sleep 3000 & echo $! >&2");
  ASSERT_TRUE(end.ok());
  EXPECT_TRUE(end->ok());
  pid_t background = std::stoi(end->error_text);
  EXPECT_EQ(kill(background, 0), 0);
  kill(background, SIGKILL);
}

TEST(RunProgramTest, AProgramThatIsNotThereIsAnErrorThatNamesIt) {
  SpawnOptions options;
  options.argv = {"name of its own"};
  options.program = "/no/such/program";
  auto end = RunProgram(std::move(options), "", std::nullopt);
  ASSERT_FALSE(end.ok());
  EXPECT_THAT(end.error().message(), HasSubstr("/no/such/program"));
  EXPECT_EQ(end.error().err(), ENOENT);
}

TEST(RunProgramTest, TheProgramMayBeAnotherThanItsFirstArgument) {
  SpawnOptions options;
  options.argv = {"odd name", "-c", "echo \"$0\" >&2; cat /proc/$$/cmdline >&2"};
  options.program = "/bin/sh";
  auto end = RunProgram(std::move(options), "", std::nullopt);
  ASSERT_TRUE(end.ok()) << end.error().message();
  EXPECT_THAT(end->error_text, HasSubstr("odd name"));
}

}  // namespace
}  // namespace holt::base
