// holt pause and holt resume, and what the other commands say to a paused container.

#include <gmock/gmock.h>
#include <unistd.h>

#include "tests/e2e/bundle_fixture.h"

namespace holt {
namespace {

using testing::HasSubstr;

constexpr char kTicks[] = R"(["sh","-c","while :; do echo tick; sleep 0.05; done"])";

class PauseTest : public BundleTest {
 protected:
  bool OutputGrows() {
    size_t before = Output().size();
    return Eventually([&] { return Output().size() > before; });
  }
};

TEST_F(PauseTest, ProcessesStandStillAndGoOn) {
  Launch("c1", Config(kTicks));
  ASSERT_TRUE(OutputGrows());
  Finished paused = Holt({"pause", "c1"});
  ASSERT_EQ(paused.status, 0) << paused.err;
  EXPECT_EQ(StatusOf("c1"), "paused");
  EXPECT_THAT(Holt({"list"}).out, HasSubstr("paused"));
  EXPECT_THAT(Holt({"list", "--format", "json"}).out, HasSubstr(R"("status":"paused")"));
  EXPECT_THAT(Holt({"ps"}).out, HasSubstr("paused"));
  // What was on the way arrives; then nothing more does.
  size_t size = 0;
  ASSERT_TRUE(Eventually([&] {
    size = Output().size();
    usleep(200'000);
    return Output().size() == size;
  }));
  usleep(500'000);
  EXPECT_EQ(Output().size(), size);

  ASSERT_EQ(Holt({"resume", "c1"}).status, 0);
  EXPECT_EQ(StatusOf("c1"), "running");
  EXPECT_TRUE(OutputGrows());
}

TEST_F(PauseTest, TransitionsInRuncsWords) {
  EXPECT_EQ(ErrorOf(Holt({"pause", "c1"})), "container \"c1\" does not exist");
  WriteConfig(Config(kTicks));
  ASSERT_EQ(Create("c1").status, 0) << Log();
  Finished created = Holt({"pause", "c1"});
  EXPECT_EQ(created.status, 1);
  EXPECT_THAT(ErrorOf(created), HasSubstr("container not running: \"c1\" is created"));
  ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  EXPECT_THAT(ErrorOf(Holt({"resume", "c1"})), HasSubstr("container not paused"));
  ASSERT_EQ(Holt({"pause", "c1"}).status, 0);
  EXPECT_THAT(ErrorOf(Holt({"pause", "c1"})), HasSubstr("container not running: \"c1\" is paused"));
  EXPECT_THAT(ErrorOf(Holt({"start", "c1"})),
              HasSubstr("cannot start a container in the paused state"));
  Finished exec = Holt({"exec", "c1", "true"});
  EXPECT_EQ(exec.status, 255);
  EXPECT_THAT(ErrorOf(exec), HasSubstr("cannot exec in a paused container"));
  EXPECT_THAT(ErrorOf(Holt({"delete", "c1"})),
              HasSubstr("cannot delete container c1 that is not stopped: paused"));
  EXPECT_THAT(Holt({"ps", "c1"}).out, HasSubstr("while"));
  EXPECT_EQ(StatusOf("c1"), "paused");

  // Frozen processes can be killed.
  ASSERT_EQ(Holt({"kill", "c1", "KILL"}).status, 0);
  ASSERT_TRUE(BecomesStopped("c1"));
  for (const char* command : {"pause", "resume"}) {
    Finished stopped = Holt({command, "c1"});
    EXPECT_EQ(stopped.status, 1);
    EXPECT_THAT(ErrorOf(stopped), HasSubstr("container not running: \"c1\" is stopped"));
  }
}

TEST_F(PauseTest, ExecCanWaitForTheResume) {
  Launch("c1", Config(kTicks));
  ASSERT_EQ(Holt({"pause", "c1"}).status, 0);
  auto exec = Program::Start(Command({"exec", "--ignore-paused", "c1", "echo", "went", "on"}), {});
  auto given_up =
      Program::Start(Command({"exec", "--ignore-paused", "c1", "touch", "/given-up"}), {});
  usleep(500'000);
  given_up->Signal(SIGKILL);
  given_up->Finish();
  ASSERT_EQ(Holt({"resume", "c1"}).status, 0);
  Finished finished = exec->Finish();
  EXPECT_EQ(finished.out, "went on\n") << finished.err;
  EXPECT_EQ(finished.status, 0);
  EXPECT_NE(Holt({"exec", "c1", "ls", "/given-up"}).status, 0);
}

TEST_F(PauseTest, StopLetsItAnswer) {
  Launch("c1",
         Config(R"(["sh","-c","trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"])"));
  ASSERT_TRUE(Eventually([&] { return Output() == "ready\n"; }));
  ASSERT_EQ(Holt({"pause", "c1"}).status, 0);
  EXPECT_EQ(Holt({"stop", "-t", "100", "c1"}).status, 0);
  EXPECT_EQ(Holt({"wait", "c1"}).out, "7\n");
}

TEST_F(PauseTest, DeleteByForce) {
  Launch("c1", Config(kTicks));
  ASSERT_EQ(Holt({"pause", "c1"}).status, 0);
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);
  EXPECT_TRUE(Leftovers().empty());
}

}  // namespace
}  // namespace holt
