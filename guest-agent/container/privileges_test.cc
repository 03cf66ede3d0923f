#include "guest-agent/container/privileges.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holt::guest_agent {
namespace {

using ::testing::ElementsAre;

TEST(CapabilitiesTest, AbsentIsNone) {
  CapabilityMasks masks = ResolveCapabilities(std::nullopt);
  EXPECT_EQ(masks.bounding | masks.effective | masks.permitted | masks.inheritable | masks.ambient,
            0u);
}

TEST(CapabilitiesTest, NamesBecomeBits) {
  oci::Capabilities capabilities;
  capabilities.bounding = {"CAP_CHOWN", "CAP_KILL"};
  capabilities.effective = {"CAP_KILL"};
  CapabilityMasks masks = ResolveCapabilities(capabilities);
  EXPECT_EQ(masks.bounding, (1u << 0) | (1u << 5));  // linux/capability.h
  EXPECT_EQ(masks.effective, 1u << 5);
  EXPECT_EQ(masks.permitted, 0u);
  EXPECT_TRUE(masks.unknown.empty());
}

TEST(CapabilitiesTest, UnknownNamesAreTold) {
  oci::Capabilities capabilities;
  capabilities.permitted = {"CAP_CHOWN", "CAP_SWIM"};
  CapabilityMasks masks = ResolveCapabilities(capabilities);
  EXPECT_EQ(masks.permitted, 1u);
  EXPECT_THAT(masks.unknown, ElementsAre("CAP_SWIM"));
}

TEST(RlimitsTest, AreSetAndDescriptorsDefaultTo1024) {
  pid_t pid = fork();
  if (pid == 0) {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (!SetRlimits({{"RLIMIT_CORE", 0, 0}})) _exit(1);
    rlimit core{};
    getrlimit(RLIMIT_CORE, &core);
    getrlimit(RLIMIT_NOFILE, &files);
    if (core.rlim_max != 0) _exit(2);
    if (files.rlim_cur != std::min<rlim_t>(1024, files.rlim_max)) _exit(3);
    if (!SetRlimits({{"RLIMIT_NOFILE", 20, 10}})) _exit(4);
    getrlimit(RLIMIT_NOFILE, &files);
    _exit(files.rlim_cur == 10 && files.rlim_max == 20 ? 0 : 5);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0) << WEXITSTATUS(status);
}

}  // namespace
}  // namespace holt::guest_agent
