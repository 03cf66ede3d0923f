#pragma once

// The runtime specification, asked of a runtime from outside: what is in the bundle, and what the
// container then sees. $HOLT_TEST_RUNTIME names another runtime with runc's command line to ask
// instead (tests/e2e/spec.cmake).

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/e2e/bundle_fixture.h"

namespace holt {

class SpecTest : public BundleTest {
 protected:
  void SetUp() override {
    BundleTest::SetUp();
    config_ = nlohmann::json::parse(Config(R"(["true"])"));
    config_["process"]["env"] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
    AddCapabilities({"CAP_SYS_ADMIN", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID",
                     "CAP_MKNOD", "CAP_SYS_NICE", "CAP_SYS_PTRACE"});
  }
  void TearDown() override {
    if (IsHolt()) return BundleTest::TearDown();
    for (const std::string& id : ids_) (void)Runtime({"delete", "--force", id});
  }

  static std::string RuntimeName() {
    const char* name = getenv("HOLT_TEST_RUNTIME");
    return name != nullptr ? name : "holt";
  }
  // Its words are its own, and so is where it does things: what only holt says is asked of holt.
  static bool IsHolt() { return RuntimeName() == "holt"; }
  // For what a peer of Debian 12 does not have or does otherwise, as docs/runtime-spec.md lists it:
  // the look at it is left out there.
  static bool PeerDiffers(const std::string& what) {
    if (!IsHolt()) RecordProperty("differs", what);
    return !IsHolt();
  }

  std::vector<std::string> Words(const std::vector<std::string>& args) const {
    if (IsHolt()) return Command(args);
    std::vector<std::string> words = {"/usr/bin/" + RuntimeName(), "--root", Scratch("runtime")};
    words.insert(words.end(), args.begin(), args.end());
    return words;
  }
  Finished Runtime(const std::vector<std::string>& args) const {
    return Program::Start(Words(args), Environment())->Finish();
  }

  void AddCapabilities(const std::vector<std::string>& names) {
    for (const char* set : {"bounding", "effective", "permitted"})
      for (const std::string& name : names) config_["process"]["capabilities"][set].push_back(name);
  }
  void Mount(nlohmann::json mount) { config_["mounts"].push_back(std::move(mount)); }
  void AddNamespace(const std::string& type) {
    config_["linux"]["namespaces"].push_back({{"type", type}});
  }
  std::string Rootfs(const std::string& path) const { return bundle_ + "/rootfs" + path; }

  // Runs the configured process to its end.
  Finished RunConfigured(const std::string& id = "c1") {
    WriteConfig(config_.dump());
    ids_.push_back(id);
    return Runtime({"run", "--bundle", bundle_, id});
  }
  // The same with a script for a shell that stops at the first error.
  Finished RunScript(const std::string& script, const std::string& id = "c1") {
    config_["process"]["args"] = {"sh", "-ec", script};
    return RunConfigured(id);
  }
  // A container that sleeps, for what is exec'd into it.
  void StartSleeper(const std::string& id = "c1") {
    config_["process"]["args"] = {"sleep", "1000"};
    WriteConfig(config_.dump());
    ids_.push_back(id);
    // Its stdio is the container's until that ends.
    std::vector<std::string> shell = {"/bin/bash", "-c",
                                      "\"$@\" >/dev/null 2>" + Scratch("err") + " </dev/null", "-"};
    for (const std::string& word : Words({"run", "--detach", "--bundle", bundle_, id}))
      shell.push_back(word);
    Finished run = Program::Start(shell, Environment())->Finish();
    run.err = base::ReadFile(Scratch("err")).value_or("");
    ASSERT_EQ(run.status, 0) << run.err;
  }
  Finished ExecProcess(const nlohmann::json& process, const std::string& id = "c1") {
    EXPECT_TRUE(base::WriteFile(Scratch("process.json"), process.dump()).ok());
    return Runtime({"exec", "--process", Scratch("process.json"), id});
  }
  // A process of the container with nothing of its own, changed by `more`.
  nlohmann::json ExecOf(const std::string& script, const nlohmann::json& more = {}) {
    nlohmann::json process = {{"args", {"sh", "-ec", script}},
                              {"cwd", "/"},
                              {"env", {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}},
                              {"capabilities", config_["process"]["capabilities"]}};
    if (more.is_object()) process.update(more);
    return process;
  }

  nlohmann::json config_;
  std::vector<std::string> ids_;
};

}  // namespace holt
