#include "oci/unsupported.h"

#include <gtest/gtest.h>

namespace holt::oci {
namespace {

struct Case {
  const char* members;
  const char* error;
};

class UnsupportedTest : public testing::TestWithParam<Case> {};

TEST_P(UnsupportedTest, IsNamed) {
  auto config = ParseConfig(std::string(R"({"ociVersion":"1.3.0",)") + GetParam().members + "}");
  ASSERT_TRUE(config.ok()) << config.error().message();
  auto status = CheckSupported(*config);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), base::Code::kUnsupported);
  EXPECT_EQ(status.error().message().rfind(GetParam().error, 0), 0u) << status.error().message();
}

#define PROCESS(x) "\"process\":{\"cwd\":\"/\",\"args\":[\"a\"]," x "}"
#define LINUX(x) "\"linux\":{\"namespaces\":[{\"type\":\"network\"}]," x "}"
#define RESOURCES(x) LINUX("\"resources\":{" x "}")

INSTANTIATE_TEST_SUITE_P(
    All, UnsupportedTest,
    testing::Values(
        Case{PROCESS(R"("apparmorProfile":"x")"), "process.apparmorProfile: not supported: \"x\""},
        Case{PROCESS(R"("selinuxLabel":"x")"), "process.selinuxLabel: not supported"},
        Case{
            R"("mounts":[{"destination":"/a","uidMappings":[{"size":1}],"gidMappings":[{"size":1}]}])",
            "mounts[0].uidMappings: not"},
        Case{R"("mounts":[{"destination":"/a","type":"proc","options":["tmpcopyup"]}])",
             "mounts[0].options: not supported: tmpcopyup"},
        Case{R"("vm":{"hypervisor":{"path":"/x"}})", "vm.hypervisor: not"},
        Case{R"("vm":{"image":{"path":"/x","format":"raw"}})", "vm.image: not"},
        Case{R"("vm":{"kernel":{"path":"/x","initrd":"/y"}})", "vm.kernel.initrd: not"},
        Case{R"("vm":{"kernel":{"path":"/x","parameters":["a"]}})", "vm.kernel.parameters: not"},
        Case{R"("vm":{"hwConfig":{"deviceTree":"/x"}})", "vm.hwConfig.deviceTree: not"},
        Case{R"("vm":{"hwConfig":{"dtdevs":["x"]}})", "vm.hwConfig.dtdevs: not"},
        Case{R"("vm":{"hwConfig":{"iomems":[{"firstGFN":1,"nrMFNs":1}]}})",
             "vm.hwConfig.iomems: not"},
        Case{R"("vm":{"hwConfig":{"irqs":[1]}})", "vm.hwConfig.irqs: not"},
        Case{R"("linux":{"namespaces":[{"type":"pid"}]})",
             "linux.namespaces: not supported: no network namespace"},
        Case{R"("linux":{"namespaces":[{"type":"network"},{"type":"ipc","path":"/x"}]})",
             "linux.namespaces[1].path: not supported"},
        Case{LINUX(R"("intelRdt":{"closID":"x"})"), "linux.intelRdt: not"},
        Case{LINUX(R"("memoryPolicy":{"mode":"MPOL_BIND"})"), "linux.memoryPolicy: not"},
        Case{LINUX(R"("mountLabel":"x")"), "linux.mountLabel: not"},
        Case{LINUX(R"("seccomp":{"defaultAction":"SCMP_ACT_NOTIFY"})"),
             "linux.seccomp.defaultAction: not"},
        Case{LINUX(R"("seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
                      {"names":["read"],"action":"SCMP_ACT_NOTIFY"}]})"),
             "linux.seccomp.syscalls[0].action: not"},
        Case{LINUX(R"("seccomp":{"defaultAction":"SCMP_ACT_ALLOW","flags":[
                      "SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]})"),
             "linux.seccomp.flags[1]: not"},
        Case{RESOURCES(R"("memory":{"swappiness":60})"), "linux.resources.memory.swappiness: not"},
        Case{RESOURCES(R"("memory":{"disableOOMKiller":true})"),
             "linux.resources.memory.disableOOMKiller: not"},
        Case{RESOURCES(R"("cpu":{"realtimeRuntime":5})"),
             "linux.resources.cpu.realtimeRuntime: not"},
        Case{RESOURCES(R"("network":{"classID":5})"), "linux.resources.network: not"},
        Case{RESOURCES(R"("rdma":{"a":{"hcaHandles":1}})"), "linux.resources.rdma: not"}));

TEST(SupportedTest, AnOrdinaryConfigPasses) {
  auto config = ParseConfig(
      R"({"ociVersion":"1.0.2","process":{"cwd":"/","args":["true"],"noNewPrivileges":true},
          "root":{"path":"rootfs"},"hooks":{"startContainer":[{"path":"/x"}],"prestart":[{"path":"/x"}]},
          "mounts":[{"destination":"/proc","type":"proc","source":"proc"}],
          "linux":{"namespaces":[{"type":"pid"},{"type":"network"},{"type":"mount"}],
                   "resources":{"memory":{"limit":1048576,"disableOOMKiller":false}}}})");
  ASSERT_TRUE(config.ok()) << config.error().message();
  auto status = CheckSupported(*config);
  EXPECT_TRUE(status.ok()) << status.error().message();
}

}  // namespace
}  // namespace holt::oci
