#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "cgroup/settings.h"
#include "cgroup/stats.h"
#include "oci/runtime_spec.h"

namespace holt::cgroup {

// One directory of the cgroup v2 hierarchy: a container's in the guest, a sandbox's on the host. It
// goes with Remove(), not with the object.
class Cgroup {
 public:
  // Makes `parent`/`name`; one that is there already is an error.
  static base::Result<Cgroup> Create(const std::string& parent, const std::string& name);
  // One that is there.
  static base::Result<Cgroup> Open(const std::string& path);

  Cgroup(Cgroup&&) = default;
  Cgroup& operator=(Cgroup&&) = default;

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }

  // Applies linux.resources without `devices`, checkBeforeUpdate included. Each failure names the
  // property; where a controller or a file is missing (kUnsupported) that, too.
  base::Status Apply(const oci::Resources& resources);
  // Writes in this order, up to the first that fails.
  base::Status Apply(std::span<const CgroupWrite> writes);

  // Moves the calling process into it; processes that it starts later are in it from the beginning.
  base::Status Enter();

  base::Status Freeze(bool frozen);
  // Whether that was asked for, and whether every process is (or would be: by an ancestor, too).
  bool frozen() const;
  bool all_frozen() const;
  // SIGKILL to every process of it and below, atomically.
  base::Status KillAll();
  // Any other signal: frozen while it is sent, so that none escapes by forking.
  base::Status SignalAll(int signal);
  // Processes of it and below, in the caller's pid namespace.
  base::Result<std::vector<int>> Processes() const;
  bool populated() const;
  bool HasController(std::string_view name) const;
  CgroupStats Stats() const;
  // memory.events' oom_kill, 0 without the memory controller.
  uint64_t OomKills() const;
  // Removes it and what was made below; EBUSY while a process lives.
  base::Status Remove();

 private:
  Cgroup(std::string path, base::UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  base::Result<std::string> Read(const std::string& file) const;
  base::Status Write(const std::string& file, std::string_view value) const;
  base::Status CheckBeforeUpdate(const oci::Resources& resources) const;
  base::Status Apply(const CgroupWrite& item) const;
  uint64_t ReadNumber(const std::string& file) const;

  std::string path_;
  base::UniqueFd fd_;
};

// Gives the children of `path` every controller that it has. For each level down to the containers.
// The error is that of the first that could not be given; the others were.
base::Status DelegateControllers(const std::string& path);

}  // namespace holt::cgroup
