#pragma once

#include <sys/types.h>

#include <memory>

#include "base/result.h"
#include "base/unique_fd.h"
#include "guest-agent/init/reaper.h"
#include "oci/runtime_spec.h"

namespace holt::guest_agent {

// A process that lets changes of the host's to the volumes of a container happen again in its
// mounts, so that inotify watchers there are told (docs/adr/0110-changes-are-replayed.md). A
// process of its own, because each replay waits for holt-fsd. Ends with the stream, and killed when
// destroyed.
class Replayer {
 public:
  // `container` is a pidfd of the container's first process, which has mounted everything and
  // executed nothing yet. `stream` brings rpc::Change records.
  static base::Result<std::unique_ptr<Replayer>> Start(Reaper& reaper, int container,
                                                       const oci::Config& config,
                                                       base::UniqueFd stream);
  ~Replayer();
  Replayer(const Replayer&) = delete;
  Replayer& operator=(const Replayer&) = delete;

 private:
  Replayer(Reaper& reaper, pid_t pid) : reaper_(reaper), pid_(pid) {}
  Reaper& reaper_;
  pid_t pid_;  // 0: ended
};

}  // namespace holt::guest_agent
