// buildah by itself with holt as its runtime (--isolation oci).
#include <gmock/gmock.h>

#include "tests/e2e/engine_fixture.h"

namespace holt {
namespace {

using testing::HasSubstr;

class BuildahTest : public EngineTest {
 protected:
  void SetUp() override {
    HoltTest::SetUp();
    InstallHolt(scratch_, Command({}));
    ASSERT_TRUE(base::WriteFile(Scratch("policy.json"),
                                R"({"default":[{"type":"insecureAcceptAnything"}]})")
                    .ok());
  }
  void TearDown() override {
    (void)Buildah({"rm", "--all"});
    (void)Buildah({"rmi", "--all", "--force"});
    HoltTest::TearDown();
  }
  Finished Buildah(const std::vector<std::string>& args, const std::string& input = "") const {
    std::vector<std::string> words = {"/usr/bin/buildah", "--root=" + Scratch("buildah/root"),
                                      "--runroot=" + Scratch("buildah/run"),
                                      "--storage-driver=overlay"};
    words.insert(words.end(), args.begin(), args.end());
    return Program::Start(words, {.input = input, .environment = {"TMPDIR=" + scratch_}})->Finish();
  }
  Finished Run(std::vector<std::string> args, const std::string& input = "") const {
    args.insert(args.begin(),
                {"run", "--isolation=oci", "--runtime=" + Scratch("holt"), "--network=none"});
    return Buildah(args, input);
  }
};

TEST_F(BuildahTest, BuildsAndRuns) {
  const std::string context = Scratch("context");
  ASSERT_TRUE(base::MakeDirs(context).ok());
  ASSERT_TRUE(base::WriteFile(context + "/Containerfile",
                              "FROM scratch\nADD demo.tar /\nRUN uname -r > /kernel\n")
                  .ok());
  ASSERT_EQ(Program::Start({"/bin/cp", Images() + "/demo.tar", context}, {})->Finish().status, 0);
  Finished built =
      Buildah({"bud", "--isolation=oci", "--runtime=" + Scratch("holt"), "--network=none",
               "--signature-policy=" + Scratch("policy.json"), "-t", "built", context});
  ASSERT_EQ(built.status, 0) << built.err;
  Finished from =
      Buildah({"from", "--signature-policy=" + Scratch("policy.json"), "--name=work", "built"});
  ASSERT_EQ(from.status, 0) << from.err;
  EXPECT_THAT(Run({"work", "cat", "/kernel"}).out, HasSubstr("-holt"));
  EXPECT_EQ(Run({"work", "--", "sh", "-c", "echo made > /made; exit 3"}).status, 3);
  EXPECT_EQ(Run({"work", "cat", "/made", "-"}, "input\n").out, "made\ninput\n");
}

}  // namespace
}  // namespace holt
