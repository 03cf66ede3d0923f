#include "shim/cgroup/host_cgroup.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/file.h"
#include "shim/cgroup/place.h"

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
  if (setxattr(path.c_str(), kMark, owner.data(), owner.size(), 0) != 0)
    return HOLT_ERRNO("mark cgroup {}", path);
  return cgroup;
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
  TRY_ASSIGN(Way way, MakeWay(options.place));
  std::string path = PathOf(options.place);
  TRY_ASSIGN(Cgroup made, MakeOrTake(path, options.owner));
  HostCgroup out(std::move(options), std::move(made), std::move(home));
  auto apply = [&]() -> base::Status {
    TRY(out.cgroup_.Apply(writes.now));
    // Tried now, so that what is wrong with it is known before the machine boots.
    TRY(out.cgroup_.Apply(writes.when_created));
    return out.cgroup_.Apply(Lifted(writes.when_created));
  };
  if (auto applied = Explained(apply(), way); !applied) {
    (void)RemoveHostCgroup(out.options_.place, out.options_.owner, false);
    return std::move(applied).error();
  }
  out.bandwidth_ = std::move(writes.when_created);
  return out;
}

base::Status HostCgroup::Enter() {
  TRY_CONTEXT(cgroup_.Enter(), "enter cgroup " + options_.place);
  return {};
}

base::Status HostCgroup::ApplyBandwidth() { return cgroup_.Apply(bandwidth_); }

base::Status HostCgroup::Update(const oci::Resources& resources) {
  TRY_ASSIGN(HostWrites writes, WritesForHost(resources, options_.budget));
  TRY(cgroup_.Apply(writes.now));
  return cgroup_.Apply(writes.when_created);
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
  if (!opened) return {};
  std::string marked = OwnerOf(opened->path());
  if (!marked.empty() && marked != owner) return {};
  // Unmarked: made a moment before its maker died, or somebody else's. Empty it may go.
  kill = kill && !marked.empty();
  auto now = std::chrono::steady_clock::now();
  auto kill_at = now + patience;
  auto give_up_at = kill ? kill_at + kKillDeadline : kill_at;
  bool killed = false;
  while (true) {
    auto removed = opened->Remove();
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
