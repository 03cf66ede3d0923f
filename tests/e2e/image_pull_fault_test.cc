// Registries that fail, lie and dawdle.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "image/digest.h"
#include "tests/e2e/fault_registry.h"
#include "tests/e2e/image_pull_fixture.h"

namespace holt::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class PullFault : public PullFixture {
 protected:
  void SetUp() override {
    PullFixture::SetUp();
    image_ = MakeSmallImage(directory_);
    content_ = *base::ReadFile(directory_ + "/content");
  }
  // A registry that answers paths with `part` by `reply`, `times` times.
  std::unique_ptr<FaultRegistry> Failing(const std::string& part, Reply reply,
                                         int times = 1 << 30) {
    auto left = std::make_shared<std::atomic<int>>(times);
    return std::make_unique<FaultRegistry>(
        image_, [=](const Request& request) -> std::optional<Reply> {
          if (request.path.find(part) == std::string::npos || (*left)-- <= 0) return std::nullopt;
          return reply;
        });
  }
  void ExpectPulled(const FaultRegistry& registry) {
    auto image = Pull(registry.Host() + "/a/b:1");
    ASSERT_TRUE(image.ok()) << image.error().message();
    EXPECT_EQ(base::ReadFile(RootOf(*image) + "/content").value_or(""), content_);
    EXPECT_FALSE(base::PathExists(Partial())) << "what was kept to resume is still there";
  }
  std::string Partial() const {
    return store_->PartialPath(*image::Digest::Parse(image_.layer_digest));
  }

  SmallImage image_;
  std::string content_;
};

TEST_F(PullFault, AnHonestServerServes) {
  FaultRegistry registry(image_);
  ExpectPulled(registry);
  EXPECT_EQ(registry.Requests(image_.layer_digest).size(), 1u);
  ExpectPulled(registry);
  EXPECT_EQ(registry.Requests(image_.layer_digest).size(), 1u)
      << "a layer that is there was fetched again";
}

TEST_F(PullFault, NoSuchImage) {
  auto registry =
      Failing("/manifests/",
              {.status = 404, .body = R"({"errors":[{"message":"manifest\u001b unknown"}]})"});
  EXPECT_THAT(
      Refused(registry->Host() + "/a/b:1"),
      AllOf(HasSubstr(registry->Host() + "/a/b:1"), HasSubstr("no such image"), HasSubstr("404"),
            HasSubstr("unknown"), HasSubstr("check its name"), testing::Not(HasSubstr("\x1b"))));
  EXPECT_EQ(registry->Requests("/manifests/").size(), 1u);
}

TEST_F(PullFault, NeedsALoginThatIsNotThere) {
  auto registry =
      Failing("/manifests/", {.status = 401, .headers = {"WWW-Authenticate: Basic realm=\"x\""}});
  EXPECT_THAT(
      Refused(registry->Host() + "/a/b:1"),
      AllOf(HasSubstr("does not exist"), HasSubstr("needs a login"), HasSubstr("--authfile")));
}

TEST_F(PullFault, AccessDenied) {
  auto registry = Failing("/manifests/", {.status = 403});
  EXPECT_THAT(Refused(registry->Host() + "/a/b:1"),
              AllOf(HasSubstr("403"), HasSubstr("may pull it")));
}

TEST_F(PullFault, TokenIsFetchedOnceAndUsedForAll) {
  std::string host;
  FaultRegistry registry(image_, [&](const Request& request) -> std::optional<Reply> {
    if (request.path.starts_with("/token")) return Reply{.body = R"({"token":"t0ken"})"};
    auto it = request.headers.find("authorization");
    if (it != request.headers.end() && it->second == "Bearer t0ken") return std::nullopt;
    return Reply{.status = 401,
                 .headers = {"WWW-Authenticate: Bearer realm=\"http://" + host +
                             "/token\",service=\"s&1\""}};
  });
  host = registry.Host();
  ExpectPulled(registry);
  auto tokens = registry.Requests("/token");
  ASSERT_EQ(tokens.size(), 1u);
  EXPECT_EQ(tokens[0].path, "/token?scope=repository%3Aa%2Fb%3Apull&service=s%261");
}

TEST_F(PullFault, TokenServiceWithoutEncryptionIsRefused) {
  auto registry = Failing(
      "/v2/",
      {.status = 401, .headers = {"WWW-Authenticate: Bearer realm=\"http://evil.example/t\""}});
  EXPECT_THAT(Refused(registry->Host() + "/a/b:1"),
              AllOf(HasSubstr("evil.example"), HasSubstr("without encryption")));
}

TEST_F(PullFault, TooManyRequestsThenServed) {
  auto registry = Failing("/manifests/", {.status = 429, .headers = {"Retry-After: 1"}}, 1);
  auto begin = std::chrono::steady_clock::now();
  ExpectPulled(*registry);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1))
      << "did not wait as it was asked to";
}

TEST_F(PullFault, TooManyRequestsForTooLong) {
  auto registry = Failing("/manifests/", {.status = 429, .headers = {"Retry-After: 3600"}});
  EXPECT_THAT(Refused(registry->Host() + "/a/b:1"), AllOf(HasSubstr("429"), HasSubstr("3600 s")));
  EXPECT_EQ(registry->Requests("/manifests/").size(), 1u);
}

TEST_F(PullFault, FailsTwiceThenServes) {
  auto registry = Failing("/blobs/", {.status = 500}, 2);
  ExpectPulled(*registry);
}

TEST_F(PullFault, FailsForEver) {
  auto registry = Failing("/manifests/", {.status = 500});
  EXPECT_THAT(Refused(registry->Host() + "/a/b:1"),
              AllOf(HasSubstr("500"), HasSubstr("4 attempts"), HasSubstr("later")));
  EXPECT_EQ(registry->Requests("/manifests/").size(), 4u);
}

TEST_F(PullFault, RedirectTakesNoCredentialsAlong) {
  FaultRegistry store(image_);
  std::string auth = directory_ + "/auth.json";
  FaultRegistry registry(image_, [&](const Request& request) -> std::optional<Reply> {
    if (!request.headers.contains("authorization"))
      return Reply{.status = 401, .headers = {"WWW-Authenticate: Basic realm=\"x\""}};
    if (request.path.find("/blobs/") == std::string::npos) return std::nullopt;
    return Reply{.status = 307, .headers = {"Location: http://" + store.Host() + request.path}};
  });
  ASSERT_TRUE(
      base::WriteFile(auth, R"({"auths":{")" + registry.Host() + R"(":{"auth":"bWU6cHc="}}})")
          .ok());
  options_.auth_file = auth;
  ExpectPulled(registry);
  EXPECT_EQ(registry.Requests(image_.layer_digest).back().headers["authorization"],
            "Basic bWU6cHc=");
  ASSERT_EQ(store.Requests("/blobs/").size(), 2u);
  for (const Request& request : store.Requests())
    EXPECT_FALSE(request.headers.contains("authorization"));
}

TEST_F(PullFault, RedirectsInARing) {
  auto registry =
      Failing("/manifests/", {.status = 302, .headers = {"Location: /v2/a/b/manifests/1"}});
  EXPECT_THAT(Refused(registry->Host() + "/a/b:1"), HasSubstr("redirects more than"));
}

TEST_F(PullFault, SlowBodyIsCutAndResumed) {
  options_.timeouts.slow_for = std::chrono::seconds(1);
  options_.timeouts.slow_bytes_per_second = 1000;
  auto registry =
      Failing(image_.layer_digest, {.body = image_.layer, .send = 1 << 20, .stall = true}, 1);
  ExpectPulled(*registry);
  auto requests = registry->Requests(image_.layer_digest);
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[1].headers["range"], "bytes=1048576-");
}

TEST_F(PullFault, CutBodyIsResumedByRange) {
  auto registry = Failing(image_.layer_digest, {.body = image_.layer, .send = 1 << 20}, 1);
  ExpectPulled(*registry);
  auto requests = registry->Requests(image_.layer_digest);
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_TRUE(requests[1].headers.contains("range"));
}

TEST_F(PullFault, ServerWithoutRangesStartsOver) {
  std::atomic<int> count{0};
  FaultRegistry registry(image_, [&](const Request& request) -> std::optional<Reply> {
    if (request.path.find(image_.layer_digest) == std::string::npos) return std::nullopt;
    return count++ == 0 ? Reply{.body = image_.layer, .send = 1 << 20}
                        : Reply{.body = image_.layer};
  });
  ExpectPulled(registry);
}

TEST_F(PullFault, AnotherRangeThanAskedForIsRefused) {
  std::atomic<int> count{0};
  FaultRegistry registry(image_, [&](const Request& request) -> std::optional<Reply> {
    if (request.path.find(image_.layer_digest) == std::string::npos) return std::nullopt;
    if (count++ == 0) return Reply{.body = image_.layer, .send = 1 << 20};
    return Reply{
        .status = 206, .headers = {"Content-Range: bytes 0-9/10"}, .body = std::string(10, 'x')};
  });
  EXPECT_THAT(Refused(registry.Host() + "/a/b:1"), HasSubstr("another part"));
}

TEST_F(PullFault, CutForEverEnds) {
  auto registry = Failing(image_.layer_digest, {.body = image_.layer, .send = 10});
  EXPECT_THAT(Refused(registry->Host() + "/a/b:1"), HasSubstr("4 attempts"));
}

TEST_F(PullFault, WrongDigestOfALayer) {
  std::string wrong = image_.layer;
  wrong[1 << 20] ^= 1;
  auto registry = Failing(image_.layer_digest, {.body = wrong});
  // Of the bytes as they came; that of what they unpack to would be wrong, too.
  EXPECT_THAT(Refused(registry->Host() + "/a/b:1"),
              AllOf(HasSubstr("wrong digest: the content is"), HasSubstr(image_.layer_digest)));
  EXPECT_FALSE(base::PathExists(Partial())) << "wrong bytes were kept";
}

TEST_F(PullFault, WrongDigestOfTheConfiguration) {
  std::string wrong = image_.config;
  wrong[wrong.size() - 1] = ' ';
  auto registry = Failing(image_.config_digest, {.body = wrong});
  EXPECT_THAT(Refused(registry->Host() + "/a/b:1"),
              AllOf(HasSubstr("configuration"), HasSubstr("wrong digest")));
}

TEST_F(PullFault, WrongDigestOfAManifest) {
  FaultRegistry registry(image_);
  EXPECT_THAT(Refused(registry.Host() + "/a/b@sha256:" + std::string(64, 'a')),
              AllOf(HasSubstr("manifest"), HasSubstr("wrong digest")));
}

TEST_F(PullFault, WrongBytesOfAnEarlierPullAreFetchedAgain) {
  ASSERT_TRUE(base::WriteFile(Partial(), std::string(1 << 20, 'x')).ok());
  FaultRegistry registry(image_);
  ExpectPulled(registry);
}

TEST_F(PullFault, LayerLongerThanItsDescriptor) {
  auto registry = Failing(image_.layer_digest, {.body = image_.layer, .endless = true});
  EXPECT_THAT(Refused(registry->Host() + "/a/b:1"), HasSubstr("sends more than"));
}

TEST_F(PullFault, EndlessManifest) {
  auto registry = Failing("/manifests/", {.body = std::string(64 << 10, ' '), .endless = true});
  EXPECT_THAT(Refused(registry->Host() + "/a/b:1"), HasSubstr("larger than 4194304 bytes"));
}

TEST_F(PullFault, ManifestThatIsNotJson) {
  auto registry = Failing("/manifests/", {.body = "<html>sign in</html>"});
  EXPECT_THAT(Refused(registry->Host() + "/a/b:1"), HasSubstr("manifest"));
}

TEST_F(PullFault, DockerSchema1) {
  auto registry = Failing("/manifests/", {.body = R"({"schemaVersion":1,"fsLayers":[]})"});
  EXPECT_THAT(Refused(registry->Host() + "/a/b:1"),
              AllOf(HasSubstr("schema 1"), HasSubstr("push the image again")));
}

TEST_F(PullFault, NoImageForThisPlatformListsWhatIsThere) {
  std::string digest = image::Sha256(image_.manifest).text();
  std::string entry =
      R"({"mediaType":"application/vnd.oci.image.manifest.v1+json","size":9,"digest":")" + digest +
      R"(","platform":{"os":"linux","architecture":")";
  auto registry =
      Failing("/manifests/1", {.headers = {"Content-Type: application/vnd.oci.image.index.v1+json"},
                               .body = R"({"schemaVersion":2,"manifests":[)" + entry +
                                       R"(s390x"}},)" + entry + R"(arm64"}}]})"});
  options_.platform = "linux/amd64";
  EXPECT_THAT(Refused(registry->Host() + "/a/b:1"),
              HasSubstr("there is: linux/arm64, linux/s390x"));
}

TEST_F(PullFault, NobodyListens) {
  std::string host = FaultRegistry(image_).Host();
  EXPECT_THAT(Refused(host + "/a/b:1"),
              AllOf(HasSubstr(host), HasSubstr("is the registry running")));
}

TEST_F(PullFault, NoSuchHost) {
  EXPECT_THAT(Refused("registry.invalid/a/b:1"),
              AllOf(HasSubstr("registry.invalid"), HasSubstr("DNS")));
}

class FullDisk : public PullFault {
 protected:
  void SetUp() override {
    PullFault::SetUp();
    small_ = directory_ + "/small";
    ASSERT_TRUE(base::MakeDirs(small_).ok());
    // Room for the layer as it comes, and for half of what is unpacked.
    const std::string options = "size=" + std::to_string(image_.layer.size() * 3 / 2);
    ASSERT_EQ(mount("tmpfs", small_.c_str(), "tmpfs", 0, options.c_str()), 0);
    auto store = image::Store::Open(small_ + "/store");
    ASSERT_TRUE(store.ok()) << store.error().message();
    store_ = std::move(*store);
  }
  void TearDown() override {
    EXPECT_EQ(umount2(small_.c_str(), MNT_DETACH), 0);
    PullFault::TearDown();
  }
  void ExpectSaidAndNothingLeft() {
    FaultRegistry registry(image_);
    EXPECT_THAT(Refused(registry.Host() + "/a/b:1"),
                AllOf(HasSubstr("No space left"), HasSubstr("holt gc")));
    EXPECT_TRUE(std::filesystem::is_empty(store_->path() + "/tmp"));
    EXPECT_FALSE(base::PathExists(Partial()));
  }

  std::string small_;
};

TEST_F(FullDisk, FoundByTheDownloadOrTheUnpacking) { ExpectSaidAndNothingLeft(); }

TEST_F(FullDisk, FoundByTheUnpackingAlone) {
  // All of it is here from a pull that was cut off.
  ASSERT_TRUE(base::WriteFile(Partial(), image_.layer).ok());
  ExpectSaidAndNothingLeft();
}

TEST_F(PullFault, KilledPullIsResumedAndNothingOfItTrusted) {
  auto registry =
      Failing(image_.layer_digest, {.body = image_.layer, .send = 1 << 20, .stall = true}, 1);
  std::string holt = std::filesystem::canonical("/proc/self/exe").parent_path() / "../../bin/holt";
  std::string store = store_->path();
  std::string name = registry->Host() + "/a/b:1";
  pid_t child = fork();
  if (child == 0) {
    execl(holt.c_str(), "holt", "--store", store.c_str(), "pull", "-q", name.c_str(), nullptr);
    _exit(127);
  }
  auto size = [&] {
    std::error_code error;
    auto bytes = std::filesystem::file_size(Partial(), error);
    return error ? 0 : bytes;
  };
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (size() < (1 << 20) && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself";
  ASSERT_EQ(size(), 1u << 20);
  EXPECT_TRUE(store_->ListImages()->empty());
  ExpectPulled(*registry);
  EXPECT_EQ(registry->Requests(image_.layer_digest).back().headers["range"], "bytes=1048576-");
  EXPECT_TRUE(std::filesystem::is_empty(store + "/tmp")) << "debris of the killed pull";
}

TEST_F(PullFault, TwoPullsAtOnceFetchALayerOnce) {
  FaultRegistry registry(image_);
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      auto store = image::Store::Open(store_->path());
      auto reference = image::Reference::Parse(registry.Host() + "/a/b:1");
      auto image = image::PullImage(**store, *reference, options_);
      EXPECT_TRUE(image.ok()) << image.error().message();
      if (image.ok()) ++good;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 4);
  EXPECT_EQ(registry.Requests(image_.layer_digest).size(), 1u);
}

}  // namespace
}  // namespace holt::e2e
