// Images that skopeo pushed to Debian's docker-registry.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/unique_fd.h"
#include "tests/e2e/image_pull_fixture.h"

namespace holt::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

int FreePort() {
  base::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = Loopback(0);
  socklen_t length = sizeof address;
  // SAFETY: the sockets API's own way of passing addresses.
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  EXPECT_EQ(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  return ntohs(address.sin_port);
}

// Debian's docker-registry for the length of a test.
class DockerRegistry {
 public:
  DockerRegistry(const std::string& directory, bool password, bool tls = false)
      : port_(FreePort()) {
    std::string config =
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: "
        "{rootdirectory: " +
        directory + "/registry}}\nhttp: {addr: '127.0.0.1:" + std::to_string(port_) + "'}\n";
    if (password) {
      EXPECT_EQ(system(("htpasswd -Bbn me secret > " + directory + "/htpasswd").c_str()), 0);
      config += "auth: {htpasswd: {realm: test, path: " + directory + "/htpasswd}}\n";
    }
    if (tls) {
      std::string make =
          "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext "
          "subjectAltName=IP:127.0.0.1 "
          "-keyout " +
          directory + "/key.pem -out " + directory + "/cert.pem 2>/dev/null";
      EXPECT_EQ(system(make.c_str()), 0);
      config.replace(
          config.rfind("'}\n"), 3,
          "', tls: {certificate: " + directory + "/cert.pem, key: " + directory + "/key.pem}}\n");
    }
    std::string path = directory + "/registry.yml";
    EXPECT_TRUE(base::WriteFile(path, config).ok());
    base::UniqueFd log(
        open((directory + "/registry.log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    pid_ = fork();
    if (pid_ == 0) {
      // It calls every blob that skopeo asks for in vain an error.
      dup2(log.get(), 2);
      execlp("docker-registry", "docker-registry", "serve", path.c_str(), nullptr);
      _exit(127);
    }
    EXPECT_TRUE(WaitForPort()) << "docker-registry did not start";
  }
  ~DockerRegistry() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  std::string Host() const { return "127.0.0.1:" + std::to_string(port_); }

  void Push(const std::string& kind, const std::string& archive, const std::string& name,
            const std::string& flags = "") {
    const char* images = getenv("HOLT_TEST_IMAGES");
    ASSERT_NE(images, nullptr)
        << "HOLT_TEST_IMAGES: the directory that tests/images/build.sh prints";
    std::string command = "skopeo --insecure-policy copy -q --dest-tls-verify=false " + flags +
                          " " + kind + ":" + images + "/" + archive + " docker://" + Host() + "/" +
                          name;
    ASSERT_EQ(system(command.c_str()), 0) << command;
  }

 private:
  bool WaitForPort() const {
    for (int i = 0; i < 200; ++i) {
      base::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in address = Loopback(port_);
      // SAFETY: as above.
      if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0)
        return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }
  int port_;
  pid_t pid_;
};

class PullTest : public PullFixture {};

TEST_F(PullTest, DockerImageFromAnOpenRegistry) {
  DockerRegistry registry(directory_, false);
  ASSERT_NO_FATAL_FAILURE(registry.Push("docker-archive", "podman.tar", "team/demo:1"));
  auto image = Pull(registry.Host() + "/team/demo:1");
  ASSERT_TRUE(image.ok()) << image.error().message();
  EXPECT_EQ(image->platform, "linux/amd64");
  EXPECT_TRUE(base::PathExists(RootOf(*image) + "/usr/bin/bash"));
  auto again = Pull(registry.Host() + "/team/demo@" + image->digest);
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(again->id, image->id);
  auto missing = Pull(registry.Host() + "/team/demo:2");
  ASSERT_FALSE(missing.ok());
  EXPECT_THAT(missing.error().message(), HasSubstr("no such image"));
  options_.platform = "linux/arm64";
  auto other = Pull(registry.Host() + "/team/demo:1");
  ASSERT_FALSE(other.ok());
  EXPECT_THAT(other.error().message(), HasSubstr("there is: linux/amd64"));
}

TEST_F(PullTest, OciImageFromARegistryWithAPassword) {
  DockerRegistry registry(directory_, true);
  ASSERT_NO_FATAL_FAILURE(
      registry.Push("oci-archive", "buildah.tar", "demo:1", "--dest-creds me:secret"));
  EXPECT_THAT(Refused(registry.Host() + "/demo:1"),
              AllOf(HasSubstr("needs a login"), HasSubstr("401")));
  auto login = [&](const std::string& auth) {
    options_.auth_file = directory_ + "/auth.json";
    ASSERT_TRUE(base::WriteFile(options_.auth_file, R"({"auths":{")" + registry.Host() +
                                                        R"(":{"auth":")" + auth + "\"}}}")
                    .ok());
  };
  login("bWU6d3Jvbmc=");  // me:wrong
  EXPECT_THAT(Refused(registry.Host() + "/demo:1"),
              AllOf(HasSubstr("refuses the login of me"), HasSubstr("auth.json")));
  login("bWU6c2VjcmV0");  // me:secret
  auto image = Pull(registry.Host() + "/demo:1");
  ASSERT_TRUE(image.ok()) << image.error().message();
  EXPECT_GE(image->layers.size(), 2u);
}

TEST_F(PullTest, CertificateNobodyKnows) {
  DockerRegistry registry(directory_, false, true);
  ASSERT_NO_FATAL_FAILURE(registry.Push("docker-archive", "podman.tar", "demo:1"));
  EXPECT_THAT(Refused(registry.Host() + "/demo:1"),
              AllOf(HasSubstr("TLS"), HasSubstr("update-ca-certificates"),
                    HasSubstr("--tls-verify=false")));
  setenv("SSL_CERT_FILE", (directory_ + "/cert.pem").c_str(), 1);
  auto known = Pull(registry.Host() + "/demo:1");
  unsetenv("SSL_CERT_FILE");
  EXPECT_TRUE(known.ok()) << known.error().message();
  options_.tls_verify = false;
  auto unchecked = Pull(registry.Host() + "/demo:1");
  EXPECT_TRUE(unchecked.ok()) << unchecked.error().message();
}

}  // namespace
}  // namespace holt::e2e
