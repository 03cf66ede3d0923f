// Fails on an include that points to a higher layer, or sideways where a layer must stay alone.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace holt {
namespace {

namespace fs = std::filesystem;

// Folder -> folders it may include from, itself apart. docs: CONTRIBUTING.md, Layers.
const std::map<std::string, std::set<std::string>>& Allowed() {
  static const std::map<std::string, std::set<std::string>> allowed = {
      {"base", {}},
      {"oci", {"base"}},
      {"rpc", {"base"}},
      {"image", {"base", "oci"}},
      {"vmm", {"base", "rpc"}},
      {"guest-agent", {"base", "oci", "rpc"}},
      {"shim", {"base", "oci", "rpc", "image", "vmm"}},
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
      R"((?:^|[\s`(])((?:base|oci|rpc|image|vmm|guest-agent|shim|kernel-config|tests|docs|deploy)/[A-Za-z0-9_./-]*[A-Za-z0-9_]\.(?:cc|h|md|proto|sh|go|cmake|py|config|txt))(?=[\s`),:;.]|$))");
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

}  // namespace
}  // namespace holt
