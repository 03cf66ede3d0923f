// holt-agent in the real guest: processes, their streams, signals and ends.

#include <thread>

#include "rpc/vmm.pb.h"
#include "tests/e2e/agent_fixture.h"

namespace holt {
namespace {

using base::Code;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class AgentProcessTest : public SharedVm<AgentProcessTest> {};

TEST_F(AgentProcessTest, TheReadyLineIsWhatTheHostReads) {
  EXPECT_THAT(vm().ready_line(), AllOf(HasSubstr("\"ready\":true"), HasSubstr("\"boot_us\":"),
                                       HasSubstr("\"version\":\"")));
  auto info = vm().Call<agent::v1::GuestInfoResponse>("GuestInfo", agent::v1::Empty());
  ASSERT_TRUE(info.ok()) << info.error().message();
  EXPECT_THAT(info->kernel_release(), StartsWith("6."));
  EXPECT_GT(info->memory_available_bytes(), 100u << 20);
  EXPECT_EQ(info->cpus_online(), 1u);
  uint64_t begin = info->boot_timeline_us().at("kernel");
  uint64_t end = info->boot_timeline_us().at("ready");
  std::string steps;
  for (const auto& [step, at] : info->boot_timeline_us()) steps += fmt::format(" {}={}", step, at);
  RecordProperty("timeline_us", steps);
  printf("boot timeline, us:%s\n", steps.c_str());
  EXPECT_GT(end, begin);
  EXPECT_LT(end - begin, 400'000u) << steps;
}

TEST_F(AgentProcessTest, ExitStatuses) {
  EXPECT_EQ(vm().Sh("exit 0").status, 0);
  EXPECT_EQ(vm().Sh("exit 42").status, 42);
  // Of a process that is not the first of its pid namespace; that one the kernel protects.
  auto killed = vm().Sh("sh -c 'kill -TERM $$'; exit $?");
  EXPECT_EQ(killed.status, 128 + 15);
}

TEST_F(AgentProcessTest, OutputComesWholeAndApart) {
  auto outcome =
      vm().Sh("i=1; while [ $i -le 10000 ]; do echo line $i; i=$((i+1)); done; echo bad >&2");
  std::string expected;
  for (int i = 1; i <= 10000; ++i) expected += fmt::format("line {}\n", i);
  EXPECT_TRUE(outcome.out == expected) << outcome.out.size() << " bytes";
  EXPECT_EQ(outcome.err, "bad\n");
}

TEST_F(AgentProcessTest, TheLastWordsOfAQuickProcessAreNotLost) {
  for (int i = 0; i < 20; ++i) {
    auto outcome = vm().Run(ContainerConfig({"echo", "last words"}));
    ASSERT_TRUE(outcome.ok());
    ASSERT_EQ(outcome->out, "last words\n") << i;
  }
}

TEST_F(AgentProcessTest, MegabytesThrough) {
  auto outcome = vm().Run(ContainerConfig({"/probe", "emit", "16777216"}));
  ASSERT_TRUE(outcome.ok()) << outcome.error().message();
  ASSERT_EQ(outcome->out.size(), size_t{16} << 20);
  for (size_t i = 0; i < outcome->out.size(); ++i)
    ASSERT_EQ(outcome->out[i],
              static_cast<char>((i % 65536 + i / 65536 * 65536) * 2654435761u >> 13))
        << i;
}

TEST_F(AgentProcessTest, ASlowReaderDoesNotFillTheGuest) {
  auto process = Background("slow", ContainerConfig({"/probe", "emit", "104857600"}));
  auto before = vm().Call<agent::v1::GuestInfoResponse>("GuestInfo", agent::v1::Empty());
  usleep(500000);  // the writer has filled what there is to fill
  auto after = vm().Call<agent::v1::GuestInfoResponse>("GuestInfo", agent::v1::Empty());
  ASSERT_TRUE(before.ok() && after.ok());
  int64_t grown = static_cast<int64_t>(before->memory_available_bytes()) -
                  static_cast<int64_t>(after->memory_available_bytes());
  EXPECT_LT(grown, 16 << 20);
  EXPECT_TRUE(SendSignal("slow", SIGKILL).ok());
  vm().Finish(std::move(process));
  DeleteOk("slow");
}

TEST_F(AgentProcessTest, InputToItsEnd) {
  std::string input(5 << 20, 0);
  for (size_t i = 0; i < input.size(); ++i) input[i] = static_cast<char>(i * 2654435761u >> 9);
  ASSERT_TRUE(base::WriteFile(vm().share() + "/rootfs/tmp/input", input).ok());
  auto outcome = vm().Sh("sha256sum - /tmp/input", input);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  ASSERT_GT(outcome.out.size(), 130u);
  EXPECT_EQ(outcome.out.substr(0, 64), outcome.out.substr(outcome.out.find('\n') + 1, 64));
  EXPECT_EQ(vm().Sh("cat | wc -c", "").out, "0\n");
}

TEST_F(AgentProcessTest, AProcessMayEndBeforeItsInputIsRead) {
  auto outcome = vm().Sh("head -c 3; exit 5", std::string(1 << 20, 'x'));
  EXPECT_EQ(outcome.status, 5);
  EXPECT_EQ(outcome.out, "xxx");
}

TEST_F(AgentProcessTest, StandardStreamsCanBeOpenedAgain) {
  auto outcome = vm().Sh("echo out >/dev/stdout; echo err >/dev/stderr; cat /dev/stdin", "in\n",
                         [](oci::Config& config) { config.process->user.uid = 1000; });
  EXPECT_EQ(outcome.out, "out\nin\n") << outcome.err;
  EXPECT_EQ(outcome.err, "err\n");
}

TEST_F(AgentProcessTest, CommandsThatCannotRun) {
  struct Case {
    const char* program;
    Code code;
    const char* text;
  };
  ASSERT_TRUE(base::WriteFile(vm().share() + "/rootfs/tmp/plain", "text", 0644).ok());
  ASSERT_TRUE(base::WriteFile(vm().share() + "/rootfs/tmp/garbage",
                              "\x7f"
                              "ELFgarbage",
                              0755)
                  .ok());
  ASSERT_EQ(chmod((vm().share() + "/rootfs/tmp/garbage").c_str(), 0755), 0);
  for (const Case& item :
       {Case{"no-such-command", Code::kNotFound, "executable file not found in $PATH"},
        Case{"/no/such", Code::kNotFound, "no such file or directory"},
        Case{"/tmp/plain", Code::kPermissionDenied, "permission denied"},
        Case{"/tmp/garbage", Code::kPermissionDenied, "exec format error"},
        Case{"/tmp", Code::kPermissionDenied, "is a directory"}}) {
    auto outcome = vm().Run(ContainerConfig({item.program}));
    ASSERT_FALSE(outcome.ok()) << item.program;
    EXPECT_EQ(outcome.error().code(), item.code) << outcome.error().message();
    EXPECT_THAT(outcome.error().message(), HasSubstr(item.text));
  }
}

TEST_F(AgentProcessTest, SeveralMayWaitAndAllAreTold) {
  auto process = Background("waited", Sleeper());
  ReadStream(process.out.get(), "up");
  agent::v1::WaitRequest request;
  request.set_container_id("waited");
  auto second = vm().NewClient();
  ASSERT_NE(second, nullptr);
  base::Result<agent::v1::WaitResponse> other = base::Error(Code::kInternal, "");
  std::thread waiter([&] {
    other = second->Call<agent::v1::WaitResponse>("holt.agent.v1.Agent", "Wait", request,
                                                  {.timeout = std::chrono::seconds(30)});
  });
  ASSERT_TRUE(SendSignal("waited", SIGTERM).ok());
  EXPECT_EQ(vm().Finish(std::move(process)).status, 9);
  waiter.join();
  ASSERT_TRUE(other.ok()) << other.error().message();
  EXPECT_EQ(other->exit_status(), 9);
  EXPECT_NEAR(static_cast<double>(other->exited_at_unix_nanos()),
              static_cast<double>(time(nullptr)) * 1e9, 3600e9 * 24 * 365 * 60);
  auto again = SendSignal("waited", SIGTERM);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code(), Code::kNotFound);
  DeleteOk("waited");
}

TEST_F(AgentProcessTest, SignalsArriveAndSigtermWithoutAHandlerEndsTheContainer) {
  auto caught = Background("catch", ContainerConfig({"/probe", "catch", "12"}));
  ReadStream(caught.out.get(), "waiting\n");
  ASSERT_TRUE(SendSignal("catch", 12).ok());
  auto outcome = vm().Finish(std::move(caught));
  EXPECT_EQ(outcome.out, "caught 12\n");
  EXPECT_EQ(outcome.status, 3);
  DeleteOk("catch");

  auto deaf = Background("deaf", ContainerConfig({"sleep", "1000"}));
  ASSERT_TRUE(SendSignal("deaf", SIGTERM).ok());
  outcome = vm().Finish(std::move(deaf));
  EXPECT_EQ(outcome.status, 137);
  EXPECT_EQ(outcome.signal, SIGKILL);
  DeleteOk("deaf");
  EXPECT_EQ(SendSignal("catch", 0).error().code(), Code::kNotFound);
}

TEST_F(AgentProcessTest, AllMeansAll) {
  auto process = Background(
      "family", ContainerConfig({"sh", "-c", "sleep 1000 & sleep 1000 & echo up; wait"}));
  ReadStream(process.out.get(), "up");
  EXPECT_FALSE(SendSignal("family", 99, true).ok());
  ASSERT_TRUE(SendSignal("family", SIGKILL, true).ok());
  EXPECT_EQ(vm().Finish(std::move(process)).status, 137);
  auto list = vm().Call<agent::v1::ListProcessesResponse>("ListProcesses", Named("family"));
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(list->processes_size(), 0);
  DeleteOk("family");
}

TEST(AgentBootTest, AFailedBootIsToldToTheHostAndOnTheConsole) {
  auto vm = AgentVm::Boot({.share = false});
  ASSERT_FALSE(::testing::Test::HasFatalFailure());
  constexpr char kWhy[] = "no virtio-fs device with the tag";
  EXPECT_THAT(vm->ready_line(), AllOf(HasSubstr("\"ready\":false"), HasSubstr(kWhy)));
  EXPECT_EQ(vm->WaitForEnd(), vmm::v1::Exit::SHUTDOWN);
  EXPECT_THAT(vm->Console(), HasSubstr(kWhy));
  vm->Destroy();
}

}  // namespace
}  // namespace holt
