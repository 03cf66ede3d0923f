#include "shim/cgroup/scope_properties.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "shim/cgroup/limits.h"
#include "shim/cgroup/variant.h"

namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;
using base::Result;

constexpr std::string_view kAnnotation = "org.systemd.property.";
constexpr uint64_t kDefaultPeriodUs = 100'000;
// Far more than any kernel has.
constexpr uint64_t kMaxProcessors = 1 << 16;

// What holt says itself, or could not work without.
constexpr std::array<std::string_view, 4> kReserved = {"Delegate", "PIDs", "PIDFDs", "Slice"};

struct NumberProperty {
  std::string_view file;
  std::string_view name;
};
constexpr std::array<NumberProperty, 6> kNumbers = {{{"memory.max", "MemoryMax"},
                                                     {"memory.high", "MemoryHigh"},
                                                     {"memory.low", "MemoryLow"},
                                                     {"memory.min", "MemoryMin"},
                                                     {"memory.swap.max", "MemorySwapMax"},
                                                     {"pids.max", "TasksMax"}}};

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string Uint64(std::string_view name, uint64_t value) {
  return fmt::format("{}=uint64 {}", name, value);
}

// cpu.max, "max 100000" or "50000 100000", and a period that is absent stays what it was, which is
// the kernel's default in a new cgroup.
void AddBandwidth(std::string_view value, std::vector<std::string>& out) {
  size_t space = value.find(' ');
  std::string_view quota = value.substr(0, space);
  uint64_t period = kDefaultPeriodUs;
  if (space != std::string_view::npos) {
    auto given = Number(value.substr(space + 1));
    if (!given || *given == 0) return;
    period = *given;
    out.push_back(Uint64("CPUQuotaPeriodUSec", period));
  }
  if (quota == "max") return out.push_back(Uint64("CPUQuotaPerSecUSec", UINT64_MAX));
  auto number = Number(quota);
  // systemd turns it back by a division that rounds down.
  if (number && *number < UINT64_MAX / 2'000'000)
    out.push_back(Uint64("CPUQuotaPerSecUSec", (*number * 1'000'000 + period - 1) / period));
}

// "0-3,7" as the bits of an array of bytes, the lowest first.
std::optional<std::string> Mask(std::string_view list) {
  std::vector<uint8_t> bytes;
  while (!list.empty() && list.back() == '\n') list.remove_suffix(1);
  for (size_t at = 0; at < list.size();) {
    size_t end = std::min(list.find(',', at), list.size());
    std::string_view range = list.substr(at, end - at);
    size_t dash = range.find('-');
    auto first = Number(range.substr(0, dash));
    auto last = dash == std::string_view::npos ? first : Number(range.substr(dash + 1));
    if (!first || !last || *first > *last || *last >= kMaxProcessors) return std::nullopt;
    bytes.resize(std::max<size_t>(bytes.size(), *last / 8 + 1));
    for (uint64_t i = *first; i <= *last; ++i) bytes[i / 8] |= static_cast<uint8_t>(1 << (i % 8));
    at = end + 1;
  }
  std::string out = "@ay [";
  for (size_t i = 0; i < bytes.size(); ++i) out += fmt::format("{}{}", i == 0 ? "" : ",", bytes[i]);
  return out + "]";
}

void Add(const cgroup::CgroupWrite& item, std::vector<std::string>& out) {
  for (const NumberProperty& number : kNumbers) {
    if (item.file != number.file) continue;
    auto value = ParseLimit(item.value);
    if (value) out.push_back(Uint64(number.name, *value));
    return;
  }
  if (item.file == "cpu.max") return AddBandwidth(item.value, out);
  if (item.file == "cpu.weight") {
    if (auto value = Number(item.value)) out.push_back(Uint64("CPUWeight", *value));
  } else if (item.file == "cpu.idle") {
    // systemd.resource-control(5): CPUWeight=idle, which is 0 there.
    // Not idle is the weight that follows, or none of its own.
    out.push_back(Uint64("CPUWeight", item.value == "1" ? 0 : UINT64_MAX));
  } else if (item.file == "io.weight" && item.value.starts_with("default ")) {
    if (auto value = Number(std::string_view(item.value).substr(8)))
      out.push_back(Uint64("IOWeight", *value));
  } else if (item.file == "cpuset.cpus" || item.file == "cpuset.mems") {
    const char* name = item.file == "cpuset.cpus" ? "AllowedCPUs" : "AllowedMemoryNodes";
    if (auto mask = Mask(item.value)) out.push_back(fmt::format("{}={}", name, *mask));
  }
}

// runc takes these and nothing else for a property's name.
bool IsPropertyName(std::string_view name) {
  return name.size() >= 3 && std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
         });
}

// RuntimeMaxSec and the like: over D-Bus they are in microseconds.
Result<std::string> InMicroseconds(const Variant& value) {
  auto wrong = [] { return base::Error(Code::kInvalidArgument, "is no number of seconds"); };
  if (value.type == "d") {
    double seconds = 0;
    std::from_chars(value.text.data(), value.text.data() + value.text.size(), seconds);
    if (seconds < 0 || seconds > 1e12) return wrong();
    return fmt::format("uint64 {}", static_cast<uint64_t>(seconds * 1e6));
  }
  if (std::string_view("ynqiuxt").find(value.type) == std::string_view::npos) return wrong();
  auto seconds = Number(value.text);
  if (!seconds || *seconds > UINT64_MAX / 1'000'000) return wrong();
  return fmt::format("uint64 {}", *seconds * 1'000'000);
}

Result<std::string> AnnotatedProperty(std::string_view name, const std::string& text) {
  if (!IsPropertyName(name))
    return base::Error(Code::kInvalidArgument, "a property's name has three letters or more, A-Z");
  if (std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end())
    return base::Error(Code::kInvalidArgument, "holt sets it itself");
  TRY_ASSIGN(Variant value, ParseVariant(text));
  if (name.ends_with("Sec") && name.size() > 3 && islower(name[name.size() - 4]) != 0) {
    TRY_ASSIGN(std::string micros, InMicroseconds(value));
    return fmt::format("{}USec={}", name.substr(0, name.size() - 3), micros);
  }
  return fmt::format("{}={}", name, text);
}

}  // namespace

Result<std::vector<std::string>> AnnotatedProperties(
    const std::map<std::string, std::string>& annotations) {
  std::vector<std::string> out;
  for (auto it = annotations.lower_bound(std::string(kAnnotation));
       it != annotations.end() && it->first.starts_with(kAnnotation); ++it) {
    auto property =
        AnnotatedProperty(std::string_view(it->first).substr(kAnnotation.size()), it->second);
    if (!property)
      return std::move(property).error().Wrap(
          fmt::format("annotations[\"{}\"]", it->first.substr(0, 120)));
    out.push_back(std::move(*property));
  }
  return out;
}

std::vector<std::string> LimitProperties(std::span<const cgroup::CgroupWrite> writes) {
  std::vector<std::string> out;
  for (const cgroup::CgroupWrite& item : writes) Add(item, out);
  return out;
}

}  // namespace holt::shim
