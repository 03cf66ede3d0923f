#include "image/registry/url.h"

#include <gtest/gtest.h>

namespace holt::image::registry {
namespace {

Url Parse(const std::string& text) {
  auto url = Url::Parse(text);
  EXPECT_TRUE(url.ok()) << text;
  return url ? *url : Url{};
}

TEST(Url, TellsOriginsApart) {
  EXPECT_TRUE(Parse("https://A.example/x").SameOrigin(Parse("https://a.example:443/y?z")));
  for (const char* other : {"http://a.example/", "https://a.example:444/", "https://b.example/",
                            "https://a.example.evil/", "https://evil/a.example"})
    EXPECT_FALSE(Parse("https://a.example/").SameOrigin(Parse(other))) << other;
}

TEST(Url, RefusesWhatIsNoPlainAddress) {
  for (const char* text : {"", "file:///etc/passwd", "ftp://a/", "https://user:pw@a/",
                           "https://a@b/", "https://a/\r\nHost: b", "/relative", "gopher://a/"})
    EXPECT_FALSE(Url::Parse(text).ok()) << text;
}

TEST(Redirect, GoesWhereItMay) {
  auto to = FollowRedirect(Parse("https://a/v2/x"), "/blob?y", false);
  ASSERT_TRUE(to.ok());
  EXPECT_EQ(to->text, "https://a/blob?y");
  EXPECT_TRUE(FollowRedirect(Parse("https://a/"), "https://cdn.example/z", false).ok());
  EXPECT_TRUE(
      FollowRedirect(Parse("http://127.0.0.1:5000/"), "http://127.0.0.1:5001/", false).ok());
}

TEST(Redirect, RefusesTheRest) {
  Url https = Parse("https://a/");
  EXPECT_FALSE(FollowRedirect(https, "http://a/", true).ok()) << "encryption lost";
  EXPECT_FALSE(FollowRedirect(https, "", false).ok());
  EXPECT_FALSE(FollowRedirect(https, "file:///etc/passwd", true).ok());
  EXPECT_FALSE(FollowRedirect(Parse("http://127.0.0.1/"), "http://b.example/", false).ok());
  EXPECT_FALSE(FollowRedirect(https, "https://u:p@b/", false).ok());
}

TEST(Scheme, PlainHttpIsForThisMachineOnly) {
  for (const char* local :
       {"http://localhost:5000/", "http://127.0.0.1/", "http://127.9.9.9/", "http://[::1]:5/"})
    EXPECT_TRUE(CheckScheme(Parse(local), false).ok()) << local;
  for (const char* other : {"http://a.example/", "http://10.0.0.1/", "http://127.example.org/"}) {
    EXPECT_FALSE(CheckScheme(Parse(other), false).ok()) << other;
    EXPECT_TRUE(CheckScheme(Parse(other), true).ok()) << other;
  }
}

TEST(EscapeQuery, EscapesSeparators) {
  EXPECT_EQ(EscapeQuery("a:b/c&d=é"), "a%3Ab%2Fc%26d%3D%C3%A9");
}

}  // namespace
}  // namespace holt::image::registry
