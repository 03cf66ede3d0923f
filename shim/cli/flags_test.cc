#include "shim/cli/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holt::shim::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Parsed {
  bool interactive = false, terminal = false, verify = true;
  std::string name;
  std::vector<std::string> env, operands;
  int64_t number = 7;
  std::string choice = "a";
  base::Status status;
  bool help = false;
};

Parsed Parse(const std::vector<std::string>& args, bool stop = true) {
  Parsed out;
  Flags flags;
  flags.Bool("-i, --interactive", out.interactive, "");
  flags.Bool("-t, --tty", out.terminal, "");
  flags.Bool("--verify", out.verify, "");
  flags.String("--name", out.name, "NAME", "");
  flags.List("-e, --env", out.env, "NAME=VALUE", "");
  flags.Integer("-n", out.number, 0, 10, "N", "");
  flags.Choice("--choice", out.choice, {"a", "b"}, "");
  flags.Unsupported("--privileged", false, "there is no such thing");
  flags.Operands("IMAGE [ARG...]", 1, 4, out.operands);
  if (stop) flags.StopAtFirstOperand();
  out.status = flags.Parse(args);
  out.help = flags.help_wanted();
  return out;
}

std::string Error(const std::vector<std::string>& args) {
  Parsed parsed = Parse(args);
  return parsed.status ? "" : parsed.status.error().message();
}

TEST(Flags, TakesAllWaysToWriteAValue) {
  Parsed parsed =
      Parse({"-it", "-e", "A=1", "-eB=2", "--env", "C=3", "--env=D=4", "--name=x", "-n3", "image"});
  ASSERT_TRUE(parsed.status.ok());
  EXPECT_TRUE(parsed.interactive);
  EXPECT_TRUE(parsed.terminal);
  EXPECT_THAT(parsed.env, ElementsAre("A=1", "B=2", "C=3", "D=4"));
  EXPECT_EQ(parsed.name, "x");
  EXPECT_EQ(parsed.number, 3);
  EXPECT_THAT(parsed.operands, ElementsAre("image"));
}

TEST(Flags, LeavesTheCommandLineOfTheContainerAlone) {
  EXPECT_THAT(Parse({"image", "ls", "-it", "--name"}).operands,
              ElementsAre("image", "ls", "-it", "--name"));
  EXPECT_THAT(Parse({"--", "-image", "--"}).operands, ElementsAre("-image", "--"));
  EXPECT_THAT(Parse({"image", "--", "x"}).operands, ElementsAre("image", "--", "x"));
  EXPECT_THAT(Parse({"-"}).operands, ElementsAre("-"));
}

TEST(Flags, MixesWithOperandsWhereThatIsWanted) {
  Parsed parsed = Parse({"a", "-i", "b", "--name", "x", "--", "-t"}, false);
  ASSERT_TRUE(parsed.status.ok());
  EXPECT_TRUE(parsed.interactive);
  EXPECT_THAT(parsed.operands, ElementsAre("a", "b", "-t"));
}

TEST(Flags, ABooleanMayHaveAValue) {
  EXPECT_FALSE(Parse({"--verify=false", "x"}).verify);
  EXPECT_TRUE(Parse({"--verify=true", "x"}).verify);
  EXPECT_THAT(Error({"--verify=maybe", "x"}),
              HasSubstr("--verify: \"maybe\": must be true or false"));
}

TEST(Flags, AnEmptyValueIsAValue) {
  Parsed parsed = Parse({"--name=", "-e", "", "x"});
  ASSERT_TRUE(parsed.status.ok());
  EXPECT_EQ(parsed.name, "");
  EXPECT_THAT(parsed.env, ElementsAre(""));
}

TEST(Flags, ErrorsSayWhich) {
  EXPECT_EQ(Error({"--bogus", "x"}), "unknown flag: --bogus");
  EXPECT_EQ(Error({"-z", "x"}), "unknown flag: -z");
  EXPECT_EQ(Error({"-iz", "x"}), "unknown flag: -z");
  EXPECT_EQ(Error({"--i", "x"}), "unknown flag: --i");
  EXPECT_EQ(Error({"--name"}), "--name: needs a value (NAME)");
  EXPECT_EQ(Error({"-e"}), "-e: needs a value (NAME=VALUE)");
  EXPECT_EQ(Error({}), "missing argument: IMAGE [ARG...]");
  EXPECT_EQ(Error({"1", "2", "3", "4", "five"}), "unexpected argument: \"five\"");
  EXPECT_THAT(Error({"-n", "11", "x"}), HasSubstr("must be within 0 and 10"));
  EXPECT_THAT(Error({"--choice=c", "x"}), HasSubstr("must be one of a, b"));
  EXPECT_THAT(Error({"--privileged", "x"}),
              HasSubstr("--privileged: not supported: there is no such thing"));
  EXPECT_EQ(Error({"--privileged=false", "x"}), "");
}

TEST(Flags, HelpWinsOverWhatIsMissing) {
  for (const char* flag : {"-h", "--help"}) {
    Parsed parsed = Parse({flag});
    EXPECT_TRUE(parsed.status.ok());
    EXPECT_TRUE(parsed.help);
  }
  EXPECT_FALSE(Parse({"image", "--help"}).help);
}

TEST(Flags, WhichWereGiven) {
  Flags flags;
  bool all = false;
  std::string name;
  std::vector<std::string> operands;
  flags.Bool("-a, --all", all, "");
  flags.Bool("-q", all, "");
  flags.String("-n, --name", name, "NAME", "");
  flags.Operands("ID", 1, 1, operands);
  ASSERT_TRUE(flags.Parse({"-aq", "--name=x", "id", "-n", "y"}).ok());
  EXPECT_THAT(flags.given(), ElementsAre("all", "q", "name", "name"));
  EXPECT_EQ(name, "y");
}

}  // namespace
}  // namespace holt::shim::cli
