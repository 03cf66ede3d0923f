// Podman with holt as its runtime: what people type, and what comes back.
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>

#include "tests/e2e/notify_host.h"
#include "tests/e2e/podman_fixture.h"

namespace holt {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::StartsWith;

TEST_F(PodmanTest, RunsAndTellsHowItEnded) {
  utsname host{};
  ASSERT_EQ(uname(&host), 0);
  Finished kernel = Run({"--rm", "demo", "uname", "-r"});
  EXPECT_EQ(kernel.status, 0) << kernel.err;
  EXPECT_THAT(kernel.out, HasSubstr("-holt"));
  EXPECT_NE(kernel.out, std::string(host.release) + "\n");
  EXPECT_EQ(Run({"--rm", "demo", "sh", "-c", "exit 7"}).status, 7);
  EXPECT_EQ(Run({"--rm", "-i", "demo", "cat"}, "through").out, "through");
  Finished missing = Run({"--rm", "demo", "no-such-command"});
  EXPECT_EQ(missing.status, 127) << missing.err;
  EXPECT_THAT(missing.err, HasSubstr("executable file not found"));
  EXPECT_EQ(Run({"--rm", "demo", "/etc/passwd"}).status, 126);
}

TEST_F(PodmanTest, AContainersWholeLife) {
  ASSERT_TRUE(base::MakeDirs(Scratch("volume")).ok());
  ASSERT_TRUE(base::WriteFile(Scratch("volume/file"), "of the host\n").ok());
  Finished started =
      Run({"-d", "--name=c1", "--memory=200m", "--pids-limit=50", "-v",
           Scratch("volume") + ":/v:ro", "demo", "sh", "-c",
           "trap 'echo bye; exit 3' TERM; cat /v/file /sys/fs/cgroup/memory.max "
           "/sys/fs/cgroup/pids.max; touch /v/x; echo up; while :; do sleep 0.1; done"});
  ASSERT_EQ(started.status, 0) << started.err;
  std::string logs;
  for (int turn = 0; turn < 100 && logs.find("up\n") == std::string::npos; ++turn) {
    usleep(100'000);
    logs = Podman({"logs", "c1"}).out;
  }
  EXPECT_EQ(logs, "of the host\n209715200\n50\nup\n");
  EXPECT_THAT(Podman({"logs", "c1"}).err, HasSubstr("Read-only file system"));
  EXPECT_THAT(Podman({"ps"}).out, ContainsRegex("demo.* Up .* c1"));

  Finished exec = Podman(
      {"exec", "-i", "-e", "A=b", "-w", "/usr", "c1", "sh", "-c", "cat; echo $A; pwd; exit 4"},
      "input\n");
  EXPECT_EQ(exec.status, 4) << exec.err;
  EXPECT_EQ(exec.out, "input\nb\n/usr\n");
  EXPECT_EQ(Podman({"exec", "c1", "no-such-command"}).status, 127);

  // By the stub's pid, which shows the container's files and no process of the host.
  ASSERT_TRUE(base::WriteFile(Scratch("copied"), "in\n").ok());
  EXPECT_EQ(Podman({"cp", Scratch("copied"), "c1:/tmp/copied"}).status, 0);
  EXPECT_EQ(Podman({"exec", "c1", "cat", "/tmp/copied"}).out, "in\n");
  EXPECT_EQ(Podman({"exec", "c1", "sh", "-c", "echo out > /tmp/made"}).status, 0);
  EXPECT_EQ(Podman({"cp", "c1:/tmp/made", Scratch("made")}).status, 0);
  EXPECT_EQ(base::ReadFile(Scratch("made")).value_or(""), "out\n");
  std::string top = Podman({"top", "c1"}).out;
  EXPECT_EQ(std::count(top.begin(), top.end(), '\n'), 2) << top;

  EXPECT_EQ(Podman({"pause", "c1"}).status, 0);
  EXPECT_THAT(Podman({"ps", "-a"}).out, HasSubstr("Paused"));
  EXPECT_EQ(Podman({"unpause", "c1"}).status, 0);

  EXPECT_EQ(Podman({"stop", "c1"}).status, 0);
  EXPECT_EQ(Podman({"inspect", "c1", "--format", "{{.State.Status}} {{.State.ExitCode}}"}).out,
            "exited 3\n");
  EXPECT_THAT(Podman({"logs", "c1"}).out, HasSubstr("bye\n"));
  // Again, and this time it is killed.
  EXPECT_EQ(Podman({"start", "c1"}).status, 0);
  EXPECT_EQ(Podman({"kill", "c1"}).status, 0);
  EXPECT_EQ(Podman({"wait", "c1"}).out, "137\n");
  EXPECT_EQ(Podman({"rm", "c1"}).status, 0);
}

TEST_F(PodmanTest, AttachIsTheContainersStdio) {
  ASSERT_EQ(Run({"-d", "-i", "--name=c1", "demo", "sh", "-c",
                 "while read -r line; do echo got $line; done; echo end >&2; exit 5"})
                .status,
            0);
  Finished attach = Podman({"attach", "c1"}, "one\ntwo\n");
  // Podman ends it with an empty line of its own, and its status is not the container's.
  EXPECT_THAT(attach.out, StartsWith("got one\ngot two\n"));
  EXPECT_EQ(attach.err, "end\n");
  EXPECT_EQ(Podman({"wait", "c1"}).out, "5\n");
}

TEST_F(PodmanTest, AUserNamespaceOfItsOwn) {
  Finished run = Run({"--rm", "--uidmap=0:100000:2000", "--gidmap=0:200000:2000", "--user=7:8",
                      "demo", "sh", "-c",
                      "echo $(cat /proc/self/uid_map /proc/self/gid_map); id -u; "
                      "stat -c %u:%g /etc/passwd; touch /x; touch /tmp/x && stat -c %u:%g /tmp/x"});
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(run.out, "0 100000 2000 0 200000 2000\n7\n0:0\n7:8\n");
  EXPECT_THAT(run.err, HasSubstr("Permission denied"));
}

TEST_F(PodmanTest, LackOfMemoryIsTold) {
  EXPECT_EQ(Run({"--name=c1", "--memory=32m", "demo", "sh", "-c", "tail /dev/zero"}).status, 137);
  EXPECT_EQ(Podman({"inspect", "c1", "--format", "{{.State.OOMKilled}}"}).out, "true\n");
  EXPECT_EQ(Run({"--name=c2", "--memory=32m", "demo", "sh", "-c", "exit 137"}).status, 137);
  EXPECT_EQ(Podman({"inspect", "c2", "--format", "{{.State.OOMKilled}}"}).out, "false\n");
}

// A few in every test run, $HOLT_TEST_CONTAINERS of them in tests/soak.sh.
TEST_F(PodmanTest, ManyAtOnce) {
  const char* wanted = getenv("HOLT_TEST_CONTAINERS");
  const std::string count = wanted != nullptr ? wanted : "4";
  auto each = [&](const std::string& script, const std::vector<std::string>& args, int at_once) {
    std::vector<std::string> words = {
        "/bin/bash", "-c",
        "for i in $(seq " + count +
            "); do while (( $(jobs -rp | wc -l) >= " + std::to_string(at_once) +
            " )); do wait -n; done; { " + script + "; } || echo $i: $? & done; wait",
        "-"};
    for (const std::string& word : Words(args)) words.push_back(word);
    RunOptions options{.environment = Environment(), .deadline = std::chrono::minutes(20)};
    Finished finished = Program::Start(words, options)->Finish(options.deadline);
    EXPECT_EQ(finished.status, 0);
    EXPECT_EQ(finished.out, "") << finished.err;
  };
  // Podman gives a container 240 s until it is there, and in the lab all share one emulated
  // processor.
  each("\"$@\" --name=c$i demo sh -c 'echo up; exec sleep 100000' >/dev/null",
       {"run", "--detach", "--network=none"}, 8);
  EXPECT_EQ(Podman({"ps", "--quiet"}).out.size(), 13u * strtoul(count.c_str(), nullptr, 10));
  each("[ \"$(\"$@\" c$i sh -c \"echo $i\")\" = $i ]", {"exec"}, 50);
  each("[ \"$(\"$@\" c$i)\" = up ]", {"logs"}, 50);
  each("\"$@\" c$i >/dev/null", {"rm", "--force", "--time=0"}, 50);
  EXPECT_EQ(Podman({"ps", "--all", "--quiet"}).out, "");
}

TEST_F(PodmanTest, BuildsImages) {
  ASSERT_TRUE(base::MakeDirs(Scratch("build")).ok());
  ASSERT_TRUE(base::WriteFile(Scratch("build/Containerfile"),
                              "FROM localhost/demo\nRUN uname -r > /kernel\n"
                              "CMD [\"cat\", \"/kernel\"]\n")
                  .ok());
  Finished built = Podman({"build", "--network=none", "-t", "built", Scratch("build")});
  ASSERT_EQ(built.status, 0) << built.err;
  EXPECT_THAT(Run({"--rm", "localhost/built"}).out, HasSubstr("-holt"));
}

TEST_F(PodmanTest, ATerminal) {
  auto run = Program::StartOnTerminal(Words({"run", "--rm", "-it", "--network=none", "demo", "sh"}),
                                      {.environment = Environment()});
  run->Type("tty; stty size; exit 5\n");
  EXPECT_TRUE(run->WaitFor("24 80")) << run->out();
  EXPECT_THAT(run->out(), HasSubstr("/dev/pts/0"));
  EXPECT_EQ(run->Finish().status, 5);
}

TEST_F(PodmanTest, WhatAContainerSaysOfItselfReachesPodmansOwnSupervisor) {
  NotifyHost host(Scratch("notify.sock"));
  const std::string probe = BuildDirectory() + "/tests/e2e/volume_probe:/probe:ro";
  auto run = [&](const std::string& mode, const std::string& command) {
    std::vector<std::string> environment = Environment();
    environment.push_back(host.Variable());
    return Program::Start(Words({"run", "-d", "--network=none", "--name=" + mode,
                                 "--sdnotify=" + mode, "-v", probe, "demo", "sh", "-c", command}),
                          {.environment = environment})
        ->Finish();
  };
  // By conmon, which passes READY=1 on.
  Finished container = run("container", "/probe notify STATUS=x READY=1 barrier; exec sleep 1000");
  ASSERT_EQ(container.status, 0) << container.err;
  std::string said;
  while (said.find("READY=1") == std::string::npos) {
    const std::string next = host.Next();
    ASSERT_NE(next, "") << said;
    said += next + "\n";
  }
  // Podman's own ways say it without the container, which is told of no socket.
  for (const char* mode : {"conmon", "ignore"}) {
    Finished other = run(mode, "test -z \"$NOTIFY_SOCKET\" && exec sleep 1000");
    EXPECT_EQ(other.status, 0) << mode << other.err;
    EXPECT_EQ(Podman({"inspect", mode, "--format", "{{.State.Status}}"}).out, "running\n") << mode;
  }
}

}  // namespace
}  // namespace holt
