// holt update: limits that change while a container runs.

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/e2e/bundle_fixture.h"

namespace holt {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

// A machine of some 230 MiB and one processor.
constexpr char kLimits[] =
    R"(,"resources":{"memory":{"limit":134217728},"cpu":{"quota":100000,"period":100000}})";

class UpdateTest : public BundleTest {
 protected:
  void SetUp() override {
    BundleTest::SetUp();
    Launch("c1", Config(R"(["sleep","1000"])", "", "", kLimits));
  }
  std::string InGuest(const std::string& file) {
    Finished read = Holt({"exec", "c1", "cat", "/sys/fs/cgroup/" + file});
    EXPECT_EQ(read.status, 0) << read.err;
    return read.out;
  }
  Json Stats() {
    Finished events = Holt({"events", "--stats", "c1"});
    EXPECT_EQ(events.status, 0) << events.err;
    Json json = Json::parse(events.out, nullptr, false);
    return json.is_object() ? json["data"] : Json();
  }
};

TEST_F(UpdateTest, ByFlags) {
  EXPECT_EQ(InGuest("memory.max"), "134217728\n");
  Finished updated =
      Holt({"update", "--memory", "100m", "--memory-reservation", "64m", "--pids-limit", "33",
            "--cpu-quota", "50000", "--cpu-share", "512", "c1"});
  ASSERT_EQ(updated.status, 0) << updated.err;
  EXPECT_EQ(InGuest("memory.max"), "104857600\n");
  EXPECT_EQ(InGuest("memory.low"), "67108864\n");
  EXPECT_EQ(InGuest("pids.max"), "33\n");
  EXPECT_EQ(InGuest("cpu.max"), "50000 100000\n");
  EXPECT_NE(InGuest("cpu.weight"), "100\n");
  Json stats = Stats();
  EXPECT_EQ(stats["memory"]["usage"]["limit"], 104857600);
  EXPECT_EQ(stats["pids"]["limit"], 33);

  // Memory and swap together, as the specification counts; the kernel counts swap alone.
  ASSERT_EQ(Holt({"update", "--memory-swap", "150m", "c1"}).status, 0);
  EXPECT_EQ(InGuest("memory.swap.max"), "52428800\n");
  ASSERT_EQ(Holt({"update", "--memory", "120m", "c1"}).status, 0);
  EXPECT_EQ(InGuest("memory.swap.max"), "31457280\n");
  EXPECT_THAT(ErrorOf(Holt({"update", "--memory-swap", "1m", "c1"})),
              HasSubstr("linux.resources.memory.swap: 1048576 is less than memory.limit"));
  ASSERT_EQ(Holt({"update", "--memory", "100m", "c1"}).status, 0);

  // What is not named stays, and what goes together is kept together.
  ASSERT_EQ(Holt({"update", "--cpu-period", "200000", "c1"}).status, 0);
  EXPECT_EQ(InGuest("cpu.max"), "50000 200000\n");
  EXPECT_EQ(InGuest("pids.max"), "33\n");
  std::string saved = base::ReadFile(root_ + "/c1/state.json").value_or("");
  Json resources = Json::parse(Json::parse(saved)["resources"].get<std::string>());
  EXPECT_EQ(resources["memory"]["limit"], 104857600);
  EXPECT_EQ(resources["cpu"]["quota"], 50000);
  EXPECT_EQ(resources["cpu"]["period"], 200000);
  EXPECT_EQ(resources["pids"]["limit"], 33);
}

TEST_F(UpdateTest, ByAFileAndStandardInput) {
  ASSERT_TRUE(
      base::WriteFile(Scratch("r.json"), R"({"pids":{"limit":44},"memory":{"limit":110000000}})")
          .ok());
  Finished file = Holt({"update", "--resources=" + Scratch("r.json"), "c1"});
  ASSERT_EQ(file.status, 0) << file.err;
  EXPECT_EQ(InGuest("pids.max"), "44\n");
  Finished input =
      Holt({"update", "--resources", "-", "c1"}, {.input = R"({"pids":{"limit":-1}})"});
  ASSERT_EQ(input.status, 0) << input.err;
  EXPECT_EQ(InGuest("pids.max"), "max\n");
  EXPECT_EQ(InGuest("memory.max"), "109998080\n");  // whole pages

  Finished wrong =
      Holt({"update", "--resources", "-", "c1"}, {.input = R"({"pids":{"limit":"x"}})"});
  EXPECT_EQ(wrong.status, 1);
  EXPECT_THAT(ErrorOf(wrong), HasSubstr("linux.resources.pids.limit"));
  EXPECT_EQ(Holt({"update", "--resources", "-", "c1"}, {.input = "{"}).status, 1);
  EXPECT_EQ(Holt({"update", "--resources", Scratch("none"), "c1"}).status, 1);
}

TEST_F(UpdateTest, ALimitHolds) {
  ASSERT_EQ(Holt({"update", "--pids-limit", "4", "c1"}).status, 0);
  Finished forks = Holt({"exec", "c1", "sh", "-c", "sleep 9 & sleep 9 & sleep 9 & sleep 9 &"});
  EXPECT_THAT(forks.err, HasSubstr("fork"));
}

TEST_F(UpdateTest, AMachineDoesNotGrow) {
  auto refused = [&](const std::string& flag, const std::string& value, const std::string& text) {
    Finished finished = Holt({"update", flag, value, "c1"});
    EXPECT_EQ(finished.status, 1);
    EXPECT_THAT(ErrorOf(finished), HasSubstr(text));
  };
  refused("--memory", "8g",
          "linux.resources.memory.limit: 8589934592 bytes: the container's machine");
  refused("--cpu-quota", "250000", "linux.resources.cpu.quota: 250000 of 100000 us");
  // Which processors and what of the disks is the host's to say.
  if (!base::PathExists("/sys/fs/cgroup/cgroup.controllers")) {
    refused("--cpuset-cpus", "0", "linux.resources.cpu.cpus: needs cgroup v2 on the host");
    refused("--blkio-weight", "50", "linux.resources.blockIO.weight: needs cgroup v2 on the host");
  }
  refused("--kernel-memory", "1m", "--kernel-memory: not supported");
  EXPECT_EQ(InGuest("memory.max"), "134217728\n");
  EXPECT_EQ(InGuest("cpu.max"), "100000 100000\n");
  // Less than is in use is not what was asked for.
  Finished checked = Holt({"update", "--resources", "-", "c1"},
                          {.input = R"({"memory":{"limit":4096,"checkBeforeUpdate":true}})"});
  EXPECT_EQ(checked.status, 1);
  EXPECT_THAT(ErrorOf(checked), HasSubstr("in use"));
}

TEST_F(UpdateTest, OfWhatDoesNotRun) {
  EXPECT_EQ(ErrorOf(Holt({"update", "--pids-limit", "5", "c2"})),
            "container \"c2\" does not exist");
  ASSERT_EQ(Holt({"kill", "c1", "9"}).status, 0);
  ASSERT_TRUE(BecomesStopped("c1"));
  EXPECT_THAT(ErrorOf(Holt({"update", "--pids-limit", "5", "c1"})),
              HasSubstr("container not running: \"c1\" is stopped"));
}

}  // namespace
}  // namespace holt
