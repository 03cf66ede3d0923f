#pragma once

// A container in a network namespace, and the other side of its interfaces in another.

#include <gmock/gmock.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/e2e/holt.h"

namespace holt {

class NetworkTest : public HoltTest {
 protected:
  void SetUp() override {
    HoltTest::SetUp();
    const std::string id = std::to_string(getpid()) + "-" + std::to_string(++count_);
    here_ = "holt-here-" + id;
    there_ = "holt-there-" + id;
    for (const std::string& name : {here_, there_}) Ip("netns add " + name);
    Ip("-n " + there_ + " link set lo up");
    Ip("-n " + here_ + " link set lo up");
    bundle_ = Scratch("bundle");
    ASSERT_TRUE(base::MakeDirs(bundle_ + "/rootfs").ok());
    Tool("/bin/tar -xf " + std::string(getenv("HOLT_TEST_IMAGES")) + "/demo.tar -C " + bundle_ +
         "/rootfs");
    Tool("/bin/cp " + Probe() + " " + bundle_ + "/rootfs/net_probe");
  }
  void TearDown() override {
    HoltTest::TearDown();
    for (const std::string& name : {here_, there_}) Ip("netns del " + name);
  }

  static std::string Probe() { return BuildDirectory() + "/tests/e2e/net_probe"; }
  // The command's output; fails the test when it fails.
  std::string Tool(const std::string& command) {
    Finished finished = Program::Start({"/bin/sh", "-c", command}, {})->Finish();
    EXPECT_EQ(finished.status, 0) << command << ": " << finished.err << finished.out;
    return finished.out;
  }
  std::string Ip(const std::string& arguments) { return Tool("/sbin/ip " + arguments); }
  std::string Here(const std::string& arguments) { return Ip("-n " + here_ + " " + arguments); }
  std::string There(const std::string& arguments) { return Ip("-n " + there_ + " " + arguments); }
  // Runs beside the container's other side.
  std::unique_ptr<Program> ProbeThere(const std::string& arguments) {
    return Program::Start(
        {"/bin/sh", "-c", "exec /sbin/ip netns exec " + there_ + " " + Probe() + " " + arguments},
        {});
  }

  // An interface of the container's, and its other side: 10.9.N.2 and fd09:N::2, there .1 and ::1.
  void AddInterface(const std::string& name, int number, int mtu = 1500) {
    const std::string n = std::to_string(number);
    const std::string other = "there" + n;
    There("link add " + other + " type veth peer name " + name + " netns " + here_);
    There("address add 10.9." + n + ".1/24 dev " + other);
    There("address add fd09:" + n + "::1/64 dev " + other + " nodad");
    There("link set " + other + " up mtu " + std::to_string(mtu));
    Here("address add 10.9." + n + ".2/24 dev " + name);
    Here("address add fd09:" + n + "::2/64 dev " + name + " nodad");
    Here("link set " + name + " up mtu " + std::to_string(mtu));
  }
  // The machine is an emulated one in an emulated one.
  static bool Slow() { return Accel() == "kvm"; }

  void WriteConfig(const std::string& command, bool path = true,
                   const std::string& annotations = "", const std::string& more_linux = "") {
    const std::string network =
        path ? R"({"type":"network","path":"/run/netns/)" + here_ + "\"}" : R"({"type":"network"})";
    const std::string capabilities = R"(["CAP_NET_RAW","CAP_NET_ADMIN"])";
    const std::string config =
        R"({"ociVersion":"1.0.2","annotations":{)" + annotations +
        R"(},"process":{"args":["sh","-c",")" + command +
        R"("],"cwd":"/","env":["PATH=/usr/bin:/bin"],"capabilities":{"bounding":)" + capabilities +
        R"(,"effective":)" + capabilities + R"(,"permitted":)" + capabilities +
        R"(}},"root":{"path":"rootfs"},"mounts":[)"
        R"({"destination":"/proc","type":"proc","source":"proc"},)"
        R"({"destination":"/sys","type":"sysfs","source":"sysfs","options":["ro"]},)"
        R"({"destination":"/dev","type":"tmpfs","source":"tmpfs"}],)"
        R"("linux":{"namespaces":[{"type":"pid"},{"type":"mount"},{"type":"ipc"},{"type":"uts"},)" +
        network + "]" + more_linux + "}}";
    ASSERT_TRUE(base::WriteFile(bundle_ + "/config.json", config).ok());
  }
  // What it says goes to files: its stdio is the container's until that ends.
  Finished Create(const std::string& id) {
    Finished finished =
        Program::Start(
            {"/bin/bash", "-c",
             "\"$@\" >" + Scratch("out-" + id) + " 2>" + Scratch("err-" + id) + " </dev/null", "-",
             BuildDirectory() + "/bin/holt", "--root", root_, "create", "--accel", Accel(),
             "--bundle", bundle_, "--pid-file", Scratch("pid-" + id), id},
            {})
            ->Finish();
    finished.err = base::ReadFile(Scratch("err-" + id)).value_or("");
    return finished;
  }
  std::string Pid(const std::string& id) {
    return base::ReadFile(Scratch("pid-" + id)).value_or("");
  }
  // A container that sleeps until the test is over.
  void StartSleeper(const std::string& id = "c") {
    WriteConfig("exec sleep 1000");
    Finished created = Create(id);
    ASSERT_EQ(created.status, 0) << created.err;
    Finished started = Holt({"start", id});
    ASSERT_EQ(started.status, 0) << started.err;
  }
  // In the container.
  std::unique_ptr<Program> ProbeInside(const std::string& arguments, const std::string& id = "c") {
    return Program::Start(Command({"exec", id, "sh", "-c", "exec /net_probe " + arguments}), {});
  }
  std::string Inside(const std::string& command, const std::string& id = "c") {
    Finished finished = Holt({"exec", id, "sh", "-c", command});
    EXPECT_EQ(finished.status, 0) << command << ": " << finished.err << finished.out;
    return finished.out;
  }
  static std::string LastLine(const std::string& text) {
    std::string line = text.substr(0, text.find_last_not_of('\n') + 1);
    return line.substr(line.find_last_of('\n') + 1);
  }
  // Whether a tap of ours is in the container's namespace; a killed process may take a moment.
  bool TapsVanish() {
    for (int i = 0; i < 200; ++i) {
      if (Here("-br link").find("holt") == std::string::npos) return true;
      usleep(25'000);
    }
    return false;
  }

  std::string here_;
  std::string there_;
  std::string bundle_;

 private:
  static inline int count_ = 0;
};

}  // namespace holt
