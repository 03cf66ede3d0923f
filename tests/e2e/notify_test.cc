// What a container says of itself (sd_notify(3)) reaches who waits for it on the host.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/e2e/bundle_fixture.h"
#include "tests/e2e/notify_host.h"

namespace holt {
namespace {

using testing::HasSubstr;

class NotifyTest : public BundleTest {
 protected:
  void SetUp() override {
    BundleTest::SetUp();
    std::filesystem::copy_file(BuildDirectory() + "/tests/e2e/volume_probe",
                               bundle_ + "/rootfs/probe",
                               std::filesystem::copy_options::overwrite_existing);
    host_ = std::make_unique<NotifyHost>(Scratch("notify.sock"));
  }
  // Says `texts`, prints "said", and stays.
  static std::string Says(const std::string& texts) {
    return Config(R"(["sh","-c","/probe notify )" + texts + R"( && echo said; exec sleep 1000"])");
  }
  RunOptions Told() const {
    RunOptions options = Environment();
    options.environment.push_back(host_->Variable());
    return options;
  }
  std::vector<std::string> RunArgs(const std::vector<std::string>& flags) const {
    std::vector<std::string> args = {"run", "--accel", Accel(), "--bundle", bundle_};
    args.insert(args.end(), flags.begin(), flags.end());
    return args;
  }
  // Its stdio is the container's: goes to files.
  std::unique_ptr<Program> Background(const std::vector<std::string>& args) const {
    std::vector<std::string> shell = {
        "/bin/bash", "-c", "\"$@\" >" + Scratch("out") + " 2>" + Scratch("err") + " </dev/null",
        "-"};
    const std::vector<std::string> command = Command(args);
    shell.insert(shell.end(), command.begin(), command.end());
    return Program::Start(shell, Told());
  }
  static bool Ended(pid_t pid) {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid == pid;
  }
  // A config whose engine told the container of `destination`/notify.sock.
  std::string Mounted(const std::string& texts, const std::string& options = "\"bind\"") const {
    std::string config = Says(texts);
    const std::string path = R"("env":[)";
    config.replace(config.find(path), path.size(),
                   R"("env":["NOTIFY_SOCKET=/run/notify/notify.sock",)");
    const std::string mounts = R"("mounts":[)";
    config.replace(config.find(mounts), mounts.size(),
                   R"("mounts":[{"destination":"/run/notify","type":"bind","source":")" +
                       Scratch("notify") + R"(","options":[)" + options + "]},");
    return config;
  }

  std::unique_ptr<NotifyHost> host_;
};

TEST_F(NotifyTest, RunWaitsUntilItIsReadyAndSaysSo) {
  WriteConfig(Says(R"('STATUS=soon' 'MAINPID=1\\nREADY=1\\nFDSTORE=1' barrier)"));
  auto run = Background(RunArgs({"-d", "--pid-file", Scratch("pid"), "c1"}));
  EXPECT_EQ(host_->Next(), "STATUS=soon\n");
  const pid_t sender = host_->sender();
  EXPECT_EQ(host_->Next(), "READY=1\n");
  EXPECT_EQ(host_->Next(), "MAINPID=" + PidFile() + "\n");
  EXPECT_EQ(host_->Next(), "BARRIER=1");
  // In the name of who started it: the last process of its unit.
  EXPECT_EQ(host_->sender(), sender);
  EXPECT_THAT(base::ReadFile("/proc/" + std::to_string(sender) + "/cmdline").value_or(""),
              HasSubstr("--pid-file"));
  ASSERT_TRUE(host_->descriptor().valid());
  usleep(300'000);
  EXPECT_FALSE(Ended(run->pid())) << "the host has not taken it";
  host_->descriptor().Reset();
  EXPECT_EQ(run->Finish().status, 0);
  EXPECT_TRUE(Eventually([&] { return Output() == "passed\nsaid\n"; })) << Output();

  // Later on, whoever in it speaks: in the name of the container's process.
  Finished exec = Holt({"exec", "-e", "NOTIFY_SOCKET=/run/notify/notify.sock", "c1", "/probe",
                        "notify", "WATCHDOG=1", "STATUS=well", "barrier"});
  EXPECT_EQ(exec.out, "passed\n") << exec.err;
  EXPECT_EQ(host_->Next(), "WATCHDOG=1\n");
  EXPECT_EQ(std::to_string(host_->sender()), PidFile());
  EXPECT_EQ(host_->Next(), "STATUS=well\n");
  EXPECT_EQ(host_->Next(300), "");
  EXPECT_EQ(Holt({"exec", "c1", "stat", "-c", "%a %F", "/run/notify/notify.sock"}).out,
            "777 socket\n");
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);
}

TEST_F(NotifyTest, AForegroundCommandIsTheServiceItself) {
  std::string config = Says("READY=1");
  // Whoever makes a read-only root has made what is mounted on it.
  const std::string root = R"("path":"rootfs")";
  config.replace(config.find(root), root.size(), root + R"(,"readonly":true)");
  WriteConfig(config);
  auto run = Background(RunArgs({"c1"}));
  EXPECT_EQ(host_->Next(), "READY=1\n") << Output();
  EXPECT_EQ(host_->Next(), "MAINPID=" + std::to_string(host_->sender()) + "\n");
  EXPECT_THAT(base::ReadFile("/proc/" + std::to_string(host_->sender()) + "/cmdline").value_or(""),
              HasSubstr("--bundle"));
  EXPECT_EQ(host_->Next(), "BARRIER=1");
  EXPECT_EQ(Holt({"kill", "c1", "9"}).status, 0);
  EXPECT_EQ(run->Finish().status, 137);
}

TEST_F(NotifyTest, StartIsWhoSpeaks) {
  WriteConfig(Says("READY=1"));
  RunOptions told = Told();
  ASSERT_EQ(Background({"create", "--bundle", bundle_, "--pid-file", Scratch("pid"), "c1"})
                ->Finish()
                .status,
            0)
      << base::ReadFile(Scratch("err")).value_or("");
  auto start = Program::Start(Command({"start", "c1"}), told);
  EXPECT_EQ(host_->Next(), "READY=1\n");
  EXPECT_EQ(host_->sender(), start->pid());
  EXPECT_EQ(host_->Next(), "MAINPID=" + PidFile() + "\n");
  EXPECT_EQ(host_->Next(), "BARRIER=1");
  host_->descriptor().Reset();
  EXPECT_EQ(start->Finish().status, 0);
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);

  // Nobody speaks for it: what it says goes nowhere, and does not stop it.
  WriteConfig(Says(R"($(seq 100) barrier READY=1)"));
  ASSERT_EQ(Background({"create", "--bundle", bundle_, "c2"})->Finish().status, 0);
  ASSERT_EQ(Holt({"start", "c2"}).status, 0);
  EXPECT_TRUE(Eventually([&] { return Output() == "passed\nsaid\n"; })) << Output();
  EXPECT_EQ(host_->Next(300), "");
  EXPECT_EQ(Holt({"delete", "--force", "c2"}).status, 0);

  // It ends without a word: so does the wait.
  WriteConfig(Config(R"(["sleep","0.5"])"));
  ASSERT_EQ(Background({"create", "--bundle", bundle_, "c3"})->Finish().status, 0);
  EXPECT_EQ(Holt({"start", "c3"}, told).status, 0);
  EXPECT_EQ(Holt({"delete", "--force", "c3"}).status, 0);
}

TEST_F(NotifyTest, TheSocketThatAnEngineMounted) {
  ASSERT_TRUE(base::MakeDirs(Scratch("notify")).ok());
  NotifyHost engine(Scratch("notify/notify.sock"));
  ASSERT_EQ(chmod(engine.path().c_str(), 0722), 0);
  // Read-only or not: to say something writes nothing.
  Launch("c1", Mounted(R"('MAINPID=5\\nREADY=1' barrier)", R"("bind","ro")"));
  EXPECT_EQ(engine.Next(), "READY=1\n");
  EXPECT_EQ(engine.Next(300), "") << "whose main process it is, the engine says";
  EXPECT_TRUE(Eventually([&] { return Output() == "passed\nsaid\n"; })) << Output();
  EXPECT_EQ(Holt({"exec", "c1", "stat", "-c", "%a %F", "/run/notify/notify.sock"}).out,
            "722 socket\n");
  // By exec, too: the process inherits the container's environment.
  EXPECT_EQ(Holt({"exec", "c1", "/probe", "notify", "WATCHDOG=1"}).status, 0);
  EXPECT_EQ(engine.Next(), "WATCHDOG=1\n");
  // Another one at its path is not spoken to.
  ASSERT_EQ(unlink(engine.path().c_str()), 0);
  NotifyHost other(Scratch("notify/notify.sock"));
  (void)Holt({"exec", "c1", "/probe", "notify", "STATUS=x"});
  EXPECT_EQ(other.Next(300), "");
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);

  // The engine's word is for the engine, whatever the runtime's own environment says.
  WriteConfig(Mounted("READY=1"));
  ASSERT_EQ(Background({"create", "--bundle", bundle_, "c2"})->Finish().status, 0);
  EXPECT_EQ(Holt({"start", "c2"}, Told()).status, 0);
  EXPECT_EQ(other.Next(), "READY=1\n");
  EXPECT_EQ(host_->Next(300), "");
  EXPECT_EQ(Holt({"delete", "--force", "c2"}).status, 0);
}

TEST_F(NotifyTest, OtherSocketsStayOutOfReach) {
  ASSERT_TRUE(base::MakeDirs(Scratch("notify")).ok());
  // A service of connections, and a link to somebody else's socket.
  auto service = base::ListenUnix(Scratch("notify/notify.sock"));
  ASSERT_TRUE(service.ok());
  Launch("c1", Mounted("READY=1"));
  EXPECT_TRUE(Eventually([&] { return Output().find("notify: ") != std::string::npos; }))
      << Output();
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);
  ASSERT_EQ(unlink(Scratch("notify/notify.sock").c_str()), 0);
  ASSERT_EQ(symlink(host_->path().c_str(), Scratch("notify/notify.sock").c_str()), 0);
  Launch("c2", Mounted("READY=1"));
  EXPECT_TRUE(Eventually([&] { return Output().find("notify: ") != std::string::npos; }))
      << Output();
  EXPECT_EQ(host_->Next(300), "");
  EXPECT_EQ(Holt({"delete", "--force", "c2"}).status, 0);

  // Nobody listens: said once, and the container runs.
  host_.reset();
  RunOptions dead = Environment();
  dead.environment.push_back("NOTIFY_SOCKET=" + Scratch("notify.sock"));
  WriteConfig(Config(R"(["true"])"));
  Finished run = Holt(RunArgs({"c3"}), dead);
  EXPECT_EQ(run.status, 0);
  EXPECT_THAT(run.err, HasSubstr("NOTIFY_SOCKET: nobody is told how the container is: "));
}

TEST_F(NotifyTest, AFloodIsTheContainersOwn) {
  ASSERT_TRUE(base::MakeDirs(Scratch("notify")).ok());
  NotifyHost engine(Scratch("notify/notify.sock"));
  std::string config = Mounted("READY=1");
  const std::string command = "exec sleep 1000";
  config.replace(config.find(command), command.size(),
                 "for i in 1 2 3 4; do /probe notify-flood STATUS=$(seq -s, 500) & done; wait");
  Launch("c1", config);
  EXPECT_EQ(engine.Next(), "READY=1\n");
  auto memory = [&] {
    const std::string monitor = std::to_string(
        atoi(Program::Start({"/usr/bin/pgrep", "-f", "holt-monitor --root " + root_}, {})
                 ->Finish()
                 .out.c_str()));
    const std::string status = base::ReadFile("/proc/" + monitor + "/status").value_or("");
    return atoi(status.substr(status.find("VmRSS:") + 6).c_str());
  };
  ASSERT_TRUE(Eventually([&] { return Output().find("said") != std::string::npos; }));
  const int before = memory();
  ASSERT_GT(before, 0);
  // The engine reads nothing for a while, then all of it.
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(Holt({"exec", "c1", "echo", "there"}).out, "there\n");
    EXPECT_EQ(StatusOf("c1"), "running");
  }
  int heard = 0;
  const auto began = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - began < std::chrono::seconds(4))
    if (!engine.Next(1000).empty()) ++heard;
  EXPECT_GT(heard, 20);
  EXPECT_LT(heard, 200) << "32 a second and what waited";
  EXPECT_LT(memory() - before, 2048) << "KiB";
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);
}

}  // namespace
}  // namespace holt
