// What the host changes in a volume, as inotify in the container tells it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <sstream>

#include "tests/e2e/volumes_fixture.h"

namespace holt {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    // How often depends on how soon the watcher reads: twice the same is once.
    const auto recent = lines.end() - std::min<std::ptrdiff_t>(4, std::ssize(lines));
    if (line.find("MODIFY") == std::string::npos ||
        std::find(recent, lines.end(), line) == lines.end())
      lines.push_back(line);
  }
  return lines;
}

class InotifyTest : public VolumesTest {
 protected:
  void Prepare() {
    std::filesystem::remove_all(Scratch("vol"));
    ASSERT_TRUE(base::MakeDirs(Vol("sub")).ok());
    ASSERT_TRUE(base::MakeDirs(Vol("..1")).ok());
    ASSERT_TRUE(base::MakeDirs(Vol("..2")).ok());
    ASSERT_EQ(symlink("..1", Vol("..data").c_str()), 0);
    Write("watched", "old\n");
  }
  void Rename(const std::string& from, const std::string& to) const {
    ASSERT_EQ(rename(Vol(from).c_str(), Vol(to).c_str()), 0);
  }
  // Everyday changes, one after the other.
  void Script() {
    const std::function<void()> steps[] = {
        [&] { Write("new", "1"); },
        [&] { ASSERT_EQ(chmod(Vol("new").c_str(), 0600), 0); },
        [&] { Rename("new", "newer"); },
        [&] { Rename("newer", "sub/moved"); },
        [&] { ASSERT_EQ(unlink(Vol("sub/moved").c_str()), 0); },
        [&] { ASSERT_EQ(mkdir(Vol("d").c_str(), 0755), 0); },
        [&] { Rename("d", "e"); },
        [&] { ASSERT_EQ(rmdir(Vol("e").c_str()), 0); },
        [&] { Write("watched", "longer than before\n"); },
        // As an editor saves.
        [&] { Write("watched.new", "new content\n"); },
        [&] { Rename("watched.new", "watched"); },
        // As Kubernetes changes a config map.
        [&] { ASSERT_EQ(symlink("..2", Vol("..data_tmp").c_str()), 0); },
        [&] { Rename("..data_tmp", "..data"); },
        // Something that the container never looked at.
        [&] { ASSERT_EQ(rmdir(Vol("..1").c_str()), 0); },
    };
    for (const auto& step : steps) {
      step();
      usleep(150'000);
    }
    Write("stop", "");
  }
};

TEST_F(InotifyTest, TheContainerIsToldWhatTheHostIsTold) {
  Prepare();
  auto here = Program::Start({Probe(), "watch", Vol(""), Vol("sub"), Vol("watched")}, {});
  ASSERT_TRUE(here->WaitFor("ready"));
  auto there = Program::Start(ProbeCommand({"-v", Scratch("vol") + ":/vol", "demo", "/probe",
                                            "watch", "/vol/", "/vol/sub", "/vol/watched"}),
                              {});
  ASSERT_TRUE(there->WaitFor("ready")) << there->out();
  Script();
  Finished in_container = there->Finish();
  Finished on_host = here->Finish();
  EXPECT_EQ(in_container.status, 0) << in_container.err;
  std::string expected = on_host.out;
  for (size_t at; (at = expected.find(Scratch("vol"))) != std::string::npos;)
    expected.replace(at, Scratch("vol").size(), "/vol");
  EXPECT_THAT(Lines(in_container.out), ::testing::ElementsAreArray(Lines(expected)));
}

TEST_F(InotifyTest, WhatIsToldIsThereToRead) {
  Write("config", "old\n");
  Write("single", "old\n");
  auto run = Program::Start(
      ProbeCommand({"-v", Scratch("vol") + ":/vol:ro", "-v", Vol("single") + ":/single:ro", "demo",
                    "sh", "-c",
                    "cat /vol/config /single; (/probe watch /vol /single; echo ended) | "
                    "while read path what name; do echo \"$path $what $name\"; case $what in "
                    "CLOSE_WRITE) cat $path/$name 2>/dev/null || cat $path;; esac; done"}),
      {});
  ASSERT_TRUE(run->WaitFor("ready")) << run->out();
  // The same size, so that nothing but the time tells it from what the guest has cached.
  Write("config", "new\n");
  ASSERT_TRUE(run->WaitFor("CLOSE_WRITE config\nnew")) << run->out();
  Write("single", "NEW\n");
  ASSERT_TRUE(run->WaitFor("/single CLOSE_WRITE \nNEW")) << run->out();
  Write("stop", "");
  EXPECT_EQ(run->Finish().status, 0);
}

TEST_F(InotifyTest, ChangesOfTheContainersOwnAreToldOnce) {
  Finished run = Program::Start(ProbeCommand({"-v", Scratch("vol") + ":/vol", "demo", "sh", "-c",
                                              "/probe watch /vol > /tmp/seen & sleep 1; "
                                              "echo x > /vol/a; mv /vol/a /vol/b; rm /vol/b; "
                                              "sleep 1; touch /vol/stop; wait; cat /tmp/seen"}),
                                {})
                     ->Finish();
  EXPECT_EQ(run.out,
            "ready\n/vol CREATE a\n/vol MODIFY a\n/vol CLOSE_WRITE a\n/vol MOVED_FROM a\n"
            "/vol MOVED_TO b\n/vol DELETE b\n/vol CREATE stop\n")
      << run.err;
}

TEST_F(InotifyTest, CanBeSwitchedOff) {
  auto run = Program::Start(
      ProbeCommand({"--annotation", "holt.inotify=off", "-v", Scratch("vol") + ":/vol", "demo",
                    "sh", "-c", "/probe watch /vol & echo $!; sleep 3; touch /vol/stop; wait"}),
      {});
  ASSERT_TRUE(run->WaitFor("ready"));
  Write("unseen", "x");
  Finished finished = run->Finish();
  EXPECT_THAT(finished.out, HasSubstr("CREATE stop"));
  EXPECT_THAT(finished.out, Not(HasSubstr("unseen")));
  Finished bad = Run({"--rm", "--annotation", "holt.inotify=perhaps", "-v",
                      Scratch("vol") + ":/vol", "demo", "true"});
  EXPECT_EQ(bad.status, 125);
  EXPECT_THAT(bad.err, HasSubstr("annotation holt.inotify: \"perhaps\" is neither on nor off"));
}

}  // namespace
}  // namespace holt
