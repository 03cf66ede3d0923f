#include "guest-agent/cgroup/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>

#include "base/file.h"
#include "guest-agent/cgroup/device_filter.h"
#include "guest-agent/cgroup/settings.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

constexpr size_t kMaxCgroupFile = 4 << 20;

uint64_t ToNumber(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    size_t end = std::min(text.find_first_of(" \n"), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

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

std::map<std::string, uint64_t> ParseFlatKeyed(std::string_view text) {
  std::map<std::string, uint64_t> values;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    size_t space = line.find(' ');
    if (space != std::string_view::npos)
      values[std::string(line.substr(0, space))] = ToNumber(line.substr(space + 1));
  }
  return values;
}

void AddIoStat(std::string_view text, CgroupStats& stats) {
  for (const std::string& word : Words(text)) {
    size_t equals = word.find('=');
    if (equals == std::string::npos) continue;
    std::string key = word.substr(0, equals);
    uint64_t value = ToNumber(std::string_view(word).substr(equals + 1));
    if (key == "rbytes") stats.io_read_bytes += value;
    if (key == "wbytes") stats.io_write_bytes += value;
    if (key == "rios") stats.io_read_ops += value;
    if (key == "wios") stats.io_write_ops += value;
  }
}

Result<Cgroup> Cgroup::Create(const std::string& parent, const std::string& name) {
  std::string path = parent + "/" + name;
  if (mkdir(path.c_str(), 0755) != 0) return HOLT_ERRNO("make cgroup {}", path);
  TRY_ASSIGN(UniqueFd fd, base::Open(path, O_RDONLY | O_DIRECTORY));
  return Cgroup(std::move(path), std::move(fd));
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

Status Cgroup::Apply(const oci::Resources& resources, bool devices) {
  TRY_ASSIGN(std::vector<CgroupWrite> writes, CgroupWrites(resources));
  if (resources.memory && resources.memory->check_before_update.value_or(false)) {
    uint64_t usage = ReadNumber("memory.current");
    int64_t limit = resources.memory->limit.value_or(-1);
    if (limit > 0 && usage > static_cast<uint64_t>(limit))
      return MakeError(Code::kFailedPrecondition,
                       "linux.resources.memory.limit: {} is less than the {} in use", limit, usage);
  }
  for (const CgroupWrite& item : writes) {
    auto written = Write(item.file, item.value);
    if (written) continue;
    if (written.error().err() == ENOENT) {
      if (item.file == "memory.swap.max" && item.value == "0") continue;  // no swap to forbid
      return MakeError(Code::kUnsupported, "{}: the guest's kernel has no {}", item.property,
                       item.file);
    }
    return std::move(written).error().Wrap(item.property);
  }
  if (!devices) return {};
  TRY_ASSIGN(auto program, DeviceProgram(resources.devices));
  return AttachDeviceProgram(fd_.get(), program);
}

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
  for (const std::string& name : names)
    TRY(base::WriteFile(path + "/cgroup.subtree_control", "+" + name));
  return {};
}

}  // namespace holt::guest_agent
