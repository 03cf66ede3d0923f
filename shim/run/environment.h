#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// Lists of "NAME=value", in which a name is there once.
namespace holt::shim {

// Sets the variable: in its place if `env` has the name, else at the end.
void SetVariable(std::vector<std::string>& env, const std::string& assignment);
void UnsetVariable(std::vector<std::string>& env, std::string_view name);
bool HasVariable(const std::vector<std::string>& env, std::string_view name);

// What -e takes: "NAME=value"; "NAME" alone takes the caller's value, or unsets it where the caller
// has none. The result is an assignment, or the bare name to unset.
base::Result<std::string> ParseVariable(const std::string& text);

// A file of --env-file: a variable a line as for -e; empty lines and those that begin with # are
// skipped, values are taken as they are.
base::Result<std::vector<std::string>> ReadEnvFile(const std::string& path);

// Applies what ParseVariable and ReadEnvFile returned, in order.
void ApplyVariables(std::vector<std::string>& env, const std::vector<std::string>& changes);

}  // namespace holt::shim
