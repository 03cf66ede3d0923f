#include "shim/hooks/hooks.h"

#include <fcntl.h>

#include <filesystem>

#include "base/file.h"
#include "base/unique_fd.h"
#include "oci/run_hooks.h"
#include "oci/state.h"

namespace holt::shim {
namespace {

using base::UniqueFd;

std::string StateOf(const Record& record, oci::Status status) {
  oci::State state;
  if (!record.oci_version.empty()) state.oci_version = record.oci_version;
  state.id = record.id;
  state.status = status;
  if (status != oci::Status::kStopped) state.pid = record.pid;
  state.bundle = record.bundle;
  state.annotations = record.annotations;
  return oci::SerializeState(state);
}

// Where the command itself is, in the bundle's directory if that is still there.
base::SpawnOptions RuntimeNamespace(const Record& record) {
  base::SpawnOptions where;
  std::error_code error;
  where.working_directory =
      std::filesystem::is_directory(record.bundle, error) ? record.bundle : "/";
  return where;
}

}  // namespace

base::Result<oci::Hooks> ReadHooks(const SandboxPaths& paths) {
  TRY_ASSIGN(std::string text, base::ReadFile(paths.Config(), oci::kMaxConfigBytes));
  TRY_ASSIGN_CONTEXT(oci::Config config, oci::ParseConfig(text), paths.Config());
  return config.hooks.value_or(oci::Hooks());
}

base::Status RunCreateHooks(const oci::Hooks& hooks, const Record& record) {
  const std::string state = StateOf(record, oci::Status::kCreating);
  base::SpawnOptions where = RuntimeNamespace(record);
  TRY(oci::RunHooks(hooks.prestart, "hooks.prestart", state, where));
  TRY(oci::RunHooks(hooks.create_runtime, "hooks.createRuntime", state, where));
  if (hooks.create_container.empty()) return {};
  TRY_ASSIGN(UniqueFd mounts,
             base::Open(fmt::format("/proc/{}/ns/mnt", record.monitor_pid), O_RDONLY));
  TRY_ASSIGN(UniqueFd network, base::Open(fmt::format("/proc/{}/ns/net", record.pid), O_RDONLY));
  where.join_namespaces = {network.get(), mounts.get()};
  return oci::RunHooks(hooks.create_container, "hooks.createContainer", state, where);
}

base::Status RunPoststartHooks(const oci::Hooks& hooks, const Record& record) {
  return oci::RunHooks(hooks.poststart, "hooks.poststart", StateOf(record, oci::Status::kRunning),
                       RuntimeNamespace(record));
}

void RunPoststopHooks(const oci::Hooks& hooks, const Record& record,
                      const std::function<void(const std::string&)>& warn) {
  oci::RunHooksAll(hooks.poststop, "hooks.poststop", StateOf(record, oci::Status::kStopped),
                   RuntimeNamespace(record), warn);
}

}  // namespace holt::shim
