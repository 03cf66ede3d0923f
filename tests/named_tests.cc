#include "tests/named_tests.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>

namespace holt {
namespace {

namespace fs = std::filesystem;

void AddTests(const fs::path& folder, std::set<std::string>& tests) {
  static const std::regex kTest(R"(\bTEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\))");
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.path().filename().string().ends_with("_test.cc")) continue;
    std::ifstream in(entry.path());
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    for (std::sregex_iterator it(text.begin(), text.end(), kTest), end; it != end; ++it)
      tests.insert((*it)[1].str() + "." + (*it)[2].str());
  }
}

}  // namespace

std::set<std::string> AllTests() {
  std::set<std::string> tests;
  for (const auto& entry : fs::directory_iterator(HOLT_SOURCE_DIR)) {
    const std::string name = entry.path().filename();
    if (entry.is_directory() && !name.starts_with('.') && name != "build")
      AddTests(entry.path(), tests);
  }
  return tests;
}

}  // namespace holt
