#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::guest_agent {

// Tells when the kernel killed for want of memory in a container: inotify on the memory.events of
// its cgroup.
class OomWatcher {
 public:
  // Called with the container's id, once per change of its count.
  using OnOom = std::function<void(const std::string& container_id)>;

  static base::Result<std::unique_ptr<OomWatcher>> Create(base::EventLoop& loop, OnOom on_oom);
  ~OomWatcher();
  OomWatcher(const OomWatcher&) = delete;
  OomWatcher& operator=(const OomWatcher&) = delete;

  // `path` is a cgroup's directory. A cgroup without the memory controller is an error.
  base::Status Add(const std::string& container_id, const std::string& path);
  void Remove(const std::string& container_id);
  // Looks now: the end of a process may be seen before the kernel's notice.
  void Check(const std::string& container_id);

 private:
  struct Watched {
    int descriptor = -1;
    std::string events_file;
    uint64_t kills = 0;
  };
  OomWatcher(base::EventLoop& loop, base::UniqueFd inotify, OnOom on_oom)
      : loop_(loop), inotify_(std::move(inotify)), on_oom_(std::move(on_oom)) {}
  void OnEvents();

  base::EventLoop& loop_;
  base::UniqueFd inotify_;
  OnOom on_oom_;
  std::map<std::string, Watched> watched_;
};

}  // namespace holt::guest_agent
