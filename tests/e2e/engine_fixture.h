#pragma once

// What tests of container engines share: holt as an engine calls it, and its snippets in deploy/.

#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "tests/e2e/holt.h"

namespace holt {

class EngineTest : public HoltTest {
 protected:
  static std::string Images() {
    const char* images = getenv("HOLT_TEST_IMAGES");
    return images == nullptr ? "" : images;
  }
  // `directory`/holt: engines keep their runtime's environment small, so what is the tests' goes by
  // a script.
  static std::string InstallHolt(const std::string& directory,
                                 const std::vector<std::string>& command) {
    std::string script = "#!/bin/sh\nHOLT_ACCEL=" + Accel() + " exec";
    for (const std::string& word : command) script += " " + word;
    const std::string path = directory + "/holt";
    EXPECT_TRUE(base::WriteFile(path, script + " \"$@\"\n", 0755).ok());
    EXPECT_EQ(chmod(path.c_str(), 0755), 0);
    return path;
  }
  // deploy/`name`, with `holt` where the command is said to be.
  static std::string Snippet(const std::string& name, const std::string& holt) {
    std::string snippet = base::ReadFile(HOLT_SOURCE_DIR "/deploy/" + name).value_or("");
    const std::string installed = "/usr/local/bin/holt";
    const size_t at = snippet.find(installed);
    EXPECT_NE(at, std::string::npos) << name;
    if (at != std::string::npos) snippet.replace(at, installed.size(), holt);
    return snippet;
  }
};

}  // namespace holt
