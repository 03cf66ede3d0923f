// docs/runtime-spec.md says where each property of config.json is done; the code must agree.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <set>
#include <string>

#include "base/file.h"
#include "oci/runtime_spec.h"
#include "oci/unsupported.h"
#include "tests/named_tests.h"

namespace holt {
namespace {

using nlohmann::json;

struct Row {
  std::string where;
  std::string tests;
};

// property → row.
std::map<std::string, Row> ReadTable() {
  static const std::regex kRow(R"(^\| `([\w.]+)` \| (\w+) \|(.*)\| (.*) \|$)");
  std::map<std::string, Row> rows;
  std::ifstream in(HOLT_SOURCE_DIR "/docs/runtime-spec.md");
  for (std::string line; std::getline(in, line);) {
    std::smatch match;
    if (line.starts_with("## ")) break;
    if (!line.starts_with("| `")) continue;
    EXPECT_TRUE(std::regex_match(line, match, kRow)) << line;
    if (match.empty()) continue;
    EXPECT_TRUE(rows.emplace(match[1], Row{match[2], match[4]}).second) << "twice: " << line;
  }
  return rows;
}

// The configuration that sets every property (RuntimeSpecTest holds it to that).
json FullConfig() {
  auto text = base::ReadFile(HOLT_SOURCE_DIR "/tests/corpus/runtime_spec/full.json");
  EXPECT_TRUE(text.ok());
  return json::parse(text.value_or("{}"));
}

// Calls `visit` with each property's path, "mounts.options", outer ones first. Keys of maps are
// names of somebody's, not properties.
void WalkProperties(const json& value, const std::string& path, std::set<std::string>& paths) {
  static const std::set<std::string> kMaps = {"annotations",       "linux.sysctl",
                                              "linux.netDevices",  "linux.resources.rdma",
                                              "linux.timeOffsets", "linux.resources.unified"};
  if (!path.empty()) paths.insert(path);
  if (kMaps.contains(path)) return;
  if (value.is_array())
    for (const json& item : value) WalkProperties(item, path, paths);
  if (!value.is_object()) return;
  for (const auto& [name, member] : value.items())
    WalkProperties(member, path.empty() ? name : path + "." + name, paths);
}

// The row that speaks of `path`: its own, or the nearest above it.
std::optional<std::string> RowOf(std::string path, const std::map<std::string, Row>& rows) {
  for (;;) {
    if (rows.contains(path)) return path;
    size_t dot = path.rfind('.');
    if (dot == std::string::npos) return std::nullopt;
    path.resize(dot);
  }
}

// Takes the property away, from each element where it is in a list.
void Remove(json& value, const std::string& path) {
  if (value.is_array()) {
    for (json& item : value) Remove(item, path);
    return;
  }
  if (!value.is_object()) return;
  size_t dot = path.find('.');
  std::string name = path.substr(0, dot);
  if (!value.contains(name)) return;
  if (dot == std::string::npos) {
    value.erase(name);
  } else {
    Remove(value[name], path.substr(dot + 1));
  }
}

// What a property of full.json becomes, where only some of its values are refused.
void MakeSupported(json& config, const std::map<std::string, Row>& rows) {
  for (const auto& [property, row] : rows)
    if (row.where == "refused") Remove(config, property);
  config["process"]["apparmorProfile"] = "docker-default";
  for (json& item : config["linux"]["namespaces"])
    if (item["type"] != "network") item.erase("path");
}

// Values with which the code refuses a property that the table calls refused; of the others that of
// full.json.
json RefusedValue(const std::string& property, const json& full) {
  static const std::map<std::string, json> kValues = {
      {"linux.resources.memory.kernel", 1},
      {"linux.resources.memory.kernelTCP", 1},
      {"linux.resources.memory.swappiness", 60},
      {"linux.resources.memory.disableOOMKiller", true}};
  if (auto it = kValues.find(property); it != kValues.end()) return it->second;
  json::json_pointer pointer("/" + std::regex_replace(property, std::regex(R"(\.)"), "/"));
  return full.contains(pointer) ? full.at(pointer) : json();
}

std::string Problem(const json& config) {
  auto parsed = oci::ParseConfig(config.dump());
  if (!parsed) return parsed.error().message();
  auto supported = oci::CheckSupported(*parsed);
  return supported ? "" : supported.error().message();
}

TEST(RuntimeSpecTableTest, EveryPropertyHasARow) {
  auto rows = ReadTable();
  std::set<std::string> properties;
  WalkProperties(FullConfig(), "", properties);
  EXPECT_GT(properties.size(), 180u);
  static const std::set<std::string> kGroups = {"linux", "hooks"};
  for (const std::string& property : properties)
    if (!kGroups.contains(property)) {
      EXPECT_TRUE(RowOf(property, rows)) << property << " has no row in docs/runtime-spec.md";
    }
  for (const auto& [property, row] : rows)
    EXPECT_TRUE(properties.contains(property)) << property << " is no property";
}

TEST(RuntimeSpecTableTest, WhatIsNotRefusedIsTaken) {
  auto rows = ReadTable();
  json config = FullConfig();
  MakeSupported(config, rows);
  EXPECT_EQ(Problem(config), "");
}

TEST(RuntimeSpecTableTest, WhatIsRefusedIsNamed) {
  auto rows = ReadTable();
  json full = FullConfig();
  for (const auto& [property, row] : rows) {
    if (row.where != "refused") continue;
    json config = full;
    MakeSupported(config, rows);
    json::json_pointer pointer("/" + std::regex_replace(property, std::regex(R"(\.)"), "/"));
    std::string start = property;
    if (property == "linux.resources.blockIO.weightDevice.leafWeight") {
      config["linux"]["resources"]["blockIO"]["weightDevice"][0]["leafWeight"] = 300;
      start = "linux.resources.blockIO.weightDevice[0].leafWeight";
    } else {
      config[pointer] = RefusedValue(property, full);
    }
    EXPECT_EQ(Problem(config).rfind(start, 0), 0u) << property << ": " << Problem(config);
  }
}

TEST(RuntimeSpecTableTest, TheWordsAreThose) {
  static const std::set<std::string> kWords = {"host", "guest", "both", "refused"};
  const std::set<std::string> tests = AllTests();
  static const std::regex kName(R"(`(\w+\.\w+)`)");
  for (const auto& [property, row] : ReadTable()) {
    EXPECT_TRUE(kWords.contains(row.where)) << property << ": " << row.where;
    std::sregex_iterator it(row.tests.begin(), row.tests.end(), kName), end;
    EXPECT_NE(it, end) << property << " names no test";
    for (; it != end; ++it)
      EXPECT_TRUE(tests.contains((*it)[1]))
          << property << " names " << (*it)[1] << ", which is none";
  }
}

}  // namespace
}  // namespace holt
