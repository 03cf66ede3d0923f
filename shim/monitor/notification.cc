#include "shim/monitor/notification.h"

#include <algorithm>

#include "base/log.h"

namespace holt::shim {
namespace {

enum class Value { kOne, kNumber, kText, kWatchdog, kClock };

struct Known {
  std::string_view name;
  Value value;
};
constexpr Known kKnown[] = {
    {"READY", Value::kOne},
    {"RELOADING", Value::kOne},
    {"STOPPING", Value::kOne},
    {"STATUS", Value::kText},
    {"ERRNO", Value::kNumber},
    {"EXIT_STATUS", Value::kNumber},
    {"WATCHDOG", Value::kWatchdog},
    {"WATCHDOG_USEC", Value::kNumber},
    {"EXTEND_TIMEOUT_USEC", Value::kNumber},
    {"MONOTONIC_USEC", Value::kClock},
};

bool IsNumber(std::string_view text) {
  return !text.empty() && text.size() <= 20 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The value as the host gets it; empty: not at all.
std::string ForHost(Value kind, std::string_view value, int64_t now_usec) {
  switch (kind) {
    case Value::kOne:
      return value == "1" ? "1" : "";
    case Value::kNumber:
      return IsNumber(value) ? std::string(value) : "";
    case Value::kText:
      return base::log::Sanitize(value);
    case Value::kWatchdog:
      return value == "1" || value == "trigger" ? std::string(value) : "";
    case Value::kClock:
      return std::to_string(now_usec);
  }
  return "";
}

// Calls `use` with each line.
template <typename Use>
void ForEachLine(std::string_view text, const Use& use) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    use(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace

std::string NotificationForHost(std::string_view message, int64_t now_usec) {
  std::string out;
  ForEachLine(message, [&](std::string_view line) {
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) return;
    for (const Known& known : kKnown) {
      if (known.name != line.substr(0, equals)) continue;
      const std::string value = ForHost(known.value, line.substr(equals + 1), now_usec);
      if (!value.empty()) out += std::string(known.name) + "=" + value + "\n";
    }
  });
  return out;
}

bool SaysReady(std::string_view message) {
  bool ready = false;
  ForEachLine(message, [&](std::string_view line) { ready = ready || line == "READY=1"; });
  return ready;
}

}  // namespace holt::shim
