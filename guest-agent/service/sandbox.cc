// Agent: the guest as a whole.

#include <fcntl.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "guest-agent/container/sysctl.h"
#include "guest-agent/service/agent.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

constexpr int64_t kSecond = 1'000'000'000;
constexpr size_t kMaxHostname = 64;  // HOST_NAME_MAX

Status SetTime(int64_t unix_nanos) {
  if (unix_nanos <= 0)
    return MakeError(Code::kInvalidArgument, "time_unix_nanos: {} is not a time", unix_nanos);
  timespec time{unix_nanos / kSecond, unix_nanos % kSecond};
  if (clock_settime(CLOCK_REALTIME, &time) != 0) return HOLT_ERRNO("set the clock");
  return {};
}

std::string KernelRelease() {
  utsname names{};
  return uname(&names) == 0 ? names.release : "";
}

uint64_t AvailableMemory() {
  auto text = base::ReadFile("/proc/meminfo", 64 << 10);
  if (!text) return 0;
  size_t at = text->find("MemAvailable:");
  return at == std::string::npos ? 0 : strtoull(text->c_str() + at + 13, nullptr, 10) * 1024;
}

}  // namespace

void Agent::RegisterSandbox() {
  using namespace agent::v1;
  Handle<CreateSandboxRequest, CreateSandboxResponse>(
      "CreateSandbox",
      [this](const auto& request, auto call) { call.Finish(CreateSandbox(request)); });
  Handle<NetworkConfig, Empty>("ConfigureNetwork", [this](const auto& request, auto call) {
    if (auto status = network_.Configure(request); !status)
      return call.Fail(status.error().Wrap("network"));
    call.Reply(Empty());
  });
  Handle<Empty, Empty>("ServeResolver", [this](const auto&, auto call) {
    if (auto status = ServeResolver(); !status) return call.Fail(status.error().Wrap("resolver"));
    call.Reply(Empty());
  });
  Handle<SetTimeRequest, Empty>("SetTime", [](const auto& request, auto call) {
    if (auto status = SetTime(request.time_unix_nanos()); !status) return call.Fail(status.error());
    call.Reply(Empty());
  });
  Handle<Empty, GuestInfoResponse>("GuestInfo",
                                   [this](const auto&, auto call) { call.Finish(GuestInfo()); });
  Handle<Empty, Empty>("Shutdown", [this](const auto&, auto call) {
    call.Reply(Empty());
    if (auto shutdown = std::exchange(on_shutdown_, nullptr)) shutdown();
  });
}

Result<agent::v1::CreateSandboxResponse> Agent::CreateSandbox(
    const agent::v1::CreateSandboxRequest& request) {
  if (sandbox_created_)
    return MakeError(Code::kFailedPrecondition, "the sandbox was created already");
  if (request.hostname().size() > kMaxHostname)
    return MakeError(Code::kInvalidArgument, "hostname: is longer than {} bytes", kMaxHostname);
  if (!request.hostname().empty() &&
      sethostname(request.hostname().data(), request.hostname().size()) != 0)
    return HOLT_ERRNO("hostname");
  if (request.time_unix_nanos() != 0) TRY(SetTime(request.time_unix_nanos()));
  TRY_ASSIGN(UniqueFd proc, base::Open("/proc", O_PATH | O_DIRECTORY));
  TRY(WriteSysctls(proc.get(), {request.sysctls().begin(), request.sysctls().end()}));
  sandbox_created_ = true;
  agent::v1::CreateSandboxResponse response;
  response.set_agent_version(HOLT_VERSION);
  response.set_kernel_release(KernelRelease());
  return response;
}

Status Agent::ServeResolver() {
  if (resolver_) return {};
  TRY_ASSIGN(UniqueFd cgroup, base::Open(engine_.cgroup_parent, O_RDONLY | O_DIRECTORY));
  TRY_ASSIGN(resolver_, Resolver::Start(loop_, cgroup.get()));
  return {};
}

Result<agent::v1::GuestInfoResponse> Agent::GuestInfo() {
  struct sysinfo info {};
  if (sysinfo(&info) != 0) return HOLT_ERRNO("sysinfo");
  agent::v1::GuestInfoResponse response;
  response.set_kernel_release(KernelRelease());
  response.set_memory_total_bytes(static_cast<uint64_t>(info.totalram) * info.mem_unit);
  response.set_memory_available_bytes(AvailableMemory());
  response.set_cpus_online(static_cast<uint32_t>(sysconf(_SC_NPROCESSORS_ONLN)));
  response.mutable_boot_timeline_us()->insert(timeline_.steps().begin(), timeline_.steps().end());
  return response;
}

}  // namespace holt::guest_agent
