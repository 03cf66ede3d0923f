#pragma once

// An OCI bundle of the demo image and the verbs that engines call on it.

#include <unistd.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "tests/e2e/holt.h"

namespace holt {

class BundleTest : public HoltTest {
 protected:
  void SetUp() override {
    HoltTest::SetUp();
    bundle_ = Scratch("bundle");
    ASSERT_TRUE(base::MakeDirs(bundle_ + "/rootfs").ok());
    std::string images = getenv("HOLT_TEST_IMAGES");
    auto tar =
        Program::Start({"/bin/tar", "-xf", images + "/demo.tar", "-C", bundle_ + "/rootfs"}, {});
    ASSERT_EQ(tar->Finish().status, 0);
  }

  // A config.json: `args` is its JSON array, `linux_more` further properties of linux (", …"),
  // `more` of the whole.
  static std::string Config(const std::string& args, const std::string& linux_more = "",
                            const std::string& more = "") {
    return R"({"ociVersion":"1.0.2","process":{"args":)" + args +
           R"(,"cwd":"/","env":["PATH=/usr/bin:/bin"]},"root":{"path":"rootfs"},"mounts":[)"
           R"({"destination":"/proc","type":"proc","source":"proc"},)"
           R"({"destination":"/dev","type":"tmpfs","source":"tmpfs"},)"
           R"({"destination":"/sys","type":"sysfs","source":"sysfs"},)"
           R"({"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup"}],)"
           R"("linux":{"namespaces":[{"type":"pid"},{"type":"network"},{"type":"mount"},)"
           R"({"type":"ipc"},{"type":"uts"},{"type":"cgroup"}])" +
           linux_more + "}" + more + "}";
  }
  void WriteConfig(const std::string& text) {
    ASSERT_TRUE(base::WriteFile(bundle_ + "/config.json", text).ok());
  }
  RunOptions Environment() const { return {.environment = {"HOLT_ACCEL=" + Accel()}}; }
  // `holt GLOBAL create ID`. Its stdio is the container's until that ends, so what it says goes to
  // files.
  Finished Create(const std::string& id, const std::vector<std::string>& global = {}) {
    std::vector<std::string> args = {"--log", Scratch("log"), "--log-format", "json"};
    args.insert(args.end(), global.begin(), global.end());
    for (const std::string& arg : {std::string("create"), std::string("--bundle"), bundle_,
                                   std::string("--pid-file"), Scratch("pid"), id})
      args.push_back(arg);
    std::vector<std::string> shell = {
        "/bin/bash", "-c", "\"$@\" >" + Scratch("out") + " 2>" + Scratch("err") + " </dev/null",
        "-"};
    for (std::string& arg : Command(args)) shell.push_back(std::move(arg));
    unlink(Scratch("log").c_str());
    Finished finished = Program::Start(shell, Environment())->Finish();
    finished.err = base::ReadFile(Scratch("err")).value_or("");
    return finished;
  }
  std::string Log() { return base::ReadFile(Scratch("log")).value_or(""); }
  // What the container wrote.
  std::string Output() { return base::ReadFile(Scratch("out")).value_or(""); }
  std::string Pid() { return base::ReadFile(Scratch("pid")).value_or(""); }
  bool BecomesStopped(const std::string& id) {
    for (int i = 0; i < 400; ++i) {
      if (Holt({"state", id}).out.find("\"stopped\"") != std::string::npos) return true;
      usleep(25'000);
    }
    return false;
  }

  std::string bundle_;
};

}  // namespace holt
