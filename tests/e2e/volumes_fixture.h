#pragma once

// Containers with volumes, and a program in them that says what it sees of these.

#include <gmock/gmock.h>

#include <filesystem>

#include "base/file.h"
#include "tests/e2e/holt.h"

namespace holt {

class VolumesTest : public HoltTest {
 protected:
  void SetUp() override {
    HoltTest::SetUp();
    std::filesystem::remove_all(Scratch("vol"));
    ASSERT_TRUE(base::MakeDirs(Scratch("vol")).ok());
  }
  static std::string Probe() { return BuildDirectory() + "/tests/e2e/volume_probe"; }
  std::string Vol(const std::string& name) const { return Scratch("vol/" + name); }
  void Write(const std::string& name, const std::string& text) const {
    ASSERT_TRUE(base::WriteFile(Vol(name), text).ok());
  }
  // holt run with the probe at /probe; `args` begins with flags.
  std::vector<std::string> ProbeCommand(std::vector<std::string> args) const {
    args.insert(args.begin(), {"--rm", "-v", Probe() + ":/probe:ro"});
    return RunCommand(args);
  }
};

}  // namespace holt
