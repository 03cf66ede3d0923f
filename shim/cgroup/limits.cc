#include "shim/cgroup/limits.h"

#include <algorithm>
#include <charconv>

namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;
using cgroup::CgroupWrite;

constexpr char kMax[] = "max";

// A number as the kernel's memparse() reads it: "1048576", "1M".
std::optional<uint64_t> ParseMemory(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  if (unit.empty()) return value;
  size_t power = std::string_view("KMGTPE").find(static_cast<char>(toupper(unit[0])));
  if (unit.size() != 1 || power == std::string_view::npos) return std::nullopt;
  unsigned shift = static_cast<unsigned>(power + 1) * 10;
  if (value > UINT64_MAX >> shift) return UINT64_MAX;
  return value << shift;
}

std::string Sum(uint64_t a, uint64_t b) {
  uint64_t sum = 0;
  // The kernel's own limit is in pages; beyond a signed number of bytes there is none.
  if (__builtin_add_overflow(a, b, &sum) || sum > INT64_MAX) return kMax;
  return std::to_string(sum);
}

bool IsUnlimited(std::string_view value) {
  return value == kMax || value == "max\n" || value.starts_with("max ") || value.ends_with("=max");
}

// Changes the value of a write that counts more on the host than in the guest.
base::Status AddHeadRoom(CgroupWrite& item, const HostBudget& budget) {
  const std::string& file = item.file;
  bool ceiling = file == "memory.max" || file == "memory.high";
  bool floor = file == "memory.min" || file == "memory.low";
  bool tasks = file == "pids.max";
  if ((!ceiling && !floor && !tasks) || IsUnlimited(item.value)) return {};
  auto value = ParseMemory(item.value);
  if (!value)
    return MakeError(Code::kInvalidArgument, "{}: \"{}\" is not a number or max", item.property,
                     item.value.substr(0, 40));
  if (tasks) {
    item.value = Sum(*value, kTaskHeadRoom);
  } else if (ceiling) {
    item.value = Sum(std::max(*value, budget.machine_bytes), budget.overhead_bytes);
  } else if (*value != 0) {
    item.value = Sum(*value, budget.overhead_bytes);
  }
  return {};
}

std::string_view ControllerOf(std::string_view file) { return file.substr(0, file.find('.')); }

// Files of one container's processes in the guest, or of both ends. Others limit what the host has.
bool GuestHas(std::string_view file) {
  std::string_view controller = ControllerOf(file);
  return controller == "memory" || controller == "cpu" || controller == "pids" ||
         controller == "hugetlb" || controller == "cgroup";
}

// cgroup.freeze, cgroup.procs and the like are about processes, and the container's are in the
// guest.
bool HostHas(std::string_view file) { return ControllerOf(file) != "cgroup"; }

}  // namespace

std::optional<uint64_t> ParseLimit(std::string_view text) {
  return IsUnlimited(text) ? UINT64_MAX : ParseMemory(text);
}

base::Result<HostWrites> WritesForHost(const oci::Resources& resources, const HostBudget& budget) {
  TRY_ASSIGN(std::vector<CgroupWrite> writes, cgroup::CgroupWrites(resources));
  HostWrites out;
  for (CgroupWrite& item : writes) {
    if (!HostHas(item.file)) continue;
    TRY(AddHeadRoom(item, budget));
    bool bandwidth = item.file == "cpu.max" || item.file == "cpu.max.burst";
    (bandwidth ? out.when_created : out.now).push_back(std::move(item));
  }
  return out;
}

oci::Resources ResourcesForGuest(const oci::Resources& resources) {
  oci::Resources guest = resources;
  if (guest.cpu) {
    guest.cpu->cpus.clear();
    guest.cpu->mems.clear();
  }
  guest.block_io.reset();
  std::erase_if(guest.unified, [](const auto& item) { return !GuestHas(item.first); });
  return guest;
}

base::Result<std::vector<std::string>> HostOnlyProperties(const oci::Resources& resources) {
  TRY_ASSIGN(std::vector<CgroupWrite> writes, cgroup::CgroupWrites(resources));
  std::vector<std::string> out;
  for (const CgroupWrite& item : writes)
    if (!GuestHas(item.file) && !IsUnlimited(item.value)) out.push_back(item.property);
  return out;
}

base::Result<bool> HasHostLimits(const oci::Resources& resources) {
  TRY_ASSIGN(std::vector<CgroupWrite> writes, cgroup::CgroupWrites(resources));
  return std::any_of(writes.begin(), writes.end(), [](const CgroupWrite& item) {
    return HostHas(item.file) && !IsUnlimited(item.value);
  });
}

}  // namespace holt::shim
