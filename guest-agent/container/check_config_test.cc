#include "guest-agent/container/check_config.h"

#include <gmock/gmock.h>

#include "guest-agent/container/container.h"
#include "guest-agent/mount/rootfs.h"

namespace holt::guest_agent {
namespace {

using ::testing::HasSubstr;

oci::Config Config() {
  return *oci::ParseConfig(R"({"ociVersion":"1.2.0","root":{"path":"r"},
    "process":{"cwd":"/","args":["sh"],"user":{"uid":0,"gid":0}},
    "linux":{"namespaces":[{"type":"pid"},{"type":"mount"},{"type":"uts"}]}})");
}

std::string ErrorOf(const oci::Config& config) {
  auto status = CheckConfig(config);
  return status ? "" : status.error().message();
}

TEST(CheckConfigTest, TakesAUsualContainer) { EXPECT_EQ(ErrorOf(Config()), ""); }

TEST(CheckConfigTest, NamesWhatIsMissing) {
  oci::Config config = Config();
  config.process.reset();
  EXPECT_THAT(ErrorOf(config), HasSubstr("process:"));
  config = Config();
  config.root.reset();
  EXPECT_THAT(ErrorOf(config), HasSubstr("root:"));
  config = Config();
  config.linux_->namespaces.erase(config.linux_->namespaces.begin());
  EXPECT_THAT(ErrorOf(config),
              HasSubstr("linux.namespaces: not supported: a container without a pid"));
  config = Config();
  config.linux_.reset();
  EXPECT_THAT(ErrorOf(config), HasSubstr("linux.namespaces"));
}

TEST(CheckConfigTest, UnsupportedPropertiesAreErrors) {
  oci::Config config = Config();
  config.linux_->namespaces.push_back({"ipc", "/proc/1/ns/ipc"});
  EXPECT_THAT(ErrorOf(config), HasSubstr("another container's namespace"));
  config = Config();
  config.process->apparmor_profile = "x";
  EXPECT_THAT(ErrorOf(config), HasSubstr("process.apparmorProfile"));
}

TEST(CheckIdTest, NamesThatAreDirectories) {
  for (const char* id : {"a", "web-1", "0123", "a.b_c+d"})
    EXPECT_TRUE(CheckId("id", id).ok()) << id;
  for (const char* id : {"", ".", "..", "-x", ".x", "a/b", "a b", "a\n", "\xc3\xa4"})
    EXPECT_FALSE(CheckId("id", id).ok()) << id;
  EXPECT_TRUE(CheckId("id", std::string(255, 'a')).ok());
  EXPECT_FALSE(CheckId("id", std::string(256, 'a')).ok());
}

TEST(HandlesSigtermTest, CaughtBlockedAndIgnoredCount) {
  auto status = [](const char* blocked, const char* ignored, const char* caught) {
    return fmt::format("Name:\tx\nSigBlk:\t{}\nSigIgn:\t{}\nSigCgt:\t{}\n", blocked, ignored,
                       caught);
  };
  constexpr char kNone[] = "0000000000000000";
  constexpr char kTerm[] = "0000000000004000";
  constexpr char kOther[] = "ffffffffffffbfff";
  EXPECT_FALSE(StatusHandlesSigterm(status(kNone, kNone, kNone)));
  EXPECT_FALSE(StatusHandlesSigterm(status(kOther, kOther, kOther)));
  EXPECT_TRUE(StatusHandlesSigterm(status(kTerm, kNone, kNone)));
  EXPECT_TRUE(StatusHandlesSigterm(status(kNone, kTerm, kNone)));
  EXPECT_TRUE(StatusHandlesSigterm(status(kNone, kNone, kTerm)));
}

TEST(MayCoverProcTest, OnlyFigures) {
  EXPECT_TRUE(MayCoverProc("/proc/meminfo"));
  EXPECT_TRUE(MayCoverProc("/proc//./uptime"));
  EXPECT_TRUE(MayCoverProc("/proc/net/dev"));
  for (const char* path : {"/proc/1", "/proc/sys/kernel", "/proc/self/attr/exec",
                           "/proc/sysrq-trigger", "/proc/net", "/proc/meminfo/.."})
    EXPECT_FALSE(MayCoverProc(path)) << path;
}

}  // namespace
}  // namespace holt::guest_agent
