#include "shim/cgroup/host_cgroup.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <thread>

#include "base/file.h"
#include "shim/cgroup/place.h"
#include "shim/cgroup/scope.h"
#include "shim/cgroup/scope_properties.h"

namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;
using cgroup::Cgroup;
using cgroup::CgroupWrite;
using namespace std::chrono_literals;

constexpr char kMark[] = "trusted.holt.sandbox";
constexpr auto kKillDeadline = 10s;

std::string PathOf(const std::string& place) { return kHierarchy + place; }

// Whose it is; empty: nobody's.
std::string OwnerOf(const std::string& path) {
  char text[4096];
  ssize_t n = getxattr(path.c_str(), kMark, text, sizeof text);
  return n > 0 ? std::string(text, static_cast<size_t>(n)) : "";
}

// The cgroups on the way to `place`, which get the controllers of their parents and give them to
// their children. A cgroup with processes of its own cannot; what that means shows when a limit
// needs a controller.
struct Way {
  std::string parent;
  std::string obstacle;  // why the first that could not give its controllers could not
};

base::Status GiveControllers(const std::string& path) {
  // Some controllers the kernel would give all the same, and make the children useless for
  // processes (cgroups(7), "thread mode"). The root is free of that rule.
  if (path != kHierarchy) {
    TRY_ASSIGN(std::string own, base::ReadFile(path + "/cgroup.procs"));
    if (!own.empty())
      return MakeError(Code::kFailedPrecondition, "{} has processes of its own", path);
  }
  return cgroup::DelegateControllers(path);
}

base::Result<Way> MakeWay(const std::string& place) {
  Way way{.parent = kHierarchy};
  for (size_t at = 1;;) {
    auto given = GiveControllers(way.parent);
    if (!given && way.obstacle.empty()) way.obstacle = given.error().message();
    size_t end = place.find('/', at);
    if (end == std::string::npos) return way;
    way.parent += "/" + place.substr(at, end - at);
    if (mkdir(way.parent.c_str(), 0755) != 0 && errno != EEXIST)
      return HOLT_ERRNO("linux.cgroupsPath: make cgroup {}", way.parent);
    at = end + 1;
  }
}

base::Status Mark(const std::string& path, const std::string& owner) {
  if (setxattr(path.c_str(), kMark, owner.data(), owner.size(), 0) != 0)
    return HOLT_ERRNO("mark cgroup {}", path);
  return {};
}

// Makes it ours alone. The mark of a sandbox that is gone is no obstacle: nothing runs there.
base::Result<Cgroup> Take(const std::string& path, const std::string& owner) {
  TRY_ASSIGN(Cgroup cgroup, Cgroup::Open(path));
  if (cgroup.populated())
    return MakeError(Code::kFailedPrecondition, "linux.cgroupsPath: cgroup {} has processes in it",
                     path);
  // Also when it was made just now: the ancestors' state is its own.
  if (cgroup.all_frozen())
    return MakeError(Code::kFailedPrecondition,
                     "linux.cgroupsPath: cgroup {} is frozen, nothing would run in it", path);
  TRY(Mark(path, owner));
  return cgroup;
}

// Has systemd make it, with us in it. It is new then: a scope of that name is an error.
base::Status MakeScope(const HostCgroup::Options& options, const HostWrites& writes) {
  const ScopeName name = ScopeAt(options.place);
  const std::string path = PathOf(options.place);
  // We would stop the moment that we are in it.
  auto slice = Cgroup::Open(path.substr(0, path.rfind('/')));
  if (slice && slice->all_frozen())
    return MakeError(Code::kFailedPrecondition,
                     "linux.cgroupsPath: cgroup {} is frozen, nothing would run in it",
                     slice->path());
  std::vector<std::string> properties = options.scope->properties;
  // Last, where they win: an annotation does not lift a limit.
  for (std::string& limit : LimitProperties(writes.now)) properties.push_back(std::move(limit));
  TRY(StartScope(options.scope->program, name, options.scope->description, properties));
  TRY_ASSIGN(std::string own, OwnCgroup());
  if (own != options.place)
    return MakeError(Code::kUnavailable, "systemd: {}: is at {}, not at {}", name.unit, own,
                     options.place);
  return {};
}

base::Result<Cgroup> MakeOrTake(const std::string& path, const std::string& owner) {
  bool made = mkdir(path.c_str(), 0755) == 0;
  if (!made && errno != EEXIST) return HOLT_ERRNO("linux.cgroupsPath: make cgroup {}", path);
  if (!made && !OwnerOf(path).empty() && rmdir(path.c_str()) == 0) {
    // Of a sandbox that is gone, with its limits: a new one has none.
    if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST)
      return HOLT_ERRNO("linux.cgroupsPath: make cgroup {}", path);
  }
  auto taken = Take(path, owner);
  if (!taken && made) rmdir(path.c_str());
  return taken;
}

// What takes limits of bandwidth away again, the last one first: a burst needs its quota.
std::vector<CgroupWrite> Lifted(std::vector<CgroupWrite> bandwidth) {
  std::reverse(bandwidth.begin(), bandwidth.end());
  for (CgroupWrite& item : bandwidth) item.value = item.file == "cpu.max" ? "max" : "0";
  return bandwidth;
}

// EBUSY while a process lives in it.
base::Status RemoveEmpty(Cgroup& cgroup, const std::string& place) {
  if (IsScope(place)) {
    if (cgroup.populated()) return base::ErrnoError(EBUSY, "remove cgroup " + cgroup.path());
    if (AwaitScopeGone(place)) return {};
  }
  return cgroup.Remove();
}

// Adds to a missing controller's error why it is missing.
base::Status Explained(base::Status status, const Way& way) {
  if (status || status.error().code() != Code::kUnsupported || way.obstacle.empty()) return status;
  return MakeError(Code::kUnsupported, "{} ({})", status.error().message(), way.obstacle);
}

}  // namespace

base::Result<HostCgroup> HostCgroup::Create(Options options, const oci::Resources& resources) {
  HOLT_CHECK(IsPlace(options.place));
  TRY_ASSIGN(std::string home, OwnCgroup());
  // Before anything is made: bad values leave nothing.
  TRY_ASSIGN(HostWrites writes, WritesForHost(resources, options.budget));
  if (options.scope) TRY(MakeScope(options, writes));
  // A scope has its way already, with the controllers that systemd knows; not hugetlb, for one.
  TRY_ASSIGN(Way way, MakeWay(options.place));
  const std::string path = PathOf(options.place);
  if (options.scope) TRY(Mark(path, options.owner));
  TRY_ASSIGN(Cgroup made, options.scope ? Cgroup::Open(path) : MakeOrTake(path, options.owner));
  HostCgroup out(std::move(options), std::move(made), std::move(home));
  auto apply = [&]() -> base::Status {
    TRY(out.cgroup_.Apply(writes.now));
    // Tried now, so that what is wrong with it is known before the machine boots.
    TRY(out.cgroup_.Apply(writes.when_created));
    return out.cgroup_.Apply(Lifted(writes.when_created));
  };
  if (auto applied = Explained(apply(), way); !applied) {
    (void)out.Leave();
    (void)RemoveHostCgroup(out.options_.place, out.options_.owner, false);
    return std::move(applied).error();
  }
  out.bandwidth_ = std::move(writes.when_created);
  return out;
}

base::Status HostCgroup::Enter() {
  if (options_.scope) return {};
  TRY_CONTEXT(cgroup_.Enter(), "enter cgroup " + options_.place);
  return {};
}

base::Status HostCgroup::Apply(const std::vector<CgroupWrite>& writes) {
  // The kernel first: it says what is wrong with a value.
  TRY(cgroup_.Apply(writes));
  if (!options_.scope) return {};
  return SetScopeProperties(options_.scope->program, ScopeAt(options_.place).unit,
                            LimitProperties(writes));
}

base::Status HostCgroup::ApplyBandwidth() { return Apply(bandwidth_); }

base::Status HostCgroup::Update(const oci::Resources& resources) {
  TRY_ASSIGN(HostWrites writes, WritesForHost(resources, options_.budget));
  std::move(writes.when_created.begin(), writes.when_created.end(), std::back_inserter(writes.now));
  return Apply(writes.now);
}

base::Status HostCgroup::Leave() {
  auto enter = [](const std::string& path) -> base::Status {
    TRY_ASSIGN(Cgroup target, Cgroup::Open(path));
    return target.Enter();
  };
  // The root is the only one that always takes processes.
  if (enter(PathOf(home_)) || enter(kHierarchy)) return {};
  return MakeError(Code::kUnavailable, "cgroup {}: cannot be left: {} is gone", options_.place,
                   home_);
}

base::Status RemoveHostCgroup(const std::string& place, const std::string& owner, bool kill,
                              std::chrono::milliseconds patience) {
  if (!IsPlace(place)) return {};
  auto opened = Cgroup::Open(PathOf(place));
  if (!opened) {
    (void)AwaitScopeGone(place);
    return {};
  }
  std::string marked = OwnerOf(opened->path());
  if (!marked.empty() && marked != owner) return {};
  // Unmarked: made a moment before its maker died, or somebody else's. Empty it may go.
  kill = kill && !marked.empty();
  auto now = std::chrono::steady_clock::now();
  auto kill_at = now + patience;
  auto give_up_at = kill ? kill_at + kKillDeadline : kill_at;
  bool killed = false;
  while (true) {
    auto removed = RemoveEmpty(*opened, place);
    if (removed) return {};
    now = std::chrono::steady_clock::now();
    if (now >= give_up_at) return kill ? std::move(removed) : base::Status();
    if (kill && !killed && now >= kill_at) {
      (void)opened->KillAll();
      killed = true;
    }
    std::this_thread::sleep_for(2ms);
  }
}

}  // namespace holt::shim
