#include "shim/run/values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "shim/run/environment.h"
#include "shim/run/sizing.h"
#include "shim/run/volumes.h"

namespace holt::shim {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20;

TEST(Values, BytesTakeDockersUnits) {
  EXPECT_EQ(ParseBytes("0").value(), 0u);
  EXPECT_EQ(ParseBytes("512").value(), 512u);
  EXPECT_EQ(ParseBytes("10b").value(), 10u);
  EXPECT_EQ(ParseBytes("1k").value(), 1024u);
  EXPECT_EQ(ParseBytes("256m").value(), 256 * kMiB);
  EXPECT_EQ(ParseBytes("256MB").value(), 256 * kMiB);
  EXPECT_EQ(ParseBytes("256MiB").value(), 256 * kMiB);
  EXPECT_EQ(ParseBytes("1.5g").value(), 1536 * kMiB);
}

TEST(Values, BytesRefuseEverythingElse) {
  for (const char* text : {"", "-1", "m", ".5m", "1.2.3", "1x", "1mm", "1ib", "1e3", "0x10", " 1",
                           "1 m", "inf", "nan", "9999999999999g", "4611686018427387904"})
    EXPECT_FALSE(ParseBytes(text).ok()) << text;
  EXPECT_THAT(ParseBytes("lots").error().message(), HasSubstr("\"lots\": not a size"));
}

TEST(Values, CpusAreMilliprocessors) {
  EXPECT_EQ(ParseCpus("1.5").value(), 1500u);
  EXPECT_EQ(ParseCpus("2").value(), 2000u);
  EXPECT_EQ(ParseCpus("0.01").value(), 10u);
  for (const char* text : {"", "0", "-1", "1,5", "x", "1e2", "2000"})
    EXPECT_FALSE(ParseCpus(text).ok()) << text;
}

TEST(Values, SignalsByNameAndNumber) {
  EXPECT_EQ(ParseSignal("TERM").value(), SIGTERM);
  EXPECT_EQ(ParseSignal("sigkill").value(), SIGKILL);
  EXPECT_EQ(ParseSignal("15").value(), 15);
  EXPECT_EQ(ParseSignal("SIGRTMIN+3").value(), 37);
  EXPECT_EQ(ParseSignal("RTMAX-1").value(), 63);
  for (const char* text : {"", "0", "65", "-9", "SIG", "NOSUCH", "RTMIN+99", "RTMIN-1", "9x"})
    EXPECT_FALSE(ParseSignal(text).ok()) << text;
  EXPECT_EQ(SignalName(SIGTERM), "SIGTERM");
  EXPECT_EQ(SignalName(50), "50");
}

TEST(Values, Ulimits) {
  auto both = ParseUlimit("nofile=1024:2048").value();
  EXPECT_EQ(both.type, "RLIMIT_NOFILE");
  EXPECT_EQ(both.soft, 1024u);
  EXPECT_EQ(both.hard, 2048u);
  EXPECT_EQ(ParseUlimit("core=0").value().hard, 0u);
  EXPECT_EQ(ParseUlimit("memlock=-1").value().hard, UINT64_MAX);
  for (const char* text : {"", "nofile", "nofile=", "=3", "nofile=x", "nofile=1:y", "nofile=-2"})
    EXPECT_FALSE(ParseUlimit(text).ok()) << text;
}

TEST(Values, Times) {
  constexpr int64_t kSecond = 1'000'000'000;
  EXPECT_EQ(ParseTime("1715000000", 0).value(), 1715000000 * kSecond);
  EXPECT_EQ(ParseTime("1970-01-02T00:00:01Z", 0).value(), 86401 * kSecond);
  EXPECT_EQ(ParseTime("1970-01-02T00:00:01.5Z", 0).value(), 86401 * kSecond);
  EXPECT_EQ(ParseTime("1h30m", 10000 * kSecond).value(), (10000 - 5400) * kSecond);
  for (const char* text : {"", "yesterday", "5x", "1970-01-02T00:00:01Zoo"})
    EXPECT_FALSE(ParseTime(text, 0).ok()) << text;
}

TEST(Volumes, HostAndContainerPaths) {
  Volume volume = ParseVolume("/srv/www:/www:ro", "/").value();
  EXPECT_EQ(volume.mount.type, "bind");
  EXPECT_EQ(volume.mount.source, "/srv/www");
  EXPECT_EQ(volume.mount.destination, "/www");
  EXPECT_THAT(volume.mount.options, ElementsAre("rbind", "rprivate", "ro"));
  EXPECT_TRUE(volume.create_source);
  EXPECT_EQ(ParseVolume("./x:/y/../z/", "/home/me").value().mount.source, "/home/me/x");
  EXPECT_EQ(ParseVolume("./x:/y/../z/", "/home/me").value().mount.destination, "/z");
}

TEST(Volumes, SocketsThatLeadToTheHost) {
  Volume volume = ParseVolume("/run/x.sock:/x.sock:ro,socket", "/").value();
  EXPECT_TRUE(volume.socket);
  EXPECT_FALSE(volume.create_source) << "a directory would not do";
  EXPECT_THAT(volume.mount.options, ElementsAre("rbind", "rprivate", "ro"));
  EXPECT_FALSE(ParseVolume("/run/x.sock:/x.sock", "/").value().socket);
  EXPECT_TRUE(ParseMountFlag("type=bind,source=/a,target=/b,socket", "/").value().socket);
  EXPECT_FALSE(ParseMountFlag("type=tmpfs,target=/b,socket", "/").ok());
}

TEST(Volumes, RefusesWhatItWouldHaveToGuess) {
  auto message = [](const char* text) { return ParseVolume(text, "/").error().message(); };
  EXPECT_THAT(message("data:/data"), HasSubstr("named volumes are not supported"));
  EXPECT_THAT(message("/data"), HasSubstr("anonymous volumes are not supported"));
  EXPECT_THAT(message("/a:b"), HasSubstr("must be absolute"));
  EXPECT_THAT(message("/a:/"), HasSubstr("root"));
  EXPECT_THAT(message("/a:/.."), HasSubstr("root"));
  EXPECT_THAT(message(":/b"), HasSubstr("missing"));
  EXPECT_THAT(message("/a:/b:shared"), HasSubstr("\"shared\""));
  EXPECT_THAT(message("/a:/b:ro:x"), HasSubstr("more than two colons"));
}

TEST(Volumes, MountFlag) {
  Volume bind = ParseMountFlag("type=bind,source=/a,target=/b,readonly", "/").value();
  EXPECT_THAT(bind.mount.options, ElementsAre("rbind", "rprivate", "ro"));
  EXPECT_FALSE(bind.create_source);
  Volume tmpfs = ParseMountFlag("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700", "/").value();
  EXPECT_EQ(tmpfs.mount.type, "tmpfs");
  EXPECT_THAT(tmpfs.mount.options,
              ElementsAre("nosuid", "nodev", "noexec", "size=1048576", "mode=700"));
  for (const char* text :
       {"type=volume,source=a,target=/b", "target=/b", "type=bind,source=/a",
        "type=tmpfs,source=x,target=/t", "type=bind,source=/a,target=/b,tmpfs-size=1m",
        "type=bind,source=/a,target=/b,colour=red"})
    EXPECT_FALSE(ParseMountFlag(text, "/").ok()) << text;
}

TEST(Volumes, Tmpfs) {
  EXPECT_THAT(ParseTmpfs("/run:size=64m,mode=1777,exec").value().options,
              ElementsAre("nosuid", "nodev", "noexec", "size=67108864", "mode=1777", "exec"));
  for (const char* text : {"run", "/", "/run:size=big", "/run:mode=9", "/run:bogus", ""})
    EXPECT_FALSE(ParseTmpfs(text).ok()) << text;
}

TEST(Environment, OneEntryAName) {
  std::vector<std::string> env = {"A=1", "B=2"};
  ApplyVariables(env, {"A=3", "C=4", "B"});
  EXPECT_THAT(env, ElementsAre("A=3", "C=4"));
}

TEST(Environment, ANameAloneTakesTheCallers) {
  setenv("HOLT_TEST_VARIABLE", "of the caller", 1);
  EXPECT_EQ(ParseVariable("HOLT_TEST_VARIABLE").value(), "HOLT_TEST_VARIABLE=of the caller");
  unsetenv("HOLT_TEST_VARIABLE");
  EXPECT_EQ(ParseVariable("HOLT_TEST_VARIABLE").value(), "HOLT_TEST_VARIABLE");
  EXPECT_FALSE(ParseVariable("=x").ok());
  EXPECT_FALSE(ParseVariable("").ok());
}

TEST(Sizing, TheMachineIsLargerThanTheLimit) {
  constexpr uint64_t kHost = 8192 * kMiB;
  EXPECT_EQ(SizeMachine({}, 0, kHost).value().memory_bytes, kDefaultMachineBytes);
  EXPECT_EQ(SizeMachine({}, 0, 600 * kMiB).value().memory_bytes, 300 * kMiB);
  uint64_t machine = SizeMachine(256 * kMiB, 1500, kHost).value().memory_bytes;
  EXPECT_EQ(machine, 360 * kMiB);
  EXPECT_EQ(SizeMachine(256 * kMiB, 1500, kHost).value().vcpus, 2u);
  EXPECT_EQ(SizeMachine({}, 0, kHost).value().vcpus, 1u);
}

TEST(Sizing, RefusesTooLittleAndTooMuch) {
  constexpr uint64_t kHost = 1024 * kMiB;
  EXPECT_THAT(SizeMachine(8 * kMiB, 0, kHost).error().message(),
              HasSubstr("8 MiB: too little, a container needs at least 16 MiB"));
  EXPECT_THAT(SizeMachine(1000 * kMiB, 0, kHost).error().message(),
              HasSubstr("this host has 1024 MiB"));
  EXPECT_FALSE(SizeMachine({}, 33'000, kHost).ok());
}

TEST(Sizing, HardwareOfTheConfigurationIsKept) {
  constexpr uint64_t kHost = 8192 * kMiB;
  oci::Config config;
  config.vm = oci::Vm{.hw_config = oci::VmHwConfig{.vcpus = 3, .memory = 301 * kMiB}};
  EXPECT_EQ(MachineFor(config, kHost).value().vcpus, 3u);
  EXPECT_EQ(MachineFor(config, kHost).value().memory_bytes, 302 * kMiB);
  config.linux_ = oci::Linux{.resources = oci::Resources{.memory = oci::MemoryResources{}}};
  config.linux_->resources->memory->limit = 256 * kMiB;
  EXPECT_THAT(MachineFor(config, kHost).error().message(),
              HasSubstr("vm.hwConfig.memory: 301 MiB: the machine needs 360 MiB"));
  config.vm->hw_config->memory = 2 * kHost;
  EXPECT_THAT(MachineFor(config, kHost).error().message(), HasSubstr("vm.hwConfig.memory"));
  config.vm->hw_config = oci::VmHwConfig{.vcpus = 33};
  EXPECT_THAT(MachineFor(config, kHost).error().message(), HasSubstr("vm.hwConfig.vcpus: 33"));
  config.vm->hw_config = oci::VmHwConfig{};
  EXPECT_EQ(MachineFor(config, kHost).value().memory_bytes, 360 * kMiB);
}

TEST(ValuesTest, Durations) {
  EXPECT_EQ(ParseDuration("5s").value_or(-1), 5'000'000'000);
  EXPECT_EQ(ParseDuration("1m30s").value_or(-1), 90'000'000'000);
  EXPECT_EQ(ParseDuration("500ms").value_or(-1), 500'000'000);
  EXPECT_EQ(ParseDuration("0s").value_or(-1), 0);
  for (const char* wrong : {"", "5", "s", "5x", "-1s", "1e30h"})
    EXPECT_FALSE(ParseDuration(wrong).ok()) << wrong;
}

}  // namespace
}  // namespace holt::shim
