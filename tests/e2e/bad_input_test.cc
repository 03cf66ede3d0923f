// What people get wrong, and what hosts lack: each has a message that names the thing, the cause
// and the mend.

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/e2e/holt.h"

namespace holt {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class BadInputTest : public HoltTest {
 protected:
  // Runs, expects the status, and returns the message. Nothing may be left.
  std::string Refused(const std::vector<std::string>& args, int status = 125,
                      const RunOptions& options = {}) {
    Finished finished = Run(args, options);
    EXPECT_EQ(finished.status, status) << finished.err;
    EXPECT_EQ(finished.out, "");
    EXPECT_TRUE(Leftovers().empty()) << Leftovers()[0];
    return ErrorOf(finished);
  }
  // A share directory with this for a kernel and the real initramfs.
  std::string ShareWithKernel(const std::string& content) {
    std::string share = Scratch("share");
    EXPECT_TRUE(base::MakeDirs(share).ok());
    EXPECT_TRUE(base::WriteFile(share + "/vmlinux", content).ok());
    EXPECT_EQ(symlink((BuildDirectory() + "/share/holt/initramfs.cpio").c_str(),
                      (share + "/initramfs.cpio").c_str()),
              0);
    return share;
  }
};

TEST_F(BadInputTest, Images) {
  EXPECT_THAT(Refused({"--pull", "never", "nosuch", "true"}), HasSubstr("nosuch"));
  EXPECT_THAT(Refused({"Upper/Case", "true"}), HasSubstr("Upper/Case"));
  EXPECT_THAT(Refused({"-x", "demo"}), HasSubstr("unknown flag: -x"));
  EXPECT_THAT(Refused({}), HasSubstr("missing argument: IMAGE"));
  EXPECT_THAT(Refused({"--entrypoint", "", "demo"}), HasSubstr("no command"));
}

TEST_F(BadInputTest, Values) {
  EXPECT_THAT(Refused({"--memory", "8m", "demo", "true"}),
              HasSubstr("8 MiB: too little, a container needs at least 16 MiB"));
  EXPECT_THAT(Refused({"--memory", "lots", "demo", "true"}),
              HasSubstr("--memory: \"lots\": not a size"));
  EXPECT_THAT(Refused({"--memory", "900000g", "demo", "true"}), HasSubstr("this host has"));
  EXPECT_THAT(Refused({"--cpus", "0", "demo", "true"}), HasSubstr("--cpus: \"0\""));
  EXPECT_THAT(Refused({"--network", "host", "demo", "true"}),
              HasSubstr("--network: \"host\": not supported"));
  EXPECT_THAT(Refused({"--name", "a/b", "demo", "true"}), HasSubstr("--name \"a/b\""));
  EXPECT_THAT(Refused({"-v", "/nosuch-on-this-host/x", "demo", "true"}),
              HasSubstr("anonymous volumes"));
  EXPECT_THAT(
      Refused({"--mount", "type=bind,source=/nosuch-on-this-host,target=/x", "demo", "true"}),
      HasSubstr("/nosuch-on-this-host: No such file"));
  EXPECT_THAT(Refused({"-w", "relative", "demo", "true"}), HasSubstr("must be an absolute path"));
  EXPECT_THAT(Refused({"--cap-add", "FLY", "demo", "true"}),
              HasSubstr("--cap-add: \"FLY\": no such capability"));
  EXPECT_THAT(Refused({"--env-file", "/nosuch", "demo", "true"}),
              HasSubstr("--env-file: open /nosuch"));
  EXPECT_THAT(Refused({"--stop-signal", "NOPE", "demo", "true"}),
              HasSubstr("\"NOPE\": no such signal"));
  EXPECT_THAT(Refused({"-it", "demo", "true"}), HasSubstr("standard input is not a terminal"));
  EXPECT_THAT(Refused({"--privileged", "demo", "true"}), HasSubstr("--privileged: not supported"));
}

TEST_F(BadInputTest, UsersAndCommandsThatTheImageDoesNotHave) {
  EXPECT_THAT(Refused({"--rm", "-u", "nosuchuser", "demo", "true"}), HasSubstr("nosuchuser"));
  EXPECT_THAT(Refused({"--rm", "-u", "root:nosuchgroup", "demo", "true"}),
              HasSubstr("nosuchgroup"));
  EXPECT_THAT(Refused({"--rm", "demo", "nosuch"}, 127), HasSubstr("nosuch"));
}

TEST_F(BadInputTest, KernelsThatAreNone) {
  auto with = [](const std::string& share) {
    return RunOptions{.environment = {"HOLT_SHARE=" + share}};
  };
  EXPECT_THAT(Refused({"demo", "true"}, 125, with("/nosuch")),
              AllOf(HasSubstr("guest kernel"), HasSubstr("/nosuch/vmlinux")));
  EXPECT_THAT(Refused({"demo", "true"}, 125, with(ShareWithKernel("this is no kernel"))),
              HasSubstr("is not a kernel: neither an x86-64 vmlinux nor a bzImage"));
}

TEST_F(BadInputTest, AKernelThatPanicsSaysItsPanicLine) {
  // The real kernel with an initramfs that has no /init.
  std::string share = Scratch("share");
  ASSERT_TRUE(base::MakeDirs(share).ok());
  ASSERT_EQ(
      symlink((BuildDirectory() + "/share/holt/vmlinux").c_str(), (share + "/vmlinux").c_str()), 0);
  ASSERT_TRUE(base::WriteFile(share + "/initramfs.cpio", std::string(512, '\0')).ok());
  EXPECT_THAT(Refused({"demo", "true"}, 125, {.environment = {"HOLT_SHARE=" + share}}),
              HasSubstr("the guest kernel panicked: "));
}

TEST_F(BadInputTest, PartsOfHoltThatAreMissing) {
  EXPECT_THAT(Refused({"demo", "true"}, 125, {.environment = {"HOLT_LIBEXEC=/nosuch"}}),
              AllOf(HasSubstr("/nosuch/holt-"), HasSubstr("a part of holt")));
}

TEST_F(BadInputTest, NoProcessor) {
  Finished software =
      Holt({"run", "--accel", "software", "demo", "true"}, {.environment = {"HOLT_QEMU=/nosuch"}});
  EXPECT_EQ(software.status, 125);
  EXPECT_THAT(ErrorOf(software), AllOf(HasSubstr("qemu-system-x86_64"),
                                       HasSubstr("install the package qemu-system-x86")));
}

// What this host's /dev/kvm lacks is said by whoever needs it.
TEST_F(BadInputTest, NoKvm) {
  if (Accel() == "kvm") GTEST_SKIP() << "KVM works here";
  Finished kvm = Holt({"run", "--accel", "kvm", "demo", "true"});
  EXPECT_EQ(kvm.status, 125);
  EXPECT_THAT(ErrorOf(kvm), AllOf(HasSubstr("--accel kvm: "), HasSubstr("/dev/kvm"),
                                  HasSubstr("--accel software works")));
  Finished chosen = Holt({"run", "--rm", "demo", "true"});
  EXPECT_EQ(chosen.status, 0);
  EXPECT_THAT(chosen.err, HasSubstr("holt: using the software processor"));
}

TEST_F(BadInputTest, CheckTellsWhatIsMissing) {
  Finished good = Holt({"check"});
  EXPECT_EQ(good.status, 0) << good.out;
  EXPECT_THAT(good.out, HasSubstr("Containers can run"));
  Finished json = Holt({"check", "--json"});
  EXPECT_THAT(json.out, AllOf(HasSubstr("\"works\": true"), HasSubstr("\"name\": \"kvm\"")));
  Finished bad = Holt({"check"}, {.environment = {"HOLT_SHARE=/nosuch"}});
  EXPECT_EQ(bad.status, 1);
  EXPECT_THAT(bad.out,
              AllOf(HasSubstr("missing  guest kernel"), HasSubstr("Containers cannot run")));
}

TEST_F(BadInputTest, CommandsAndContainersThatAreNone) {
  Finished unknown = Holt({"frobnicate"});
  EXPECT_EQ(unknown.status, 1);
  EXPECT_EQ(ErrorOf(unknown), "unknown command \"frobnicate\"; see holt --help");
  EXPECT_EQ(Holt({}).status, 1);
  EXPECT_THAT(Holt({"--help"}).out, HasSubstr("usage: holt"));
  EXPECT_THAT(Holt({"run", "--help"}).out, HasSubstr("--read-only"));
  for (const char* command :
       {"stop", "rm", "wait", "logs", "attach", "kill", "state", "start", "delete"}) {
    Finished finished = Holt({command, "nosuch"});
    EXPECT_EQ(finished.status, 1) << command;
    EXPECT_THAT(ErrorOf(finished), HasSubstr("container \"nosuch\" does not exist")) << command;
    EXPECT_THAT(ErrorOf(Holt({command, "../etc"})), HasSubstr("../etc")) << command;
  }
  EXPECT_THAT(ErrorOf(Holt({"--log", "/nosuch/log", "list"})),
              HasSubstr("--log: open /nosuch/log"));
  EXPECT_EQ(Holt({"--systemd-cgroup", "list"}).status, 0) << "of use to create alone";
}

}  // namespace
}  // namespace holt
