#include "shim/cli/report.h"

#include <fcntl.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "base/unique_fd.h"

namespace holt::shim::cli {
namespace {

namespace log = base::log;

struct State {
  base::UniqueFd file;
  log::Options options{.program = "holt"};
};

State& Current() {
  static State state;
  return state;
}

std::string Now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return FormatTime(int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec);
}

void Emit(log::Level level, std::string_view text) {
  State& state = Current();
  // The file first: an engine reads it when this process has ended. One write each, so that lines
  // of several commands do not mix. A full disk must not hide the message on stderr.
  if (state.file) {
    (void)base::WriteFd(state.file.get(), log::FormatRecord(state.options, level, text, Now()));
    // The stderr of an engine's create and run is the container's: its log would show this.
    if (level == log::Level::kWarning) return;
  }
  log::Options to_stderr = state.options;
  if (state.file) to_stderr.format = log::Format::kText;
  (void)base::WriteFd(2, log::FormatRecord(to_stderr, level, text, Now()));
}

}  // namespace

base::Status StartReporting(const Global& global) {
  State& state = Current();
  state.options.format = global.log_format == "json" ? log::Format::kJson : log::Format::kText;
  state.options.level = global.debug ? log::Level::kDebug : log::Level::kInfo;
  log::Init(state.options);
  if (global.log.empty()) return {};
  TRY_ASSIGN_CONTEXT(state.file, base::Open(global.log, O_WRONLY | O_APPEND | O_CREAT, 0644),
                     "--log");
  return {};
}

void ReportError(std::string_view text) { Emit(log::Level::kError, text); }
void ReportWarning(std::string_view text) { Emit(log::Level::kWarning, text); }
void ReportNote(std::string_view text) {
  (void)base::WriteFd(2, log::FormatRecord({.program = "holt"}, log::Level::kInfo, text, Now()));
}

}  // namespace holt::shim::cli
