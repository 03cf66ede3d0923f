#include "guest-agent/container/check_config.h"

#include <algorithm>
#include <cctype>

#include "oci/unsupported.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;

constexpr size_t kMaxId = 255;  // NAME_MAX

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

base::Status CheckId(const std::string& what, const std::string& id) {
  bool valid = !id.empty() && id.size() <= kMaxId && IsAlphanumeric(id[0]) &&
               std::all_of(id.begin(), id.end(), [](char c) {
                 return IsAlphanumeric(c) || c == '_' || c == '-' || c == '.' || c == '+';
               });
  if (valid) return {};
  return MakeError(
      Code::kInvalidArgument,
      "{}: must be 1 to {} letters, digits, '_', '-', '.' or '+', a letter or digit first", what,
      kMaxId);
}

base::Status CheckConfig(const oci::Config& config) {
  if (!config.process)
    return MakeError(Code::kInvalidArgument, "process: is required to make a container");
  if (!config.root) return MakeError(Code::kInvalidArgument, "root: is required");
  for (const char* type : {"pid", "mount"})
    if (!oci::FindNamespace(config, type))
      return MakeError(
          Code::kUnsupported,
          "linux.namespaces: not supported: a container without a {} namespace of its own", type);
  if (!config.process->command_line.empty() && config.process->args.empty())
    return MakeError(Code::kUnsupported, "process.commandLine: not supported: is for Windows");
  return oci::CheckGuestSupport(config);
}

}  // namespace holt::guest_agent
