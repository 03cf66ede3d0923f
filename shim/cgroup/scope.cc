#include "shim/cgroup/scope.h"

#include <unistd.h>

#include <thread>

#include "base/file.h"
#include "base/run_program.h"
#include "shim/cgroup/variant.h"

namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;
using namespace std::chrono_literals;

// holt-scope itself gives up after 30 s.
constexpr auto kProgramDeadline = 40s;
constexpr auto kGoneDeadline = 2s;
// systemd.unit(5): units that were made over D-Bus have a file here as long as they are loaded.
constexpr char kTransientUnits[] = "/run/systemd/transient/";

base::Status RunScope(std::vector<std::string> argv, std::span<const std::string> properties) {
  const std::string doing = argv[1] + " " + argv[2];
  argv.insert(argv.end(), properties.begin(), properties.end());
  base::SpawnOptions options;
  options.argv = std::move(argv);
  options.working_directory = "/";
  TRY_ASSIGN(base::ProgramEnd end, base::RunProgram(std::move(options), "", kProgramDeadline));
  if (end.ok()) return {};
  std::string why = end.error_text;
  while (!why.empty() && why.back() == '\n') why.pop_back();
  if (end.timed_out) why = "it does not answer";
  if (why.empty()) why = "holt-scope " + base::DescribeWaitStatus(end.wait_status);
  return MakeError(Code::kUnavailable, "systemd: {}: {}", doing, why);
}

}  // namespace

bool HostHasSystemd() { return base::PathExists("/run/systemd/system"); }

base::Status StartScope(const std::string& program, const ScopeName& name, const std::string& what,
                        std::span<const std::string> properties) {
  std::vector<std::string> all = {
      "Description=" + QuoteVariant(what), "Slice=" + QuoteVariant(name.slice),
      fmt::format("PIDs=@au [{}]", getpid()),
      // So that what systemd has no property for can be written.
      "Delegate=true",
      // Engines say when containers end.
      "DefaultDependencies=false", "CollectMode='inactive-or-failed'", "CPUAccounting=true",
      "IOAccounting=true", "MemoryAccounting=true", "TasksAccounting=true"};
  all.insert(all.end(), properties.begin(), properties.end());
  return RunScope({program, "start", name.unit}, all);
}

base::Status SetScopeProperties(const std::string& program, const std::string& unit,
                                std::span<const std::string> properties) {
  if (properties.empty()) return {};
  return RunScope({program, "set", unit}, properties);
}

bool IsScope(const std::string& place) {
  const std::string unit = ScopeAt(place).unit;
  return unit.ends_with(".scope") && base::PathExists(kTransientUnits + unit);
}

bool AwaitScopeGone(const std::string& place) {
  auto give_up_at = std::chrono::steady_clock::now() + kGoneDeadline;
  while (IsScope(place)) {
    if (std::chrono::steady_clock::now() >= give_up_at) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

}  // namespace holt::shim
