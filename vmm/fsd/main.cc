// holt-fsd: serves one directory to one virtual machine. See docs/processes/holt-fsd.md.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/socket.h"
#include "vmm/fsd/fs_device.h"
#include "vmm/fsd/options.h"
#include "vmm/fsd/sandbox.h"

namespace holt::fsd {
namespace {

using base::EventLoop;
using base::Result;
using base::Status;
using base::UniqueFd;

Result<UniqueFd> TakeSocket(const Options& options) {
  if (options.socket_fd >= 0) {
    TRY_CONTEXT(base::SetCloexec(options.socket_fd, true), "--socket-fd");
    return UniqueFd(options.socket_fd);
  }
  TRY_ASSIGN(UniqueFd listener, base::ListenUnix(options.socket_path, 1));
  pollfd wait{listener.get(), POLLIN, 0};
  while (poll(&wait, 1, -1) < 0 && errno == EINTR) {
  }
  auto socket = base::AcceptUnix(listener.get());
  unlink(options.socket_path.c_str());
  return socket;
}

Result<UniqueFd> TakeDirectory(const Options& options) {
  if (options.shared_dir_fd >= 0)
    return base::OpenAt(options.shared_dir_fd, ".", O_PATH | O_DIRECTORY);
  return base::Open(options.shared_dir, O_PATH | O_DIRECTORY);
}

// The threads that own a request queue each; none when one loop serves all.
class QueueThreads {
 public:
  static Result<std::unique_ptr<QueueThreads>> Start(unsigned count) {
    auto threads = std::make_unique<QueueThreads>();
    for (unsigned i = 0; i < count; ++i) {
      TRY_ASSIGN(auto loop, EventLoop::Create());
      threads->loops_.push_back(std::move(loop));
      threads->threads_.emplace_back([l = threads->loops_.back().get()] {
        // The file mode creation mask is the thread's own.
        if (unshare(CLONE_FS) != 0) base::log::Error("unshare(CLONE_FS): {}", errno);
        l->Run();
      });
    }
    return threads;
  }
  ~QueueThreads() {
    for (auto& loop : loops_) loop->Stop();
    for (auto& thread : threads_) thread.join();
  }
  void AppendLoops(std::vector<EventLoop*>& out) const {
    for (const auto& loop : loops_) out.push_back(loop.get());
  }

 private:
  std::vector<std::unique_ptr<EventLoop>> loops_;
  std::vector<std::thread> threads_;
};

Status Serve(Options options) {
  TRY_ASSIGN(UniqueFd shared, TakeDirectory(options));
  TRY_ASSIGN(UniqueFd socket, TakeSocket(options));
  UniqueFd changes, inotify;
  if (options.changes_fd >= 0) {
    changes.Reset(options.changes_fd);
    TRY_CONTEXT(base::SetCloexec(changes.get(), true), "--changes-fd");
    TRY_CONTEXT(base::SetNonblocking(changes.get(), true), "--changes-fd");
    // Serving files matters more than telling of their changes.
    if (auto made = ChangeFeed::OpenInotify(options.changes_uid); made)
      inotify = std::move(*made);
    else
      base::log::Warning("changes of the host will not be announced to the guest: {}",
                         made.error().message());
  }
  TRY_ASSIGN(size_t files, SetLimits());
  // Half for inodes; open files, locks and directories want theirs.
  options.server.max_inode_fds =
      std::min(options.server.max_inode_fds, std::max<size_t>(files / 2, 64));
  TRY_ASSIGN_CONTEXT(UniqueFd root, EnterNamespaces(shared.get(), options.server.read_only),
                     "sandbox");
  shared.Reset();
  TRY_CONTEXT(DropCapabilities(), "sandbox");
  umask(0);

  SlowLane slow;
  TRY_ASSIGN(auto loop, EventLoop::Create());
  TRY_ASSIGN(auto threads, QueueThreads::Start(options.queues > 1 ? options.queues : 0));
  TRY_CONTEXT(InstallSeccomp(), "sandbox");

  TRY_ASSIGN(auto server, Server::Create(options.server, std::move(root), &slow));
  if (inotify)
    TRY(server->WatchVolumes(*loop, std::move(inotify), std::move(changes), options.watched));
  FsDevice device(server.get(), options.queues);
  vmm::vhost_user::Backend::Options backend_options;
  backend_options.loop = loop.get();
  backend_options.socket = std::move(socket);
  backend_options.device = &device;
  if (options.queues > 1) {
    backend_options.queue_loops.push_back(loop.get());  // the high-priority queue
    threads->AppendLoops(backend_options.queue_loops);
  }
  Status result;
  backend_options.on_closed = [&](const base::Error& why) {
    // A front end that hung up is the way a virtual machine ends.
    if (why.code() != base::Code::kUnavailable) result = why;
    loop->Stop();
  };
  TRY_ASSIGN(auto backend, vmm::vhost_user::Backend::Create(std::move(backend_options)));
  loop->Run();
  return result;
}

int Main(const std::vector<std::string>& arguments) {
  base::log::Init({.program = "holt-fsd"});
  auto options = ParseOptions(arguments);
  if (!options) {
    base::log::Error("{}", options.error().message());
    return 2;
  }
  if (options->help) return std::fputs(Usage().c_str(), stdout) < 0;
  if (options->version) return std::puts("holt-fsd " HOLT_VERSION) < 0;
  base::log::SetLevel(options->log_level);
  if (Status status = Serve(std::move(*options)); !status) {
    base::log::Error("{}", status.error().message());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace holt::fsd

int main(int argc, char** argv) {
  return holt::fsd::Main(std::vector<std::string>(argv + 1, argv + argc));
}
