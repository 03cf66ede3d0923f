// holt-agent: the first process of the guest (docs/processes/holt-agent.md).

#include <unistd.h>

#include "base/event_loop.h"
#include "base/log.h"
#include "guest-agent/init/boot.h"
#include "guest-agent/init/power.h"
#include "guest-agent/init/ready.h"
#include "guest-agent/init/reaper.h"
#include "guest-agent/service/agent.h"
#include "guest-agent/stream/vsock.h"

namespace holt::guest_agent {
namespace {

// Boots, serves, and returns when the host has asked for the end.
base::Status Serve(Timeline& timeline, Booted& booted) {
  TRY(Boot(timeline, booted));
  TRY_ASSIGN(base::UniqueFd rpc_listener, ListenVsock(kRpcPort));
  TRY_ASSIGN(base::UniqueFd stream_listener, ListenVsock(kStreamPort));
  timeline.Mark("ready");
  TRY_ASSIGN_CONTEXT(base::UniqueFd ready, TellHost(ReadyLine(HOLT_VERSION, Timeline::Now())),
                     "tell the host that the guest is ready");
  // While the host connects.
  FinishBoot(timeline);
  TRY_ASSIGN(auto loop, base::EventLoop::Create());
  Reaper reaper(*loop);
  TRY(reaper.Start());
  TRY_ASSIGN(auto agent, Agent::Create(*loop, reaper, booted, timeline, [&] { loop->Stop(); }));
  TRY(agent->Serve(std::move(rpc_listener), std::move(stream_listener)));
  timeline.Mark("serving");
  loop->Run();
  return {};
}

}  // namespace
}  // namespace holt::guest_agent

int main() {
  using namespace holt::guest_agent;
  if (getpid() != 1) {
    holt::base::log::Init({.program = "holt-agent"});
    holt::base::log::Error("is the first process of a holt guest, not a program to run");
    return 2;
  }
  Timeline timeline;
  timeline.Mark("kernel");
  // Until there is a /dev/kmsg: the console.
  holt::base::log::Init({.program = "holt-agent"});
  Booted booted;
  if (auto status = Serve(timeline, booted); !status) {
    holt::base::log::Error("{}", status.error().message());
    (void)TellHost(FailureLine(status.error().message()));
  }
  PowerOff();
}
