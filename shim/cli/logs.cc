// holt logs.
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <deque>
#include <limits>

#include "base/file.h"
#include "shim/cli/container.h"
#include "shim/cli/subcommands.h"
#include "shim/monitor/container_log.h"
#include "shim/run/values.h"

namespace holt::shim::cli {
namespace {

struct LogsFlags {
  bool follow = false;
  bool timestamps = false;
  std::string tail = "all";
  std::string since;
  std::vector<std::string> operands;
};

// A container that ended is noticed at least this late although nothing is written any more.
constexpr int kLookMs = 200;

// Writes records as they were written: what went to stderr goes to stderr.
class Writer {
 public:
  explicit Writer(bool timestamps) : timestamps_(timestamps) {}

  base::Status Write(const LogRecord& record) {
    int fd = record.stream == LogStream::kStderr ? 2 : 1;
    if (!timestamps_) return base::WriteFd(fd, record.data);
    std::string out;
    bool& begins = line_begins_[fd - 1];
    for (char c : record.data) {
      if (begins) out += FormatTime(record.unix_nanos) + " ";
      out += c;
      begins = c == '\n';
    }
    return base::WriteFd(fd, out);
  }

 private:
  bool timestamps_;
  bool line_begins_[2] = {true, true};
};

// Keeps the last lines of what goes through: a line counts where it ends, a rest without an end,
// too.
class Tail {
 public:
  explicit Tail(size_t lines) : lines_(lines) {}

  void Add(const LogRecord& record) {
    for (size_t at = 0; at < record.data.size();) {
      size_t end = record.data.find('\n', at);
      size_t next = end == std::string::npos ? record.data.size() : end + 1;
      LogRecord piece{record.unix_nanos, record.stream, record.data.substr(at, next - at)};
      if (open_) ++count_;
      open_ = end != std::string::npos;
      pieces_.push_back(std::move(piece));
      at = next;
      DropOld();
    }
  }
  const std::deque<LogRecord>& pieces() const { return pieces_; }

 private:
  void DropOld() {
    while (count_ > lines_ && !pieces_.empty()) {
      if (pieces_.front().data.back() == '\n') --count_;
      pieces_.pop_front();
    }
  }
  size_t lines_;
  size_t count_ = 0;
  bool open_ = true;  // the next byte begins a line
  std::deque<LogRecord> pieces_;
};

base::Status PrintOld(LogReader& reader, Writer& writer, int64_t since, size_t tail) {
  Tail last(tail);
  LogRecord record;
  while (true) {
    TRY_ASSIGN(bool more, reader.Next(record));
    if (!more) break;
    if (record.unix_nanos < since) continue;
    if (tail == std::numeric_limits<size_t>::max()) {
      TRY(writer.Write(record));
    } else {
      last.Add(record);
    }
  }
  for (const LogRecord& piece : last.pieces()) TRY(writer.Write(piece));
  return {};
}

base::Status Follow(const Global& global, const Sandbox& sandbox, LogReader& reader,
                    Writer& writer) {
  base::UniqueFd watch(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  // Without a watch it just looks now and then.
  if (watch)
    inotify_add_watch(watch.get(), sandbox.paths.directory.c_str(),
                      IN_MODIFY | IN_CREATE | IN_MOVE);
  while (true) {
    // Looked at before reading: what was written up to its end is read below.
    auto now = global.registry().Find(sandbox.record.id);
    bool over = !now || !now->alive;
    LogRecord record;
    while (true) {
      TRY_ASSIGN(bool more, reader.Next(record));
      if (!more) break;
      TRY(writer.Write(record));
    }
    if (over) return {};
    pollfd ready{watch.get(), POLLIN, 0};
    if (poll(&ready, 1, kLookMs) > 0) {
      char events[4096];
      while (read(watch.get(), events, sizeof events) > 0) {
      }
    }
  }
}

base::Result<int> Logs(const LogsFlags& flags, const Global& global) {
  TRY_ASSIGN(Sandbox sandbox, global.registry().Find(flags.operands.front()));
  size_t tail = std::numeric_limits<size_t>::max();
  if (flags.tail != "all") {
    TRY_ASSIGN_CONTEXT(int64_t lines, ParseInteger(flags.tail, 0, 1 << 30), "--tail");
    tail = static_cast<size_t>(lines);
  }
  int64_t since = 0;
  if (!flags.since.empty()) {
    TRY_ASSIGN_CONTEXT(since, ParseTime(flags.since, NowUnixNanos()), "--since");
  }
  TRY_ASSIGN(LogReader reader, LogReader::Open(sandbox.paths.Log()));
  Writer writer(flags.timestamps);
  auto status = PrintOld(reader, writer, since, tail);
  if (status && flags.follow) status = Follow(global, sandbox, reader, writer);
  if (status) return 0;
  // `holt logs … | head` is no failure of ours.
  if (status.error().err() == EPIPE) return 128 + SIGPIPE;
  return std::move(status).error();
}

}  // namespace

Subcommand LogsCommand() {
  return {
      .name = "logs",
      .group = Group::kRun,
      .summary = "Print what a container wrote: its stdout to stdout, its stderr to stderr.",
      .define = [](Flags& flags) -> Body {
        auto logs = std::make_shared<LogsFlags>();
        flags.Bool("-f, --follow", logs->follow, "go on until it ends");
        flags.String("-n, --tail", logs->tail, "LINES", "only the last (all)");
        flags.Bool("-t, --timestamps", logs->timestamps, "when each line was written");
        flags.String("--since", logs->since, "TIME",
                     "2024-05-06T07:08:09Z, Unix seconds, or 10m ago");
        flags.Operands("CONTAINER", 1, 1, logs->operands);
        return [logs](const Global& global) { return Logs(*logs, global); };
      },
      .notes = "The last 8 MiB are kept.",
  };
}

}  // namespace holt::shim::cli
