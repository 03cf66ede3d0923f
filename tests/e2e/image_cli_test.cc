// The image commands as people type them: pipes, compressed archives, images in use.

#include <gmock/gmock.h>
#include <stdlib.h>

#include "tests/e2e/holt.h"

namespace holt {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ImageCliTest : public HoltTest {
 protected:
  static std::string DemoTar() { return std::string(getenv("HOLT_TEST_IMAGES")) + "/demo.tar"; }
  // A shell line with $HOLT, $TAR and $DIR.
  Finished Shell(const std::string& line) {
    std::string holt;
    for (const std::string& word : Command({})) holt += word + " ";
    auto program = Program::Start({"/bin/sh", "-c", line},
                                  {.environment = {"HOLT=" + holt, "TAR=" + DemoTar(),
                                                   "DIR=" + scratch_, "PATH=/usr/bin:/bin"}});
    return program ? program->Finish() : Finished{};
  }
};

TEST_F(ImageCliTest, ARootFileSystemThroughAPipe) {
  Finished import = Shell("cat $TAR | $HOLT import -q - piped");
  ASSERT_EQ(import.status, 0) << import.err;
  Finished run = Run({"--rm", "piped", "echo", "from a pipe"});
  EXPECT_EQ(run.out, "from a pipe\n") << run.err;
  EXPECT_EQ(Holt({"rmi", "piped"}).status, 0);
}

TEST_F(ImageCliTest, ACompressedRootFileSystem) {
  for (const char* compress : {"gzip -1", "zstd -1", "xz -0"}) {
    Finished import = Shell(std::string(compress) + " -c $TAR >$DIR/packed && " +
                            "$HOLT import -q $DIR/packed packed");
    ASSERT_EQ(import.status, 0) << compress << ": " << import.err;
    Finished run = Run({"--rm", "packed", "echo", "unpacked"});
    EXPECT_EQ(run.out, "unpacked\n") << compress << ": " << run.err;
    EXPECT_EQ(Holt({"rmi", "packed"}).status, 0);
  }
}

TEST_F(ImageCliTest, OneImageOfAnArchive) {
  const std::string archive = std::string(getenv("HOLT_TEST_IMAGES")) + "/podman.tar";
  const std::string name = "localhost/made-by/podman:1";
  Finished import = Holt({"import", "--select", name, archive});
  ASSERT_EQ(import.status, 0) << import.err;
  EXPECT_EQ(import.out, name + "\n");
  EXPECT_EQ(Holt({"rmi", name}).status, 0);
  Finished none = Holt({"import", "--select", "nosuch:1", archive});
  EXPECT_EQ(none.status, 1);
  EXPECT_THAT(ErrorOf(none), AllOf(HasSubstr("no image \"nosuch:1\""), HasSubstr(name)));
}

TEST_F(ImageCliTest, AnImageInUseStaysUnlessForced) {
  ASSERT_EQ(Holt({"import", "-q", DemoTar(), "used", "--label", "a=b"}).status, 0);
  std::string id = RunDetached({"used", "sleep", "1000"});
  Finished refused = Holt({"rmi", "used"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(ErrorOf(refused), HasSubstr("used by the container " + id));
  EXPECT_THAT(Holt({"images"}).out, HasSubstr("used"));
  EXPECT_EQ(Holt({"rmi", "-f", "used"}).status, 0);
  EXPECT_EQ(Holt({"gc", "-q"}).status, 0);
  // It goes on with what it has: none of its layers went.
  EXPECT_EQ(Holt({"exec", id, "cat", "/etc/hostname"}).status, 0);
  EXPECT_EQ(Holt({"exec", id, "ls", "/usr/bin"}).status, 0);
  EXPECT_EQ(Holt({"rm", "-f", id}).status, 0);
}

}  // namespace
}  // namespace holt
