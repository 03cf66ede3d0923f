#include "shim/run/qemu_version.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"

namespace holt::shim {
namespace {

TEST(QemuVersionTest, WhatQemuSays) {
  auto parsed = ParseQemuVersion("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\n");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(*parsed, (QemuVersion{7, 2}));
  EXPECT_LT(*parsed, kParallelQemu);
  EXPECT_LT((QemuVersion{8, 0}), kParallelQemu);
  EXPECT_GE(*ParseQemuVersion("QEMU emulator version 8.1.0\nCopyright"), kParallelQemu);
  EXPECT_GE(*ParseQemuVersion("QEMU emulator version 11.0"), kParallelQemu);
  for (const char* text : {"", "QEMU emulator version ", "QEMU emulator version 8",
                           "QEMU emulator version x.1", "QEMU emulator version 8.", "8.1.0"})
    EXPECT_FALSE(ParseQemuVersion(text).ok()) << text;
}

TEST(QemuVersionTest, OfAProgram) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("qemu-" + std::to_string(getpid()))).string();
  auto says = [&](const std::string& script) {
    EXPECT_TRUE(base::WriteFile(path, "#!/bin/sh\n" + script + "\n", 0755).ok());
    auto version = QemuVersionOf(path, getuid());
    return version ? fmt::format("{}.{}", version->major, version->minor)
                   : version.error().message();
  };
  EXPECT_EQ(says("[ $1 = --version ] && echo QEMU emulator version 9.0.2"), "9.0");
  EXPECT_EQ(says("exit 3"), path + " --version: exited with status 3 ");
  EXPECT_EQ(says("echo hello"), path + ": its version is not to be understood");
  unlink(path.c_str());
  EXPECT_FALSE(QemuVersionOf(path, getuid()).ok());
}

}  // namespace
}  // namespace holt::shim
