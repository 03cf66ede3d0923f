#include <gtest/gtest.h>

#include "oci/runtime_spec.h"

// For every kind of wrong value: the error, which must begin with the property's path.
namespace holt::oci {
namespace {

struct Case {
  const char* members;  // of the object that holds a valid ociVersion
  const char* error;
};

std::string ErrorOf(const std::string& text) {
  auto config = ParseConfig(text);
  return config.ok() ? "accepted" : config.error().message();
}

class InvalidTest : public testing::TestWithParam<Case> {};

TEST_P(InvalidTest, NamesTheProperty) {
  std::string text = std::string(R"({"ociVersion":"1.3.0",)") + GetParam().members + "}";
  EXPECT_EQ(ErrorOf(text), std::string("config.json: ") + GetParam().error);
}

#define PROCESS(x) "\"process\":{\"cwd\":\"/\",\"args\":[\"a\"]," x "}"
#define LINUX(x) "\"linux\":{" x "}"
#define RESOURCES(x) LINUX("\"resources\":{" x "}")
#define SECCOMP(x) LINUX("\"seccomp\":{" x "}")

INSTANTIATE_TEST_SUITE_P(
    Process, InvalidTest,
    testing::Values(
        Case{R"("process":{"args":["a"]})", "process.cwd: is required"},
        Case{R"("process":{"args":["a"],"cwd":"x"})", "process.cwd: \"x\" is not an absolute path"},
        Case{R"("process":{"cwd":"/"})", "process.args: must have at least one entry"},
        Case{R"("process":{"cwd":"/","args":[""]})", "process.args[0]: is empty"},
        Case{R"("process":{"cwd":"/","args":["a\u0000b"]})",
             "process.args[0]: has a NUL character"},
        Case{R"("process":{"cwd":"/","args":["a",1]})",
             "process.args[1]: must be a string, not number"},
        Case{R"("process":[])", "process: must be an object, not array"},
        Case{PROCESS(R"("env":["A=1","B"])"), "process.env[1]: \"B\" is not NAME=value"},
        Case{PROCESS(R"("env":["=1"])"), "process.env[0]: \"=1\" is not NAME=value"},
        Case{PROCESS(R"("terminal":1)"), "process.terminal: must be true or false, not number"},
        Case{PROCESS(R"("user":{"uid":-1})"),
             "process.user.uid: -1 is out of range (0 to 4294967295)"},
        Case{PROCESS(R"("user":{"uid":4294967296})"),
             "process.user.uid: 4294967296 is out of range (0 to 4294967295)"},
        Case{PROCESS(R"("user":{"uid":4294967295})"), "process.user.uid: is not a user id"},
        Case{PROCESS(R"("user":{"gid":1.5})"),
             "process.user.gid: must be a whole number, not number"},
        Case{PROCESS(R"("user":{"umask":512})"), "process.user.umask: 1000 is more than 777"},
        Case{PROCESS(R"("user":{"additionalGids":[1,"x"]})"),
             "process.user.additionalGids[1]: must be a whole number, not string"},
        Case{PROCESS(R"("capabilities":{"bounding":["CAP_KILL",7]})"),
             "process.capabilities.bounding[1]: must be a string, not number"},
        Case{PROCESS(R"("rlimits":[{"type":"RLIMIT_X","hard":1,"soft":1}])"),
             "process.rlimits[0].type: \"RLIMIT_X\" is none of RLIMIT_AS, RLIMIT_CORE, RLIMIT_CPU, "
             "RLIMIT_DATA, RLIMIT_FSIZE, RLIMIT_LOCKS, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE, "
             "RLIMIT_NICE, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_RSS, RLIMIT_RTPRIO, RLIMIT_RTTIME, "
             "RLIMIT_SIGPENDING, RLIMIT_STACK"},
        Case{PROCESS(R"("rlimits":[{"type":"RLIMIT_CPU"},{"type":"RLIMIT_CPU"}])"),
             "process.rlimits[1].type: RLIMIT_CPU is given twice"},
        Case{PROCESS(R"("rlimits":[{"type":"RLIMIT_CPU","hard":1,"soft":2}])"),
             "process.rlimits[0].soft: 2 is more than the hard limit 1"},
        Case{PROCESS(R"("oomScoreAdj":1001)"),
             "process.oomScoreAdj: 1001 is not within -1000 and 1000"},
        Case{PROCESS(R"("consoleSize":{"height":70000,"width":1})"),
             "process.consoleSize: is more than 65535 a side"},
        Case{PROCESS(R"("ioPriority":{"class":"IOPRIO_CLASS_BE","priority":8})"),
             "process.ioPriority.priority: 8 is not within 0 and 7"},
        Case{PROCESS(R"("ioPriority":{"priority":1})"), "process.ioPriority.class: is required"},
        Case{PROCESS(R"("scheduler":{})"), "process.scheduler.policy: is required"}));

INSTANTIATE_TEST_SUITE_P(
    Top, InvalidTest,
    testing::Values(
        Case{R"("root":{})", "root.path: is required"},
        Case{R"("hostname":"h")", "hostname: given without a uts namespace"},
        Case{R"("mounts":[{"type":"proc"}])", "mounts[0].destination: is required"},
        Case{R"("mounts":[{"destination":"/a","options":[""]}])", "mounts[0].options[0]: is empty"},
        Case{R"("mounts":{"a":1})", "mounts: must be a list, not object"},
        Case{R"("mounts":[{"destination":"/a","uidMappings":[{"size":1}]}])",
             "mounts[0]: uidMappings and gidMappings must be given together"},
        Case{R"("hooks":{"poststop":[{"path":"x"}]})",
             "hooks.poststop[0].path: \"x\" is not an absolute path"},
        Case{R"("hooks":{"prestart":[{"path":"/x","timeout":0}]})",
             "hooks.prestart[0].timeout: must be positive"},
        Case{R"("annotations":{"":"x"})", "annotations: has an empty name"},
        Case{R"("annotations":{"a":1})", "annotations[\"a\"]: must be a string, not number"},
        Case{R"("vm":{"hypervisor":{"path":"x"}})",
             "vm.hypervisor.path: \"x\" is not an absolute path"},
        Case{R"("vm":{"hwConfig":{"vcpus":0}})", "vm.hwConfig.vcpus: must be at least 1"}));

INSTANTIATE_TEST_SUITE_P(
    Linux, InvalidTest,
    testing::Values(
        Case{LINUX(R"("namespaces":[{"type":"pid"},{"type":"pid"}])"),
             "linux.namespaces[1].type: pid is given twice"},
        Case{LINUX(R"("namespaces":[{"type":"x"}])"),
             "linux.namespaces[0].type: \"x\" is none of pid, network, mount, ipc, uts, user, "
             "cgroup, time"},
        Case{LINUX(R"("namespaces":[{"type":"pid","path":"x"}])"),
             "linux.namespaces[0].path: \"x\" is not an absolute path"},
        Case{LINUX(R"("uidMappings":[{"size":1}])"),
             "linux.uidMappings: given without a user namespace"},
        Case{LINUX(R"("namespaces":[{"type":"user"}],"uidMappings":[{"hostID":9}])"),
             "linux.uidMappings[0].size: must be at least 1"},
        Case{
            LINUX(
                R"("namespaces":[{"type":"user"}],"gidMappings":[{"hostID":4294967295,"size":2}])"),
            "linux.gidMappings[0]: goes beyond the last id"},
        Case{LINUX(R"("namespaces":[{"type":"user"}],
                      "gidMappings":[{"size":2},{"containerID":1,"hostID":9,"size":1}])"),
             "linux.gidMappings[1]: overlaps linux.gidMappings[0]"},
        Case{LINUX(R"("namespaces":[{"type":"user"}])"),
             "linux.uidMappings: is required by a user namespace"},
        Case{LINUX(R"("namespaces":[{"type":"user"}],"uidMappings":[{"size":1}])"),
             "linux.gidMappings: is required by a user namespace"},
        Case{LINUX(R"("timeOffsets":{"monotonic":{"secs":1}})"),
             "linux.timeOffsets: given without a time namespace"},
        Case{LINUX(R"("namespaces":[{"type":"time"}],"timeOffsets":{"realtime":{"secs":1}})"),
             "linux.timeOffsets[\"realtime\"]: is none of monotonic, boottime"},
        Case{LINUX(R"("devices":[{"path":"/dev/x","type":"x"}])"),
             "linux.devices[0].type: \"x\" is none of c, u, b, p"},
        Case{LINUX(R"("devices":[{"path":"/dev/x","type":"c","major":-1}])"),
             "linux.devices[0].major: -1 is not a device number"},
        Case{LINUX(R"("maskedPaths":["x"])"),
             "linux.maskedPaths[0]: \"x\" is not an absolute path"},
        Case{
            LINUX(R"("rootfsPropagation":"loud")"),
            "linux.rootfsPropagation: \"loud\" is none of shared, rshared, slave, rslave, private, "
            "rprivate, unbindable, runbindable"},
        Case{LINUX(R"("sysctl":{"../x":"1"})"),
             "linux.sysctl[\"../x\"]: is not the name of a sysctl"},
        Case{LINUX(R"("personality":{"domain":"BSD"})"),
             "linux.personality.domain: \"BSD\" is none of LINUX, LINUX32"},
        Case{LINUX(R"("intelRdt":{"closID":"a/b"})"),
             "linux.intelRdt.closID: \"a/b\" is not a directory name"},
        Case{LINUX(R"("netDevices":{"interface-too-long":{}})"),
             "linux.netDevices[\"interface-too-long\"]: an interface name has 1 to 15 bytes"},
        Case{RESOURCES(R"("devices":[{"access":"rx"}])"),
             "linux.resources.devices[0].access: \"rx\" has letters other than r, w, m"},
        Case{RESOURCES(R"("memory":{"swappiness":101})"),
             "linux.resources.memory.swappiness: 101 is more than 100"},
        Case{RESOURCES(R"("blockIO":{"weight":5})"),
             "linux.resources.blockIO.weight: is not within 10 and 1000"},
        Case{RESOURCES(R"("blockIO":{"weight":70000})"),
             "linux.resources.blockIO.weight: 70000 is out of range (0 to 65535)"},
        Case{RESOURCES(R"("hugepageLimits":[{"pageSize":"2","limit":1}])"),
             "linux.resources.hugepageLimits[0].pageSize: \"2\" is not a number and KB, MB or GB"},
        Case{RESOURCES(R"("unified":{"../memory.max":"1"})"),
             "linux.resources.unified[\"../memory.max\"]: is not the name of a cgroup file"},
        Case{SECCOMP(R"("syscalls":[])"), "linux.seccomp.defaultAction: is required"},
        Case{SECCOMP(R"("defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1)"),
             "linux.seccomp.defaultErrnoRet: has no meaning with SCMP_ACT_ALLOW"},
        Case{SECCOMP(R"("defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_LOG"}])"),
             "linux.seccomp.syscalls[0].names: must name at least one system call"},
        Case{SECCOMP(R"("defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],
                        "action":"SCMP_ACT_LOG","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}])"),
             "linux.seccomp.syscalls[0].args[0].index: must be 0 to 5"},
        Case{SECCOMP(R"("defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],
                        "action":"SCMP_ACT_LOG","args":[{"index":5,"op":"=="}]}])"),
             "linux.seccomp.syscalls[0].args[0].op: \"==\" is none of SCMP_CMP_NE, SCMP_CMP_LT, "
             "SCMP_CMP_LE, SCMP_CMP_EQ, SCMP_CMP_GE, SCMP_CMP_GT, SCMP_CMP_MASKED_EQ"}));

TEST(InvalidTextTest, SaysWhatIsWrong) {
  EXPECT_EQ(ErrorOf(""), "config.json: not valid JSON");
  EXPECT_EQ(ErrorOf("{"), "config.json: not valid JSON");
  EXPECT_EQ(ErrorOf("[]"), "config.json: top level: must be an object, not array");
  EXPECT_EQ(ErrorOf("{}"), "config.json: ociVersion: is required");
  EXPECT_EQ(ErrorOf(R"({"ociVersion":"2.0.0"})"),
            "config.json: ociVersion: \"2.0.0\" is not a 1.x version");
  EXPECT_EQ(ErrorOf(R"({"ociVersion":1})"),
            "config.json: ociVersion: must be a string, not number");
}

}  // namespace
}  // namespace holt::oci
