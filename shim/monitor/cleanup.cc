#include "shim/monitor/cleanup.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "base/file.h"
#include "base/log.h"
#include "image/rootfs.h"
#include "shim/cgroup/host_cgroup.h"
#include "shim/network/leftovers.h"
#include "shim/state/record.h"
#include "shim/state/registry.h"
#include "shim/state/uid_lease.h"

namespace holt::shim {
namespace {

using base::Code;

constexpr auto kKillDeadline = std::chrono::seconds(10);

// What a dead monitor knew; empty where nothing can be read.
struct Remains {
  Record record;
  Request request;

  const std::string& store() const { return record.store.empty() ? request.store : record.store; }
};

Remains ReadRemains(const SandboxPaths& paths) {
  Remains remains;
  if (auto text = base::ReadFile(paths.State()); text)
    if (auto record = ParseRecord(*text); record) remains.record = std::move(*record);
  if (auto text = base::ReadFile(paths.Request()); text)
    if (auto request = ParseRequest(*text); request) remains.request = std::move(*request);
  return remains;
}

base::Status KillProcesses(const Record& record) {
  base::Status first;
  for (const ProcessIdentity& process : record.processes)
    if (auto status = KillProcess(process, kKillDeadline); !status && first)
      first = std::move(status);
  if (record.uid == 0) return first;
  // Processes that were started but not written down. Only while the id is nobody else's.
  auto lease = UidLease::TakeThis(record.uid);
  if (lease)
    if (auto status = KillAllOfUser(record.uid); !status && first) first = std::move(status);
  return first;
}

// What is not in the sandbox's directory; its processes are gone.
base::Status FreeHost(const SandboxPaths& paths, const Remains& remains) {
  // The namespace is somebody else's. A container could never be removed if this kept it.
  if (auto removed = network::RemoveLeftovers(remains.request.network_namespace); !removed)
    base::log::Warning("container {}: what its machine left in its network: {}", remains.request.id,
                       removed.error().message());
  return RemoveHostCgroup(remains.record.cgroup, paths.directory, true);
}

// Of a sandbox that stays because it has an exit status to tell, and whose monitor was killed.
base::Status FreeStopped(const Sandbox& sandbox) {
  auto lock = Registry::LockDead(sandbox.paths);
  if (!lock) return {};
  return FreeHost(sandbox.paths, ReadRemains(sandbox.paths));
}

base::Status Signal(const SandboxPaths& paths, int signal) {
  base::Status status;
  for (const ProcessIdentity& process : ReadRemains(paths).record.processes)
    if (process.name == "holt-monitor") status = SignalProcess(process, signal);
  return status;
}

}  // namespace

base::Status RemoveSandbox(const std::string& root, const std::string& id,
                           const std::string& store) {
  SandboxPaths paths = PathsOf(root, id);
  // The root file system first: as long as the directory is there, it says that there is one.
  if (!store.empty() && base::PathExists(store)) {
    TRY_ASSIGN(auto opened, image::Store::Open(store));
    TRY_CONTEXT(image::RemoveRootfs(*opened, id), "root file system of " + id);
  }
  // Out of sight in one step. Under this name Registry::StaleDirectories finds it if we are cut
  // off.
  std::string aside = root + "/.new-XXXXXX";
  if (mkdtemp(aside.data()) == nullptr) return HOLT_ERRNO("create a directory in {}", root);
  if (rename(paths.directory.c_str(), aside.c_str()) != 0) {
    int err = errno;
    rmdir(aside.c_str());
    if (err != ENOENT) return base::ErrnoError(err, "rename " + paths.directory);
    return {};
  }
  return base::RemoveTree(aside);
}

base::Status Cleanup(const std::string& root, const std::string& id) {
  TRY(CheckId(id));
  SandboxPaths paths = PathsOf(root, id);
  auto lock = Registry::LockDead(paths);
  if (!lock) {
    if (lock.error().code() == Code::kNotFound) return {};
    return lock.error().Wrap("container " + id);
  }
  Remains remains = ReadRemains(paths);
  TRY(KillProcesses(remains.record));
  TRY(FreeHost(paths, remains));
  return RemoveSandbox(root, id, remains.store());
}

base::Status ForceCleanup(const std::string& root, const std::string& id,
                          std::chrono::milliseconds patience) {
  TRY(CheckId(id));
  SandboxPaths paths = PathsOf(root, id);
  TRY(Signal(paths, SIGTERM));
  if (!Registry::WaitUntilDead(paths, patience)) {
    base::log::Warning("container {}: its monitor does not end; killing it", id);
    TRY(Signal(paths, SIGKILL));
    TRY_CONTEXT(Registry::WaitUntilDead(paths, kKillDeadline), "container " + id);
  }
  return Cleanup(root, id);
}

CleanedUp CleanupDebris(const std::string& root) {
  CleanedUp out;
  auto note = [&out](const std::string& name, base::Status status) {
    if (status) {
      out.removed.push_back(name);
    } else if (out.status) {
      out.status = std::move(status);
    }
  };
  Registry registry(root);
  for (const std::string& directory : registry.StaleDirectories())
    note(directory.substr(root.size() + 1), base::RemoveTree(directory));
  for (const Sandbox& sandbox : registry.List()) {
    if (sandbox.alive) continue;
    if (sandbox.cut_off || sandbox.record.auto_remove)
      note(sandbox.record.id, Cleanup(root, sandbox.record.id));
    else if (auto status = FreeStopped(sandbox); !status && out.status)
      out.status = std::move(status);
  }
  return out;
}

}  // namespace holt::shim
