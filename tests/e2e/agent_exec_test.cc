// holt-agent in the real guest: terminals and exec.

#include <unistd.h>

#include "tests/e2e/agent_fixture.h"

namespace holt {
namespace {

using base::Code;
using ::testing::AllOf;
using ::testing::HasSubstr;

class AgentExecTest : public SharedVm<AgentExecTest> {};

TEST_F(AgentExecTest, ATerminalIsOneAndCanBeResized) {
  oci::Config config =
      ContainerConfig({"sh", "-c", "tty; stty size; read x; stty size; echo got $x"});
  config.process->terminal = true;
  config.process->console_size = {24, 80};
  auto process = Background("tty", config);
  EXPECT_THAT(ReadStream(process.out.get(), "80\r\n"),
              AllOf(HasSubstr("/dev/pts/0"), HasSubstr("24 80")));
  agent::v1::ResizeTtyRequest resize;
  resize.set_container_id("tty");
  resize.set_rows(50);
  resize.set_columns(132);
  ASSERT_TRUE(vm().Call<agent::v1::Empty>("ResizeTty", resize).ok());
  ASSERT_TRUE(base::WriteFd(process.in.get(), "word\n").ok());
  auto outcome = vm().Finish(std::move(process));
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("50 132"), HasSubstr("got word")));
  EXPECT_EQ(outcome.status, 0);
  DeleteOk("tty");
}

TEST_F(AgentExecTest, CtrlCInterruptsAndAHalfCloseOnlyDetaches) {
  oci::Config config = ContainerConfig(
      {"sh", "-c", "trap 'echo interrupted; exit 4' INT; echo up; while :; do sleep 0.05; done"});
  config.process->terminal = true;
  auto process = Background("ctrl-c", config);
  ReadStream(process.out.get(), "up");
  ASSERT_TRUE(base::WriteFd(process.in.get(), "\x03").ok());
  auto outcome = vm().Finish(std::move(process));
  EXPECT_EQ(outcome.status, 4);
  EXPECT_THAT(outcome.out, HasSubstr("interrupted"));
  DeleteOk("ctrl-c");

  config = ContainerConfig({"sh", "-c", "echo up; sleep 0.5; echo still here"});
  config.process->terminal = true;
  process = Background("detach", config);
  ReadStream(process.out.get(), "up");
  shutdown(process.in.get(), SHUT_WR);
  EXPECT_THAT(vm().Finish(std::move(process)).out, HasSubstr("still here"));
  DeleteOk("detach");
}

TEST_F(AgentExecTest, OneStreamCanCarryATerminalBothWays) {
  agent::v1::CreateContainerRequest request;
  request.set_container_id("one-stream");
  oci::Config config = ContainerConfig({"sh", "-c", "read x; echo got $x"});
  config.process->terminal = true;
  request.set_oci_config(oci::SerializeConfig(config));
  auto stream = vm().OpenStream();
  request.mutable_stdio()->set_terminal(true);
  request.mutable_stdio()->set_stdin_stream(stream.id);
  request.mutable_stdio()->set_stdout_stream(stream.id);
  ASSERT_TRUE(vm().Call<agent::v1::CreateContainerResponse>("CreateContainer", request).ok());
  ASSERT_TRUE(vm().Start("one-stream").ok());
  ASSERT_TRUE(base::WriteFd(stream.fd.get(), "word\n").ok());
  EXPECT_THAT(ReadStream(stream.fd.get()), HasSubstr("got word"));
  DeleteOk("one-stream");
}

TEST_F(AgentExecTest, AProcessWithoutStreamsHasDevNull) {
  agent::v1::CreateContainerRequest request;
  request.set_container_id("quiet");
  request.set_oci_config(oci::SerializeConfig(
      ContainerConfig({"sh", "-c", "cat && echo x && readlink /proc/self/fd/1 >/tmp/null"})));
  ASSERT_TRUE(vm().Call<agent::v1::CreateContainerResponse>("CreateContainer", request).ok());
  ASSERT_TRUE(vm().Start("quiet").ok());
  agent::v1::WaitRequest wait;
  wait.set_container_id("quiet");
  auto exit = vm().Call<agent::v1::WaitResponse>("Wait", wait);
  ASSERT_TRUE(exit.ok());
  EXPECT_EQ(exit->exit_status(), 0);
  DeleteOk("quiet");
}

TEST_F(AgentExecTest, ExecRunsInTheContainer) {
  auto process = Background("host", Sleeper());
  ReadStream(process.out.get(), "up");
  oci::Process spec = ContainerProcess(
      {"sh", "-c",
       "hostname; cat; readlink /proc/1/ns/pid /proc/self/ns/pid; echo err >&2; exit 7"});
  auto exec = vm().Exec("host", "e1", spec);
  ASSERT_TRUE(exec.ok()) << exec.error().message();
  auto outcome = vm().Finish(std::move(*exec), "typed\n");
  EXPECT_EQ(outcome.status, 7);
  EXPECT_THAT(outcome.out, HasSubstr("typed\n"));
  EXPECT_EQ(outcome.err, "err\n");
  size_t at = outcome.out.find("pid:");
  ASSERT_NE(at, std::string::npos);
  EXPECT_NE(outcome.out.find(outcome.out.substr(at, 16), at + 1), std::string::npos) << outcome.out;

  spec.args = {"no-such-command"};
  exec = vm().Exec("host", "e2", spec);
  ASSERT_FALSE(exec.ok());
  EXPECT_EQ(exec.error().code(), Code::kNotFound);
  // The name is free again, and the ended one's is after DeleteProcess.
  spec.args = {"true"};
  exec = vm().Exec("host", "e2", spec);
  ASSERT_TRUE(exec.ok()) << exec.error().message();
  EXPECT_EQ(vm().Finish(std::move(*exec)).status, 0);
  EXPECT_EQ(vm().Exec("host", "e1", spec).error().code(), Code::kAlreadyExists);
  agent::v1::ProcessRequest forget;
  forget.set_container_id("host");
  forget.set_exec_id("e1");
  EXPECT_TRUE(vm().Call<agent::v1::Empty>("DeleteProcess", forget).ok());
  EXPECT_EQ(vm().Call<agent::v1::Empty>("DeleteProcess", forget).error().code(), Code::kNotFound);
  EXPECT_TRUE(SendSignal("host", SIGTERM).ok());
  EXPECT_EQ(vm().Finish(std::move(process)).status, 9);
  exec = vm().Exec("host", "late", spec);
  ASSERT_FALSE(exec.ok());
  EXPECT_EQ(exec.error().code(), Code::kFailedPrecondition);
  DeleteOk("host");
}

TEST_F(AgentExecTest, ExecHasItsOwnTerminalUserAndLimits) {
  auto process = Background("own", Sleeper());
  ReadStream(process.out.get(), "up");
  oci::Process spec =
      ContainerProcess({"sh", "-c", "tty; id -u; ulimit -n; grep NoNewPrivs /proc/self/status"});
  spec.terminal = true;
  spec.user.uid = 1000;
  spec.no_new_privileges = false;
  spec.rlimits = {{"RLIMIT_NOFILE", 77, 66}};
  auto exec = vm().Exec("own", "e", spec);
  ASSERT_TRUE(exec.ok()) << exec.error().message();
  auto outcome = vm().Finish(std::move(*exec));
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("/dev/pts/0"), HasSubstr("1000\r\n"),
                                 HasSubstr("66\r\n"), HasSubstr("NoNewPrivs:\t0")));
  EXPECT_TRUE(SendSignal("own", SIGKILL).ok());
  vm().Finish(std::move(process));
  DeleteOk("own");
}

TEST_F(AgentExecTest, ABackgroundChildHoldsUpNeitherExitNorOutput) {
  auto process = Background("daemon", Sleeper());
  ReadStream(process.out.get(), "up");
  auto exec = vm().Exec(
      "daemon", "e",
      ContainerProcess(
          {"sh", "-c", "(sleep 2; echo from the child; sleep 1000) & echo done; exit 6"}));
  ASSERT_TRUE(exec.ok());
  agent::v1::WaitRequest wait;
  wait.set_container_id("daemon");
  wait.set_exec_id("e");
  auto begin = std::chrono::steady_clock::now();
  auto exit = vm().Call<agent::v1::WaitResponse>("Wait", wait);
  ASSERT_TRUE(exit.ok());
  EXPECT_EQ(exit->exit_status(), 6);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  EXPECT_THAT(ReadStream(exec->out.get(), "done\n"), HasSubstr("done"));
  // As long as the host listens, the child is heard; and it lives on when nobody listens any more.
  EXPECT_THAT(ReadStream(exec->out.get(), "child\n"), HasSubstr("from the child"));
  exec->out.Reset();
  exec->err.Reset();
  // What it said came before what it does next.
  std::string commands;
  for (int turn = 0; turn < 100 && commands.find("sleep 1000") == std::string::npos; ++turn) {
    if (turn > 0) usleep(100'000);
    auto list = vm().Call<agent::v1::ListProcessesResponse>("ListProcesses", Named("daemon"));
    ASSERT_TRUE(list.ok());
    commands.clear();
    for (const auto& item : list->processes()) commands += item.command() + "\n";
  }
  EXPECT_THAT(commands, HasSubstr("sleep 1000"));
  EXPECT_TRUE(SendSignal("daemon", SIGKILL).ok());
  vm().Finish(std::move(process));
  DeleteOk("daemon");
}

TEST_F(AgentExecTest, ProcessesAreListedWithTheirNumbersInsideAndOutside) {
  auto process = Background("list", Sleeper());
  ReadStream(process.out.get(), "up");
  auto exec = vm().Exec("list", "the-exec", ContainerProcess({"sleep", "77"}));
  ASSERT_TRUE(exec.ok());
  auto list = vm().Call<agent::v1::ListProcessesResponse>("ListProcesses", Named("list"));
  ASSERT_TRUE(list.ok());
  bool first = false;
  bool second = false;
  for (const auto& item : list->processes()) {
    first |= item.container_pid() == 1 && item.pid() > 1 && item.exec_id().empty();
    second |=
        item.exec_id() == "the-exec" && item.command() == "sleep 77" && item.container_pid() > 1;
  }
  EXPECT_TRUE(first);
  EXPECT_TRUE(second);
  DeleteOk("list");  // kills
  EXPECT_EQ(ReadStream(exec->out.get()), "") << "its streams end with it";
}

}  // namespace
}  // namespace holt
