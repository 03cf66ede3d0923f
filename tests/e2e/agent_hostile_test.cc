// holt-agent in the real guest: containers that want more than they were given.

#include <algorithm>

#include "tests/e2e/agent_fixture.h"

namespace holt {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class AgentHostileTest : public SharedVm<AgentHostileTest> {};

TEST_F(AgentHostileTest, SeesNoneOfTheAgentsDescriptors) {
  auto outcome = vm().Run(ContainerConfig({"/probe", "fds"}));
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(std::count(outcome->out.begin(), outcome->out.end(), '\n'), 3) << outcome->out;
  EXPECT_THAT(outcome->out, AllOf(Not(HasSubstr("socket:")), Not(HasSubstr("anon_inode"))));
  auto process = Background("fds", Sleeper());
  auto exec = vm().Exec("fds", "e", ContainerProcess({"/probe", "fds"}));
  ASSERT_TRUE(exec.ok());
  auto seen = vm().Finish(std::move(*exec));
  EXPECT_EQ(std::count(seen.out.begin(), seen.out.end(), '\n'), 3) << seen.out;
  DeleteOk("fds");
}

TEST_F(AgentHostileTest, SeesOnlyItsOwnProcessesAndMounts) {
  auto outcome = vm().Sh(
      "echo $$; ls -d /proc/[0-9]* | wc -l; cat /proc/1/comm; cat /proc/self/mountinfo; cat "
      "/proc/self/cgroup");
  EXPECT_THAT(outcome.out, StartsWith("1\n"));
  EXPECT_THAT(outcome.out,
              AllOf(Not(HasSubstr("holt-agent")), Not(HasSubstr("/share")), HasSubstr("0::/\n")));
  // Of the guest's own /dev only null, which covers masked files.
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("/null /proc/keys"), Not(HasSubstr(" / /dev rw,nosuid,noexec"))));
}

TEST_F(AgentHostileTest, DoesNotReachTheAgentOrTheHostOverVsock) {
  for (const char* cid : {"1", "2", "3"})
    for (const char* port : {"1024", "1025"})
      EXPECT_EQ(vm().Run(ContainerConfig({"/probe", "vsock", cid, port}))->out,
                "Address family not supported by protocol\n");
  // The wall behind the filter, which io_uring gets around: the agent asks who calls.
  for (const char* cid : {"1", "3"})
    for (const char* port : {"1024", "1025"})
      EXPECT_THAT(vm().Run(ContainerConfig({"/probe", "vsock-uring", cid, port}))->out,
                  AnyOf("connected, then closed\n", "connected, then reset\n"))
          << cid << ":" << port;
}

TEST_F(AgentHostileTest, MountsAndTracingAreNotItsToDo) {
  EXPECT_EQ(vm().Run(ContainerConfig({"/probe", "mount"}))->out, "Operation not permitted\n");
  EXPECT_NE(vm().Sh("echo 1 >/sys/fs/cgroup/cgroup.procs").err, "");
  EXPECT_NE(vm().Sh("echo max >/sys/fs/cgroup/pids.max").err, "");
}

TEST_F(AgentHostileTest, LimitsCannotBeLiftedFromInsideEvenWithEveryCapability) {
  auto outcome = vm().Sh("mount -t cgroup2 none /mnt && echo max >/mnt/pids.max || echo refused",
                         "", [](oci::Config& config) {
                           auto& capabilities = *config.process->capabilities;
                           capabilities.bounding.push_back("CAP_SYS_ADMIN");
                           capabilities.permitted = capabilities.effective = capabilities.bounding;
                           config.linux_->resources.emplace();
                           config.linux_->resources->pids = oci::PidsResources{50};
                         });
  EXPECT_EQ(outcome.out, "refused\n") << outcome.err;
}

TEST_F(AgentHostileTest, MountDestinationsThatAreLinksStayInTheRoot) {
  std::string rootfs = vm().share() + "/rootfs";
  for (const auto& [name, target] :
       {std::pair("up", "../../../../../../share"), std::pair("abs", "/share/volume"),
        std::pair("magic", "/proc/1/root/share")}) {
    unlink((rootfs + "/" + name).c_str());
    ASSERT_EQ(symlink(target, (rootfs + "/" + name).c_str()), 0);
  }
  ASSERT_TRUE(base::MakeDirs(vm().share() + "/volume").ok());
  for (const char* destination : {"/up/x", "/abs/x"}) {
    oci::Config config =
        ContainerConfig({"sh", "-c", fmt::format("test -d {} && echo inside", destination)});
    config.mounts.push_back({destination, "tmpfs", "tmpfs", {}, {}, {}});
    (void)vm().Run(config);  // inside the root it may work
    EXPECT_FALSE(base::PathExists(vm().share() + "/x")) << destination;
    EXPECT_FALSE(base::PathExists(vm().share() + "/volume/x")) << destination;
  }
  // The sources, too.
  for (const char* source : {"../../etc", "/rootfs/magic", "rootfs/up"}) {
    oci::Config config = ContainerConfig({"ls", "/mnt"});
    config.mounts.push_back({"/mnt", "bind", source, {"rbind"}, {}, {}});
    auto outcome = vm().Run(config);
    std::string seen = outcome ? outcome->out : "";
    EXPECT_THAT(seen, Not(HasSubstr("memory.max"))) << source;
  }
}

TEST_F(AgentHostileTest, ProcThatIsALinkOrCoveredIsRefused) {
  std::string rootfs = vm().share() + "/hostile";
  ASSERT_TRUE(base::MakeDirs(rootfs + "/tmp/fake").ok());
  ASSERT_EQ(symlink("/tmp/fake", (rootfs + "/proc").c_str()), 0);
  oci::Config config = ContainerConfig({"true"});
  config.root->path = "hostile";
  auto outcome = vm().Run(config);
  ASSERT_FALSE(outcome.ok());
  EXPECT_THAT(outcome.error().message(), HasSubstr("mounts[0]"));
  config = ContainerConfig({"true"});
  config.mounts.push_back({"/proc/self/attr", "tmpfs", "tmpfs", {}, {}, {}});
  outcome = vm().Run(config);
  ASSERT_FALSE(outcome.ok());
  EXPECT_THAT(outcome.error().message(), HasSubstr("nothing may be mounted inside proc"));
}

TEST_F(AgentHostileTest, ACwdThroughADescriptorIsRefused) {
  // Whichever number a leaked one would have.
  for (int fd = 3; fd < 16; ++fd)
    for (const char* below : {"", "/../../.."}) {
      oci::Config config = ContainerConfig({"pwd"});
      config.process->cwd = fmt::format("/proc/self/fd/{}{}", fd, below);
      EXPECT_FALSE(vm().Run(config).ok()) << config.process->cwd;
    }
}

// Who is made to execute /proc/self/exe executes the agent's own program, and can be found by it.
TEST_F(AgentHostileTest, TheAgentsProgramCannotBeWritten) {
  auto process = Background("exe", ContainerConfig({"/probe", "overwrite-program"}));
  EXPECT_THAT(ReadStream(process.out.get(), "looking"), HasSubstr("looking"));
  // It runs only when the probe does not, which never waits: the probe cannot miss it.
  oci::Process victim = ContainerProcess({"/proc/self/exe"});
  victim.scheduler.emplace();
  victim.scheduler->policy = "SCHED_IDLE";
  auto exec = vm().Exec("exe", "victim", victim);
  ASSERT_TRUE(exec.ok()) << exec.error().message();
  // That it is being executed keeps it from being written to, in most kernels; that its mount is
  // read-only keeps it from any change.
  EXPECT_THAT(ReadStream(process.out.get()),
              AnyOf("\n/init: Text file busy\nRead-only file system\n",
                    "\n/init: Read-only file system\nRead-only file system\n"));
  (void)vm().Finish(std::move(*exec));
  DeleteOk("exe");
}

TEST_F(AgentHostileTest, FloodsOfProcessesAreSwept) {
  oci::Config config = ContainerConfig(
      {"sh", "-c",
       "echo up; for i in 1 2 3 4 5 6 7 8; do sh -c 'while :; do sleep 0.01 & done' & done; wait"});
  config.linux_->resources.emplace();
  config.linux_->resources->pids = oci::PidsResources{100};
  auto process = Background("bomb", config);
  ReadStream(process.out.get(), "up");
  usleep(500000);
  DeleteOk("bomb");
  EXPECT_EQ(vm().Sh("echo fine").out, "fine\n");
}

TEST_F(AgentHostileTest, GarbageOnThePortsDoesNoHarm) {
  auto rpc = vm().Connect(1024);
  ASSERT_TRUE(rpc.ok());
  ASSERT_TRUE(base::WriteFd(rpc->get(), std::string(100000, '\xff')).ok());
  for (int i = 0; i < 100; ++i) {
    auto stream = vm().Connect(1025);
    if (stream) (void)base::WriteFd(stream->get(), "abc");
  }
  EXPECT_EQ(vm().Sh("echo fine").out, "fine\n");
}

}  // namespace
}  // namespace holt
