#include "shim/cli/stats_json.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace holt::shim::cli {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::IsEmpty;
using testing::SizeIs;
using Json = nlohmann::json;

TEST(StatsJsonTest, AsRuncWritesIt) {
  agent::v1::StatsResponse stats;
  stats.set_cpu_usage_nanos(3000);
  stats.set_cpu_user_nanos(1000);
  stats.set_cpu_system_nanos(2000);
  stats.set_cpu_throttled_nanos(5);
  stats.set_memory_usage_bytes(4096);
  stats.set_memory_limit_bytes(8192);
  stats.set_swap_limit_bytes(1);
  (*stats.mutable_memory_stat())["file"] = 7;
  (*stats.mutable_memory_events())["oom_kill"] = 2;
  stats.set_pids_current(2);
  stats.set_cpuset_cpus("0-1");
  auto* device = stats.add_block_io();
  device->set_major(8);
  device->set_read_bytes(9);
  (*stats.mutable_hugetlb())["2MB"].set_usage_bytes(11);
  (*stats.mutable_pressure())["cpu"].mutable_some()->set_avg10(1.5);
  auto* interface = stats.add_interfaces();
  interface->set_name("eth0");
  interface->set_rx_bytes(12);
  std::string line = StatsLine("c1", stats);
  EXPECT_THAT(line, EndsWith("}\n"));
  Json json = Json::parse(line);
  EXPECT_EQ(json["type"], "stats");
  EXPECT_EQ(json["id"], "c1");
  const Json& data = json["data"];
  EXPECT_EQ(data["cpu"]["usage"], Json::parse(R"({"total":3000,"kernel":2000,"user":1000})"));
  EXPECT_EQ(data["cpu"]["throttling"], Json::parse(R"({"throttledTime":5})"));
  EXPECT_EQ(data["cpu"]["psi"]["some"]["avg10"], 1.5);
  EXPECT_EQ(data["memory"]["usage"], Json::parse(R"({"limit":8192,"usage":4096,"failcnt":0})"));
  EXPECT_EQ(data["memory"]["swap"]["limit"], 8193);
  EXPECT_EQ(data["memory"]["cache"], 7);
  EXPECT_EQ(data["memory"]["raw"], Json::parse(R"({"file":7})"));
  EXPECT_EQ(data["memory"]["event_count"]["oom_kill"], 2);
  EXPECT_EQ(data["pids"], Json::parse(R"({"current":2})"));
  EXPECT_EQ(data["cpuset"]["cpus"], Json::parse("[0,1]"));
  EXPECT_EQ(data["blkio"]["ioServiceBytesRecursive"][0],
            Json::parse(R"({"major":8,"op":"Read","value":9})"));
  EXPECT_EQ(data["hugetlb"], Json::parse(R"({"2MB":{"usage":11,"failcnt":0}})"));
  EXPECT_EQ(data["network_interfaces"][0]["RxBytes"], 12);
}

TEST(StatsJsonTest, NoLimitIsTheHighestNumberAndNoInterfaceIsNull) {
  Json data = Json::parse(StatsLine("c1", {}))["data"];
  EXPECT_EQ(data["memory"]["usage"]["limit"], UINT64_MAX);
  EXPECT_EQ(data["memory"]["swap"]["limit"], UINT64_MAX);
  EXPECT_TRUE(data["network_interfaces"].is_null());
  EXPECT_TRUE(data["hugetlb"].is_object());
}

TEST(StatsJsonTest, WhatAGuestMakesUpDoesNoHarm) {
  agent::v1::StatsResponse stats;
  stats.set_cpuset_cpus("0-65535");
  stats.set_swap_usage_bytes(UINT64_MAX);
  stats.set_memory_usage_bytes(UINT64_MAX);
  (*stats.mutable_pressure())["cpu"].mutable_some()->set_avg10(0.0 / 0.0);
  for (int i = 0; i < 5000; ++i) stats.add_interfaces()->set_name("\n\x1b[2J");
  std::string line = StatsLine("c1", stats);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(line.find('\x1b'), std::string::npos);
  Json data = Json::parse(line)["data"];
  EXPECT_THAT(data["network_interfaces"], SizeIs(4096));
  EXPECT_EQ(data["memory"]["swap"]["usage"], UINT64_MAX);
}

TEST(StatsJsonTest, Lists) {
  EXPECT_THAT(ExpandList("0-2,7"), ElementsAre(0, 1, 2, 7));
  EXPECT_THAT(ExpandList("0-65535"), SizeIs(1024));
  for (const char* wrong : {"", "x", "0-", "3-1", "0;1", "70000", "-1"})
    EXPECT_THAT(ExpandList(wrong), IsEmpty()) << wrong;
}

TEST(StatsJsonTest, Oom) { EXPECT_EQ(OomLine("c1"), "{\"type\":\"oom\",\"id\":\"c1\"}\n"); }

}  // namespace
}  // namespace holt::shim::cli
