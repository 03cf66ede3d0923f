#include <fcntl.h>

#include "base/file.h"
#include "base/log.h"
#include "shim/monitor/sandbox.h"

// What the container says of itself (sd_notify(3)).
namespace holt::shim {
namespace {

constexpr uint32_t kNotifyPort = 1028;  // of the host, in vsock; for this only

// The socket that an engine mounted into the container and told it of. What is there and is none is
// left as it is.
std::optional<NotifySocket> FromEngine(const std::string& share, const NotifyVariable& variable) {
  auto open = [&]() -> base::Result<NotifySocket> {
    if (variable.below.empty()) {
      // A file: the mount itself.
      return OpenNotifySocket(share + "/" + variable.source);
    }
    TRY_ASSIGN(base::UniqueFd root,
               base::Open(share + "/" + variable.source, O_PATH | O_DIRECTORY | O_NOFOLLOW));
    return OpenNotifySocketBelow(root.get(), variable.below);
  };
  auto socket = open();
  if (socket) return std::move(*socket);
  base::log::Info("{}={}: not passed on: {}", kNotifyVariable, variable.path,
                  socket.error().message());
  return std::nullopt;
}

}  // namespace

base::Status Sandbox::AddNotifySocket(Container::Options& options) {
  std::optional<NotifySocket> socket;
  std::string path = kNotifyPath;
  if (!options_.request.notify_socket.empty()) {
    TRY_ASSIGN_CONTEXT(socket, OpenNotifySocket(options_.request.notify_socket), kNotifyVariable);
    // The host's is for whoever starts services; this one for everybody in the container, as
    // runc's.
    socket->mode = 0777;
    socket->uid = socket->gid = 0;
  } else if (auto variable = FindNotifyVariable(options_.config); variable) {
    socket = FromEngine(share_.directory(), *variable);
    path = variable->path;
  }
  if (!socket) return {};
  agent::v1::SocketVolume& volume = options.sockets.emplace_back();
  volume.set_source(options_.request.id + "/notify");
  volume.set_port(kNotifyPort);
  volume.set_mode(socket->mode);
  volume.set_uid(socket->uid);
  volume.set_gid(socket->gid);
  volume.set_notifications(true);
  options_.config.mounts.push_back({.destination = path,
                                    .type = "bind",
                                    .source = volume.source(),
                                    .options = {"bind", "nosuid", "nodev", "noexec"}});
  TRY_ASSIGN_CONTEXT(base::UniqueFd guest, link_->ListenForGuest(kNotifyPort), kNotifyVariable);
  TRY_ASSIGN(notify_, NotifyRelay::Start(loop_, std::move(guest), std::move(*socket)));
  return {};
}

// The engine's socket is for whoever is in the container, at any time. The runtime's own is spoken
// to in the name of the command that starts the container, if it was asked to.
void Sandbox::OpenNotify(const monitor::v1::StartRequest& request) {
  if (!notify_) return;
  if (options_.request.notify_socket.empty()) return notify_->Open({});
  if (request.notify_sender() <= 0) return notify_.reset();
  const pid_t main = request.notify_main() > 0 ? request.notify_main() : record_.pid;
  notify_->Open({.sender = request.notify_sender(), .main = main});
}

void Sandbox::WhenNotified(std::function<void()> done) {
  const bool running = phase_ == Phase::kStarting || phase_ == Phase::kRunning;
  if (!notify_ || options_.request.notify_socket.empty() || !running) return done();
  notify_->WhenReady(std::move(done));
}

}  // namespace holt::shim
