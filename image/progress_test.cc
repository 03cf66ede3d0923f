#include "image/progress.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

namespace holt::image {
namespace {

// What `use` makes the progress write; not a terminal.
template <typename Use>
std::string Written(Use use) {
  char* text = nullptr;
  size_t size = 0;
  std::FILE* stream = open_memstream(&text, &size);
  use(stream);
  std::fclose(stream);
  std::string written(text, size);
  free(text);
  return written;
}

TEST(ProgressTest, OneLinePerEventElsewhereThanOnATerminal) {
  std::string written = Written([](std::FILE* stream) {
    auto progress = MakeProgress(stream);
    progress->Message("docker.io/library/debian:12: pulling");
    progress->Start("0123456789ab", 31'457'280);
    // Too soon after the last line to be worth one.
    for (uint64_t done = 0; done < 1000; ++done) progress->Advance("0123456789ab", done);
    progress->State("0123456789ab", "done", true);
    progress->Start("rootfs", 0);
  });
  EXPECT_EQ(written,
            "docker.io/library/debian:12: pulling\n0123456789ab: 31 MB\n0123456789ab: done\n"
            "rootfs: unpacking\n");
}

TEST(ProgressTest, NamesOfOthersCannotDriveTheTerminal) {
  std::string written = Written([](std::FILE* stream) {
    auto progress = MakeProgress(stream);
    progress->Message("evil\x1b[2J\nname");
    progress->State("layer\x1b]0;x\a", "done", true);
  });
  EXPECT_EQ(written.find('\x1b'), std::string::npos);
  EXPECT_EQ(std::count(written.begin(), written.end(), '\n'), 2);
}

}  // namespace
}  // namespace holt::image
