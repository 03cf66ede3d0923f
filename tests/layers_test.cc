// Fails on an include that points to a higher layer, or sideways where a layer must stay alone.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "tests/named_tests.h"

namespace holt {
namespace {

namespace fs = std::filesystem;

// Folder -> folders it may include from, itself apart. docs: CONTRIBUTING.md, Layers.
const std::map<std::string, std::set<std::string>>& Allowed() {
  static const std::map<std::string, std::set<std::string>> allowed = {
      {"base", {}},
      {"oci", {"base"}},
      {"rpc", {"base"}},
      {"cgroup", {"base", "oci"}},
      {"image", {"base", "oci"}},
      {"vmm", {"base", "rpc"}},
      {"guest-agent", {"base", "oci", "rpc", "cgroup"}},
      {"shim", {"base", "oci", "rpc", "cgroup", "image", "vmm"}},
  };
  return allowed;
}

// Messages that a folder must not know although it may use rpc.
bool ForbiddenMessage(const std::string& folder, const std::string& include) {
  if (folder == "vmm")
    return include.starts_with("rpc/agent") || include.starts_with("rpc/monitor");
  if (folder == "guest-agent")
    return include.starts_with("rpc/vmm") || include.starts_with("rpc/monitor");
  return false;
}

std::vector<std::string> Violations(const std::string& folder, const std::string& file,
                                    std::istream& in) {
  static const std::regex kInclude(R"re(^\s*#\s*include\s*"([^"]+)")re");
  std::vector<std::string> violations;
  std::string line;
  while (std::getline(in, line)) {
    std::smatch match;
    if (!std::regex_search(line, match, kInclude)) continue;
    std::string include = match[1];
    std::string target = include.substr(0, include.find('/'));
    if (!Allowed().contains(target)) {
      violations.push_back(file + ": include from the repository root: \"" + include + "\"");
    } else if (target != folder && !Allowed().at(folder).contains(target)) {
      violations.push_back(file + ": " + folder + " must not include " + include);
    } else if (ForbiddenMessage(folder, include)) {
      violations.push_back(file + ": " + folder + " must not know " + include);
    }
  }
  return violations;
}

TEST(LayersTest, NoForbiddenInclude) {
  int files = 0;
  for (const auto& [folder, allowed] : Allowed()) {
    fs::path root = fs::path(HOLT_SOURCE_DIR) / folder;
    if (!fs::exists(root)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      auto extension = entry.path().extension();
      if (extension != ".cc" && extension != ".h") continue;
      ++files;
      std::ifstream in(entry.path());
      for (const auto& violation : Violations(folder, entry.path().string(), in))
        ADD_FAILURE() << violation;
    }
  }
  EXPECT_GT(files, 20);
}

TEST(LayersTest, TheRulesCatchWhatTheyShould) {
  auto check = [](const std::string& folder, const std::string& text) {
    std::istringstream in(text);
    return Violations(folder, "f", in).size();
  };
  EXPECT_EQ(
      check("vmm", "#include \"base/log.h\"\n#include \"rpc/vmm.pb.h\"\n#include <image/x>\n"), 0u);
  EXPECT_EQ(check("vmm", "#include \"oci/runtime_spec.h\"\n"), 1u);
  EXPECT_EQ(check("vmm", "#include \"rpc/agent.pb.h\"\n"), 1u);
  EXPECT_EQ(check("base", "  # include \"rpc/client.h\"\n"), 1u);
  EXPECT_EQ(check("guest-agent", "#include \"shim/cli/run.h\"\n"), 1u);
  EXPECT_EQ(check("shim", "#include \"run.h\"\n"), 1u);
}

// Paths in backquotes in the docs that look like files of this tree must exist.
TEST(DocsTest, NamedPathsExist) {
  fs::path root = HOLT_SOURCE_DIR;
  static const std::regex kPath(
      R"((?:^|[\s`(])((?:base|oci|rpc|cgroup|image|vmm|guest-agent|shim|kernel-config|tests|docs|deploy)/[A-Za-z0-9_./-]*[A-Za-z0-9_]\.(?:cc|h|md|proto|sh|go|cmake|py|config|txt))(?=[\s`),:;.]|$))");
  std::vector<fs::path> docs = {root / "README.md", root / "CONTRIBUTING.md"};
  for (const auto& entry : fs::recursive_directory_iterator(root / "docs"))
    if (entry.path().extension() == ".md") docs.push_back(entry.path());
  for (const auto& doc : docs) {
    std::ifstream in(doc);
    std::string line;
    int number = 0;
    while (std::getline(in, line)) {
      ++number;
      for (std::sregex_iterator it(line.begin(), line.end(), kPath), end; it != end; ++it) {
        fs::path path = root / (*it)[1].str();
        EXPECT_TRUE(fs::exists(path) || fs::exists(fs::path(path).replace_extension(".proto")))
            << doc << ":" << number << " names " << (*it)[1].str() << ", which does not exist";
      }
    }
  }
}

// What is wrong with a row of docs/threats.md, "" if nothing: `class | how | tests`, where the last
// names tests that exist or says that holt has no such thing.
std::string RowProblem(const std::string& row, const std::set<std::string>& tests) {
  static const std::regex kName(R"(`([A-Za-z]\w*\.[A-Z]\w*)`)");
  const size_t last = row.rfind('|', row.size() - 2);
  if (!row.ends_with("|") || last == std::string::npos) return "is no row of three columns";
  const std::string column = row.substr(last);
  int named = 0;
  for (std::sregex_iterator it(column.begin(), column.end(), kName), end; it != end; ++it, ++named)
    if (!tests.contains((*it)[1])) return "names " + (*it)[1].str() + ", which is no test";
  if (named == 0 && column.find("holt has no") == std::string::npos)
    return "names no test and does not say that holt has no such thing";
  return "";
}

TEST(DocsTest, NamedTestsExist) {
  const std::set<std::string> tests = AllTests();
  EXPECT_GT(tests.size(), 300u);
  std::ifstream in(fs::path(HOLT_SOURCE_DIR) / "docs/threats.md");
  int rows = 0;
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("| ") || line.starts_with("| class ")) continue;
    ++rows;
    EXPECT_EQ(RowProblem(line, tests), "") << line;
  }
  EXPECT_GE(rows, 24);
}

TEST(DocsTest, ARowThatNamesNoTestIsSeen) {
  const std::set<std::string> tests = {"A.B", "Good.Test"};
  EXPECT_EQ(RowProblem("| x | y | `Good.Test`, `A.B` |", tests), "");
  EXPECT_EQ(RowProblem("| x | y | holt has no snapshots yet |", tests), "");
  EXPECT_NE(RowProblem("| x | y | `Gone.Test` |", tests), "");
  EXPECT_NE(RowProblem("| x | `Good.Test` | later |", tests), "");
  EXPECT_NE(RowProblem("| x | y |  |", tests), "");
}

}  // namespace
}  // namespace holt
