#include "shim/run/environment.h"

#include <stdlib.h>

#include <algorithm>

#include "base/file.h"

namespace holt::shim {
namespace {

std::string_view NameOf(std::string_view assignment) {
  return assignment.substr(0, assignment.find('='));
}

}  // namespace

void SetVariable(std::vector<std::string>& env, const std::string& assignment) {
  for (std::string& variable : env) {
    if (NameOf(variable) != NameOf(assignment)) continue;
    variable = assignment;
    return;
  }
  env.push_back(assignment);
}

void UnsetVariable(std::vector<std::string>& env, std::string_view name) {
  std::erase_if(env, [&](const std::string& variable) { return NameOf(variable) == name; });
}

bool HasVariable(const std::vector<std::string>& env, std::string_view name) {
  return std::any_of(env.begin(), env.end(),
                     [&](const std::string& variable) { return NameOf(variable) == name; });
}

base::Result<std::string> ParseVariable(const std::string& text) {
  std::string name(NameOf(text));
  if (name.empty() || text.find('\0') != std::string::npos)
    return base::MakeError(base::Code::kInvalidArgument, "\"{}\": write NAME=value, or NAME", text);
  if (name.size() < text.size()) return text;
  const char* value = getenv(name.c_str());
  return value == nullptr ? name : name + "=" + value;
}

base::Result<std::vector<std::string>> ReadEnvFile(const std::string& path) {
  TRY_ASSIGN(std::string text, base::ReadFile(path, 4 << 20));
  std::vector<std::string> out;
  size_t number = 0;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    line.erase(0, std::min(line.find_first_not_of(" \t"), line.size()));
    if (line.empty() || line[0] == '#') continue;
    if (NameOf(line).find_first_of(" \t") != std::string_view::npos)
      return base::MakeError(base::Code::kInvalidArgument, "{}:{}: a name with white space: \"{}\"",
                             path, number, NameOf(line));
    TRY_ASSIGN_CONTEXT(std::string variable, ParseVariable(line),
                       fmt::format("{}:{}", path, number));
    out.push_back(std::move(variable));
  }
  return out;
}

void ApplyVariables(std::vector<std::string>& env, const std::vector<std::string>& changes) {
  for (const std::string& change : changes) {
    if (change.find('=') == std::string::npos) {
      UnsetVariable(env, change);
    } else {
      SetVariable(env, change);
    }
  }
}

}  // namespace holt::shim
