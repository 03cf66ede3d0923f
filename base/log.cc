#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <ctime>

namespace holt::base::log {
namespace {

Options& Current() {
  static Options options{.program = "holt"};
  return options;
}

std::atomic<Level> g_level{Level::kInfo};

std::string_view LevelName(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarning:
      return "warning";
    case Level::kError:
      return "error";
  }
  return "info";
}

// Syslog priorities, as /dev/kmsg wants them.
int KmsgPriority(Level level) {
  switch (level) {
    case Level::kDebug:
      return 7;
    case Level::kInfo:
      return 6;
    case Level::kWarning:
      return 4;
    case Level::kError:
      return 3;
  }
  return 6;
}

std::string JsonEscape(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 8);
  for (unsigned char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (c < 0x20 || c == 0x7f) {
          out += fmt::format("\\u{:04x}", c);
        } else {
          out += static_cast<char>(c);
        }
    }
  }
  return out;
}

std::string Now() {
  timespec ts{};
  clock_gettime(CLOCK_REALTIME, &ts);
  tm utc{};
  gmtime_r(&ts.tv_sec, &utc);
  char buffer[40];
  size_t n = strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:09}Z", std::string_view(buffer, n), ts.tv_nsec);
}

}  // namespace

void Init(Options options) {
  g_level = options.level;
  Current() = std::move(options);
}

Level CurrentLevel() { return g_level.load(std::memory_order_relaxed); }
void SetLevel(Level level) { g_level = level; }

Level LevelFromName(std::string_view name) {
  if (name == "debug") return Level::kDebug;
  if (name == "warning" || name == "warn") return Level::kWarning;
  if (name == "error") return Level::kError;
  return Level::kInfo;
}

std::string Sanitize(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (unsigned char c : text) {
    if ((c < 0x20 && c != '\t') || c == 0x7f) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += static_cast<char>(c);
    }
  }
  return out;
}

std::string FormatRecord(const Options& options, Level level, std::string_view message,
                         std::string_view rfc3339_time) {
  switch (options.format) {
    case Format::kJson:
      return fmt::format("{{\"level\":\"{}\",\"msg\":\"{}\",\"time\":\"{}\"}}\n", LevelName(level),
                         JsonEscape(message), rfc3339_time);
    case Format::kKmsg:
      return fmt::format("<{}>{}: {}\n", KmsgPriority(level), options.program, Sanitize(message));
    case Format::kText:
      break;
  }
  if (level == Level::kInfo) return fmt::format("{}: {}\n", options.program, Sanitize(message));
  return fmt::format("{}: {}: {}\n", options.program, LevelName(level), Sanitize(message));
}

void Write(Level level, std::string_view message) {
  if (level < CurrentLevel()) return;
  const Options& options = Current();
  std::string record =
      FormatRecord(options, level, message, options.format == Format::kJson ? Now() : "");
  // One write, so that records of several processes on one file do not mix.
  ssize_t ignored = ::write(options.fd, record.data(), record.size());
  (void)ignored;
}

}  // namespace holt::base::log
