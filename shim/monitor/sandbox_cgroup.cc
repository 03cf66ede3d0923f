#include "base/log.h"
#include "shim/cgroup/host_cgroup.h"
#include "shim/cgroup/place.h"
#include "shim/cgroup/scope_properties.h"
#include "shim/monitor/sandbox.h"

// The sandbox's cgroup on the host, and what of the limits the guest gets.
namespace holt::shim {
namespace {

using namespace std::chrono_literals;

// The last processes of it end in no time; a stub does not if nobody reads its output.
constexpr auto kPatience = 100ms;

const oci::Resources& ResourcesOf(const oci::Config& config) {
  static const oci::Resources kNone;
  return config.linux_ && config.linux_->resources ? *config.linux_->resources : kNone;
}

}  // namespace

base::Status Sandbox::EnterCgroup() {
  const Request& request = options_.request;
  if (request.cgroup.empty()) return {};
  if (!IsPlace(request.cgroup))
    return base::MakeError(base::Code::kInvalidArgument, "request.json: cgroup: \"{}\" is none",
                           request.cgroup);
  // Written down first: whoever cleans up after us finds it.
  record_.cgroup = request.cgroup;
  Save();
  HostCgroup::Options options;
  options.place = request.cgroup;
  options.owner = paths_.directory;
  options.budget = {.machine_bytes = request.memory_bytes,
                    .overhead_bytes = request.overhead_bytes};
  if (request.scope) {
    TRY_ASSIGN(auto properties, AnnotatedProperties(options_.config.annotations));
    options.scope = HostCgroup::Scope{.program = request.libexec + "/holt-scope",
                                      .description = "holt container " + request.id,
                                      .properties = std::move(properties)};
  }
  TRY_ASSIGN(HostCgroup made, HostCgroup::Create(std::move(options), ResourcesOf(options_.config)));
  cgroup_.emplace(std::move(made));
  return cgroup_->Enter();
}

void Sandbox::LeaveCgroup(bool remove) {
  if (!cgroup_) return;
  base::Status done = cgroup_->Leave();
  if (done) done = RemoveHostCgroup(record_.cgroup, paths_.directory, remove, kPatience);
  if (!done) base::log::Warning("{}", done.error().message());
}

base::Status Sandbox::UpdateCgroup(const oci::Resources& update) {
  if (cgroup_) return cgroup_->Update(update);
  TRY_ASSIGN(std::vector<std::string> only, HostOnlyProperties(update));
  if (only.empty()) return {};
  return base::MakeError(base::Code::kUnsupported,
                         "{}: needs cgroup v2 on the host, and the container has no cgroup there",
                         only.front());
}

oci::Config Sandbox::ConfigForGuest() const {
  oci::Config config = options_.config;
  if (config.linux_ && config.linux_->resources)
    config.linux_->resources = ResourcesForGuest(*config.linux_->resources);
  return config;
}

}  // namespace holt::shim
