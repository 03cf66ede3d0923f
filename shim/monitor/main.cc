// holt-monitor: owns one sandbox. See docs/processes/monitor.md.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <string_view>

#include "base/event_loop.h"
#include "base/file.h"
#include "base/file_limit.h"
#include "base/log.h"
#include "shim/monitor/sandbox.h"
#include "shim/state/descriptor_kind.h"

namespace holt::shim {
namespace {

namespace log = base::log;
using base::Code;
using base::UniqueFd;

constexpr char kUsage[] =
    "usage: holt-monitor --root DIR --id ID --lock-fd N [--outcome-fd N] [--life-fd N] "
    "[--network-fd N] [--timeline-fd N] [--descriptors N]\n"
    "Started by holt with its descriptors open; not meant to be run by hand.\n";

struct Arguments {
  std::string root;
  std::string id;
  UniqueFd lock;
  UniqueFd outcome;
  UniqueFd life;
  UniqueFd network;
  UniqueFd timeline;
  std::vector<UniqueFd> descriptors;
};

bool TakeFd(std::string_view text, UniqueFd& out) {
  int fd = -1;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), fd);
  if (error != std::errc() || end != text.data() + text.size() || fd < 3) return false;
  if (!base::SetCloexec(fd, true)) return false;
  out = UniqueFd(fd);
  return true;
}

// `text` of them, from kFirstDescriptor on.
bool TakeDescriptors(std::string_view text, std::vector<UniqueFd>& out) {
  size_t count = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count > kMaxDescriptors)
    return false;
  out.resize(count);
  for (size_t i = 0; i < count; ++i)
    if (!TakeFd(std::to_string(kFirstDescriptor + static_cast<int>(i)), out[i])) return false;
  return true;
}

bool Parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 == argc) return false;
    const std::string_view value = argv[i + 1];
    bool ok = true;
    if (name == "--root") {
      arguments.root = value;
    } else if (name == "--id") {
      arguments.id = value;
    } else if (name == "--lock-fd") {
      ok = TakeFd(value, arguments.lock);
    } else if (name == "--outcome-fd") {
      ok = TakeFd(value, arguments.outcome);
    } else if (name == "--life-fd") {
      ok = TakeFd(value, arguments.life);
    } else if (name == "--network-fd") {
      ok = TakeFd(value, arguments.network);
    } else if (name == "--timeline-fd") {
      ok = TakeFd(value, arguments.timeline);
    } else if (name == "--descriptors") {
      ok = TakeDescriptors(value, arguments.descriptors);
    } else {
      ok = false;
    }
    if (!ok) return false;
  }
  return arguments.root.starts_with('/') && CheckId(arguments.id) && arguments.lock;
}

base::Result<Sandbox::Options> ReadOptions(const Arguments& arguments) {
  SandboxPaths paths = PathsOf(arguments.root, arguments.id);
  Sandbox::Options options;
  options.root = arguments.root;
  TRY_ASSIGN(std::string request, base::ReadFile(paths.Request()));
  TRY_ASSIGN(options.request, ParseRequest(request));
  if (options.request.id != arguments.id)
    return base::MakeError(Code::kInvalidArgument, "request.json: is for \"{}\"",
                           options.request.id);
  TRY_ASSIGN(std::string config, base::ReadFile(paths.Config()));
  TRY_ASSIGN_CONTEXT(options.config, oci::ParseConfig(config), "config.json");
  return options;
}

// Streams, clients and stand-ins of hundreds of processes; holt-vmm starts with the same.
constexpr size_t kWantedFiles = 32 << 10;

int Run(Arguments arguments, int64_t began_nanos) {
  auto loop = base::EventLoop::Create();
  if (!loop) {
    log::Error("{}", loop.error().message());
    return 1;
  }
  auto options = ReadOptions(arguments);
  if (!options) {
    log::Error("{}", options.error().message());
    Outcome outcome(**loop);
    if (arguments.outcome && outcome.Take(std::move(arguments.outcome), [] {}))
      outcome.Failed(options.error());
    return 1;
  }
  if (options->request.debug) log::SetLevel(log::Level::kDebug);
  options->outcome = std::move(arguments.outcome);
  options->life = std::move(arguments.life);
  options->network = std::move(arguments.network);
  options->timeline = std::move(arguments.timeline);
  options->descriptors = std::move(arguments.descriptors);
  options->began_nanos = began_nanos;
  Sandbox sandbox(**loop, std::move(*options));
  auto signals = (*loop)->AddSignals({SIGTERM, SIGINT, SIGHUP}, [&](int signal) {
    log::Info("signal {}: ending", signal);
    sandbox.Stop(fmt::format("its monitor got signal {} ({})", signal, sigdescr_np(signal)));
  });
  if (!signals) {
    log::Error("{}", signals.error().message());
    return 1;
  }
  sandbox.Begin();
  (*loop)->Run();
  return 0;
}

}  // namespace
}  // namespace holt::shim

int main(int argc, char** argv) {
  using namespace holt;
  int64_t began = shim::MonotonicNanos();
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::printf("holt-monitor %s\n", HOLT_VERSION);
    return 0;
  }
  base::log::Init({.program = "holt-monitor"});
  shim::Arguments arguments;
  if (!shim::Parse(argc, argv, arguments)) {
    std::fputs(shim::kUsage, stderr);
    return 2;
  }
  // A peer that went away is an error of the write, not a signal.
  signal(SIGPIPE, SIG_IGN);
  umask(022);
  if (auto files = base::RaiseFileLimit(shim::kWantedFiles); !files)
    base::log::Warning("{}", files.error().message());
  return shim::Run(std::move(arguments), began);
}
