// holt spec and holt features.

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/e2e/bundle_fixture.h"

namespace holt {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

class SpecFeaturesTest : public BundleTest {};

TEST_F(SpecFeaturesTest, WritesWhatRunTakes) {
  ASSERT_EQ(Holt({"spec"}, {.directory = bundle_}).status, 0);
  std::string text = base::ReadFile(bundle_ + "/config.json").value_or("");
  Json config = Json::parse(text, nullptr, false);
  ASSERT_TRUE(config.is_object()) << text;
  EXPECT_EQ(config["ociVersion"], "1.3.0");
  EXPECT_EQ(config["process"]["args"], Json::parse(R"(["sh"])"));
  EXPECT_EQ(config["root"]["path"], "rootfs");
  auto run =
      Program::StartOnTerminal(Command({"run", "--accel", Accel(), "--bundle", bundle_, "c1"}));
  run->Type("hostname; touch /x; exit 3\n");
  EXPECT_TRUE(run->WaitFor("holt\r\n"));
  EXPECT_TRUE(run->WaitFor("Read-only file system"));
  EXPECT_EQ(run->Finish().status, 3);

  Finished again = Holt({"spec", "--bundle", bundle_});
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(ErrorOf(again), HasSubstr("config.json exists: remove it first"));
}

TEST_F(SpecFeaturesTest, Features) {
  Finished features = Holt({"features"});
  EXPECT_EQ(features.status, 0);
  EXPECT_EQ(features.err, "");
  Json json = Json::parse(features.out, nullptr, false);
  ASSERT_TRUE(json.is_object()) << features.out;
  EXPECT_EQ(json["ociVersionMax"], "1.3.0");
  // What it names is what create takes, and the other way round.
  for (const char* hook : {"prestart", "createRuntime", "createContainer", "startContainer",
                           "poststart", "poststop"}) {
    WriteConfig(Config(R"(["true"])", "",
                       std::string(R"(,"hooks":{")") + hook + R"(":[{"path":"/no/such/hook"}]})"));
    bool named = false;
    for (const Json& name : json["hooks"]) named = named || name == hook;
    Finished created = Create(std::string("c-") + hook);
    EXPECT_EQ(created.err.find("not supported") == std::string::npos, named) << created.err;
  }
}

}  // namespace
}  // namespace holt
