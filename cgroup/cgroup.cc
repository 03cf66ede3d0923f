#include "cgroup/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"

namespace holt::cgroup {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

constexpr size_t kMaxCgroupFile = 4 << 20;

// Calls `visit` with each directory below `path`, the deepest first, then `path` itself.
template <typename Visit>
void DeepestFirst(const std::string& path, int depth, const Visit& visit) {
  if (depth > 64) return;
  std::error_code error;
  for (std::filesystem::directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code ignored;
    if (it->is_directory(ignored) && !it->is_symlink(ignored))
      DeepestFirst(it->path().string(), depth + 1, visit);
  }
  visit(path);
}

}  // namespace

Result<Cgroup> Cgroup::Create(const std::string& parent, const std::string& name) {
  std::string path = parent + "/" + name;
  if (mkdir(path.c_str(), 0755) != 0) return HOLT_ERRNO("make cgroup {}", path);
  TRY_ASSIGN(UniqueFd fd, base::Open(path, O_RDONLY | O_DIRECTORY));
  return Cgroup(std::move(path), std::move(fd));
}

Result<Cgroup> Cgroup::Open(const std::string& path) {
  TRY_ASSIGN(UniqueFd fd, base::Open(path, O_RDONLY | O_DIRECTORY));
  return Cgroup(path, std::move(fd));
}

Result<std::string> Cgroup::Read(const std::string& file) const {
  TRY_ASSIGN(UniqueFd fd, base::OpenAt(fd_.get(), file, O_RDONLY | O_NOFOLLOW));
  return base::ReadFd(fd.get(), kMaxCgroupFile);
}

Status Cgroup::Write(const std::string& file, std::string_view value) const {
  TRY_ASSIGN(UniqueFd fd, base::OpenAt(fd_.get(), file, O_WRONLY | O_NOFOLLOW));
  // One write(2): the kernel parses each on its own.
  if (write(fd.get(), value.data(), value.size()) < 0)
    return HOLT_ERRNO("write \"{}\" to {}", value, file);
  return {};
}

uint64_t Cgroup::ReadNumber(const std::string& file) const {
  auto text = Read(file);
  return text ? ToNumber(*text) : 0;
}

Status Cgroup::CheckBeforeUpdate(const oci::Resources& resources) const {
  if (!resources.memory || !resources.memory->check_before_update.value_or(false)) return {};
  uint64_t usage = ReadNumber("memory.current");
  int64_t limit = resources.memory->limit.value_or(-1);
  if (limit <= 0 || usage <= static_cast<uint64_t>(limit)) return {};
  return MakeError(Code::kFailedPrecondition,
                   "linux.resources.memory.limit: {} is less than the {} in use", limit, usage);
}

Status Cgroup::Apply(const oci::Resources& resources) {
  TRY_ASSIGN(std::vector<CgroupWrite> writes, CgroupWrites(resources));
  TRY(CheckBeforeUpdate(resources));
  return Apply(writes);
}

Status Cgroup::Apply(std::span<const CgroupWrite> writes) {
  for (const CgroupWrite& item : writes) TRY(Apply(item));
  return {};
}

Status Cgroup::Apply(const CgroupWrite& item) const {
  if (!item.bfq_value.empty()) {
    auto written = Write("io.bfq.weight", item.bfq_value);
    if (written) return {};
    if (written.error().err() != ENOENT) return std::move(written).error().Wrap(item.property);
  }
  auto written = Write(item.file, item.value);
  if (written) return {};
  if (written.error().err() != ENOENT) return std::move(written).error().Wrap(item.property);
  if (item.value == "max") return {};  // no limit needs no controller
  if (item.file == "memory.swap.max" && item.value == "0" && HasController("memory"))
    return {};  // no swap to forbid
  std::string controller = item.file.substr(0, item.file.find('.'));
  if (controller != "cgroup" && !HasController(controller))
    return MakeError(Code::kUnsupported, "{}: cgroup {} has no {} controller", item.property, path_,
                     controller);
  return MakeError(Code::kUnsupported, "{}: cgroup {} has no {}: this kernel does not know it",
                   item.property, path_, item.file);
}

Status Cgroup::Enter() { return Write("cgroup.procs", "0"); }

Status Cgroup::Freeze(bool frozen) { return Write("cgroup.freeze", frozen ? "1" : "0"); }

bool Cgroup::frozen() const { return ReadNumber("cgroup.freeze") == 1; }

bool Cgroup::all_frozen() const {
  auto text = Read("cgroup.events");
  return text && ParseFlatKeyed(*text)["frozen"] != 0;
}

Status Cgroup::KillAll() { return Write("cgroup.kill", "1"); }

Status Cgroup::SignalAll(int signal) {
  if (signal == SIGKILL) return KillAll();
  bool was_frozen = frozen();
  if (!was_frozen) TRY(Freeze(true));
  auto processes = Processes();
  if (processes)
    for (int pid : *processes) kill(pid, signal);
  if (!was_frozen) TRY(Freeze(false));
  return processes ? Status() : Status(std::move(processes).error());
}

Result<std::vector<int>> Cgroup::Processes() const {
  std::vector<int> pids;
  Status status;
  DeepestFirst(path_, 0, [&](const std::string& directory) {
    auto text = base::ReadFile(directory + "/cgroup.procs", kMaxCgroupFile);
    if (!text) {
      if (text.error().err() != ENOENT && text.error().err() != ENODEV &&
          text.error().err() != EOPNOTSUPP)
        status = std::move(text).error();
      return;
    }
    for (const std::string& line : Words(*text))
      if (uint64_t pid = ToNumber(line); pid > 0) pids.push_back(static_cast<int>(pid));
  });
  TRY(status);
  return pids;
}

bool Cgroup::populated() const {
  auto text = Read("cgroup.events");
  return text && ParseFlatKeyed(*text)["populated"] != 0;
}

bool Cgroup::HasController(std::string_view name) const {
  auto text = Read("cgroup.controllers");
  if (!text) return false;
  std::vector<std::string> names = Words(*text);
  return std::find(names.begin(), names.end(), name) != names.end();
}

CgroupStats Cgroup::Stats() const {
  CgroupStats stats;
  if (auto text = Read("cpu.stat")) {
    auto values = ParseFlatKeyed(*text);
    stats.cpu_usage_nanos = values["usage_usec"] * 1000;
    stats.cpu_user_nanos = values["user_usec"] * 1000;
    stats.cpu_system_nanos = values["system_usec"] * 1000;
    stats.cpu_periods = values["nr_periods"];
    stats.cpu_throttled_periods = values["nr_throttled"];
    stats.cpu_throttled_nanos = values["throttled_usec"] * 1000;
  }
  stats.memory_usage = ReadNumber("memory.current");
  stats.memory_limit = ReadNumber("memory.max");  // "max" is not a number: 0
  stats.memory_peak = ReadNumber("memory.peak");
  if (auto text = Read("memory.stat")) stats.memory_stat = ParseFlatKeyed(*text);
  if (auto text = Read("memory.events")) stats.memory_events = ParseFlatKeyed(*text);
  stats.pids_current = ReadNumber("pids.current");
  stats.pids_limit = ReadNumber("pids.max");
  if (auto text = Read("io.stat")) AddIoStat(*text, stats);
  return stats;
}

uint64_t Cgroup::OomKills() const {
  auto text = Read("memory.events");
  return text ? ParseFlatKeyed(*text)["oom_kill"] : 0;
}

Status Cgroup::Remove() {
  Status status;
  DeepestFirst(path_, 0, [&](const std::string& directory) {
    if (rmdir(directory.c_str()) != 0 && errno != ENOENT && status)
      status = HOLT_ERRNO("remove cgroup {}", directory);
  });
  return status;
}

Status DelegateControllers(const std::string& path) {
  TRY_ASSIGN(std::string controllers, base::ReadFile(path + "/cgroup.controllers", 4096));
  std::vector<std::string> names = Words(controllers);
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "+" : " +") + name;
  if (all.empty() || base::WriteFile(path + "/cgroup.subtree_control", all)) return {};
  // One by one: the kernel takes none of a list in which one fails.
  Status first;
  for (const std::string& name : names)
    if (auto given = base::WriteFile(path + "/cgroup.subtree_control", "+" + name); !given && first)
      first = std::move(given);
  return first;
}

}  // namespace holt::cgroup
