#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>

// One logger per process. Records are formatted once and go to one sink. Not async-signal-safe.
namespace holt::base::log {

enum class Level { kDebug, kInfo, kWarning, kError };

// kText: "holt-vmm: warning: text" (people). kJson: {"level","msg","time"} a line (runc's form,
// which engines parse). kKmsg: "<4>holt-agent: text", the form /dev/kmsg takes.
enum class Format { kText, kJson, kKmsg };

struct Options {
  std::string program;  // name put before text and kmsg records
  Level level = Level::kInfo;
  Format format = Format::kText;
  int fd = 2;  // borrowed; must outlive logging
};

void Init(Options options);
Level CurrentLevel();
void SetLevel(Level level);

// Parses "debug", "info", "warning"/"warn", "error"; anything else is kInfo.
Level LevelFromName(std::string_view name);

// Formats one record as the sink would write it, newline included. Public for tests.
std::string FormatRecord(const Options& options, Level level, std::string_view message,
                         std::string_view rfc3339_time);

// Control characters other than tab become \xNN, so that text from a guest cannot forge records or
// drive a terminal.
std::string Sanitize(std::string_view text);

void Write(Level level, std::string_view message);

template <typename... Args>
void Debug(fmt::format_string<Args...> format, Args&&... args) {
  if (CurrentLevel() <= Level::kDebug)
    Write(Level::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void Info(fmt::format_string<Args...> format, Args&&... args) {
  if (CurrentLevel() <= Level::kInfo)
    Write(Level::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void Warning(fmt::format_string<Args...> format, Args&&... args) {
  if (CurrentLevel() <= Level::kWarning)
    Write(Level::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void Error(fmt::format_string<Args...> format, Args&&... args) {
  Write(Level::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace holt::base::log
