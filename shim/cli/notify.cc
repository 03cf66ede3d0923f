#include "shim/cli/notify.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "shim/cli/container.h"
#include "shim/run/environment.h"
#include "shim/state/notify_socket.h"

namespace holt::shim::cli {
namespace {

std::string Address() {
  const char* address = getenv(kNotifyVariable);
  return address == nullptr ? "" : address;
}

}  // namespace

std::string TakeNotifySocket(oci::Config& config, Request& request) {
  const std::string address = Address();
  if (address.empty() || HasVariable(config.process->env, kNotifyVariable)) return "";
  if (auto socket = OpenNotifySocket(address); !socket)
    return fmt::format("{}: nobody is told how the container is: {}", kNotifyVariable,
                       socket.error().message());
  request.notify_socket = address;
  SetVariable(config.process->env, std::string(kNotifyVariable) + "=" + kNotifyPath);
  return "";
}

monitor::v1::StartRequest StartRequestFor(const std::string& container_id, bool stays) {
  monitor::v1::StartRequest request;
  request.set_container_id(container_id);
  if (Address().empty()) return request;
  request.set_notify_sender(getpid());
  if (stays) request.set_notify_main(getpid());
  return request;
}

void WaitNotified(const SandboxPaths& paths, const std::string& container_id) {
  if (Address().empty()) return;
  auto client = rpc::BlockingClient::Connect(paths.MonitorSocket());
  if (!client) return;
  monitor::v1::ContainerRequest request;
  request.set_container_id(container_id);
  auto notified = (*client)->Call<monitor::v1::Empty>(kMonitorService, "WaitNotified", request);
  // It has ended.
  if (!notified) base::log::Debug("{}", notified.error().message());
}

}  // namespace holt::shim::cli
