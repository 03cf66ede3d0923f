// Descriptors beside stdio: what holt was started with, a process in the machine has.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <filesystem>
#include <thread>

#include "base/socket.h"
#include "tests/e2e/bundle_fixture.h"

namespace holt {
namespace {

using base::UniqueFd;
using testing::HasSubstr;

struct Pipe {
  UniqueFd read, write;
};
Pipe MakePipe() {
  int fds[2];
  EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

std::string ReadAll(int fd) {
  std::string text;
  char buffer[65536];
  ssize_t n;
  while ((n = read(fd, buffer, sizeof buffer)) > 0) text.append(buffer, static_cast<size_t>(n));
  return text;
}

void WriteAll(int fd, const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    const ssize_t n = write(fd, text.data() + at, text.size() - at);
    if (n <= 0) return;
    at += static_cast<size_t>(n);
  }
}

class PreserveFdsTest : public BundleTest {
 protected:
  void SetUp() override {
    BundleTest::SetUp();
    std::filesystem::copy_file(BuildDirectory() + "/tests/e2e/volume_probe",
                               bundle_ + "/rootfs/probe",
                               std::filesystem::copy_options::overwrite_existing);
  }
  std::vector<std::string> RunArgs(const std::vector<std::string>& flags) const {
    std::vector<std::string> args = {"run", "--accel", Accel(), "--bundle", bundle_};
    args.insert(args.end(), flags.begin(), flags.end());
    return args;
  }
  static std::string Sh(const std::string& script) { return R"(["sh","-c",")" + script + R"("])"; }

  // holt with `fds`, which are given away, as 3 and following; output goes to files. With
  // `listening` of them as a service manager gives them.
  pid_t Start(const std::vector<std::string>& args, std::vector<UniqueFd> fds, int listening = 0) {
    const std::vector<std::string> command = Command(args);
    std::vector<char*> argv;
    for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const pid_t pid = fork();
    if (pid != 0) return pid;
    setpgid(0, 0);
    setenv("HOLT_ACCEL", Accel().c_str(), 1);
    if (listening != 0) {
      setenv("LISTEN_FDS", std::to_string(listening).c_str(), 1);
      setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
    }
    std::vector<int> copies;
    for (const UniqueFd& fd : fds) copies.push_back(fcntl(fd.get(), F_DUPFD_CLOEXEC, 200));
    for (size_t i = 0; i < copies.size(); ++i) dup2(copies[i], 3 + static_cast<int>(i));
    dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
    for (auto [name, number] : {std::pair("out", 1), std::pair("err", 2)})
      dup2(open(Scratch(name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), number);
    execv(argv[0], argv.data());
    _exit(99);
  }
  // Its exit status.
  int Finish(pid_t pid) {
    int status = -1;
    for (int i = 0; i < 4000; ++i) {
      if (waitpid(pid, &status, WNOHANG) == pid)
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      usleep(25'000);
    }
    kill(-pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return -1;
  }
  std::string Err() { return base::ReadFile(Scratch("err")).value_or(""); }
  template <typename... Fds>
  static std::vector<UniqueFd> Give(Fds... fds) {
    std::vector<UniqueFd> out;
    (out.push_back(std::move(fds)), ...);
    return out;
  }
};

TEST_F(PreserveFdsTest, PipesInTheirOrderAndNothingElse) {
  WriteConfig(
      Config(Sh("ls /proc/self/fd | tr '\\\\n' ' '; cat <&3 >&4; echo and more >&4; "
                "test -c /proc/self/fd/5 && echo null")));
  Pipe in = MakePipe();
  Pipe out = MakePipe();
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  UniqueFd unwanted(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
  const pid_t run =
      Start(RunArgs({"--preserve-fds", "3", "c1"}),
            Give(std::move(in.read), std::move(out.write), std::move(null), std::move(unwanted)));
  std::string big(3 << 20, 0);
  for (size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 2654435761u >> 13);
  std::thread writer([&] {
    WriteAll(in.write.get(), big);
    in.write.Reset();
  });
  // To the end: nothing else has the pipe open then.
  const std::string got = ReadAll(out.read.get());
  writer.join();
  EXPECT_TRUE(got == big + "and more\n") << got.size() << " bytes";
  EXPECT_EQ(Finish(run), 0) << Err();
  // 6 is ls's own.
  EXPECT_EQ(Output(), "0 1 2 3 4 5 6 null\n");
}

TEST_F(PreserveFdsTest, WhoWritesToNobodyIsTold) {
  WriteConfig(Config(Sh("yes >&3; echo ended with $?; read a <&4; echo read $?")));
  Pipe out = MakePipe();
  Pipe in = MakePipe();
  const pid_t run =
      Start(RunArgs({"--preserve-fds", "2", "c1"}), Give(std::move(out.write), std::move(in.read)));
  char buffer[64];
  EXPECT_GT(read(out.read.get(), buffer, sizeof buffer), 0);
  out.read.Reset();
  EXPECT_TRUE(Eventually([&] { return Output().find("ended") != std::string::npos; }));
  in.write.Reset();
  EXPECT_EQ(Finish(run), 0) << Err();
  EXPECT_THAT(Output(), HasSubstr("ended with 141\nread 1\n"));
}

TEST_F(PreserveFdsTest, AConnectionBothWaysWithHalfClose) {
  WriteConfig(Config(Sh("cat <&3 >&3; echo ' back' >&3")));
  auto pair = *base::SocketPair();
  const pid_t run = Start(RunArgs({"--preserve-fds", "1", "c1"}), Give(std::move(pair.second)));
  const std::string big(1 << 20, 'x');
  std::thread writer([&] {
    WriteAll(pair.first.get(), big);
    shutdown(pair.first.get(), SHUT_WR);
  });
  const std::string got = ReadAll(pair.first.get());
  writer.join();
  EXPECT_TRUE(got == big + " back\n") << got.size() << " bytes";
  EXPECT_EQ(Finish(run), 0) << Err();
  EXPECT_TRUE(Leftovers().empty());
}

TEST_F(PreserveFdsTest, ListeningSocketsAsAServiceManagerGivesThem) {
  WriteConfig(Config(Sh(
      "echo $LISTEN_FDS $LISTEN_PID; /probe serve 3 3; /probe serve 4 1; cat <&5; exec sleep 0")));
  UniqueFd local = *base::ListenUnix(Scratch("service"));
  UniqueFd inet(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(inet.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(inet.get(), 8), 0);
  socklen_t size = sizeof address;
  ASSERT_EQ(getsockname(inet.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  Pipe more = MakePipe();

  // Who comes before the container is there waits for it.
  auto early = base::ConnectUnix(Scratch("service"));
  ASSERT_TRUE(early.ok());
  const pid_t run = Start(RunArgs({"--preserve-fds", "1", "c1"}),
                          Give(std::move(local), std::move(inet), std::move(more.read)), 2);
  auto ask = [](UniqueFd socket, const std::string& text) {
    WriteAll(socket.get(), text);
    shutdown(socket.get(), SHUT_WR);
    return ReadAll(socket.get());
  };
  EXPECT_EQ(ask(std::move(*early), "early"), "early 0");
  for (int i = 1; i < 3; ++i) {
    auto next = base::ConnectUnix(Scratch("service"));
    ASSERT_TRUE(next.ok());
    EXPECT_EQ(ask(std::move(*next), "next"), "next " + std::to_string(i));
  }
  UniqueFd tcp(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(connect(tcp.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(ask(std::move(tcp), "by TCP"), "by TCP 0");
  WriteAll(more.write.get(), "the last\n");
  more.write.Reset();
  EXPECT_EQ(Finish(run), 0) << Err();
  EXPECT_EQ(Output(), "2 1\nserving\nserving\nthe last\n");
  // Nobody listens any more.
  EXPECT_FALSE(base::ConnectUnix(Scratch("service")).ok());
}

TEST_F(PreserveFdsTest, CreateAndExecHaveThemToo) {
  WriteConfig(Config(Sh("cat <&3; exec sleep 1000")));
  Pipe in = MakePipe();
  EXPECT_EQ(Finish(Start({"create", "--bundle", bundle_, "--preserve-fds", "1", "c1"},
                         Give(std::move(in.read)))),
            0)
      << Err();
  ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  WriteAll(in.write.get(), "to its first process\n");
  in.write.Reset();
  EXPECT_TRUE(Eventually([&] { return Output() == "to its first process\n"; })) << Output();

  Pipe exec_in = MakePipe();
  Pipe exec_out = MakePipe();
  const pid_t exec = Start({"exec", "--preserve-fds", "2", "c1", "sh", "-c",
                            "cat <&3 >&4; ls /proc/self/fd | tr '\\n' ' '"},
                           Give(std::move(exec_in.read), std::move(exec_out.write)));
  WriteAll(exec_in.write.get(), "to another\n");
  exec_in.write.Reset();
  EXPECT_EQ(ReadAll(exec_out.read.get()), "to another\n");
  EXPECT_EQ(Finish(exec), 0) << Err();
  EXPECT_EQ(Output(), "0 1 2 3 4 5 ");

  // As engines do it.
  ASSERT_TRUE(base::WriteFile(Scratch("process.json"),
                              R"({"args":["sh","-c","echo detached >&3"],"cwd":"/",)"
                              R"("env":["PATH=/bin:/usr/bin"]})")
                  .ok());
  Pipe detached = MakePipe();
  EXPECT_EQ(Finish(Start({"exec", "--detach", "--pid-file", Scratch("exec-pid"), "--process",
                          Scratch("process.json"), "--preserve-fds", "1", "c1"},
                         Give(std::move(detached.write)))),
            0)
      << Err();
  EXPECT_EQ(ReadAll(detached.read.get()), "detached\n");
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);
}

TEST_F(PreserveFdsTest, WhatCannotBeHadIsNamed) {
  WriteConfig(Config(R"(["true"])"));
  auto refused = [&](UniqueFd fd, const std::string& why) {
    Pipe fine = MakePipe();
    std::vector<UniqueFd> fds;
    fds.push_back(std::move(fine.write));
    if (fd) fds.push_back(std::move(fd));
    EXPECT_EQ(Finish(Start(RunArgs({"--preserve-fds", "2", "c1"}), std::move(fds))), 1);
    EXPECT_THAT(Err(), HasSubstr("--preserve-fds: descriptor 4: is " + why));
    EXPECT_TRUE(Leftovers().empty());
  };
  refused(UniqueFd(open("/etc/passwd", O_RDONLY | O_CLOEXEC)), "a regular file");
  refused(UniqueFd(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), "a directory");
  refused(UniqueFd(open("/dev/zero", O_RDONLY | O_CLOEXEC)), "a character device");
  refused(UniqueFd(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)), "a terminal");
  refused(UniqueFd(open("/etc/passwd", O_PATH | O_CLOEXEC)), "a path");
  refused(UniqueFd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)), "a socket of datagrams");
  refused(UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
          "a socket that neither listens nor is connected");
  refused(UniqueFd(eventfd(0, EFD_CLOEXEC)), "of no kind that has a name");
  refused(UniqueFd(), "not open");
  Finished many = Holt(RunArgs({"--preserve-fds", "17", "c1"}));
  EXPECT_THAT(ErrorOf(many), HasSubstr("17 descriptors: not supported"));
}

}  // namespace
}  // namespace holt
