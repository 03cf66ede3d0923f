// Wrong values, one of each kind, as an engine or a hostile user could give them: an error, and no
// container left.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "tests/e2e/spec_fixture.h"

namespace holt {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class SpecValuesTest : public SpecTest {
 protected:
  // `change` makes the configuration wrong; `words` are holt's about it.
  void ExpectRefused(const std::string& words, const std::function<void(json&)>& change) {
    json good = config_;
    change(config_);
    Finished run = RunConfigured();
    EXPECT_NE(run.status, 0) << words;
    EXPECT_THAT(run.err, HasSubstr(words));
    EXPECT_NE(Runtime({"state", "c1"}).status, 0) << words;
    config_ = good;
  }
};

TEST_F(SpecValuesTest, WrongValuesAreNamed) {
  ExpectRefused("linux.namespaces[6].type: pid is given twice",
                [&](json&) { AddNamespace("pid"); });
  ExpectRefused("linux.namespaces[6].type: \"nothing\" is none of",
                [&](json&) { AddNamespace("nothing"); });
  ExpectRefused("process.rlimits[0].type", [](json& c) {
    c["process"]["rlimits"] = {{{"type", "RLIMIT_NOTHING"}, {"hard", 1}, {"soft", 1}}};
  });
  ExpectRefused("process.cwd", [](json& c) { c["process"]["cwd"] = "relative"; });
  ExpectRefused("process.user.uid", [](json& c) { c["process"]["user"]["uid"] = "root"; });
  ExpectRefused("process.args", [](json& c) { c["process"].erase("args"); });
  ExpectRefused("linux.seccomp.defaultAction",
                [](json& c) { c["linux"]["seccomp"]["defaultAction"] = "SCMP_ACT_NOTHING"; });
  ExpectRefused("linux.devices[0].type", [](json& c) {
    c["linux"]["devices"] = {{{"path", "/dev/x"}, {"type", "x"}, {"major", 1}, {"minor", 1}}};
  });
  ExpectRefused("linux.uidMappings", [&](json&) { AddNamespace("user"); });
  ExpectRefused("mounts[5]: ", [&](json&) {
    Mount({{"destination", "/x"}, {"type", "no-such-fs"}, {"source", "none"}});
  });
  ExpectRefused("mounts[5]", [&](json&) {
    Mount({{"destination", "/x"},
           {"type", "bind"},
           {"source", "/no/such/source"},
           {"options", {"bind"}}});
  });
  ExpectRefused("root.path", [](json& c) { c["root"]["path"] = "no-such-root"; });
  ExpectRefused("vm.kernel.path: ", [](json& c) {
    c["vm"] = {{"kernel", {{"path", "/etc/passwd"}}}};
  });
  ExpectRefused("vm.hwConfig.memory: ", [](json& c) {
    c["vm"] = {{"hwConfig", {{"memory", 1 << 20}}}};
  });
  ExpectRefused("linux.sysctl", [](json& c) { c["linux"]["sysctl"] = {{"kernel.nothing", "1"}}; });
}

TEST_F(SpecValuesTest, FilesThatAreNone) {
  unlink((bundle_ + "/config.json").c_str());
  Finished none = Runtime({"run", "--bundle", bundle_, "c1"});
  EXPECT_NE(none.status, 0);
  EXPECT_THAT(none.err, HasSubstr("config.json"));
  WriteConfig("{");
  EXPECT_NE(Runtime({"run", "--bundle", bundle_, "c1"}).status, 0);
  WriteConfig(R"({"ociVersion":"1.0.0","annotations":{"a":")" + std::string(100 << 20, 'x') +
              "\"}}");
  Finished large = Runtime({"run", "--bundle", bundle_, "c1"});
  EXPECT_NE(large.status, 0);
  EXPECT_THAT(large.err, HasSubstr("config.json"));
}

TEST_F(SpecValuesTest, IdsThatAreNone) {
  WriteConfig(config_.dump());
  for (const std::string& id :
       {std::string("a/b"), std::string("../x"), std::string(4096, 'a'), std::string("a b")}) {
    Finished run = Runtime({"run", "--bundle", bundle_, id});
    EXPECT_NE(run.status, 0) << id.substr(0, 10);
  }
  StartSleeper("c1");
  Finished twice = Runtime({"run", "--bundle", bundle_, "c1"});
  EXPECT_NE(twice.status, 0);
  EXPECT_THAT(twice.err, HasSubstr("already exists"));
  EXPECT_EQ(Runtime({"kill", "c1", "KILL"}).status, 0);
}

}  // namespace
}  // namespace holt
