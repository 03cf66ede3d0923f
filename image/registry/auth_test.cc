#include "image/registry/auth.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/file.h"

namespace holt::image::registry {
namespace {

class AuthTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "auth.XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    directory_ = path;
  }
  void TearDown() override { EXPECT_TRUE(base::RemoveTree(directory_).ok()); }

  std::string Write(const std::string& name, const std::string& text) {
    std::string path = directory_ + "/" + name;
    EXPECT_TRUE(base::MakeDirs(path.substr(0, path.rfind('/'))).ok());
    EXPECT_TRUE(base::WriteFile(path, text, 0600).ok());
    return path;
  }
  static Reference Name(const std::string& text) { return *Reference::Parse(text); }
  static std::string Auth(const std::string& pair) {
    return R"({"auth":")" + EncodeBase64(pair) + "\"}";
  }
  base::Result<AuthLookup> Find(const std::string& json, const std::string& name) {
    return FindCredentials({{Write("one.json", json)}, true}, Name(name));
  }

  std::string directory_;
};

TEST_F(AuthTest, FindsTheHostAndKeepsColonsInPasswords) {
  auto found = Find(R"({"auths":{"r.example:5000":)" + Auth("me:a:b") + "}}", "r.example:5000/x");
  ASSERT_TRUE(found.ok() && found->credentials);
  EXPECT_EQ(found->credentials->user, "me");
  EXPECT_EQ(found->credentials->password, "a:b");
  EXPECT_FALSE(
      Find(R"({"auths":{"r.example":)" + Auth("me:a") + "}}", "r.example:5000/x")->credentials);
}

TEST_F(AuthTest, PrefersTheLongestPrefix) {
  std::string json = R"({"auths":{"r.example":)" + Auth("host:1") + R"(,"r.example/team":)" +
                     Auth("team:1") + "}}";
  EXPECT_EQ(Find(json, "r.example/team/x")->credentials->user, "team");
  EXPECT_EQ(Find(json, "r.example/teams/x")->credentials->user, "host");
}

TEST_F(AuthTest, KnowsDockerHubsOldKey) {
  std::string json = R"({"auths":{"https://index.docker.io/v1/":)" + Auth("hub:1") + "}}";
  EXPECT_EQ(Find(json, "debian")->credentials->user, "hub");
  EXPECT_FALSE(Find(json, "r.example/debian")->credentials);
}

TEST_F(AuthTest, SaysThatAHelperHasThem) {
  auto found = Find(R"({"credHelpers":{"r.example":"ecr-login"}})", "r.example/x");
  EXPECT_FALSE(found->credentials);
  EXPECT_NE(found->helper.find("docker-credential-ecr-login"), std::string::npos);
  found = Find(R"({"auths":{"r.example":{}},"credsStore":"pass"})", "r.example/x");
  EXPECT_NE(found->helper.find("docker-credential-pass"), std::string::npos);
}

TEST_F(AuthTest, RefusesDamagedFilesWithoutShowingThem) {
  auto bad = Find("{\"auths\": secret", "r.example/x");
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().message().find("secret"), std::string::npos);
  EXPECT_FALSE(Find(R"({"auths":{"r.example":{"auth":"***"}}})", "r.example/x").ok());
  EXPECT_FALSE(Find(R"({"auths":{"r.example":{"auth":"bm9jb2xvbg=="}}})", "r.example/x").ok());
  EXPECT_FALSE(Find(R"({"auths":{"r.example":{"identitytoken":"t"}}})", "r.example/x").ok());
  EXPECT_TRUE(Find(R"({"auths":[1,2]})", "r.example/x").ok());
}

// Nothing of these is a login, and none does harm.
TEST_F(AuthTest, OddFilesAreNoLogin) {
  const std::string deep(200'000, '[');
  const std::string odd[] = {
      "",
      " \n",
      "{}",
      R"({"auths":7})",
      R"({"auths":{"r.example":[]}})",
      R"({"auths":{"r.example":{"auth":7,"username":{},"password":[]}}})",
      R"({"auths":{"r.example":{"auth":"","username":"","password":"p"}}})",
      R"({"auths":{"r.example":{"password":"p"}}})",
      R"({"auths":{"r.example":null},"credHelpers":[],"credsStore":{}})",
      R"({"auths":{"r.example/x/y":{"username":"a","password":"b"}}})",
      R"({"auths":{"r.example.evil":{"username":"a","password":"b"}}})",
      R"({"auths":{"R.EXAMPLE":{"username":"a","password":"b"}}})",
  };
  for (const std::string& text : odd) {
    auto found = Find(text, "r.example/x");
    ASSERT_TRUE(found.ok()) << text << ": " << found.error().message();
    EXPECT_FALSE(found->credentials) << text;
    EXPECT_EQ(found->helper, "") << text;
  }
  const std::string bad[] = {
      "7",
      "[]",
      "null",
      "{",
      deep,
      R"({"auths":)" + deep,
      R"({"auths":{"r.example":{"auth":"a"}}})",
      R"({"auths":{"r.example":{"auth":"===="}}})",
      R"({"auths":{"r.example":{"auth":"YTpi\n"}}})",
      std::string("{\"auths\":\xff\xfe}"),
      std::string("{\"auths\":{\"r.example\":{\"username\":\"\xc3\x28\"}}}"),
      "{}" + std::string(2 << 20, ' '),
  };
  for (const std::string& text : bad) {
    auto found = Find(text, "r.example/x");
    ASSERT_FALSE(found.ok()) << text.substr(0, 60);
    EXPECT_LT(found.error().message().size(), 300u);
  }
}

TEST_F(AuthTest, AHelpersNameIsShownTame) {
  auto found =
      Find(R"({"credHelpers":{"r.example":"x\u001b[2J\n)" + std::string(5000, 'y') + "\"}}",
           "r.example/x");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->helper.find('\x1b'), std::string::npos);
  EXPECT_EQ(found->helper.find('\n'), std::string::npos);
  EXPECT_LT(found->helper.size(), 500u);
}

TEST_F(AuthTest, LooksInTheUsualPlacesInOrder) {
  setenv("HOME", (directory_ + "/home").c_str(), 1);
  setenv("XDG_RUNTIME_DIR", (directory_ + "/run").c_str(), 1);
  for (const char* name : {"REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME", "DOCKER_CONFIG"})
    unsetenv(name);
  auto user = [&](const std::string& auth_file) {
    auto found = FindCredentials(AuthPlaces::Usual(auth_file), Name("r.example/x"));
    return found && found->credentials ? found->credentials->user : "none";
  };
  auto file = [&](const std::string& name, const std::string& who) {
    return Write(name, R"({"auths":{"r.example":)" + Auth(who + ":p") + "}}");
  };
  EXPECT_EQ(user(""), "none");
  file("home/.docker/config.json", "docker");
  EXPECT_EQ(user(""), "docker");
  setenv("DOCKER_CONFIG", (directory_ + "/dc").c_str(), 1);
  file("dc/config.json", "variable");
  EXPECT_EQ(user(""), "variable");
  file("home/.config/containers/auth.json", "podman");
  EXPECT_EQ(user(""), "podman");
  file("run/containers/auth.json", "runtime");
  EXPECT_EQ(user(""), "runtime");
  setenv("REGISTRY_AUTH_FILE", file("registry.json", "registry").c_str(), 1);
  EXPECT_EQ(user(""), "registry");
  EXPECT_EQ(user(file("named.json", "named")), "named");
  EXPECT_FALSE(
      FindCredentials(AuthPlaces::Usual(directory_ + "/missing"), Name("r.example/x")).ok());
}

}  // namespace
}  // namespace holt::image::registry
