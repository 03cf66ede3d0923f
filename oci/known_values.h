#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "oci/runtime_spec.h"

// The sets of values that the validation of config.json knows, for who lists them (`holt
// features`). Known is not supported: oci/unsupported.h.
namespace holt::oci {

// The version of the specification that all of this is.
inline constexpr char kSpecVersion[] = "1.3.0";

struct HookKind {
  std::string_view name;  // "createRuntime"
  std::vector<Hook> Hooks::*list;
};
std::span<const HookKind> HookKinds();

std::span<const std::string_view> NamespaceTypes();
std::span<const std::string_view> SeccompActions();
std::span<const std::string_view> SeccompOperators();
std::span<const std::string_view> SeccompArchitectures();
std::span<const std::string_view> SeccompFlags();
std::span<const std::string_view> MemoryPolicyModes();
std::span<const std::string_view> MemoryPolicyFlags();

}  // namespace holt::oci
