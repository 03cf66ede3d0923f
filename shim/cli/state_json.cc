#include "shim/cli/state_json.h"

#include <pwd.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "oci/known_values.h"

namespace holt::shim::cli {
namespace {

using Json = nlohmann::ordered_json;

// What is not UTF-8 (a file name, say) is replaced, never an exception.
std::string Dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json State(const Sandbox& sandbox) {
  const Record& record = sandbox.record;
  Json out;
  out["ociVersion"] = record.oci_version.empty() ? oci::kSpecVersion : record.oci_version;
  out["id"] = record.id;
  out["pid"] = ShownPid(record);
  out["status"] = record.status;
  out["bundle"] = record.bundle.empty() ? sandbox.paths.directory : record.bundle;
  out["rootfs"] = record.rootfs;
  out["created"] = FormatTime(record.created_unix_nanos);
  if (!record.annotations.empty()) out["annotations"] = record.annotations;
  out["owner"] = "";
  return out;
}

Json Detail(const Sandbox& sandbox) {
  const Record& record = sandbox.record;
  Json out = State(sandbox);
  out["name"] = record.name;
  out["image"] = record.image;
  out["command"] = record.command;
  out["accel"] = record.accel;
  out["memory"] = record.memory_bytes;
  out["vcpus"] = record.vcpus;
  out["started"] = FormatTime(record.started_unix_nanos);
  if (record.status == "stopped") {
    out["exited"] = FormatTime(record.exited_unix_nanos);
    out["exitStatus"] = record.exit_status;
    out["oomKilled"] = record.oom_killed;
    if (!record.error.empty()) out["error"] = record.error;
  }
  return out;
}

}  // namespace

std::string OwnerOf(const Sandbox& sandbox) {
  struct stat st {};
  if (stat(sandbox.paths.directory.c_str(), &st) != 0) return "";
  passwd entry{};
  passwd* found = nullptr;
  char buffer[4096];
  if (getpwuid_r(st.st_uid, &entry, buffer, sizeof buffer, &found) == 0 && found != nullptr)
    return entry.pw_name;
  return fmt::format("#{}", st.st_uid);
}

int ShownPid(const Record& record) { return record.status == "stopped" ? 0 : record.pid; }

std::string StateJson(const Sandbox& sandbox) { return Dump(State(sandbox), 2); }

std::string StateListJson(const std::vector<Sandbox>& sandboxes) {
  Json list;
  for (const Sandbox& sandbox : sandboxes) {
    Json& state = list.emplace_back(State(sandbox));
    state["owner"] = OwnerOf(sandbox);
  }
  return Dump(list, -1);
}

std::string DetailListJson(const std::vector<Sandbox>& sandboxes) {
  Json list = Json::array();
  for (const Sandbox& sandbox : sandboxes) list.push_back(Detail(sandbox));
  return Dump(list, 2);
}

}  // namespace holt::shim::cli
