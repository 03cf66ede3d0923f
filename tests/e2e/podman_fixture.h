#pragma once

// Podman with holt as its runtime, as deploy/podman sets it up, with files of its own.

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/e2e/holt.h"

namespace holt {

class PodmanTest : public HoltTest {
 protected:
  void SetUp() override {
    HoltTest::SetUp();
    // Podman keeps its runtime's environment small, so what is the tests' goes by a script.
    std::string script = "#!/bin/sh\nHOLT_ACCEL=" + Accel() + " exec";
    for (const std::string& word : Command({})) script += " " + word;
    ASSERT_TRUE(base::WriteFile(Scratch("holt"), script + " \"$@\"\n", 0755).ok());
    ASSERT_EQ(chmod(Scratch("holt").c_str(), 0755), 0);
    // The snippet, with the path of this build's command.
    std::string snippet = base::ReadFile(HOLT_SOURCE_DIR "/deploy/podman/holt.conf").value_or("");
    size_t at = snippet.find("/usr/local/bin/holt");
    ASSERT_NE(at, std::string::npos);
    snippet.replace(at, std::string("/usr/local/bin/holt").size(), Scratch("holt"));
    ASSERT_TRUE(base::WriteFile(Scratch("containers.conf"), snippet).ok());
    ASSERT_TRUE(base::WriteFile(Scratch("policy.json"),
                                R"({"default":[{"type":"insecureAcceptAnything"}]})")
                    .ok());
    std::string images = Images();
    ASSERT_EQ(Podman({"import", images + "/demo.tar", "demo"}).status, 0);
  }
  void TearDown() override {
    (void)Podman({"rm", "--all", "--force", "--time", "0"});
    (void)Podman({"rmi", "--all", "--force"});
    HoltTest::TearDown();
  }
  static std::string Images() {
    const char* images = getenv("HOLT_TEST_IMAGES");
    return images == nullptr ? "" : images;
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
