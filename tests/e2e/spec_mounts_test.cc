// runtime-spec, config.md "Mounts" and config-linux.md: what options of mounts do.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/spec_fixture.h"

namespace holt {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class SpecMountsTest : public SpecTest {};

TEST_F(SpecMountsTest, ATmpfsTakesAfterWhatItCovers) {
  if (PeerDiffers("the mode of a tmpfs is 1777")) return;
  ASSERT_TRUE(base::MakeDirs(Rootfs("/data/deep/er")).ok());
  ASSERT_TRUE(base::WriteFile(Rootfs("/data/deep/file"), "from the image").ok());
  ASSERT_EQ(chmod(Rootfs("/data/deep/file").c_str(), 04751), 0);
  ASSERT_EQ(chown(Rootfs("/data/deep").c_str(), 12, 34), 0);
  ASSERT_EQ(symlink("/etc/passwd", Rootfs("/data/link").c_str()), 0);
  ASSERT_EQ(mkfifo(Rootfs("/data/fifo").c_str(), 0640), 0);
  ASSERT_EQ(chmod(Rootfs("/data").c_str(), 0710), 0);
  ASSERT_TRUE(base::MakeDirs(Rootfs("/plain")).ok());
  ASSERT_EQ(chmod(Rootfs("/plain").c_str(), 0701), 0);
  Mount({{"destination", "/data"},
         {"type", "tmpfs"},
         {"source", "tmpfs"},
         {"options", {"tmpcopyup", "nosuid", "ro"}}});
  Mount({{"destination", "/plain"}, {"type", "tmpfs"}, {"source", "tmpfs"}});
  Mount({{"destination", "/given"},
         {"type", "tmpfs"},
         {"source", "tmpfs"},
         {"options", {"mode=0700", "size=1m"}}});
  Finished run = RunScript(R"sh(
      cat /data/deep/file; echo
      stat -c '%n %a %u %g %F' /data /data/deep /data/deep/file /data/fifo /data/link /plain /given
      readlink /data/link
      touch /data/new 2>&1 || true
      stat -f -c %T /data)sh");
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(run.out,
            "from the image\n"
            "/data 710 0 0 directory\n"
            "/data/deep 755 12 34 directory\n"
            "/data/deep/file 4751 0 0 regular file\n"
            "/data/fifo 640 0 0 fifo\n"
            "/data/link 777 0 0 symbolic link\n"
            "/plain 701 0 0 directory\n"
            "/given 700 0 0 directory\n"
            "/etc/passwd\n"
            "touch: cannot touch '/data/new': Read-only file system\n"
            "tmpfs\n");
  EXPECT_EQ(*base::ReadFile(Rootfs("/data/deep/file")), "from the image");
}

TEST_F(SpecMountsTest, RemountChangesWhatIsThere) {
  ASSERT_TRUE(base::MakeDirs(Scratch("volume")).ok());
  Mount({{"destination", "/volume"},
         {"type", "bind"},
         {"source", Scratch("volume")},
         {"options", {"bind"}}});
  Mount({{"destination", "/volume"},
         {"source", Scratch("volume")},
         {"options", {"remount", "bind", "ro", "noexec"}}});
  Mount({{"destination", "/small"}, {"type", "tmpfs"}, {"source", "tmpfs"}});
  Mount({{"destination", "/small"},
         {"type", "tmpfs"},
         {"source", "tmpfs"},
         {"options", {"remount", "size=64k"}}});
  Finished run = RunScript(R"sh(
      grep -E ' /(volume|small) ' /proc/self/mounts | cut -d' ' -f2,4)sh");
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("/volume ro,noexec"));
  EXPECT_THAT(run.out, HasSubstr("size=64k"));

  config_["mounts"] = json::array({{{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}},
                                   {{"destination", "/etc"}, {"options", {"remount", "ro"}}}});
  Finished refused = RunScript("true", "c2");
  EXPECT_NE(refused.status, 0);
  if (IsHolt()) EXPECT_THAT(refused.err, HasSubstr("mounts[1]: remount /etc: "));
}

TEST_F(SpecMountsTest, IdsAreMapped) {
  ASSERT_TRUE(base::MakeDirs(Scratch("volume")).ok());
  ASSERT_TRUE(base::WriteFile(Scratch("volume/file"), "x").ok());
  ASSERT_EQ(chmod(Scratch("volume").c_str(), 0777), 0);
  ASSERT_EQ(chown(Scratch("volume/file").c_str(), 1000, 2000), 0);
  json uids = {{{"containerID", 1000}, {"hostID", 5000}, {"size", 1}},
               {{"containerID", 0}, {"hostID", 0}, {"size", 1}}};
  json gids = {{{"containerID", 2000}, {"hostID", 6000}, {"size", 1}},
               {{"containerID", 0}, {"hostID", 0}, {"size", 1}}};
  Mount({{"destination", "/volume"},
         {"type", "bind"},
         {"source", Scratch("volume")},
         {"options", {"bind", "idmap"}},
         {"uidMappings", uids},
         {"gidMappings", gids}});
  Finished run = RunScript(R"sh(
      stat -c '%u %g' /volume/file
      touch /volume/new
      chown 5000:6000 /volume/new
      stat -c '%u %g' /volume/new)sh");
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(run.out, "5000 6000\n5000 6000\n");
  struct stat st {};
  ASSERT_EQ(stat(Scratch("volume/new").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 1000u);
  EXPECT_EQ(st.st_gid, 2000u);

  config_["mounts"].back().erase("uidMappings");
  config_["mounts"].back().erase("gidMappings");
  Finished refused = RunScript("true", "c2");
  EXPECT_NE(refused.status, 0);
  if (IsHolt()) EXPECT_THAT(refused.err, HasSubstr("idmap needs uidMappings and gidMappings"));
}

TEST_F(SpecMountsTest, PathsAreMaskedAndReadOnly) {
  config_["root"]["readonly"] = true;
  config_["linux"]["maskedPaths"] = {"/proc/keys", "/sys/firmware", "/no/such/path"};
  config_["linux"]["readonlyPaths"] = {"/proc/sys", "/no/such/path"};
  Mount({{"destination", "/tmp"}, {"type", "tmpfs"}, {"source", "tmpfs"}});
  Finished run = RunScript(R"sh(
      wc -c < /proc/keys; ls /sys/firmware | wc -l
      (echo 1 > /proc/sys/kernel/msgmax) 2>/dev/null || echo read-only
      touch /new 2>/dev/null || echo read-only
      touch /tmp/new && echo written)sh");
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(run.out, "0\n0\nread-only\nread-only\nwritten\n");
}

TEST_F(SpecMountsTest, VolumesAndTheirOptions) {
  ASSERT_TRUE(base::MakeDirs(Scratch("volume/below")).ok());
  ASSERT_TRUE(base::WriteFile(Scratch("volume/file"), "here\n").ok());
  Mount({{"destination", "/rw"},
         {"type", "bind"},
         {"source", Scratch("volume")},
         {"options", {"rbind"}}});
  Mount({{"destination", "/ro"},
         {"type", "bind"},
         {"source", Scratch("volume")},
         {"options", {"rbind", "ro", "noexec", "nosuid"}}});
  Mount({{"destination", "/made/one"},
         {"type", "bind"},
         {"source", Scratch("volume/file")},
         {"options", {"bind"}}});
  Mount({{"destination", "/rw/below"},
         {"type", "tmpfs"},
         {"source", "tmpfs"},
         {"options", {"size=1m", "mode=1777"}}});
  Finished run = RunScript(R"sh(
      cat /rw/file /made/one
      echo new > /rw/new
      touch /ro/no 2>/dev/null || echo read-only
      cp /bin/true /rw/true; /rw/true && echo runs; /ro/true 2>/dev/null || echo does not
      stat -f -c %T /rw/below; stat -c %a /rw/below
      grep -E ' /ro ' /proc/self/mounts | grep -o 'ro,nosuid[a-z,]*noexec')sh");
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("here\nhere\nread-only\nruns\ndoes not\ntmpfs\n1777\nro,nosuid"));
  EXPECT_EQ(base::ReadFile(Scratch("volume/new")).value_or(""), "new\n");
}

}  // namespace
}  // namespace holt
