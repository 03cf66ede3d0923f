// An image is what many containers start from: none of them changes it.

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <map>

#include "base/file.h"
#include "tests/e2e/holt.h"

namespace holt {
namespace {

class ImageSecurityTest : public HoltTest {
 protected:
  // Layers, blobs and records of the store, with all that a change would show in.
  static std::map<std::string, std::string> Snapshot() {
    std::map<std::string, std::string> seen;
    for (const char* part : {"layers", "blobs", "images"})
      for (const auto& entry :
           std::filesystem::recursive_directory_iterator(*store_ + "/" + part)) {
        struct stat st {};
        EXPECT_EQ(lstat(entry.path().c_str(), &st), 0);
        seen[entry.path()] = fmt::format("{:o} {}:{} {} links {} inode {} changed {}.{}",
                                         st.st_mode, st.st_uid, st.st_gid, st.st_size, st.st_nlink,
                                         st.st_ino, st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
      }
    return seen;
  }
};

TEST_F(ImageSecurityTest, AGuestDoesNotChangeTheImageThatOthersUse) {
  // Files that come from the host with each container are left out, and so are times: those of the
  // directories that they are made in differ from run to run. Snapshot() has the image's own.
  const std::string look =
      "ls -ln --time-style=+ / | grep -v -e proc -e sys -e dev; find /etc /usr/bin -type f "
      "! -name 'host*' -exec ls -ln --time-style=+ {} +; cat /etc/passwd; md5sum /usr/bin/bash "
      "/usr/bin/ls";
  const auto before = Snapshot();
  ASSERT_GT(before.size(), 50u);
  Finished first = Run({"--rm", "demo", "sh", "-c", look});
  Finished vandal =
      Run({"--rm", "--cap-add", "ALL", "--security-opt", "seccomp=unconfined", "demo", "sh", "-c",
           "echo owned >/etc/passwd; echo new >/new; mv /usr/sbin /was; rm -rf /usr/share; "
           "chmod 777 /; ln -sf /proc/self/root /usr/lib/root; cat /etc/passwd; exec 2>/dev/null; "
           // The loader is among them: this is the last that it does.
           "for f in /usr/bin/*; do echo owned >$f; done"});
  EXPECT_EQ(vandal.out, "owned\n") << vandal.err;
  EXPECT_EQ(Snapshot(), before);
  Finished second = Run({"--rm", "demo", "sh", "-c", look});
  EXPECT_EQ(second.out, first.out) << second.err;
}

}  // namespace
}  // namespace holt
