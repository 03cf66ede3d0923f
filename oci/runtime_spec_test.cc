#include "oci/runtime_spec.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"

namespace holt::oci {
namespace {

std::string Corpus(const std::string& name) {
  auto text = base::ReadFile(HOLT_SOURCE_DIR "/tests/corpus/runtime_spec/" + name);
  EXPECT_TRUE(text.ok());
  return text.ok() ? *text : "";
}

// full.json sets every property of the specification: one that the structs drop would be missing
// from the JSON that comes back.
TEST(RuntimeSpecTest, EveryPropertySurvivesARoundTrip) {
  std::string text = Corpus("full.json");
  auto config = ParseConfig(text);
  ASSERT_TRUE(config.ok()) << config.error().message();
  auto want = nlohmann::json::parse(text, nullptr, false);
  auto got = nlohmann::json::parse(SerializeConfig(*config), nullptr, false);
  // Written only when true; false is what its absence means.
  EXPECT_EQ(nlohmann::json::diff(want, got).dump(), "[]");
}

TEST(RuntimeSpecTest, ValuesArriveWhereTheyBelong) {
  auto config = ParseConfig(Corpus("full.json"));
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->process->user.umask, 63u);
  EXPECT_EQ(config->process->rlimits[1].hard, UINT64_MAX);
  EXPECT_EQ(config->process->oom_score_adj, -100);
  EXPECT_EQ(config->linux_->resources->devices[1].major, -1);
  EXPECT_EQ(config->linux_->time_offsets.at("boottime").secs, -604800);
  EXPECT_EQ(config->linux_->seccomp->syscalls[0].args[0].value, 2080505856u);
  EXPECT_EQ(config->vm->hw_config->iomems[0].nr_mfns, 3u);
  ASSERT_NE(FindNamespace(*config, "network"), nullptr);
  EXPECT_EQ(FindNamespace(*config, "network")->path, "/var/run/netns/neta");
  EXPECT_EQ(FindNamespace(*config, "nothing"), nullptr);
}

TEST(RuntimeSpecTest, AbsentStaysAbsent) {
  auto config = ParseConfig(R"({"ociVersion":"1.0.2-dev"})");
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_FALSE(config->process);
  EXPECT_FALSE(config->linux_);
  EXPECT_EQ(SerializeConfig(*config), R"({"ociVersion":"1.0.2-dev"})");
}

TEST(RuntimeSpecTest, NullIsAbsentAndUnknownIsIgnored) {
  auto config = ParseConfig(
      R"({"ociVersion":"1.1.0","process":null,"mounts":null,"solaris":{"x":1},"future":[1]})");
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_FALSE(config->process);
}

TEST(RuntimeSpecTest, ReadsBothSpellingsOfHwConfig) {
  auto config = ParseConfig(R"({"ociVersion":"1.3.0","vm":{"hwconfig":{"vcpus":3}}})");
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(config->vm->hw_config->vcpus, 3u);
  EXPECT_NE(SerializeConfig(*config).find("\"hwConfig\""), std::string::npos);
}

TEST(RuntimeSpecTest, ProcessAndResourcesAlone) {
  auto process = ParseProcess(R"({"cwd":"/","args":["id"],"user":{"uid":3}})");
  ASSERT_TRUE(process.ok()) << process.error().message();
  EXPECT_EQ(process->user.uid, 3u);
  EXPECT_EQ(ParseProcess(SerializeProcess(*process))->user.uid, 3u);
  auto resources = ParseResources(R"({"memory":{"limit":1048576},"unified":{"cpu.idle":"1"}})");
  ASSERT_TRUE(resources.ok()) << resources.error().message();
  EXPECT_EQ(resources->memory->limit, 1048576);
  EXPECT_EQ(ParseResources(R"({"memory":{"limit":"1"}})").error().message(),
            "linux.resources.memory.limit: must be a whole number, not string");
}

TEST(RuntimeSpecTest, BytesThatAreNotUtf8AreRefusedNotPassedOn) {
  EXPECT_FALSE(ParseConfig("{\"ociVersion\":\"1.3.0\",\"hostname\":\"\xff\"}").ok());
}

TEST(RuntimeSpecTest, RefusesMoreThanTheSizeLimit) {
  std::string big =
      R"({"ociVersion":"1.3.0","hostname":")" + std::string(kMaxConfigBytes, 'a') + "\"}";
  auto config = ParseConfig(big);
  ASSERT_FALSE(config.ok());
  EXPECT_NE(config.error().message().find("more than the 3145728 allowed"), std::string::npos);
}

TEST(RuntimeSpecTest, RefusesDeepNesting) {
  std::string deep = R"({"ociVersion":"1.3.0","x":)" + std::string(1000000, '[');
  auto config = ParseConfig(deep);
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error().message(), "config.json: nested deeper than 32 levels");
  // Brackets within strings are not nesting.
  EXPECT_TRUE(
      ParseConfig(R"({"ociVersion":"1.3.0","x":"[[[[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["})").ok());
}

}  // namespace
}  // namespace holt::oci
