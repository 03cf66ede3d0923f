#include "shim/cgroup/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holt::shim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr HostBudget kBudget{.machine_bytes = 1000, .overhead_bytes = 50};

oci::Resources Parse(std::string_view json) {
  auto resources = oci::ParseResources(json);
  EXPECT_TRUE(resources.ok()) << resources.error().message();
  return *resources;
}

std::vector<std::string> Texts(const std::vector<cgroup::CgroupWrite>& writes) {
  std::vector<std::string> texts;
  for (const auto& write : writes) texts.push_back(write.file + "=" + write.value);
  return texts;
}

std::vector<std::string> Now(std::string_view json, const HostBudget& budget = kBudget) {
  auto writes = WritesForHost(Parse(json), budget);
  EXPECT_TRUE(writes.ok()) << writes.error().message();
  return Texts(writes->now);
}

TEST(HostLimitsTest, AMemoryLimitIsTheMachinesAndTheProcessesAroundIt) {
  EXPECT_THAT(Now(R"({"memory":{"limit":800}})"), ElementsAre("memory.max=1050"));
  // A limit set later may be more than the machine has, or less than it has taken already.
  EXPECT_THAT(Now(R"({"memory":{"limit":3000}})"), ElementsAre("memory.max=3050"));
  EXPECT_THAT(Now(R"({"memory":{"limit":1}})"), ElementsAre("memory.max=1050"));
  EXPECT_THAT(Now(R"({"memory":{"limit":-1}})"), ElementsAre("memory.max=max"));
  EXPECT_THAT(Now(R"({"memory":{"limit":800,"swap":900,"reservation":100}})"),
              ElementsAre("memory.swap.max=100", "memory.max=1050", "memory.low=150"));
}

TEST(HostLimitsTest, SumsThatOverflowAreNoLimit) {
  EXPECT_THAT(Now(R"({"memory":{"limit":9223372036854775807}})"), ElementsAre("memory.max=max"));
  EXPECT_THAT(
      Now(R"({"memory":{"limit":1}})", {.machine_bytes = UINT64_MAX, .overhead_bytes = UINT64_MAX}),
      ElementsAre("memory.max=max"));
  EXPECT_THAT(Now(R"({"pids":{"limit":9223372036854775807}})"), ElementsAre("pids.max=max"));
  EXPECT_THAT(Now(R"({"unified":{"memory.max":"18446744073709551615"}})"),
              ElementsAre("memory.max=max"));
  EXPECT_THAT(Now(R"({"unified":{"memory.max":"99999999999999P"}})"),
              ElementsAre("memory.max=max"));
}

TEST(HostLimitsTest, PidsGetHeadRoom) {
  EXPECT_THAT(Now(R"({"pids":{"limit":10}})"), ElementsAre("pids.max=138"));
  EXPECT_THAT(Now(R"({"pids":{"limit":-1}})"), ElementsAre("pids.max=max"));
}

TEST(HostLimitsTest, UnifiedIsTreatedAsTheFilesAre) {
  EXPECT_THAT(Now(R"({"unified":{"cgroup.freeze":"1","io.max":"8:0 rbps=5","memory.high":"2K",
               "memory.low":"0","memory.min":"7","misc.max":"sev 1","pids.max":"1"}})"),
              ElementsAre("io.max=8:0 rbps=5", "memory.high=2098", "memory.low=0", "memory.min=57",
                          "misc.max=sev 1", "pids.max=129"));
  for (const char* value : {"lots", "-5", "5X", "", "1 2"}) {
    oci::Resources resources;
    resources.unified["memory.max"] = value;
    auto writes = WritesForHost(resources, kBudget);
    ASSERT_FALSE(writes.ok()) << value;
    EXPECT_THAT(writes.error().message(), HasSubstr("linux.resources.unified[\"memory.max\"]"));
  }
}

TEST(HostLimitsTest, BandwidthComesLater) {
  auto writes = WritesForHost(
      Parse(R"({"cpu":{"quota":50000,"period":100000,"burst":10,"shares":1024,"cpus":"0"}})"),
      kBudget);
  ASSERT_TRUE(writes.ok());
  EXPECT_THAT(Texts(writes->now), ElementsAre("cpu.weight=100", "cpuset.cpus=0"));
  EXPECT_THAT(Texts(writes->when_created), ElementsAre("cpu.max=50000 100000", "cpu.max.burst=10"));
}

TEST(GuestLimitsTest, TheGuestGetsWhatMeansSomethingThere) {
  oci::Resources guest = ResourcesForGuest(Parse(
      R"({"cpu":{"quota":50000,"cpus":"0-3","mems":"0"},"memory":{"limit":9},"pids":{"limit":3},
          "blockIO":{"weight":100},"hugepageLimits":[{"pageSize":"2MB","limit":5}],
          "unified":{"io.max":"8:0 rbps=5","cpuset.cpus":"3","memory.high":"5","misc.max":"a 1"}})"));
  auto writes = cgroup::CgroupWrites(guest);
  ASSERT_TRUE(writes.ok());
  EXPECT_THAT(Texts(*writes), ElementsAre("memory.max=9", "cpu.max=50000", "pids.max=3",
                                          "hugetlb.2MB.max=5", "memory.high=5"));
}

TEST(GuestLimitsTest, WhatOnlyAHostCanDoIsNamed) {
  auto only = [](std::string_view json) { return *HostOnlyProperties(Parse(json)); };
  EXPECT_THAT(only(R"({"memory":{"limit":9},"pids":{"limit":3},"cpu":{"quota":5}})"), IsEmpty());
  EXPECT_THAT(only(R"({"blockIO":{"weight":0}})"), IsEmpty()) << "engines send it always";
  EXPECT_THAT(
      only(R"({"blockIO":{"weight":100},"cpu":{"cpus":"0"},"unified":{"io.max":"1:1 rbps=2"}})"),
      ElementsAre("linux.resources.cpu.cpus", "linux.resources.blockIO.weight",
                  "linux.resources.unified[\"io.max\"]"));
}

TEST(HostLimitsTest, NoLimitIsNone) {
  EXPECT_FALSE(*HasHostLimits(Parse(
      R"({"memory":{"limit":-1,"swap":-1},"pids":{"limit":0},"cpu":{"quota":-1,"shares":0},
          "devices":[{"allow":false,"access":"rwm"}]})")));
  EXPECT_TRUE(*HasHostLimits(Parse(R"({"pids":{"limit":5}})")));
}

}  // namespace
}  // namespace holt::shim
