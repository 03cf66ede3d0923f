#include "shim/run/features.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "oci/known_values.h"
#include "oci/unsupported.h"

namespace holt::shim {
namespace {

using testing::Contains;
using testing::Not;
using testing::SizeIs;
using Json = nlohmann::json;
using Names = std::vector<std::string>;

TEST(FeaturesTest, HasWhatTheSpecificationNames) {
  Json json = Json::parse(DescribeFeatures());
  EXPECT_EQ(json["ociVersionMin"], "1.0.0");
  EXPECT_EQ(json["ociVersionMax"], oci::kSpecVersion);
  const Json& linux_part = json["linux"];
  for (const char* type : {"pid", "network", "mount", "ipc", "uts", "cgroup"})
    EXPECT_THAT(linux_part["namespaces"].get<Names>(), Contains(type));
  EXPECT_THAT(linux_part["capabilities"].get<Names>(), Contains("CAP_SYS_ADMIN"));
  EXPECT_THAT(linux_part["capabilities"].get<Names>(), SizeIs(41));
  EXPECT_THAT(json["hooks"].get<Names>(), Contains("startContainer"));
  EXPECT_THAT(json["mountOptions"].get<Names>(), Contains("rro"));
  EXPECT_THAT(json["mountOptions"].get<Names>(), Contains("bind"));
  EXPECT_EQ(linux_part["cgroup"]["v2"], true);
  const Json& seccomp = linux_part["seccomp"];
  EXPECT_EQ(seccomp["enabled"], true);
  EXPECT_THAT(seccomp["actions"].get<Names>(), Contains("SCMP_ACT_ERRNO"));
  EXPECT_THAT(seccomp["operators"].get<Names>(), SizeIs(7));
  EXPECT_THAT(seccomp["archs"].get<Names>(), Contains("SCMP_ARCH_X86_64"));
  EXPECT_THAT(seccomp["knownFlags"].get<Names>(), SizeIs(oci::SeccompFlags().size()));
  EXPECT_THAT(seccomp["supportedFlags"].get<Names>(), Contains("SECCOMP_FILTER_FLAG_LOG"));
}

// What create refuses is not shown, and the other way round.
TEST(FeaturesTest, WhatIsRefusedIsNotThere) {
  Json json = Json::parse(DescribeFeatures());
  EXPECT_THAT(json["linux"]["seccomp"]["actions"].get<Names>(), Not(Contains("SCMP_ACT_NOTIFY")));
  for (const oci::HookKind& kind : oci::HookKinds()) {
    auto config = oci::ParseConfig(R"({"ociVersion":"1.3.0","process":{"cwd":"/","args":["a"]},)"
                                   R"("linux":{"namespaces":[{"type":"network"}]},"hooks":{")" +
                                   std::string(kind.name) + R"(":[{"path":"/x"}]}})");
    ASSERT_TRUE(config.ok());
    bool shown = false;
    for (const Json& name : json["hooks"]) shown = shown || name == kind.name;
    EXPECT_EQ(shown, oci::CheckSupported(*config).ok()) << kind.name;
  }
}

}  // namespace
}  // namespace holt::shim
