#include "image/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holt::image {
namespace {

using ::testing::HasSubstr;

std::string Canonical(std::string_view text) {
  auto reference = Reference::Parse(text);
  return reference ? reference->ToString() : "error: " + reference.error().message();
}

const std::string kDigest = "sha256:" + std::string(64, '0');

TEST(Reference, CompletesAsDockerDoes) {
  EXPECT_EQ(Canonical("debian"), "docker.io/library/debian:latest");
  EXPECT_EQ(Canonical("debian:12"), "docker.io/library/debian:12");
  EXPECT_EQ(Canonical("me/tool"), "docker.io/me/tool:latest");
  EXPECT_EQ(Canonical("index.docker.io/me/tool"), "docker.io/me/tool:latest");
  EXPECT_EQ(Canonical("docker.io/debian"), "docker.io/library/debian:latest");
  EXPECT_EQ(Canonical("localhost/x"), "localhost/x:latest");
  EXPECT_EQ(Canonical("localhost:5000/x:y"), "localhost:5000/x:y");
  EXPECT_EQ(Canonical("127.0.0.1:5000/a/b/c"), "127.0.0.1:5000/a/b/c:latest");
  EXPECT_EQ(Canonical("[::1]:5000/a"), "[::1]:5000/a:latest");
  EXPECT_EQ(Canonical("quay.io/a__b/c--d.e_f:V1.2-x_Y"), "quay.io/a__b/c--d.e_f:V1.2-x_Y");
  EXPECT_EQ(Canonical("debian@" + kDigest), "docker.io/library/debian@" + kDigest);
  EXPECT_EQ(Canonical("h:1/a:t@" + kDigest), "h:1/a:t@" + kDigest);
  EXPECT_EQ(Canonical("UPPER/a"), "UPPER/a:latest");
}

TEST(Reference, RefusesAndSaysWhy) {
  EXPECT_THAT(Canonical(""), HasSubstr("it is empty"));
  EXPECT_THAT(Canonical("Debian"), HasSubstr("\"Debian\" must be lower case"));
  EXPECT_THAT(Canonical("a//b"), HasSubstr("a part of its name is empty"));
  EXPECT_THAT(Canonical("a/../b"), HasSubstr("\"..\" may have only"));
  EXPECT_THAT(Canonical("a:"), HasSubstr("the tag after ':' is empty"));
  EXPECT_THAT(Canonical("a:-x"), HasSubstr("the tag \"-x\" may have only"));
  EXPECT_THAT(Canonical("a:" + std::string(129, 'x')), HasSubstr("129 characters"));
  EXPECT_THAT(Canonical("a@sha256:12"), HasSubstr("the digest after '@'"));
  EXPECT_THAT(Canonical("https://h/a"), HasSubstr("leave out the scheme"));
  EXPECT_THAT(Canonical("h:99999/a"), HasSubstr("not a host name"));
  // Would be a header or another host where the name becomes a URL.
  EXPECT_THAT(Canonical("[::1]\r5000/a"), HasSubstr("not a host name"));
  EXPECT_THAT(Canonical("[::1]@5000/a"), HasSubstr("digest"));
  EXPECT_THAT(Canonical("[127.1..0]/a"), HasSubstr("not a host name"));
  EXPECT_THAT(Canonical("h..x/a"), HasSubstr("not a host name"));
  EXPECT_THAT(Canonical("-h.x/a"), HasSubstr("not a host name"));
  EXPECT_THAT(Canonical("a b"), HasSubstr("\"a b\" may have only"));
  EXPECT_THAT(Canonical("a\n"), HasSubstr("\"a?\" is not"));
  EXPECT_THAT(Canonical(":5"), HasSubstr("has no name"));
  EXPECT_THAT(Canonical(std::string(64, 'a')), HasSubstr("image id"));
  EXPECT_THAT(Canonical("x.y/" + std::string(260, 'a')), HasSubstr("longer than 255"));
  EXPECT_THAT(Canonical("a-"), HasSubstr("may have only"));
  EXPECT_THAT(Canonical("a___b"), HasSubstr("may have only"));
}

TEST(Reference, KnowsLocalRegistries) {
  for (const char* local :
       {"localhost/a", "localhost:5000/a", "127.9.8.7:80/a", "[::1]:5000/a", "reg.localhost/a"})
    EXPECT_TRUE(Reference::Parse(local)->IsLocal()) << local;
  for (const char* remote :
       {"a", "127.example.org/a", "localhost.example.org/a", "128.0.0.1/a", "127.0.0.1.evil.net/a"})
    EXPECT_FALSE(Reference::Parse(remote)->IsLocal()) << remote;
}

TEST(Reference, NamesForPeopleAndRegistries) {
  auto reference = Reference::Parse("debian:12");
  EXPECT_EQ(reference->FamiliarName(), "debian");
  EXPECT_EQ(reference->RegistryHost(), "registry-1.docker.io");
  EXPECT_EQ(reference->ManifestKey(), "12");
  EXPECT_EQ(Reference::Parse("me/x@" + kDigest)->ManifestKey(), kDigest);
  EXPECT_EQ(Reference::Parse("me/x")->FamiliarName(), "me/x");
  EXPECT_EQ(Reference::Parse("q.io/x")->FamiliarName(), "q.io/x");
}

}  // namespace
}  // namespace holt::image
