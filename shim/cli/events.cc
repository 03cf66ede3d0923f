// holt events: runc's, statistics of a container and the kernel's kills for want of memory, a line
// of JSON each.
#include <algorithm>
#include <chrono>

#include "shim/cli/container.h"
#include "shim/cli/stats_json.h"
#include "shim/cli/subcommands.h"
#include "shim/run/values.h"

namespace holt::shim::cli {
namespace {

using base::Code;
using base::MakeError;
using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;
namespace v1 = monitor::v1;

struct EventsFlags {
  bool stats = false;
  nanoseconds interval = std::chrono::seconds(5);
  std::vector<std::string> operands;
};

base::Status PrintStats(const Sandbox& sandbox) {
  TRY_ASSIGN(auto stats,
             CallRunning<agent::v1::StatsResponse>(sandbox, "Stats", RequestFor(sandbox)));
  return Print(StatsLine(sandbox.record.id, stats));
}

// Until the container has ended.
base::Status Follow(const EventsFlags& flags, const Sandbox& sandbox) {
  TRY_ASSIGN(auto state, CallRunning<v1::StateResponse>(sandbox, "State", RequestFor(sandbox)));
  v1::WaitOomRequest request;
  request.set_container_id(sandbox.record.id);
  request.set_seen(state.oom_kills());
  Clock::time_point next = Clock::now() + flags.interval;
  while (true) {
    rpc::CallOptions options;
    options.timeout = std::max<nanoseconds>(next - Clock::now(), std::chrono::milliseconds(1));
    auto killed = CallMonitor<v1::WaitOomResponse>(sandbox, "WaitOom", request, options);
    if (killed) {
      if (killed->count() > request.seen()) TRY(Print(OomLine(sandbox.record.id)));
      request.set_seen(killed->count());
      if (killed->ended()) return {};
    } else if (killed.error().code() != Code::kDeadlineExceeded) {
      return IsGone(killed.error()) ? base::Status() : base::Status(std::move(killed).error());
    }
    if (Clock::now() < next) continue;
    auto printed = PrintStats(sandbox);
    // It ended while it was asked.
    if (!printed && printed.error().code() == Code::kFailedPrecondition) return {};
    TRY(std::move(printed));
    next = Clock::now() + flags.interval;
  }
}

base::Result<int> Events(const EventsFlags& flags, const Global& global) {
  TRY_ASSIGN(Sandbox sandbox, global.registry().Find(flags.operands.front()));
  if (sandbox.record.status == "stopped") return NotRunning(sandbox);
  TRY(flags.stats ? PrintStats(sandbox) : Follow(flags, sandbox));
  return 0;
}

}  // namespace

Subcommand EventsCommand() {
  return {
      .name = "events",
      .group = Group::kRuntime,
      .summary = "Print statistics of a container, and when its memory did not suffice.",
      .define = [](Flags& flags) -> Body {
        auto events = std::make_shared<EventsFlags>();
        flags.Bool("--stats", events->stats, "print them once and exit");
        flags.Value("--interval", "TIME", "between two lines of statistics (5s)",
                    [events](const std::string& value) -> base::Status {
                      TRY_ASSIGN(int64_t nanos, ParseDuration(value));
                      if (nanos == 0)
                        return MakeError(Code::kInvalidArgument, "must be more than nothing");
                      events->interval = nanoseconds(nanos);
                      return {};
                    });
        flags.Operands("ID", 1, 1, events->operands);
        return [events](const Global& global) { return Events(*events, global); };
      },
  };
}

}  // namespace holt::shim::cli
