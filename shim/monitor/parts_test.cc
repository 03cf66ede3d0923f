// The monitor's small parts: log, diagnosis, timeline, outcome, children.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "shim/monitor/block_devices.h"
#include "shim/monitor/child.h"
#include "shim/monitor/container_log.h"
#include "shim/monitor/diagnosis.h"
#include "shim/monitor/outcome.h"
#include "shim/monitor/spare_disks.h"
#include "shim/monitor/timeline.h"

namespace holt::shim {
namespace {

using base::UniqueFd;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::chrono_literals;

class LogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "holt-log-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    path_ = name + "/container.log";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  static std::vector<std::string> ReadAll(LogReader& reader) {
    std::vector<std::string> out;
    LogRecord record;
    while (true) {
      auto more = reader.Next(record);
      EXPECT_TRUE(more.ok()) << (more ? "" : more.error().message());
      if (!more || !*more) return out;
      out.push_back((record.stream == LogStream::kStdout ? "o:" : "e:") + record.data);
    }
  }
  std::string directory_;
  std::string path_;
};

TEST_F(LogTest, RecordsComeBackInOrderAndFollow) {
  auto log = ContainerLog::Open(path_, 1 << 20);
  ASSERT_TRUE(log.ok());
  log->Append(LogStream::kStdout, "one\n");
  log->Append(LogStream::kStderr, std::string("tw\0o", 4));
  auto reader = LogReader::Open(path_);
  ASSERT_TRUE(reader.ok());
  EXPECT_THAT(ReadAll(*reader), ElementsAre("o:one\n", std::string("e:tw\0o", 6)));
  log->Append(LogStream::kStdout, "three");
  EXPECT_THAT(ReadAll(*reader), ElementsAre("o:three"));
}

TEST_F(LogTest, KeepsTheNewestWithinItsBound) {
  constexpr uint64_t kBytes = 64 << 10;
  auto log = ContainerLog::Open(path_, kBytes);
  ASSERT_TRUE(log.ok());
  for (int i = 0; i < 10'000; ++i)
    log->Append(LogStream::kStdout, "line " + std::to_string(i) + "\n");
  uint64_t size = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory_))
    size += entry.file_size();
  EXPECT_LE(size, kBytes + 4096);
  auto reader = LogReader::Open(path_);
  ASSERT_TRUE(reader.ok());
  auto lines = ReadAll(*reader);
  ASSERT_GT(lines.size(), 100u);
  EXPECT_EQ(lines.back(), "o:line 9999\n");
  // No hole where one file ends and the next begins.
  int first = 10'000 - static_cast<int>(lines.size());
  EXPECT_EQ(lines.front(), "o:line " + std::to_string(first) + "\n");
}

TEST_F(LogTest, AReaderThatFollowsLosesNothingAtARotation) {
  auto log = ContainerLog::Open(path_, 32 << 10);
  ASSERT_TRUE(log.ok());
  log->Append(LogStream::kStdout, "0");
  auto reader = LogReader::Open(path_);
  ASSERT_TRUE(reader.ok());
  std::vector<std::string> all;
  for (int i = 1; i <= 3000; ++i) {
    log->Append(LogStream::kStdout, std::to_string(i));
    if (i % 100 != 0) continue;
    for (auto& line : ReadAll(*reader)) all.push_back(line);
  }
  ASSERT_EQ(all.size(), 3001u);
  EXPECT_EQ(all[1234], "o:1234");
}

TEST_F(LogTest, AHalfWrittenRecordIsNotRead) {
  auto log = ContainerLog::Open(path_, 1 << 20);
  log->Append(LogStream::kStdout, "whole");
  log->Append(LogStream::kStdout, "cut");
  ASSERT_EQ(truncate(path_.c_str(), 16 + 5 + 16 + 1), 0);
  auto reader = LogReader::Open(path_);
  EXPECT_THAT(ReadAll(*reader), ElementsAre("o:whole"));
}

TEST_F(LogTest, ALengthThatCannotBeIsAnError) {
  std::string header(16, '\0');
  header[8] = header[9] = header[10] = header[11] = '\xff';
  ASSERT_TRUE(base::WriteFile(path_, header).ok());
  auto reader = LogReader::Open(path_);
  LogRecord record;
  EXPECT_EQ(reader->Next(record).error().code(), base::Code::kDataLoss);
}

TEST(DiagnosisTest, SaysWhatCameFirstNotWhatFollowed) {
  Evidence evidence;
  evidence.stage = "start the machine";
  evidence.agent_lost = true;
  EXPECT_THAT(Explain(evidence), HasSubstr("agent went away"));
  evidence.vm_end = "the guest reset itself";
  EXPECT_THAT(Explain(evidence), HasSubstr("reset itself"));
  evidence.process_end = "QEMU exited with status 1: no kernel";
  EXPECT_EQ(Explain(evidence), "start the machine: QEMU exited with status 1: no kernel");
  evidence.panic = "Kernel panic - not syncing: VFS: Unable to mount root fs";
  EXPECT_EQ(Explain(evidence),
            "start the machine: the guest kernel panicked: VFS: Unable to mount root fs");
  EXPECT_TRUE(IsConclusive(evidence));
}

TEST(DiagnosisTest, ADeadlineTellsTheLastConsoleLine) {
  Evidence evidence;
  evidence.deadline_passed = true;
  evidence.deadline_ms = 1500;
  EXPECT_EQ(Explain(evidence),
            "the guest's agent was not ready within 1.5 s; the guest wrote nothing on its console");
  evidence.console_line = "Run /init as init process";
  EXPECT_THAT(Explain(evidence), HasSubstr("last line on its console: Run /init"));
  EXPECT_FALSE(IsConclusive(evidence));
}

TEST(TimelineTest, StepsNestOverlapAndComeBack) {
  Timeline timeline("holt");
  timeline.Begin("a");
  timeline.Begin("b");
  timeline.End("a");
  timeline.End("never begun");
  timeline.Add("guest", "kernel", MonotonicNanos(), MonotonicNanos() + 1'000'000);
  auto steps = timeline.Steps();
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(steps[0].name, "a");
  for (const auto& step : steps) EXPECT_GE(step.end_nanos, step.begin_nanos);
  int64_t origin = steps[0].begin_nanos;
  auto back = TimelineFromJson(TimelineToJson(steps, origin), origin);
  ASSERT_TRUE(back.ok()) << back.error().message();
  ASSERT_EQ(back->size(), 3u);
  EXPECT_EQ((*back)[2].process, "guest");
  EXPECT_NEAR(static_cast<double>((*back)[2].begin_nanos),
              static_cast<double>(steps[2].begin_nanos), 1000);
}

TEST(TimelineTest, APictureIsWellFormedWhateverAStepIsCalled) {
  std::string svg =
      TimelineToSvg({{"<&\">", "a&b", 0, 5'000'000}, {"long", "guest", 1, 3'000'000'000}}, 0);
  EXPECT_THAT(svg, HasSubstr("&lt;&amp;"));
  EXPECT_THAT(svg, Not(HasSubstr("<&")));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
}

class LoopTest : public ::testing::Test {
 protected:
  void SetUp() override { loop_ = std::move(*base::EventLoop::Create()); }
  template <typename F>
  bool RunUntil(F done) {
    auto end = std::chrono::steady_clock::now() + 10s;
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      loop_->RunOnce(10ms);
    }
    return true;
  }
  static std::pair<UniqueFd, UniqueFd> Pipe() {
    int fds[2];
    EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
    return {UniqueFd(fds[0]), UniqueFd(fds[1])};
  }
  std::unique_ptr<base::EventLoop> loop_;
};

TEST_F(LoopTest, AnOutcomeCarriesCodeAndText) {
  auto [read_end, write_end] = Pipe();
  Outcome outcome(*loop_);
  ASSERT_TRUE(outcome.Take(std::move(write_end), [] { FAIL(); }).ok());
  outcome.Failed(
      base::Error(base::Code::kNotFound, "no\nsuch \"thing\": " + std::string(10'000, 'x')));
  outcome.Created();
  auto status = ReadOutcome(read_end.get());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), base::Code::kNotFound);
  EXPECT_TRUE(status.error().message().starts_with("no\\x0asuch \"thing\": xxx"))
      << status.error().message();
}

TEST_F(LoopTest, AnOutcomeWithoutAWordIsADeath) {
  auto [read_end, write_end] = Pipe();
  write_end.Reset();
  auto status = ReadOutcome(read_end.get());
  EXPECT_EQ(status.error().message(), kMonitorDied);
  for (const char* text : {"creat", "error", "error x\n", "error 999 y\n", "error 3", "\n"}) {
    auto [r, w] = Pipe();
    ASSERT_TRUE(base::WriteFd(w.get(), text).ok());
    w.Reset();
    EXPECT_FALSE(ReadOutcome(r.get()).ok()) << text;
  }
}

TEST_F(LoopTest, AnOutcomeNobodyWaitsForIsSeen) {
  auto [read_end, write_end] = Pipe();
  Outcome outcome(*loop_);
  bool gone = false;
  ASSERT_TRUE(outcome.Take(std::move(write_end), [&] { gone = true; }).ok());
  loop_->RunOnce(20ms);
  EXPECT_FALSE(gone);
  read_end.Reset();
  EXPECT_TRUE(RunUntil([&] { return gone; }));
}

TEST_F(LoopTest, AChildsLastLineSaysWhyItEnded) {
  base::SpawnOptions options;
  options.argv = {"/bin/sh", "-c",
                  "echo first >&2; printf 'bad \\033[31m thing\\n\\n' >&2; exit 3"};
  bool ended = false;
  auto child = Child::Start(*loop_, "helper", std::move(options), [&] { ended = true; });
  ASSERT_TRUE(child.ok()) << child.error().message();
  EXPECT_TRUE(RunUntil([&] { return ended; }));
  EXPECT_FALSE((*child)->running());
  EXPECT_EQ((*child)->Describe(), "helper exited with status 3: bad \\x1b[31m thing");
}

TEST_F(LoopTest, ALineWithoutEndIsNotKeptWhole) {
  base::SpawnOptions options;
  options.argv = {"/bin/sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x >&2"};
  options.environment = {"PATH=/usr/bin:/bin"};
  bool ended = false;
  auto child = Child::Start(*loop_, "helper", std::move(options), [&] { ended = true; });
  ASSERT_TRUE(child.ok()) << child.error().message();
  EXPECT_TRUE(RunUntil([&] { return ended; }));
  EXPECT_GT((*child)->last_line().size(), 100u);
  EXPECT_LT((*child)->last_line().size(), 10'000u);
}

TEST_F(LoopTest, ADestroyedChildIsKilledAndReaped) {
  base::SpawnOptions options;
  options.argv = {"/bin/sleep", "100"};
  auto child = Child::Start(*loop_, "helper", std::move(options),
                            [] { FAIL() << "called after destruction"; });
  ASSERT_TRUE(child.ok());
  pid_t pid = (*child)->pid();
  child->reset();
  EXPECT_EQ(kill(pid, 0), -1);
  loop_->RunOnce(10ms);
}

TEST_F(LoopTest, AChattyChildDoesNotFillTheLog) {
  // What the log gets goes to our stderr here: count what reaches it.
  auto [read_end, write_end] = Pipe();
  base::log::Init({.program = "test", .fd = write_end.get()});
  base::SpawnOptions options;
  options.argv = {
      "/bin/sh", "-c",
      "i=0; while [ $i -lt 40000 ]; do echo \"line $i of a guest that wants our disk\"; "
      "i=$((i+1)); done >&2"};
  bool ended = false;
  size_t logged = 0;
  std::thread reader([&, fd = read_end.get()] { logged = base::ReadFd(fd, 64 << 20)->size(); });
  {
    auto child = Child::Start(*loop_, "helper", std::move(options), [&] { ended = true; });
    EXPECT_TRUE(RunUntil([&] { return ended; }));
    EXPECT_EQ((*child)->last_line(), "line 39999 of a guest that wants our disk");
  }
  base::log::Init({.program = "test"});
  write_end.Reset();
  reader.join();
  // The log's own words at the front of each line come on top.
  EXPECT_LT(logged, Child::kMaxLogBytes * 5 / 4);
  EXPECT_GT(logged, Child::kMaxLogBytes / 2);
}

TEST(SpareDisksTest, TheAnnotationSaysHowMany) {
  oci::Config config;
  EXPECT_EQ(*SpareDisksOf(config, 3), 0u);
  auto of = [&](const std::string& text, size_t disks) {
    config.annotations[kSpareDisksAnnotation] = text;
    return SpareDisksOf(config, disks);
  };
  EXPECT_EQ(*of("5", 3), 5u);
  EXPECT_EQ(*of("0", 8), 0u);
  for (const char* wrong : {"6", "-1", "", "1x", " 1", "99999999999999999999"})
    EXPECT_THAT(of(wrong, 3).error().message(), HasSubstr("holt.spare-disks")) << wrong;
}

TEST(SpareDisksTest, APlaceIsTakenOnceAndFreeAgain) {
  const UniqueFd disk(memfd_create("disk", MFD_CLOEXEC));
  auto spares = SpareDisks::Create(1, 2);
  ASSERT_TRUE(spares.ok()) << spares.error().message();
  EXPECT_EQ(spares->RingsOf(0).size(), 2u);
  auto place = spares->Take("holt-0", disk.get());
  ASSERT_TRUE(place.ok()) << place.error().message();
  EXPECT_EQ(spares->Find("holt-0"), *place);
  EXPECT_EQ(spares->Take("holt-0", disk.get()).error().code(), base::Code::kAlreadyExists);
  EXPECT_EQ(spares->Take("holt-1", disk.get()).error().code(), base::Code::kResourceExhausted);
  ASSERT_TRUE(spares->Free(*place).ok());
  EXPECT_EQ(spares->Find("holt-0"), std::nullopt);
  EXPECT_FALSE(spares->Take("holt-1", 9999).ok()) << "is not open";
  EXPECT_TRUE(spares->Take("holt-2", disk.get()).ok()) << "and the place is free after that";
}

}  // namespace
}  // namespace holt::shim
