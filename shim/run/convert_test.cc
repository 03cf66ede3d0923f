#include "shim/run/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "oci/unsupported.h"
#include "shim/run/capabilities.h"
#include "shim/run/seccomp_profile.h"

namespace holt::shim {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

oci::ImageConfig Image() {
  oci::ImageConfig image;
  image.os = "linux";
  image.architecture = "amd64";
  image.author = "somebody";
  image.config.user = "www:staff";
  image.config.env = {"PATH=/opt/bin:/bin", "LANG=C.UTF-8", "mistake"};
  image.config.entrypoint = {"/entry", "--flag"};
  image.config.cmd = {"serve"};
  image.config.working_dir = "srv";
  image.config.labels = {{"a", "image"}, {"b", "image"}};
  image.config.stop_signal = "SIGQUIT";
  image.config.exposed_ports = {{"443/tcp", {}}, {"80/tcp", {}}};
  image.config.volumes = {{"/data", {}}};
  return image;
}

ContainerOptions Options() {
  ContainerOptions options;
  options.id = "0123456789ab";
  return options;
}

oci::Config Convert(const oci::ImageConfig& image, const ContainerOptions& options) {
  auto config = ConvertToConfig(image, options);
  EXPECT_TRUE(config.ok()) << (config ? "" : config.error().message());
  return config.value_or(oci::Config{});
}

const oci::Mount* FindMount(const oci::Config& config, const std::string& destination) {
  auto found =
      std::find_if(config.mounts.begin(), config.mounts.end(),
                   [&](const oci::Mount& mount) { return mount.destination == destination; });
  return found == config.mounts.end() ? nullptr : &*found;
}

TEST(Convert, AnImageAlone) {
  oci::Config config = Convert(Image(), Options());
  EXPECT_THAT(config.process->args, ElementsAre("/entry", "--flag", "serve"));
  EXPECT_THAT(config.process->env,
              ElementsAre("PATH=/opt/bin:/bin", "HOSTNAME=0123456789ab", "LANG=C.UTF-8"));
  EXPECT_EQ(config.process->cwd, "/srv");
  EXPECT_EQ(config.process->user.username, "www:staff");
  EXPECT_EQ(config.hostname, "0123456789ab");
  EXPECT_EQ(config.annotations["org.opencontainers.image.os"], "linux");
  EXPECT_EQ(config.annotations["org.opencontainers.image.stopSignal"], "SIGQUIT");
  EXPECT_EQ(config.annotations["org.opencontainers.image.exposedPorts"], "443/tcp,80/tcp");
  EXPECT_EQ(config.annotations["a"], "image");
  EXPECT_EQ(FindMount(config, "/data"), nullptr);
  EXPECT_FALSE(config.root->readonly);
  EXPECT_TRUE(oci::CheckSupported(config).has_value())
      << oci::CheckSupported(config).error().message();
}

TEST(Convert, AnImagesLabelsDoNotSteerHolt) {
  oci::ImageConfig image = Image();
  image.config.labels = {{"holt.stop-timeout", "86400"},
                         {"holt.", ""},
                         {"org.systemd.property.OnFailure", "['poweroff.target']"},
                         {"holter", "kept"}};
  oci::Config config = Convert(image, Options());
  EXPECT_FALSE(config.annotations.contains("holt.stop-timeout"));
  EXPECT_FALSE(config.annotations.contains("holt."));
  EXPECT_FALSE(config.annotations.contains("org.systemd.property.OnFailure"));
  EXPECT_EQ(config.annotations["holter"], "kept");
  ContainerOptions options = Options();
  options.annotations = {{"holt.stop-timeout", "3"}};
  EXPECT_EQ(Convert(image, options).annotations["holt.stop-timeout"], "3");
}

TEST(Convert, TheUserWins) {
  ContainerOptions options = Options();
  options.args = {"other", "--verbose"};
  options.env = {"LANG=de", "NEW=1", "HOSTNAME"};
  options.working_directory = "/tmp";
  options.user = "0:0";
  options.labels = {{"b", "user"}};
  options.annotations = {{"c", "user"}};
  options.stop_signal = "SIGINT";
  options.terminal = true;
  options.hostname = "den";
  oci::Config config = Convert(Image(), options);
  EXPECT_THAT(config.process->args, ElementsAre("/entry", "--flag", "other", "--verbose"));
  EXPECT_THAT(config.process->env,
              ElementsAre("PATH=/opt/bin:/bin", "TERM=xterm", "LANG=de", "NEW=1"));
  EXPECT_EQ(config.process->cwd, "/tmp");
  EXPECT_EQ(config.process->user.username, "0:0");
  EXPECT_EQ(config.annotations["a"], "image");
  EXPECT_EQ(config.annotations["b"], "user");
  EXPECT_EQ(config.annotations["c"], "user");
  EXPECT_EQ(config.annotations["org.opencontainers.image.stopSignal"], "SIGINT");
  EXPECT_EQ(config.hostname, "den");
}

TEST(Convert, EntrypointDropsTheImagesCmd) {
  ContainerOptions options = Options();
  options.entrypoint = "/bin/sh";
  EXPECT_THAT(Convert(Image(), options).process->args, ElementsAre("/bin/sh"));
  options.args = {"-c", "true"};
  EXPECT_THAT(Convert(Image(), options).process->args, ElementsAre("/bin/sh", "-c", "true"));
  options.entrypoint = "";
  EXPECT_THAT(Convert(Image(), options).process->args, ElementsAre("-c", "true"));
  options.args.clear();
  EXPECT_THAT(ConvertToConfig(Image(), options).error().message(), HasSubstr("no command"));
}

TEST(Convert, NothingToRunIsAnError) {
  EXPECT_THAT(ConvertToConfig(oci::ImageConfig{}, Options()).error().message(),
              HasSubstr("neither Entrypoint nor Cmd"));
}

TEST(Convert, DefaultsOfAnEmptyImage) {
  ContainerOptions options = Options();
  options.args = {"true"};
  oci::Config config = Convert({}, options);
  EXPECT_EQ(config.process->cwd, "/");
  EXPECT_THAT(config.process->env,
              Contains("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
  EXPECT_THAT(config.linux_->masked_paths, Contains("/proc/kcore"));
  EXPECT_THAT(config.linux_->readonly_paths, Contains("/proc/sys"));
  for (const char* path :
       {"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"})
    EXPECT_NE(FindMount(config, path), nullptr) << path;
  EXPECT_THAT(FindMount(config, "/sys")->options, Contains("ro"));
}

TEST(Convert, Limits) {
  ContainerOptions options = Options();
  options.args = {"true"};
  options.memory_bytes = 64 << 20;
  options.cpus_milli = 1500;
  options.pids_limit = 100;
  options.rlimits = {{"RLIMIT_NOFILE", 10, 5}};
  const oci::Config config = Convert({}, options);
  const oci::Resources& resources = *config.linux_->resources;
  EXPECT_EQ(resources.memory->limit, 64 << 20);
  EXPECT_EQ(resources.memory->swap, 64 << 20);
  EXPECT_EQ(resources.cpu->quota, 150'000);
  EXPECT_EQ(resources.cpu->period, 100'000u);
  EXPECT_EQ(resources.pids->limit, 100);
  EXPECT_EQ(config.process->rlimits.size(), 1u);
}

TEST(Convert, AUsersMountTakesTheDefaultsPlaceAndParentsComeFirst) {
  ContainerOptions options = Options();
  options.args = {"true"};
  options.mounts = {{.destination = "/a/b/c", .type = "tmpfs", .source = "tmpfs"},
                    {.destination = "/a", .type = "tmpfs", .source = "tmpfs"},
                    {.destination = "/dev/shm", .type = "tmpfs", .source = "mine"}};
  oci::Config config = Convert({}, options);
  EXPECT_EQ(FindMount(config, "/dev/shm")->source, "mine");
  EXPECT_LT(FindMount(config, "/a"), FindMount(config, "/a/b/c"));
  options.mounts.push_back(options.mounts[0]);
  EXPECT_THAT(ConvertToConfig({}, options).error().message(),
              HasSubstr("duplicate mount point: /a/b/c"));
}

TEST(Convert, AReadOnlyRootKeepsTheImagesVolumesWritable) {
  ContainerOptions options = Options();
  options.read_only = true;
  oci::Config config = Convert(Image(), options);
  EXPECT_TRUE(config.root->readonly);
  ASSERT_NE(FindMount(config, "/data"), nullptr);
  EXPECT_EQ(FindMount(config, "/data")->type, "tmpfs");
}

TEST(Convert, RelativeWorkdirIsAnError) {
  ContainerOptions options = Options();
  options.working_directory = "here";
  EXPECT_THAT(ConvertToConfig(Image(), options).error().message(),
              HasSubstr("must be an absolute path"));
}

TEST(Capabilities, DockersSetAndChanges) {
  EXPECT_EQ(DefaultCapabilities().size(), 14u);
  EXPECT_THAT(DefaultCapabilities(), Not(Contains("CAP_SYS_ADMIN")));
  EXPECT_THAT(ResolveCapabilities({"chown"}, {"ALL"}).value(), ElementsAre("CAP_CHOWN"));
  EXPECT_THAT(ResolveCapabilities({"CAP_SYS_ADMIN"}, {}).value(), Contains("CAP_SYS_ADMIN"));
  EXPECT_THAT(ResolveCapabilities({}, {"net_raw"}).value(), Not(Contains("CAP_NET_RAW")));
  EXPECT_EQ(ResolveCapabilities({"all"}, {}).value().size(), 41u);
  EXPECT_THAT(ResolveCapabilities({"all"}, {"SYS_ADMIN"}).value(), Not(Contains("CAP_SYS_ADMIN")));
  EXPECT_THAT(ResolveCapabilities({"FLY"}, {}).error().message(), HasSubstr("--cap-add: \"FLY\""));
}

// The action for a system call without looking at its arguments; empty: the default.
std::string ActionFor(const oci::Seccomp& profile, const std::string& name) {
  for (const oci::SeccompSyscall& rule : profile.syscalls)
    if (std::find(rule.names.begin(), rule.names.end(), name) != rule.names.end())
      return rule.action;
  return "";
}

TEST(Seccomp, FollowsTheCapabilities) {
  oci::Seccomp usual = DefaultSeccomp(DefaultCapabilities());
  EXPECT_EQ(usual.default_action, "SCMP_ACT_ERRNO");
  EXPECT_EQ(ActionFor(usual, "read"), "SCMP_ACT_ALLOW");
  EXPECT_EQ(ActionFor(usual, "chroot"), "SCMP_ACT_ALLOW");
  for (const char* name :
       {"mount", "unshare", "setns", "bpf", "init_module", "kexec_load", "keyctl", "reboot"})
    EXPECT_EQ(ActionFor(usual, name), "SCMP_ACT_ERRNO") << name;
  oci::Seccomp admin = DefaultSeccomp(ResolveCapabilities({"SYS_ADMIN"}, {}).value());
  EXPECT_EQ(ActionFor(admin, "mount"), "SCMP_ACT_ALLOW");
  EXPECT_EQ(ActionFor(admin, "clone3"), "SCMP_ACT_ALLOW");
  EXPECT_EQ(ActionFor(admin, "kexec_load"), "SCMP_ACT_ERRNO");
}

// A name in two rules without arguments would be decided by their order.
TEST(Seccomp, NoCallIsAllowedAndRefused) {
  for (const auto& capabilities :
       {DefaultCapabilities(), ResolveCapabilities({"ALL"}, {}).value()}) {
    std::map<std::string, std::string> seen;
    for (const oci::SeccompSyscall& rule : DefaultSeccomp(capabilities).syscalls)
      for (const std::string& name : rule.names) {
        auto [at, fresh] = seen.emplace(name, rule.action);
        EXPECT_EQ(at->second, rule.action) << name;
      }
  }
}

TEST(Command, IsShownAsAShellTakesIt) {
  EXPECT_EQ(DescribeCommand({"sh", "-c", "echo it's"}), "sh -c 'echo it'\\''s'");
  EXPECT_EQ(DescribeCommand({"a", ""}), "a ''");
}

}  // namespace
}  // namespace holt::shim
