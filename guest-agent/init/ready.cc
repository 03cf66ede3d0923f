#include "guest-agent/init/ready.h"

#include "base/file.h"
#include "guest-agent/stream/vsock.h"
#include "oci/json_binding.h"

namespace holt::guest_agent {
namespace {

// The host reads at most 4096 bytes; escapes can make six of one.
constexpr size_t kMaxError = 600;

}  // namespace

std::string ReadyLine(const std::string& version, uint64_t boot_us) {
  // On the way of every start, and nothing in it needs escaping.
  return fmt::format("{{\"ready\":true,\"version\":\"{}\",\"boot_us\":{}}}\n", version, boot_us);
}

std::string FailureLine(const std::string& error) {
  oci::Json json = oci::Json::object();
  json["ready"] = false;
  json["error"] = error.substr(0, kMaxError);
  return oci::DumpJson(json, -1) + "\n";
}

base::Result<base::UniqueFd> TellHost(const std::string& line) {
  TRY_ASSIGN(base::UniqueFd connection, DialHost(kReadyPort));
  TRY(base::WriteFd(connection.get(), line));
  return connection;
}

}  // namespace holt::guest_agent
