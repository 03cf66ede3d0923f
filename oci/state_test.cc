#include "oci/state.h"

#include <gtest/gtest.h>

namespace holt::oci {
namespace {

TEST(StateTest, RoundTrip) {
  State state;
  state.id = "oci-container1";
  state.status = Status::kRunning;
  state.pid = 4422;
  state.bundle = "/containers/redis";
  state.annotations["myKey"] = "myValue";
  std::string json = SerializeState(state);
  EXPECT_EQ(json, R"({"annotations":{"myKey":"myValue"},"bundle":"/containers/redis",)"
                  R"("id":"oci-container1","ociVersion":"1.3.0","pid":4422,"status":"running"})");
  auto back = ParseState(json);
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(back->status, Status::kRunning);
  EXPECT_EQ(back->pid, 4422);
  EXPECT_EQ(back->annotations.at("myKey"), "myValue");
}

TEST(StateTest, NoPidWhenThereIsNone) {
  State state;
  state.id = "a";
  state.status = Status::kStopped;
  EXPECT_EQ(SerializeState(state),
            R"({"bundle":"","id":"a","ociVersion":"1.3.0","status":"stopped"})");
}

TEST(StateTest, RefusesWhatIsNotAState) {
  EXPECT_EQ(ParseState("{}").error().message(), "state: id: is required");
  EXPECT_EQ(ParseState(R"({"id":"a","status":"asleep"})").error().message(),
            "status: \"asleep\" is none of creating, created, running, stopped, paused");
}

}  // namespace
}  // namespace holt::oci
