#pragma once

// OCI bundles of the demo image, and holt as engines call it on them.

#include <gmock/gmock.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/e2e/eventually.h"
#include "tests/e2e/holt.h"

namespace holt {

class BundleTest : public HoltTest {
 protected:
  void SetUp() override {
    HoltTest::SetUp();
    bundle_ = Scratch("bundle");
    ASSERT_TRUE(base::MakeDirs(bundle_ + "/rootfs").ok());
    const char* images = getenv("HOLT_TEST_IMAGES");
    ASSERT_NE(images, nullptr);
    auto tar = Program::Start(
        {"/bin/tar", "-xf", std::string(images) + "/demo.tar", "-C", bundle_ + "/rootfs"}, {});
    ASSERT_EQ(tar->Finish().status, 0);
  }

  // A config.json; `args` is a JSON list, `more_process` begins with a comma, `more_linux` and
  // `more` too.
  static std::string Config(const std::string& args, const std::string& more_process = "",
                            const std::string& more = "", const std::string& more_linux = "") {
    return R"({"ociVersion":"1.0.2","process":{"args":)" + args +
           R"(,"cwd":"/","env":["PATH=/usr/bin:/bin"])" + more_process +
           R"(},"root":{"path":"rootfs"},"mounts":[{"destination":"/proc","type":"proc","source":"proc"},)"
           R"({"destination":"/dev","type":"tmpfs","source":"tmpfs"},)"
           R"({"destination":"/dev/pts","type":"devpts","source":"devpts"},)"
           R"({"destination":"/sys","type":"sysfs","source":"sysfs"},)"
           R"({"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup"}],)"
           R"("linux":{"namespaces":[{"type":"pid"},{"type":"network"},{"type":"mount"},{"type":"ipc"},)"
           R"({"type":"uts"},{"type":"cgroup"}])" +
           more_linux + "}" + more + "}";
  }
  void WriteConfig(const std::string& text) {
    ASSERT_TRUE(base::WriteFile(bundle_ + "/config.json", text).ok());
  }
  static RunOptions Environment() { return {.environment = {"HOLT_ACCEL=" + Accel()}}; }

  // Its stdio is the container's until that ends, so what it says goes to files.
  Finished Create(const std::string& id, const std::vector<std::string>& more = {},
                  const std::vector<std::string>& global = {}) {
    std::vector<std::string> args = {"--log", Scratch("log"), "--log-format", "json"};
    args.insert(args.end(), global.begin(), global.end());
    for (const std::string& word : {std::string("create"), std::string("--bundle"), bundle_,
                                    std::string("--pid-file"), Scratch("pid")})
      args.push_back(word);
    args.insert(args.end(), more.begin(), more.end());
    args.push_back(id);
    unlink(Scratch("log").c_str());
    return ToFiles(args);
  }
  Finished ToFiles(const std::vector<std::string>& args) {
    std::vector<std::string> shell = {
        "/bin/bash", "-c", "\"$@\" >" + Scratch("out") + " 2>" + Scratch("err") + " </dev/null",
        "-"};
    std::vector<std::string> command = Command(args);
    shell.insert(shell.end(), command.begin(), command.end());
    Finished finished = Program::Start(shell, Environment())->Finish();
    finished.err = base::ReadFile(Scratch("err")).value_or("");
    return finished;
  }
  // Creates and starts.
  void Launch(const std::string& id, const std::string& config) {
    WriteConfig(config);
    Finished created = Create(id);
    ASSERT_EQ(created.status, 0) << created.err;
    Finished started = Holt({"start", id});
    ASSERT_EQ(started.status, 0) << started.err;
  }

  std::string Log() { return base::ReadFile(Scratch("log")).value_or(""); }
  std::string Output() { return base::ReadFile(Scratch("out")).value_or(""); }
  std::string PidFile(const std::string& name = "pid") {
    return base::ReadFile(Scratch(name)).value_or("");
  }
  std::string StatusOf(const std::string& id) {
    std::string state = Holt({"state", id}).out;
    const std::string key = "\"status\": \"";
    size_t at = state.find(key);
    if (at == std::string::npos) return "";
    at += key.size();
    return state.substr(at, state.find('"', at) - at);
  }

  bool BecomesStopped(const std::string& id) {
    return Eventually([&] { return StatusOf(id) == "stopped"; });
  }

  std::string bundle_;
};

}  // namespace holt
