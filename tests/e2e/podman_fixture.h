#pragma once

// Podman with holt as its runtime, as deploy/podman sets it up, with files of its own.

#include "tests/e2e/engine_fixture.h"

namespace holt {

class PodmanTest : public EngineTest {
 protected:
  void SetUp() override {
    HoltTest::SetUp();
    const std::string snippet = Snippet("podman/holt.conf", InstallHolt(scratch_, Command({})));
    ASSERT_TRUE(base::WriteFile(Scratch("containers.conf"), snippet).ok());
    ASSERT_TRUE(base::WriteFile(Scratch("policy.json"),
                                R"({"default":[{"type":"insecureAcceptAnything"}]})")
                    .ok());
    ASSERT_EQ(Podman({"import", Images() + "/demo.tar", "demo"}).status, 0);
  }
  void TearDown() override {
    (void)Podman({"rm", "--all", "--force", "--time", "0"});
    (void)Podman({"rmi", "--all", "--force"});
    HoltTest::TearDown();
  }
  std::vector<std::string> Words(const std::vector<std::string>& args) const {
    std::vector<std::string> words = {"/usr/bin/podman",
                                      "--root=" + Scratch("podman/root"),
                                      "--runroot=" + Scratch("podman/run"),
                                      "--tmpdir=" + Scratch("podman/tmp"),
                                      "--storage-driver=overlay",
                                      "--cgroup-manager=cgroupfs",
                                      "--events-backend=file",
                                      "--network-config-dir=" + Scratch("podman/net"),
                                      "--runtime=holt"};
    words.insert(words.begin(), before_.begin(), before_.end());
    words.insert(words.end(), args.begin(), args.end());
    return words;
  }
  std::vector<std::string> Environment() const {
    return {"CONTAINERS_CONF=" + Scratch("containers.conf")};
  }
  Finished Podman(const std::vector<std::string>& args, const std::string& input = "") const {
    return Program::Start(Words(args), {.input = input, .environment = Environment()})->Finish();
  }
  Finished Run(std::vector<std::string> args, const std::string& input = "") const {
    args.insert(args.begin(), {"run", "--network=none"});
    return Podman(args, input);
  }

  // In front of every call of Podman.
  std::vector<std::string> before_;
};

}  // namespace holt
