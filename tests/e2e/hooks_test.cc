// All six hooks: where, when and with what they run, and what their failure does.

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/e2e/bundle_fixture.h"

namespace holt {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

using Json = nlohmann::json;

class HooksTest : public BundleTest {
 protected:
  // A hook that runs a shell command.
  static Json Shell(const std::string& command) {
    return {{"path", "/bin/sh"},
            {"args", {"sh", "-c", command}},
            {"env", {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}};
  }
  // One that appends its name and its standard input to the log.
  Json Logging(const std::string& name) const {
    return Shell("(echo '" + name + "'; cat; echo) >>" + Scratch("hooks"));
  }
  void WriteConfigWith(const Json& hooks, const std::string& args = R"(["sleep","1000"])") {
    Json config = Json::parse(Config(args));
    config["hooks"] = hooks;
    config["annotations"] = {{"org.example.key", "value"}};
    // Where hooks in the guest can leave something.
    config["mounts"].push_back({{"destination", "/shared"},
                                {"type", "bind"},
                                {"source", Scratch("shared")},
                                {"options", {"rbind", "rw"}}});
    ASSERT_TRUE(base::MakeDirs(Scratch("shared")).ok());
    WriteConfig(config.dump());
    unlink(Scratch("hooks").c_str());
  }
  std::string Hooks() const { return base::ReadFile(Scratch("hooks")).value_or(""); }
  // Names and states, in turn, as Logging() writes them.
  std::vector<std::pair<std::string, Json>> Logged() const {
    std::vector<std::pair<std::string, Json>> out;
    std::string text = Hooks();
    for (size_t at = 0; at < text.size();) {
      size_t name_end = text.find('\n', at);
      size_t end = text.find('\n', name_end + 1);
      out.emplace_back(text.substr(at, name_end - at),
                       Json::parse(text.substr(name_end + 1, end - name_end - 1), nullptr, false));
      at = end + 1;
    }
    return out;
  }
  std::string ShownStatus(const std::string& id) {
    return Json::parse(Holt({"state", id}).out, nullptr, false).value("status", "");
  }
};

TEST_F(HooksTest, AllSixInOrderWithTheStateOfTheirStep) {
  Json start = Shell("cat >/shared/startContainer");
  Json check = Shell("test -f " + Scratch("shared/startContainer") + " || exit 9");
  WriteConfigWith({{"poststop", {Logging("poststop 1"), Logging("poststop 2")}},
                   {"poststart", {check, Logging("poststart")}},
                   {"startContainer", {start}},
                   {"createContainer", {Logging("createContainer")}},
                   {"createRuntime", {Logging("createRuntime")}},
                   {"prestart", {Logging("prestart 1"), Logging("prestart 2")}}});
  ASSERT_EQ(Create("c1").status, 0) << Log();
  int pid = std::stoi(PidFile());
  auto logged = Logged();
  ASSERT_EQ(logged.size(), 4u) << Hooks();
  const char* names[] = {"prestart 1", "prestart 2", "createRuntime", "createContainer"};
  for (size_t i = 0; i < 4; ++i) {
    const Json& state = logged[i].second;
    EXPECT_EQ(logged[i].first, names[i]);
    EXPECT_EQ(state.value("status", ""), "creating");
    EXPECT_EQ(state.value("pid", 0), pid);
    EXPECT_EQ(state.value("id", ""), "c1");
    EXPECT_EQ(state.value("bundle", ""), bundle_);
    EXPECT_EQ(state.value("ociVersion", ""), "1.0.2");
    EXPECT_EQ(state["annotations"].value("org.example.key", ""), "value");
  }
  EXPECT_FALSE(base::PathExists(Scratch("shared/startContainer")));

  ASSERT_EQ(Holt({"start", "c1"}).status, 0);
  Json in_guest =
      Json::parse(base::ReadFile(Scratch("shared/startContainer")).value_or(""), nullptr, false);
  EXPECT_EQ(in_guest.value("status", ""), "created");
  EXPECT_EQ(in_guest.value("pid", 0), 1) << "in the container's own pid namespace";
  EXPECT_EQ(in_guest.value("bundle", ""), bundle_);
  logged = Logged();
  ASSERT_EQ(logged.size(), 5u);
  EXPECT_EQ(logged[4].first, "poststart");
  EXPECT_EQ(logged[4].second.value("status", ""), "running");
  EXPECT_EQ(logged[4].second.value("pid", 0), pid);

  EXPECT_EQ(Holt({"kill", "c1", "9"}).status, 0);
  ASSERT_TRUE(BecomesStopped("c1"));
  EXPECT_EQ(Logged().size(), 5u) << "poststop is after the deletion";
  EXPECT_EQ(Holt({"delete", "c1"}).status, 0);
  logged = Logged();
  ASSERT_EQ(logged.size(), 7u);
  EXPECT_EQ(logged[5].first, "poststop 1");
  EXPECT_EQ(logged[6].first, "poststop 2");
  EXPECT_EQ(logged[6].second.value("status", ""), "stopped");
  EXPECT_FALSE(logged[6].second.contains("pid"));
}

TEST_F(HooksTest, TheHostsNamespacesAndTheSandboxs) {
  auto namespaces = [&](const std::string& name) {
    return Shell("cd /proc/self/ns; echo " + name + " $(readlink net mnt) >>" + Scratch("hooks"));
  };
  // The state's pid leads to the container's network.
  Json by_pid = Shell(
      "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); echo pid $(readlink /proc/$pid/ns/net) >>" +
      Scratch("hooks"));
  Json sees_root = Shell("grep -q " + root_ + "/c1/share /proc/self/mountinfo && echo share >>" +
                         Scratch("hooks"));
  WriteConfigWith({{"createRuntime", {namespaces("runtime"), by_pid}},
                   {"createContainer", {namespaces("container"), sees_root}}});
  ASSERT_EQ(Create("c1").status, 0) << Log();
  char link[64] = {};
  auto read = [&](const std::string& path) {
    ssize_t n = readlink(path.c_str(), link, sizeof link);
    return n > 0 ? std::string(link, static_cast<size_t>(n)) : "";
  };
  std::string ours = read("/proc/self/ns/net") + " " + read("/proc/self/ns/mnt");
  std::string stub_network = read("/proc/" + PidFile() + "/ns/net");
  std::string seen = Hooks();
  EXPECT_THAT(seen, HasSubstr("runtime " + ours + "\n"));
  EXPECT_THAT(seen, HasSubstr("pid " + stub_network + "\n"));
  EXPECT_THAT(seen, HasSubstr("container " + stub_network + " "));
  EXPECT_EQ(seen.find("container " + ours), std::string::npos) << seen;
  EXPECT_THAT(seen, HasSubstr("share\n")) << "the container's files are to be seen there";
}

TEST_F(HooksTest, ArgumentsAndEnvironmentAsGiven) {
  ASSERT_TRUE(base::WriteFile(Scratch("hook.sh"),
                              "#!/bin/sh\n/usr/bin/env >>" + Scratch("hooks") +
                                  "\nfor a in \"$@\"; do echo \"<$a>\" >>" + Scratch("hooks") +
                                  "; done; pwd >>" + Scratch("hooks") + "\n",
                              0755)
                  .ok());
  WriteConfigWith({{"prestart",
                    {{{"path", Scratch("hook.sh")},
                      {"args", {"name", "one two", "", "three"}},
                      {"env", {"A=b c"}}},
                     {{"path", Scratch("hook.sh")}}}}});
  ASSERT_EQ(Create("c1").status, 0) << Log();
  std::string seen = Hooks();
  EXPECT_THAT(seen, HasSubstr("A=b c\n"));
  EXPECT_THAT(seen, HasSubstr("<one two>\n<>\n<three>\n"));
  EXPECT_THAT(seen, HasSubstr(bundle_ + "\n"));
  EXPECT_EQ(seen.find("HOLT_ACCEL"), std::string::npos) << seen;
  EXPECT_EQ(seen.find("PATH="), std::string::npos) << seen;
}

TEST_F(HooksTest, AFailureInCreateLeavesNothingAndIsSaid) {
  for (const char* kind : {"prestart", "createRuntime", "createContainer"}) {
    WriteConfigWith(
        {{kind, {Shell("exit 0"), Shell("echo the cause >&2; exit 3"), Logging("never")}},
         {"poststop", {Logging("poststop")}}});
    EXPECT_EQ(Create("c1").status, 1) << kind;
    EXPECT_THAT(Log(), HasSubstr(std::string("hooks.") + kind +
                                 "[1]: /bin/sh: exited with status 3: the cause"));
    EXPECT_TRUE(Leftovers().empty()) << kind;
    auto logged = Logged();
    ASSERT_EQ(logged.size(), 1u) << kind << Hooks();
    EXPECT_EQ(logged[0].first, "poststop");
  }
}

TEST_F(HooksTest, ATimeoutKillsTheHookAndItsChildren) {
  Json hook = Shell("sh -c 'echo $$ >" + Scratch("child") + "; exec sleep 1000' & wait");
  hook["timeout"] = 2;
  WriteConfigWith({{"createRuntime", {hook}}});
  EXPECT_EQ(Create("c1").status, 1);
  EXPECT_THAT(Log(),
              HasSubstr("hooks.createRuntime[0]: /bin/sh: ran longer than its timeout of 2 s"));
  EXPECT_TRUE(Leftovers().empty());
  std::string child = base::ReadFile(Scratch("child")).value_or("");
  ASSERT_NE(child, "");
  std::string command = "/proc/" + std::to_string(std::stoi(child)) + "/cmdline";
  for (int i = 0; i < 200 && base::ReadFile(command).value_or("") != ""; ++i) usleep(25'000);
  EXPECT_EQ(base::ReadFile(command).value_or(""), "");
}

TEST_F(HooksTest, AFailureInStartStopsTheContainer) {
  for (const char* kind : {"startContainer", "poststart"}) {
    WriteConfigWith({{kind, {Shell("echo the cause >&2; exit 3")}}});
    ASSERT_EQ(Create("c1").status, 0) << Log();
    Finished start = Holt({"start", "c1"});
    EXPECT_EQ(start.status, 1) << kind;
    EXPECT_THAT(ErrorOf(start), HasSubstr(std::string("hooks.") + kind +
                                          "[0]: /bin/sh: exited with status 3: the cause"));
    EXPECT_TRUE(BecomesStopped("c1")) << kind << " " << ShownStatus("c1");
    EXPECT_EQ(Holt({"delete", "c1"}).status, 0) << kind;
  }
}

TEST_F(HooksTest, AFailureAfterTheEndIsAWarningAndTheOthersRun) {
  WriteConfigWith({{"poststop", {Shell("echo the cause >&2; exit 3"), Logging("second")}}},
                  R"(["true"])");
  ASSERT_EQ(Create("c1").status, 0) << Log();
  Finished removed = Holt({"delete", "--force", "c1"});
  EXPECT_EQ(removed.status, 0);
  EXPECT_THAT(
      removed.err,
      HasSubstr("holt: warning: hooks.poststop[0]: /bin/sh: exited with status 3: the cause"));
  ASSERT_EQ(Logged().size(), 1u);
  EXPECT_TRUE(Leftovers().empty());
}

TEST_F(HooksTest, WhatIsWrongInTheConfigurationIsNamed) {
  WriteConfigWith({{"prestart", {{{"path", "bin/true"}}}}});
  EXPECT_EQ(Create("c1").status, 1);
  EXPECT_THAT(Log(), HasSubstr("hooks.prestart[0].path"));
  WriteConfigWith({{"poststop", {{{"path", "/bin/true"}, {"timeout", 0}}}}});
  EXPECT_EQ(Create("c1").status, 1);
  EXPECT_THAT(Log(), HasSubstr("hooks.poststop[0].timeout"));
  WriteConfigWith({{"createRuntime", {{{"path", "/no/such/hook"}}}}});
  EXPECT_EQ(Create("c1").status, 1);
  EXPECT_THAT(Log(), HasSubstr("hooks.createRuntime[0]: /no/such/hook"));
  EXPECT_TRUE(Leftovers().empty());
}

}  // namespace
}  // namespace holt
