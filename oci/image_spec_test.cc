#include "oci/image_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holt::oci {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kHex = "sha256:" + std::string(64, 'a');

std::string Manifest(const std::string& extra = "") {
  return R"({"schemaVersion":2,"config":{"mediaType":"c","digest":")" + kHex +
         R"(","size":3},"layers":[{"mediaType":"l","digest":")" + kHex + R"(","size":9}])" + extra +
         "}";
}

std::string ErrorOf(std::string_view text, std::string_view type = "") {
  auto parsed = ParseManifest(text, type);
  return parsed ? "parsed" : parsed.error().message();
}

TEST(ImageSpec, ReadsAManifestOfBothKinds) {
  for (const char* type : {"", kOciManifest, kDockerManifest, "application/json"}) {
    auto parsed = ParseManifest(Manifest(), type);
    ASSERT_TRUE(parsed) << parsed.error().message();
    const auto& manifest = std::get<ImageManifest>(*parsed);
    EXPECT_EQ(manifest.config.digest, kHex);
    ASSERT_EQ(manifest.layers.size(), 1u);
    EXPECT_EQ(manifest.layers[0].size, 9);
  }
}

TEST(ImageSpec, ReadsAnIndexWithPlatforms) {
  auto parsed = ParseManifest(
      R"({"schemaVersion":2,"manifests":[{"mediaType":"m","digest":")" + kHex +
          R"(","size":1,"platform":{"architecture":"arm64","os":"linux","variant":"v8"}}]})",
      kDockerIndex);
  ASSERT_TRUE(parsed) << parsed.error().message();
  const auto& index = std::get<ImageIndex>(*parsed);
  ASSERT_EQ(index.manifests.size(), 1u);
  EXPECT_EQ(index.manifests[0].platform->architecture, "arm64");
  EXPECT_EQ(index.manifests[0].platform->variant, "v8");
}

TEST(ImageSpec, RefusesTwoImagesInOneText) {
  EXPECT_THAT(ErrorOf(Manifest(R"(,"manifests":[])")), HasSubstr("manifest and an index at once"));
  EXPECT_THAT(ErrorOf(Manifest(R"(,"mediaType":"application/vnd.oci.image.manifest.v1+json")"),
                      kDockerManifest),
              HasSubstr("but was served as"));
  EXPECT_THAT(ErrorOf(Manifest(), kOciIndex), HasSubstr("has no manifests"));
}

TEST(ImageSpec, RefusesWhatItCannotCheck) {
  EXPECT_THAT(ErrorOf(R"({"config":{"digest":"md5:00","size":1},"layers":[]})"),
              HasSubstr("\"md5:00\" is not a digest holt can check"));
  EXPECT_THAT(ErrorOf(R"({"config":{"digest":")" + kHex + R"(","size":-1},"layers":[]})"),
              HasSubstr("size -1 is negative"));
  EXPECT_THAT(ErrorOf(R"({"config":{"digest":"../../etc/passwd","size":1},"layers":[]})"),
              HasSubstr("is not a digest"));
  EXPECT_THAT(ErrorOf(R"({"schemaVersion":1,"fsLayers":[]})"), HasSubstr("schema 1"));
  EXPECT_THAT(ErrorOf("<html>"), HasSubstr("not valid JSON"));
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(ErrorOf(R"({"mediaType":"application/vnd.cncf.helm","config":{},"layers":[]})"),
              HasSubstr("is not a container image"));
  EXPECT_THAT(ErrorOf(R"({"config":{"digest":7,"size":1},"layers":[]})"),
              HasSubstr("config.digest: must be a string"));
  std::string many = R"({"config":{"digest":")" + kHex + R"(","size":1},"layers":[)";
  for (int i = 0; i < 501; ++i)
    many += (i ? "," : "") + (R"({"digest":")" + kHex + R"(","size":1})");
  EXPECT_THAT(ErrorOf(many + "]}"), HasSubstr("501 layers, more than the 500"));
}

TEST(ImageSpec, ReadsAConfigurationAsBuildersWriteIt) {
  auto config = ParseImageConfig(
      R"({"created":"2024-01-02T03:04:05Z","architecture":"amd64","os":"linux","config":{"Env":["A=b"],
          "Entrypoint":null,"Cmd":["sh","-c","x"],"WorkingDir":"/w","User":"7:8","StopSignal":"SIGINT",
          "ExposedPorts":{"80/tcp":{}},"Labels":{"a":"b"},"OnBuild":null},
          "rootfs":{"type":"layers","diff_ids":[")" +
      kHex + R"("]},"history":[{"created_by":"x","empty_layer":true}]})");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_THAT(config->config.cmd, ElementsAre("sh", "-c", "x"));
  EXPECT_TRUE(config->config.entrypoint.empty());
  EXPECT_EQ(config->config.exposed_ports.count("80/tcp"), 1u);
  EXPECT_TRUE(config->history[0].empty_layer);
  auto again = ParseImageConfig(WriteImageConfig(*config));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->config.env, config->config.env);
  EXPECT_EQ(again->rootfs.diff_ids, config->rootfs.diff_ids);
  EXPECT_EQ(again->config.labels, config->config.labels);
}

TEST(ImageSpec, RefusesABadConfiguration) {
  auto config = ParseImageConfig(R"({"rootfs":{"type":"layers","diff_ids":["sha256:zz"]}})");
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message(),
              HasSubstr("rootfs.diff_ids: \"sha256:zz\" is not a digest"));
  config = ParseImageConfig(R"({"config":{"Env":"A=b"}})");
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message(), HasSubstr("config.Env: must be a list, not string"));
}

}  // namespace
}  // namespace holt::oci
