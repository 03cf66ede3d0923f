#include "shim/cgroup/scope_properties.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shim/cgroup/limits.h"

namespace holt::shim {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Limits(std::string_view json) {
  auto resources = oci::ParseResources(json);
  EXPECT_TRUE(resources.ok()) << resources.error().message();
  auto writes = WritesForHost(*resources, {.machine_bytes = 1000, .overhead_bytes = 50});
  EXPECT_TRUE(writes.ok()) << writes.error().message();
  auto out = LimitProperties(writes->now);
  for (std::string& later : LimitProperties(writes->when_created)) out.push_back(std::move(later));
  return out;
}

TEST(LimitPropertiesTest, AreTheHostsWithItsHeadRoom) {
  EXPECT_THAT(Limits(R"({"memory":{"limit":800,"swap":900,"reservation":100},"pids":{"limit":10},
                         "cpu":{"shares":1024}})"),
              ElementsAre("MemorySwapMax=uint64 100", "MemoryMax=uint64 1050",
                          "MemoryLow=uint64 150", "CPUWeight=uint64 100", "TasksMax=uint64 138"));
  EXPECT_THAT(
      Limits(R"({"memory":{"limit":-1},"pids":{"limit":-1}})"),
      ElementsAre("MemoryMax=uint64 18446744073709551615", "TasksMax=uint64 18446744073709551615"));
  EXPECT_THAT(
      Limits(R"({"unified":{"memory.high":"2K","memory.min":"7","memory.swap.max":"1M"}})"),
      ElementsAre("MemoryHigh=uint64 2098", "MemoryMin=uint64 57", "MemorySwapMax=uint64 1048576"));
}

TEST(LimitPropertiesTest, BandwidthIsPerSecondAndRoundedUp) {
  EXPECT_THAT(Limits(R"({"cpu":{"quota":50000,"period":100000}})"),
              ElementsAre("CPUQuotaPeriodUSec=uint64 100000", "CPUQuotaPerSecUSec=uint64 500000"));
  EXPECT_THAT(Limits(R"({"cpu":{"quota":1000}})"), ElementsAre("CPUQuotaPerSecUSec=uint64 10000"));
  EXPECT_THAT(Limits(R"({"cpu":{"quota":1000,"period":3000}})"),
              ElementsAre("CPUQuotaPeriodUSec=uint64 3000", "CPUQuotaPerSecUSec=uint64 333334"));
  EXPECT_THAT(Limits(R"({"cpu":{"quota":-1,"period":100000}})"),
              ElementsAre("CPUQuotaPeriodUSec=uint64 100000",
                          "CPUQuotaPerSecUSec=uint64 18446744073709551615"));
}

TEST(LimitPropertiesTest, ProcessorsAreBits) {
  EXPECT_THAT(Limits(R"({"cpu":{"cpus":"0-1,3,9","mems":"0"}})"),
              ElementsAre("AllowedCPUs=@ay [11,2]", "AllowedMemoryNodes=@ay [1]"));
}

TEST(LimitPropertiesTest, IdleIsAWeight) {
  EXPECT_THAT(Limits(R"({"cpu":{"idle":1}})"), ElementsAre("CPUWeight=uint64 0"));
  EXPECT_THAT(Limits(R"({"cpu":{"idle":0}})"),
              ElementsAre("CPUWeight=uint64 18446744073709551615"));
}

TEST(LimitPropertiesTest, InputAndOutput) {
  EXPECT_THAT(Limits(R"({"blockIO":{"weight":200,"throttleReadBpsDevice":[{"major":8,"minor":0,
                         "rate":5}]}})"),
              ElementsAre("IOWeight=uint64 1920"));
}

TEST(LimitPropertiesTest, WhatSystemdHasNoPropertyForOrCannotBeReadIsLeftToTheKernel) {
  EXPECT_THAT(Limits(R"({"cpu":{"burst":10},"hugepageLimits":[{"pageSize":"2MB","limit":5}],
                         "unified":{"cpu.max":"much","cpuset.cpus":"0-","cpuset.mems":"5-2",
                         "misc.max":"a 1","memory.swap.max":"lots","cpu.weight":"-1"}})"),
              IsEmpty());
  EXPECT_THAT(Limits(R"({"cpu":{"cpus":"0-99999999999"}})"), IsEmpty());
}

std::vector<std::string> Annotated(const std::map<std::string, std::string>& annotations) {
  auto properties = AnnotatedProperties(annotations);
  return properties ? *properties
                    : std::vector<std::string>{"error: " + properties.error().message()};
}
std::vector<std::string> Annotated(const std::string& name, const std::string& value) {
  return Annotated({{"org.systemd.property." + name, value}});
}

TEST(AnnotatedPropertiesTest, AreTakenAsTheyAre) {
  EXPECT_THAT(Annotated({{"org.systemd.property.TimeoutStopUSec", "uint64 123"},
                         {"org.systemd.property.CollectMode", "'inactive'"},
                         {"org.systemd.propertied", "x"},
                         {"a", "b"}}),
              ElementsAre("CollectMode='inactive'", "TimeoutStopUSec=uint64 123"));
}

TEST(AnnotatedPropertiesTest, SecondsBecomeMicroseconds) {
  EXPECT_THAT(Annotated("RuntimeMaxSec", "7"), ElementsAre("RuntimeMaxUSec=uint64 7000000"));
  EXPECT_THAT(Annotated("RuntimeMaxSec", "1.5"), ElementsAre("RuntimeMaxUSec=uint64 1500000"));
  EXPECT_THAT(Annotated("RuntimeMaxUSec", "uint64 7"), ElementsAre("RuntimeMaxUSec=uint64 7"));
  EXPECT_THAT(Annotated("PerSEC", "7"), ElementsAre("PerSEC=7"));
}

TEST(AnnotatedPropertiesTest, BadOnesAreErrorsThatNameThem) {
  auto error = [](const std::string& name, const std::string& value, const std::string& why) {
    EXPECT_THAT(Annotated(name, value),
                ElementsAre(AllOf(HasSubstr("error: annotations[\"org.systemd.property." + name),
                                  HasSubstr(why))));
  };
  error("", "5", "three letters");
  error("a", "5", "three letters");
  error("Some.Thing", "5", "three letters");
  error("Mem=x", "5", "three letters");
  error("MemoryMax", "lots", "neither a number");
  error("MemoryMax", "", "neither a number");
  error("RuntimeMaxSec", "-1", "no number of seconds");
  error("RuntimeMaxSec", "'infinity'", "no number of seconds");
  error("RuntimeMaxSec", "uint64 18446744073709551615", "no number of seconds");
  error("Slice", "'a.slice'", "holt sets it itself");
  error("PIDs", "@au [1]", "holt sets it itself");
  error("Delegate", "false", "holt sets it itself");
}

}  // namespace
}  // namespace holt::shim
