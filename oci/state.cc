#include "oci/state.h"

#include <array>

#include "oci/json_binding.h"

namespace holt::oci {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"creating", "created", "running", "stopped",
                                                    "paused"};
constexpr size_t kMaxStateBytes = 1 << 20;

// State with its status as text.
struct StateJson {
  std::string oci_version, id, status, bundle;
  std::optional<int64_t> pid;
  std::map<std::string, std::string> annotations;
};

template <typename A>
void Describe(A& a, StateJson& x) {
  a("ociVersion", x.oci_version);
  a("id", x.id);
  a("status", x.status);
  a("pid", x.pid);
  a("bundle", x.bundle);
  a("annotations", x.annotations);
}

}  // namespace

std::string_view StatusName(Status status) { return kNames[static_cast<size_t>(status)]; }

base::Result<Status> StatusFromName(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<Status>(i);
  return base::MakeError(base::Code::kInvalidArgument, "status: \"{}\" is none of {}", name,
                         fmt::join(kNames, ", "));
}

base::Result<State> ParseState(std::string_view json) {
  TRY_ASSIGN(Json parsed, ParseJsonText(json, "state", kMaxStateBytes, 8));
  StateJson text;
  JsonReader reader;
  reader.ReadRoot(parsed, text);
  TRY_CONTEXT(reader.status(), "state");
  if (text.id.empty())
    return base::MakeError(base::Code::kInvalidArgument, "state: id: is required");
  TRY_ASSIGN(Status status, StatusFromName(text.status));
  return State{text.oci_version,     text.id,     status,
               text.pid.value_or(0), text.bundle, std::move(text.annotations)};
}

std::string SerializeState(const State& state, int indent) {
  StateJson text{state.oci_version, state.id,     std::string(StatusName(state.status)),
                 state.bundle,      std::nullopt, state.annotations};
  if (state.pid != 0) text.pid = state.pid;
  Json json = JsonWriter::Write(text);
  json["bundle"] = state.bundle;  // required by the specification, even when empty
  return DumpJson(json, indent);
}

}  // namespace holt::oci
