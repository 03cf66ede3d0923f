// runtime-spec, config-linux.md "User namespace mappings".
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "tests/e2e/spec_fixture.h"

namespace holt {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class SpecUsersTest : public SpecTest {
 protected:
  void SetUp() override {
    SpecTest::SetUp();
    json& spec = config_["linux"];
    spec["namespaces"].push_back({{"type", "user"}});
    spec["uidMappings"] = {{{"containerID", 0}, {"hostID", 200000}, {"size", 65536}}};
    spec["gidMappings"] = {{{"containerID", 0}, {"hostID", 300000}, {"size", 65536}}};
    config_["hostname"] = "mapped";
    config_["mounts"].push_back({{"destination", "/scratch"},
                                 {"type", "tmpfs"},
                                 {"source", "tmpfs"},
                                 {"options", {"uid=7", "gid=8"}}});
    // As an engine does it.
    auto chown = Program::Start({"/bin/chown", "-R", "200000:300000", bundle_ + "/rootfs"}, {});
    ASSERT_EQ(chown->Finish().status, 0);
  }
};

TEST_F(SpecUsersTest, IdsInsideAreNotThoseOutside) {
  config_["process"]["rlimits"] = {{{"type", "RLIMIT_NOFILE"}, {"hard", 500000}, {"soft", 1024}}};
  config_["process"]["cwd"] = "/made/for/it";
  config_["hooks"]["startContainer"] = {
      {{"path", "/bin/sh"}, {"args", {"sh", "-c", "id -u > /by-the-hook"}}}};
  Finished run = RunScript(R"sh(
      cat /by-the-hook
      id -u; id -g; cat /proc/self/uid_map | tr -s ' '
      stat -c '%n %u %g' /etc /dev /scratch /made/for/it /sys/fs/cgroup /dev/null
      touch /file; chown 5:6 /file; chmod 4755 /file
      ulimit -Hn
      mkdir /sys/fs/cgroup/own
      echo 1 > /proc/sys/kernel/msgmax 2>&1 || true
      mount -t tmpfs tmpfs /tmp; stat -f -c %T /tmp
      umount /proc 2>&1 || true)sh");
  EXPECT_EQ(run.status, 0) << run.err << run.out;
  EXPECT_THAT(run.out, HasSubstr("0\n0\n0\n 0 200000 65536\n"));
  for (const char* line : {"/etc 0 0\n", "/dev 0 0\n", "/scratch 7 8\n", "/made/for/it 0 0\n",
                           "/sys/fs/cgroup 0 0\n", "500000\n", "tmpfs\n"})
    EXPECT_THAT(run.out, HasSubstr(line));
  // Where devices are those of the host, they are the host's root's.
  if (!PeerDiffers("owners of devices")) EXPECT_THAT(run.out, HasSubstr("/dev/null 0 0\n"));
  struct stat st {};
  ASSERT_EQ(stat((bundle_ + "/rootfs/file").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 200005u);
  EXPECT_EQ(st.st_gid, 300006u);
  EXPECT_EQ(st.st_mode & 07777, 04755u);
}

TEST_F(SpecUsersTest, AnExecIsOfItsUsersToo) {
  config_["process"]["user"] = {{"uid", 1000}, {"gid", 1000}};
  StartSleeper();
  Finished exec = ExecProcess(ExecOf(R"sh(
      id -u; stat -L -c %u /proc/1 /proc/self; hostname other; hostname
      [ "$(readlink /proc/self/ns/user)" = "$(readlink /proc/1/ns/user)" ] && echo same)sh"));
  EXPECT_EQ(exec.status, 0) << exec.err;
  EXPECT_EQ(exec.out, "0\n1000\n0\nother\nsame\n");
  Finished unmapped = ExecProcess(ExecOf("true", {{"user", {{"uid", 70000}, {"gid", 0}}}}));
  EXPECT_NE(unmapped.status, 0);
  if (IsHolt()) EXPECT_THAT(unmapped.err, HasSubstr("process.user: 70000:0 is not among the ids"));
}

}  // namespace
}  // namespace holt
