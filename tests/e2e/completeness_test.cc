// Nothing that goes in or out is lost, however much or many, and nothing hangs.
#include <gmock/gmock.h>

#include "tests/e2e/bundle_fixture.h"

namespace holt {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

constexpr char kHundredMegabytes[] = "104857600";

class CompletenessTest : public BundleTest {
 protected:
  // A shell here in which "$@" is holt with `args`.
  Finished Shell(const std::string& script, const std::vector<std::string>& args) const {
    std::vector<std::string> words = {"/bin/bash", "-c", "set -o pipefail; " + script, "-"};
    for (const std::string& word : Command(args)) words.push_back(word);
    RunOptions options = Environment();
    options.deadline = std::chrono::seconds(300);
    return Program::Start(words, options)->Finish(options.deadline);
  }
};

TEST_F(CompletenessTest, TenThousandLinesInOrder) {
  std::string wanted;
  for (int i = 1; i <= 10'000; ++i) wanted += std::to_string(i) + "\n";
  Finished run = Run({"--rm", "demo", "sh", "-c", "seq 1 10000; seq 1 10000 >&2"});
  EXPECT_EQ(run.status, 0);
  EXPECT_TRUE(run.out == wanted) << run.out.size();
  EXPECT_TRUE(run.err == wanted) << run.err.size();
}

TEST_F(CompletenessTest, AHundredMegabytesOut) {
  Finished run = Shell("\"$@\" | md5sum",
                       {"run", "--rm", "--network", "none", "--tmpfs", "/big:size=128m", "--memory",
                        "512m", "demo", "sh", "-ec",
                        "head -c " + std::string(kHundredMegabytes) +
                            " /dev/urandom >/big/file; md5sum </big/file >&2; cat /big/file"});
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("  -\n"));
  EXPECT_THAT(run.err, EndsWith(run.out));  // after the warning of a host with cgroup v1
}

TEST_F(CompletenessTest, AHundredMegabytesIn) {
  Finished run = Shell(
      "head -c " + std::string(kHundredMegabytes) + " /dev/urandom | tee >(md5sum >&2) | \"$@\"",
      {"run", "--rm", "--network", "none", "-i", "demo", "md5sum"});
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(run.out, run.err);
  EXPECT_THAT(run.out, HasSubstr("  -\n"));
}

// Several times what the agent, its sockets and holt-vmm let wait. The lab has one emulated
// processor.
TEST_F(CompletenessTest, HundredsOfExecsAtOnce) {
  const std::string count = Accel() == "kvm" ? "100" : "200";
  Launch("c1", Config(R"(["sleep","1000"])"));
  Finished run = Shell(
      "for i in $(seq " + count +
          "); do {"
          "  out=$(\"$@\" \"echo $i; echo e$i >&2; exit $((i % 100))\" 2>" +
          Scratch("err") +
          ".$i); status=$?;"
          "  err=$(cat " +
          Scratch("err") +
          ".$i);"
          "  [ \"$out/$err/$status\" = \"$i/e$i/$((i % 100))\" ] || echo \"$i: $out/$err/$status\";"
          "} & done; wait",
      {"exec", "c1", "sh", "-c"});
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);
}

// The pipe that a process leaves to its child is not the end of the process.
TEST_F(CompletenessTest, AChildThatKeepsStdoutOpenDoesNotHoldUpTheExit) {
  Launch("c1", Config(R"(["sleep","1000"])"));
  auto exec = Program::Start(Command({"exec", "c1", "sh", "-c", "sleep 1000 & echo out; exit 3"}),
                             Environment());
  Finished ended = exec->Finish(std::chrono::seconds(30));
  EXPECT_EQ(ended.status, 3) << ended.err;
  EXPECT_EQ(ended.out, "out\n");
  EXPECT_EQ(Holt({"delete", "--force", "c1"}).status, 0);
}

}  // namespace
}  // namespace holt
