#include "vmm/devices/console_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace holt::vmm {
namespace {

TEST(ConsoleLogTest, FindsThePanicLineWhereverTheBytesBreak) {
  ConsoleLog log{base::UniqueFd()};
  const std::string text =
      "boot\r\n[    1.234567] Kernel panic - not syncing: VFS: no root\r\nmore\n";
  for (char c : text) log.Append(std::string_view(&c, 1));
  EXPECT_EQ(log.panic_line(), "Kernel panic - not syncing: VFS: no root");
}

TEST(ConsoleLogTest, WhatAProgramPrintsInALineIsNotTheKernelsWord) {
  ConsoleLog log{base::UniqueFd()};
  log.Append("app says: Kernel panic - not syncing: forged\n");
  log.Append("app says: reboot: Power down\n");
  EXPECT_EQ(log.panic_line(), "");
  EXPECT_FALSE(log.power_off_announced());
}

TEST(ConsoleLogTest, TellsPowerOffFromRestart) {
  ConsoleLog off{base::UniqueFd()};
  off.Append("[    2.000000] reboot: Power down\n");
  EXPECT_TRUE(off.power_off_announced());
  EXPECT_FALSE(off.restart_announced());
  ConsoleLog restart{base::UniqueFd()};
  restart.Append("[    2.000000] reboot: Restarting system\n");
  EXPECT_TRUE(restart.restart_announced());
  EXPECT_FALSE(restart.power_off_announced());
}

TEST(ConsoleLogTest, AReaderThatDoesNotReadStopsNothingAndTheLossIsSaid) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  base::UniqueFd reader(fds[0]);
  ConsoleLog log{base::UniqueFd(fds[1])};
  const std::string chunk(4096, 'x');
  for (int i = 0; i < 64; ++i) log.Append(chunk);  // four times what a pipe holds
  EXPECT_GT(log.dropped_bytes(), 0u);
  std::string out(1 << 20, 0);
  ASSERT_GT(read(reader.get(), out.data(), out.size()), 0);
  log.Append("after\n");
  ssize_t n = read(reader.get(), out.data(), out.size());
  ASSERT_GT(n, 0);
  EXPECT_NE(out.substr(0, static_cast<size_t>(n)).find("bytes of console output were dropped"),
            std::string::npos);
}

TEST(ConsoleLogTest, MemoryIsBoundedWithoutNewlines) {
  ConsoleLog log{base::UniqueFd()};
  for (int i = 0; i < 1000; ++i) log.Append(std::string(1000, 'y'));
  EXPECT_LE(log.Tail().size(), ConsoleLog::kMaxTailBytes);
}

TEST(ConsoleLogTest, LinesAreLookedAtInBoundedPieces) {
  ConsoleLog log{base::UniqueFd()};
  log.Append("Kernel panic - not syncing: " + std::string(1 << 20, 'z'));
  log.Append("\n");
  EXPECT_EQ(log.panic_line().size(), ConsoleLog::kMaxLineBytes);
}

TEST(ConsoleLogTest, AFileStartsOverAtItsBound) {
  base::UniqueFd file(memfd_create("console", MFD_CLOEXEC));
  ASSERT_TRUE(file);
  base::UniqueFd copy(dup(file.get()));
  ConsoleLog log(std::move(copy));
  const std::string chunk(4096, 'x');
  struct stat st {};
  for (int i = 0; i < 1000; ++i) {
    log.Append(chunk);
    ASSERT_EQ(fstat(file.get(), &st), 0);
    ASSERT_LE(static_cast<uint64_t>(st.st_size), ConsoleLog::kMaxFileBytes);
  }
  log.Append("the end\n");
  ASSERT_EQ(fstat(file.get(), &st), 0);
  std::string last(8, 0);
  ASSERT_EQ(pread(file.get(), last.data(), last.size(), st.st_size - 8), 8);
  EXPECT_EQ(last, "the end\n");
  EXPECT_EQ(log.dropped_bytes(), 0u);
}

}  // namespace
}  // namespace holt::vmm
