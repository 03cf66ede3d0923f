#include "guest-agent/service/oom_watcher.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <vector>

#include "base/file.h"
#include "cgroup/stats.h"

namespace holt::guest_agent {

using base::Result;
using base::Status;
using base::UniqueFd;

Result<std::unique_ptr<OomWatcher>> OomWatcher::Create(base::EventLoop& loop, OnOom on_oom) {
  UniqueFd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify) return HOLT_ERRNO("inotify");
  std::unique_ptr<OomWatcher> watcher(new OomWatcher(loop, std::move(inotify), std::move(on_oom)));
  OomWatcher* raw = watcher.get();
  TRY(loop.AddFd(raw->inotify_.get(), EPOLLIN, [raw](uint32_t) { raw->OnEvents(); }));
  return watcher;
}

OomWatcher::~OomWatcher() { loop_.RemoveFd(inotify_.get()); }

Status OomWatcher::Add(const std::string& container_id, const std::string& path) {
  Watched watched;
  watched.events_file = path + "/memory.events";
  watched.descriptor = inotify_add_watch(inotify_.get(), watched.events_file.c_str(), IN_MODIFY);
  if (watched.descriptor < 0) return HOLT_ERRNO("inotify {}", watched.events_file);
  watched_[container_id] = std::move(watched);
  return {};
}

void OomWatcher::Remove(const std::string& container_id) {
  auto node = watched_.extract(container_id);
  // EINVAL: the file is gone, and the watch with it.
  if (!node.empty()) inotify_rm_watch(inotify_.get(), node.mapped().descriptor);
}

void OomWatcher::Check(const std::string& container_id) {
  auto it = watched_.find(container_id);
  if (it == watched_.end()) return;
  auto text = base::ReadFile(it->second.events_file, 4096);
  if (!text) return;
  uint64_t kills = cgroup::ParseFlatKeyed(*text)["oom_kill"];
  bool more = kills > it->second.kills;
  it->second.kills = kills;
  if (more) on_oom_(container_id);
}

void OomWatcher::OnEvents() {
  alignas(inotify_event) char buffer[4096];
  while (read(inotify_.get(), buffer, sizeof buffer) > 0) {
  }
  // Which file it was does not matter: there are few, and each knows its own count.
  std::vector<std::string> ids;
  for (const auto& [id, watched] : watched_) ids.push_back(id);
  for (const std::string& id : ids) Check(id);
}

}  // namespace holt::guest_agent
