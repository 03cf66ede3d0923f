// Docker with holt as its runtime, as deploy/docker sets it up: what people type, and what comes
// back.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include <algorithm>

#include "tests/e2e/docker_fixture.h"

namespace holt {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using testing::UnorderedElementsAre;

TEST_F(DockerTest, RunsAndTellsHowItEnded) {
  utsname host{};
  ASSERT_EQ(uname(&host), 0);
  std::string input(1 << 20, '\0');
  for (size_t i = 0; i < input.size(); ++i) input[i] = static_cast<char>(i * 31 + i / 256);
  Finished run =
      Run({"-i", "demo", "sh", "-c", "uname -r >&2; echo warned >&2; cat; exit 7"}, input);
  EXPECT_EQ(run.status, 7);
  EXPECT_TRUE(run.out == input) << run.out.size() << " bytes came back";
  EXPECT_THAT(run.err, AllOf(HasSubstr("-holt\nwarned\n"), Not(HasSubstr(host.release))));
  EXPECT_THAT(run.err, Not(HasSubstr("holt: "))) << "no words of holt's in the container's";
  Finished missing = Run({"demo", "no-such-command"});
  EXPECT_EQ(missing.status, 127);
  EXPECT_THAT(missing.err, HasSubstr("executable file not found"));
  EXPECT_EQ(Run({"demo", "/etc/passwd"}).status, 126);
}

TEST_F(DockerTest, AContainersWholeLife) {
  Start("c1", {"--network=none", "--memory=200m", "--pids-limit=50", "demo", "sh", "-c",
               "trap 'echo bye; exit 3' TERM; trap 'echo user' USR1;"
               "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; echo up;"
               "while :; do sleep 0.1; done"});
  ASSERT_TRUE(LogsSay("c1", "up\n"));
  EXPECT_EQ(Docker({"logs", "c1"}).out, "209715200\n50\nup\n");
  EXPECT_THAT(Docker({"ps"}).out, ContainsRegex("demo .* Up .* c1"));

  Finished exec = Docker({"exec", "-i", "-e", "A=b", "-w", "/usr", "-u", "33:44", "c1", "sh", "-c",
                          "cat; echo $A; pwd; id -u; id -g; exit 4"},
                         "input\n");
  EXPECT_EQ(exec.status, 4) << exec.err;
  EXPECT_EQ(exec.out, "input\nb\n/usr\n33\n44\n");
  // The same status for both, as with runc.
  Finished missing = Docker({"exec", "c1", "no-such-command"});
  EXPECT_EQ(missing.status, 126);
  EXPECT_THAT(missing.err + missing.out, HasSubstr("executable file not found"));
  EXPECT_EQ(Docker({"exec", "c1", "/etc/passwd"}).status, 126);

  const std::string pid = Inspect("c1", "{{.State.Pid}}");
  EXPECT_THAT(base::ReadFile("/proc/" + pid + "/cmdline").value_or(""), HasSubstr("holt-stub"));
  EXPECT_EQ(Lines(Docker({"top", "c1", "-o", "pid"}).out).size(), 2u);
  EXPECT_THAT(Docker({"stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", "c1"}).out,
              StartsWith("c1 "));

  ASSERT_TRUE(base::WriteFile(Scratch("copied"), "in\n").ok());
  EXPECT_EQ(Docker({"cp", Scratch("copied"), "c1:/tmp/copied"}).status, 0);
  EXPECT_EQ(Inside("c1", "cat /tmp/copied; echo out >/tmp/made"), "in\n");
  EXPECT_EQ(Docker({"cp", "c1:/tmp/made", Scratch("made")}).status, 0);
  EXPECT_EQ(base::ReadFile(Scratch("made")).value_or(""), "out\n");
  EXPECT_THAT(Lines(Docker({"diff", "c1"}).out),
              UnorderedElementsAre("C /tmp", "A /tmp/copied", "A /tmp/made"));
  EXPECT_EQ(Docker({"commit", "c1", "committed"}).status, 0);
  EXPECT_EQ(Run({"committed", "cat", "/tmp/made"}).out, "out\n");

  EXPECT_EQ(Docker({"pause", "c1"}).status, 0);
  EXPECT_EQ(Inspect("c1", "{{.State.Status}}"), "paused");
  EXPECT_EQ(Docker({"unpause", "c1"}).status, 0);
  EXPECT_EQ(
      Docker({"update", "--memory=100m", "--memory-swap=100m", "--pids-limit=60", "c1"}).status, 0);
  EXPECT_EQ(Inside("c1", "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"),
            "104857600\n60\n");
  EXPECT_EQ(Docker({"rename", "c1", "c2"}).status, 0);
  EXPECT_EQ(Docker({"kill", "-s", "USR1", "c2"}).status, 0);
  EXPECT_TRUE(LogsSay("c2", "user\n"));

  EXPECT_EQ(Docker({"stop", "c2"}).status, 0);
  EXPECT_EQ(Inspect("c2", "{{.State.Status}} {{.State.ExitCode}}"), "exited 3");
  EXPECT_THAT(Docker({"logs", "c2"}).out, HasSubstr("bye\n"));
  // Again, and this time it is killed.
  EXPECT_EQ(Docker({"restart", "c2"}).status, 0);
  EXPECT_EQ(Docker({"kill", "c2"}).status, 0);
  EXPECT_EQ(Docker({"wait", "c2"}).out, "137\n");
  // Docker 20.10 says "die" before "stop", 26 after it.
  EXPECT_THAT(Docker({"events", "--since", "1m", "--until", "0s", "--filter",
                      "container=" + Inspect("c2", "{{.Id}}"), "--format", "{{.Action}}"})
                  .out,
              ContainsRegex("pause\nunpause\n(.*\n)*rename\n(.*\n)*(die\nstop|stop\ndie)\n"));
}

TEST_F(DockerTest, TerminalsAndAttaching) {
  auto run = Program::StartOnTerminal(
      Words({"run", "-it", "--name", "c1", "--network=none", "demo", "sh"}));
  run->Type("tty; stty size; echo $((6 * 7))\n");
  EXPECT_TRUE(run->WaitFor("24 80")) << run->out();
  EXPECT_THAT(run->out(), HasSubstr("/dev/pts/0"));
  auto exec = Program::StartOnTerminal(Words({"exec", "-it", "c1", "sh"}));
  exec->Resize(33, 99);
  exec->Type("until [ \"$(stty size)\" = '33 99' ]; do sleep 0.1; done; echo resi''zed; exit 6\n");
  EXPECT_TRUE(exec->WaitFor("resized")) << exec->out();
  EXPECT_EQ(exec->Finish().status, 6);
  // Away from it, and back.
  run->Type("\x10\x11");
  EXPECT_EQ(run->Finish().status, 0);
  auto back = Program::StartOnTerminal(Words({"attach", "c1"}));
  back->Type("echo ba''ck; exit 5\n");
  EXPECT_TRUE(back->WaitFor("back")) << back->out();
  EXPECT_EQ(back->Finish().status, 5);
}

// All that can be asked for at once, and the same of runc.
TEST_F(DockerTest, TheContainerIsWhatRuncsIs) {
  ASSERT_TRUE(base::MakeDirs(Scratch("volume")).ok());
  ASSERT_TRUE(base::WriteFile(Scratch("volume/file"), "of the host\n").ok());
  const std::string look =
      "id; pwd; env | sort; grep -E 'Cap|NoNewPrivs' /proc/self/status; ulimit -n; ulimit -Hn;"
      "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax; df --output=size /dev/shm /t;"
      "hostname; cat /proc/sys/kernel/domainname /etc/hosts /etc/resolv.conf; echo;"
      "cat /v/file; touch /v/x 2>&1; touch /x 2>&1; echo kept >/data/kept;"
      "stat -c '%n %F %a %u %g %t:%T' /dev/extra /dev/null;"
      "tr '\\0' ' ' </proc/1/cmdline; exit 9";
  auto with = [&](const std::string& runtime) {
    return Run({"--runtime=" + runtime,
                "--user=33:33",
                "--group-add=44",
                "--workdir=/usr",
                "--env=A=b",
                "--cap-drop=ALL",
                "--cap-add=NET_BIND_SERVICE",
                "--security-opt=no-new-privileges",
                "--security-opt=seccomp=unconfined",
                "--ulimit=nofile=100:200",
                "--sysctl=net.ipv4.ip_forward=1",
                "--sysctl=kernel.shmmax=123456",
                "--shm-size=10m",
                "--tmpfs=/t:size=1m,mode=700",
                "--hostname=name",
                "--domainname=domain",
                "--add-host=other:1.2.3.4",
                "--dns=9.9.9.9",
                "--dns-search=example.org",
                "-v",
                Scratch("volume") + ":/v:ro",
                "-v",
                "data:/data",
                "--device=/dev/null:/dev/extra",
                "--read-only",
                "--init",
                "demo",
                "sh",
                "-c",
                look});
  };
  Finished own = with("holt");
  EXPECT_EQ(own.status, 9) << own.err;
  EXPECT_THAT(own.out, HasSubstr("of the host\ntouch: cannot touch '/v/x': Read-only"));
  EXPECT_THAT(own.out, HasSubstr("docker-init -- sh -c"));
  EXPECT_EQ(own.out, with("runc").out);
  EXPECT_EQ(Docker({"volume", "rm", "data"}).status, 0);
}

TEST_F(DockerTest, PrivilegedIsRootOfTheMachineOnly) {
  utsname host{};
  ASSERT_EQ(uname(&host), 0);
  Finished run = Run({"--privileged", "demo", "sh", "-c",
                      "mount -t tmpfs t /tmp && echo mounted; echo x >/proc/sys/kernel/hostname &&"
                      "echo renamed; uname -r"});
  EXPECT_THAT(run.out, StartsWith("mounted\nrenamed\n")) << run.err;
  EXPECT_THAT(run.out, Not(HasSubstr(host.release)));
}

TEST_F(DockerTest, WhatCannotBeSharedIsRefusedByName) {
  Start("c1", {"--network=none", "--ipc=shareable", "demo", "sleep", "1000"});
  auto refused = [&](const std::string& flag, const std::string& why) {
    Finished run = Docker({"run", "--rm", flag, "demo", "true"});
    EXPECT_EQ(run.status, 125) << flag;
    EXPECT_THAT(run.err, HasSubstr(why)) << flag;
  };
  // Docker 20.10 names the host's namespace, 26 none.
  refused("--network=host", "a virtual machine cannot share");
  refused("--network=container:c1", "another container's machine has it");
  refused("--pid=host", "linux.namespaces: not supported: a container without a pid namespace");
  refused("--pid=container:c1", "not supported: joining another container's namespace");
  refused("--ipc=container:c1", "not supported: joining another container's namespace");
}

TEST_F(DockerTest, HealthAndRestarting) {
  Start("c1", {"--network=none", "--health-cmd=test -e /tmp/ok", "--health-interval=1s",
               "--health-retries=1", "demo", "sleep", "1000"});
  Start("c2", {"--network=none", "--restart=on-failure:1", "demo", "sh", "-c", "echo one; exit 3"});
  const std::string health = "{{.State.Health.Status}}";
  EXPECT_TRUE(Eventually([&] { return Inspect("c1", health) == "unhealthy"; }));
  Inside("c1", "touch /tmp/ok");
  EXPECT_TRUE(Eventually([&] { return Inspect("c1", health) == "healthy"; }));
  EXPECT_TRUE(Eventually([&] {
    return Inspect("c2", "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}") == "1 exited 3";
  })) << Inspect("c2", "{{json .State}}");
  EXPECT_EQ(Docker({"logs", "c2"}).out, "one\none\n");
}

TEST_F(DockerTest, LackOfMemoryIsAStatus) {
  Finished run = Run({"--memory=64m", "demo", "sh", "-c", "x=a; while :; do x=$x$x; done"});
  EXPECT_EQ(run.status, 137) << run.err;
}

TEST_F(DockerTest, BuildsImages) {
  ASSERT_TRUE(base::MakeDirs(Scratch("build")).ok());
  ASSERT_TRUE(base::WriteFile(Scratch("build/file"), "added\n").ok());
  ASSERT_TRUE(base::WriteFile(Scratch("build/Dockerfile"),
                              "FROM demo\nENV A=b\nRUN uname -r >/kernel && echo $A >>/kernel\n"
                              "COPY file /file\nUSER 33\nRUN id -u >/tmp/user\n"
                              "CMD [\"cat\", \"/kernel\", \"/tmp/user\", \"/file\"]\n")
                  .ok());
  Finished built = Docker({"build", "--network=none", "--quiet", "--tag=built", Scratch("build")});
  ASSERT_EQ(built.status, 0) << built.err;
  EXPECT_THAT(Run({"built"}).out, ContainsRegex("^.*-holt\nb\n33\nadded\n$"));
}

// A host with AppArmor has Docker give its profile to every container.
TEST_F(DockerTest, TheStubHasDockersAppArmorProfile) {
  if (base::ReadFile("/sys/module/apparmor/parameters/enabled").value_or("N") != "Y\n")
    GTEST_SKIP() << "this host has no AppArmor";
  Start("c1", {"--network=none", "demo", "sleep", "1000"});
  EXPECT_EQ(Inspect("c1", "{{.AppArmorProfile}}"), "docker-default");
  EXPECT_EQ(base::ReadFile("/proc/" + Inspect("c1", "{{.State.Pid}}") + "/attr/apparmor/current")
                .value_or(""),
            "docker-default (enforce)\n");
  EXPECT_EQ(Inside("c1", "echo works"), "works\n");
  EXPECT_EQ(Docker({"stop", "--time=0", "c1"}).status, 0);
  Finished other = Run({"--security-opt=apparmor=unconfined", "demo", "echo", "unconfined"});
  EXPECT_EQ(other.out, "unconfined\n") << other.err;
}

// dockerd dies and comes back; the container is none of its processes.
TEST_F(DockerTest, ContainersOutliveTheDaemon) {
  Start("c1", {"--network=none", "demo", "sh", "-c",
               "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done"});
  ASSERT_TRUE(LogsSay("c1", "up\n"));
  const std::string pid = Inspect("c1", "{{.State.Pid}}");
  const std::string containerd =
      base::ReadFile(directory_ + "/exec/containerd/containerd.pid").value_or("");
  // It dies with dockerd, sooner or later. The next dockerd would wait for one that is there still,
  // even if it is only that nobody has waited for it yet.
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  daemon_->Signal(SIGKILL);
  daemon_->Finish();
  kill(atoi(containerd.c_str()), SIGKILL);
  EXPECT_EQ(waitpid(atoi(containerd.c_str()), nullptr, 0), atoi(containerd.c_str()));
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
  StartDaemon();
  EXPECT_EQ(Inspect("c1", "{{.State.Status}} {{.State.Pid}}"), "running " + pid);
  EXPECT_EQ(Inside("c1", "echo still there"), "still there\n");
  EXPECT_EQ(Docker({"stop", "c1"}).status, 0);
  EXPECT_EQ(Inspect("c1", "{{.State.ExitCode}}"), "3");
  EXPECT_EQ(Docker({"logs", "c1"}).out, "up\nbye\n");
}

class DockerKillTest : public DockerTest, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Processes, DockerKillTest,
                         testing::Values("containerd-shim-runc-v2", "holt-monitor", "holt-vmm",
                                         "holt-stub"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// kill -9 of any process of a container: Docker says that it is over, and TearDown looks at what
// docker rm leaves.
TEST_P(DockerKillTest, TheContainerIsOverAndNothingIsLeft) {
  Start("c1", {"demo", "sleep", "1000"});
  const std::string id = Inspect("c1", "{{.Id}}");
  pid_t pid = ProcessOf(id, GetParam());
  if (pid == 0) {  // holt-vmm's command line says nothing of the container
    const std::string state = base::ReadFile(root_ + "/" + id + "/state.json").value_or("");
    const size_t at = state.find("\"" + std::string(GetParam()) + "\"");
    ASSERT_NE(at, std::string::npos) << state;
    pid = std::stoi(state.substr(state.find("\"pid\":", state.rfind('{', at)) + 6));
  }
  ASSERT_GT(pid, 1);
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  EXPECT_TRUE(Eventually([&] { return Inspect("c1", "{{.State.Status}}") == "exited"; }))
      << Inspect("c1", "{{json .State}}");
  EXPECT_NE(Inspect("c1", "{{.State.ExitCode}}"), "0");
}

}  // namespace
}  // namespace holt
