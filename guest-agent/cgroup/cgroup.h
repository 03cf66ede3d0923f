#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/runtime_spec.h"

namespace holt::guest_agent {

struct CgroupStats {
  uint64_t cpu_usage_nanos = 0;
  uint64_t cpu_user_nanos = 0;
  uint64_t cpu_system_nanos = 0;
  uint64_t cpu_periods = 0;
  uint64_t cpu_throttled_periods = 0;
  uint64_t cpu_throttled_nanos = 0;
  uint64_t memory_usage = 0;
  uint64_t memory_limit = 0;  // 0: none
  uint64_t memory_peak = 0;
  std::map<std::string, uint64_t> memory_stat;
  std::map<std::string, uint64_t> memory_events;
  uint64_t pids_current = 0;
  uint64_t pids_limit = 0;  // 0: none
  uint64_t io_read_bytes = 0;
  uint64_t io_write_bytes = 0;
  uint64_t io_read_ops = 0;
  uint64_t io_write_ops = 0;
};

// "name value" lines, as cpu.stat, memory.stat and memory.events have them.
std::map<std::string, uint64_t> ParseFlatKeyed(std::string_view text);
// Sums rbytes, wbytes, rios and wios of io.stat over all devices.
void AddIoStat(std::string_view text, CgroupStats& stats);

// One container's directory in the cgroup v2 hierarchy. The directory goes with Remove(), not with
// the object.
class Cgroup {
 public:
  // Makes `parent`/`name`; one that is there already is an error.
  static base::Result<Cgroup> Create(const std::string& parent, const std::string& name);

  Cgroup(Cgroup&&) = default;
  Cgroup& operator=(Cgroup&&) = default;

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }

  // Applies limits; each failure names the property. With `devices` the device filter is set (at
  // create always, at update only when the update has rules).
  base::Status Apply(const oci::Resources& resources, bool devices);

  base::Status Freeze(bool frozen);
  // Whether that was asked for, and whether every process is.
  bool frozen() const;
  bool all_frozen() const;
  // SIGKILL to every process of it and below, atomically.
  base::Status KillAll();
  // Any other signal: frozen while it is sent, so that none escapes by forking.
  base::Status SignalAll(int signal);
  // Processes of it and below, in the agent's pid namespace.
  base::Result<std::vector<int>> Processes() const;
  bool populated() const;
  CgroupStats Stats() const;
  // memory.events' oom_kill, 0 without the memory controller.
  uint64_t OomKills() const;
  // Removes it and what a container made below; EBUSY while a process lives.
  base::Status Remove();

 private:
  Cgroup(std::string path, base::UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  base::Result<std::string> Read(const std::string& file) const;
  base::Status Write(const std::string& file, std::string_view value) const;
  uint64_t ReadNumber(const std::string& file) const;

  std::string path_;
  base::UniqueFd fd_;
};

// Gives the children of `path` every controller that it has. For each level down to the containers.
base::Status DelegateControllers(const std::string& path);

}  // namespace holt::guest_agent
