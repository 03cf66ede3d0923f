// Bind mounts of every kind, and what is mounted in them later.
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/socket.h"
#include "tests/e2e/spec_fixture.h"

namespace holt {
namespace {

using ::testing::HasSubstr;

class VolumeMountsTest : public SpecTest {
 protected:
  void TearDown() override {
    (void)umount2(Scratch("vol").c_str(), MNT_DETACH);
    SpecTest::TearDown();
  }
  void Bind(const std::string& source, const std::string& destination,
            std::vector<std::string> options = {"bind"}) {
    Mount({{"destination", destination},
           {"type", "bind"},
           {"source", source},
           {"options", std::move(options)}});
  }
};

// As a device plugin or an automounter does it on the host.
TEST_F(VolumeMountsTest, WhatTheHostMountsLaterArrives) {
  const std::string vol = Scratch("vol");
  ASSERT_TRUE(base::MakeDirs(vol + "/below").ok());
  ASSERT_EQ(mount(vol.c_str(), vol.c_str(), nullptr, MS_BIND, nullptr), 0);
  ASSERT_EQ(mount(nullptr, vol.c_str(), nullptr, MS_SHARED, nullptr), 0);
  Bind(vol, "/vol", {"rbind", "rslave"});
  StartSleeper();
  EXPECT_EQ(Runtime({"exec", "c1", "ls", "/vol/below"}).out, "");
  ASSERT_EQ(mount("holt-test", (vol + "/below").c_str(), "tmpfs", 0, "size=1m"), 0);
  ASSERT_TRUE(base::WriteFile(vol + "/below/file", "mounted later\n").ok());
  // Names are believed for a second.
  Finished seen;
  EXPECT_TRUE(Eventually([&] {
    seen = Runtime({"exec", "c1", "cat", "/vol/below/file"});
    return seen.status == 0;
  })) << seen.err;
  EXPECT_EQ(seen.out, "mounted later\n");
  // And goes, as soon as the container does not use it any more.
  ASSERT_EQ(umount2((vol + "/below").c_str(), MNT_DETACH), 0);
}

TEST_F(VolumeMountsTest, FilesDirectoriesAndDeviceNodesOfTheHost) {
  ASSERT_TRUE(base::MakeDirs(Scratch("dir/deep")).ok());
  ASSERT_TRUE(base::WriteFile(Scratch("dir/deep/file"), "in a directory\n").ok());
  ASSERT_TRUE(base::WriteFile(Scratch("file"), "alone\n").ok());
  Bind(Scratch("dir"), "/a/directory", {"rbind"});
  Bind(Scratch("file"), "/a/file");
  Bind(Scratch("file"), "/a/read-only", {"bind", "ro"});
  Bind("/dev/null", "/a/null");
  Mount({{"destination", "/dev/shm"},
         {"type", "tmpfs"},
         {"source", "shm"},
         {"options", {"nosuid", "noexec", "nodev", "mode=1777", "size=3145728"}}});
  Finished run = RunScript(R"sh(
      cat /a/directory/deep/file /a/file /a/read-only
      echo changed > /a/file
      echo no > /a/read-only 2>/dev/null || echo read-only
      mount -o remount,rw,bind /a/read-only 2>/dev/null || true
      echo no > /a/read-only 2>/dev/null || echo still read-only
      stat -c '%F %t:%T' /a/null; echo gone > /a/null; cat /a/null
      head -c 3145728 /dev/zero > /dev/shm/full; stat -c %s /dev/shm/full
      head -c 1 /dev/zero >> /dev/shm/full 2>/dev/null || echo full)sh");
  EXPECT_EQ(run.out,
            "in a directory\nalone\nalone\nread-only\nstill read-only\n"
            "character special file 1:3\n3145728\nfull\n")
      << run.err;
  EXPECT_EQ(base::ReadFile(Scratch("file")).value_or(""), "changed\n");
}

// An engine's container gets the socket's node, and create says that nobody answers.
TEST_F(VolumeMountsTest, ASocketThatNobodyAskedForIsSilentAndSaidToBe) {
  auto socket = base::ListenUnix(Scratch("socket"));
  ASSERT_TRUE(socket.ok());
  Bind(Scratch("socket"), "/run/socket");
  Finished run = RunScript("test -S /run/socket && echo a socket");
  EXPECT_EQ(run.out, "a socket\n");
  EXPECT_THAT(run.err, HasSubstr("/run/socket: nobody answers at this socket in the container; "
                                 "annotation holt.sockets names those"));
}

}  // namespace
}  // namespace holt
