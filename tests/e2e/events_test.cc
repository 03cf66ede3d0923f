// holt events: statistics, kills for want of memory, and the end.

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/e2e/bundle_fixture.h"

namespace holt {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

class EventsTest : public BundleTest {
 protected:
  Json Stats(const std::string& id) {
    Finished events = Holt({"events", "--stats", id});
    EXPECT_EQ(events.status, 0) << events.err;
    EXPECT_EQ(events.err, "");
    EXPECT_EQ(events.out.find('\n'), events.out.size() - 1) << events.out;
    return Json::parse(events.out, nullptr, false);
  }
};

TEST_F(EventsTest, StatsOnce) {
  Launch("c1", Config(R"(["sleep","1000"])", "", "",
                      R"(,"resources":{"memory":{"limit":67108864},"pids":{"limit":50}})"));
  Json first = Stats("c1");
  EXPECT_EQ(first["type"], "stats");
  EXPECT_EQ(first["id"], "c1");
  const Json& data = first["data"];
  for (const char* part :
       {"cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"})
    EXPECT_TRUE(data.contains(part)) << part;
  EXPECT_EQ(data["memory"]["usage"]["limit"], 67108864);
  EXPECT_GT(data["memory"]["usage"]["usage"], 4096);
  EXPECT_LT(data["memory"]["usage"]["usage"], 67108864);
  EXPECT_TRUE(data["memory"]["raw"].contains("anon"));
  EXPECT_EQ(data["pids"]["current"], 1);
  EXPECT_EQ(data["pids"]["limit"], 50);
  EXPECT_EQ(data["cpuset"]["cpus"], Json::parse("[0]"));

  // Nanoseconds: a busy loop of a thousand turns takes more than a microsecond and less than an
  // hour.
  ASSERT_EQ(
      Holt({"exec", "c1", "sh", "-c", "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done"}).status,
      0);
  uint64_t before = data["cpu"]["usage"]["total"];
  uint64_t after = Stats("c1")["data"]["cpu"]["usage"]["total"];
  EXPECT_GT(after, before + 1'000);
  EXPECT_LT(after, before + 3'600'000'000'000);
}

TEST_F(EventsTest, FollowsToTheEnd) {
  Launch("c1", Config(R"(["sleep","1000"])"));
  auto events = Program::Start(Command({"events", "--interval", "100ms", "c1"}), {});
  ASSERT_TRUE(events->WaitFor("\"type\":\"stats\""));
  ASSERT_EQ(Holt({"kill", "c1", "KILL"}).status, 0);
  Finished finished = events->Finish();
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.err, "");
  ASSERT_TRUE(BecomesStopped("c1"));
  Finished late = Holt({"events", "c1"});
  EXPECT_EQ(late.status, 1);
  EXPECT_THAT(ErrorOf(late), HasSubstr("container not running"));
  EXPECT_THAT(ErrorOf(Holt({"events", "c2"})), HasSubstr("does not exist"));
  EXPECT_THAT(ErrorOf(Holt({"events", "--interval", "0s", "c1"})), HasSubstr("--interval"));
}

TEST_F(EventsTest, OutOfMemory) {
  Launch("c1",
         Config(R"(["sleep","1000"])", "", "", R"(,"resources":{"memory":{"limit":33554432}})"));
  auto events = Program::Start(Command({"events", "--interval", "200ms", "c1"}), {});
  // What happens from the first line on is told.
  ASSERT_TRUE(events->WaitFor("\"type\":\"stats\""));
  Finished eater = Holt({"exec", "c1", "tail", "/dev/zero"});
  EXPECT_EQ(eater.status, 137) << eater.err;
  EXPECT_TRUE(events->WaitFor("{\"type\":\"oom\",\"id\":\"c1\"}\n"));
  EXPECT_GE(Stats("c1")["data"]["memory"]["event_count"]["oom_kill"], 1);
  EXPECT_EQ(StatusOf("c1"), "running");
  ASSERT_EQ(Holt({"kill", "c1", "KILL"}).status, 0);
  EXPECT_EQ(events->Finish().status, 0);
}

TEST_F(EventsTest, OutOfMemoryThatIsTheEnd) {
  WriteConfig(
      Config(R"(["tail","/dev/zero"])", "", "", R"(,"resources":{"memory":{"limit":33554432}})"));
  ASSERT_EQ(Create("c1").status, 0) << Log();
  auto events = Program::Start(Command({"events", "--interval", "200ms", "c1"}), {});
  ASSERT_TRUE(events->WaitFor("\"type\":\"stats\""));
  ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  Finished finished = events->Finish();
  EXPECT_THAT(finished.out, HasSubstr("{\"type\":\"oom\",\"id\":\"c1\"}\n")) << finished.err;
  EXPECT_EQ(finished.status, 0);
}

}  // namespace
}  // namespace holt
