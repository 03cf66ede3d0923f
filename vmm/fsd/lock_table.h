#pragma once

#include <linux/fuse.h>

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>

#include "base/unique_fd.h"
#include "vmm/fsd/handle_table.h"
#include "vmm/virtio/queue.h"

namespace holt::fsd {

class Completer;

// The guest's file locks, taken on the host (Locks::kHost). A POSIX lock owner of the guest has one
// open file description of its own per inode here, whose OFD locks stand for the owner's; a flock
// is taken on the description that stands for the guest's. Nothing here blocks: who must wait is
// tried again. Thread-safe.
class LockTable {
 public:
  struct Request {
    uint64_t nodeid = 0;
    uint64_t handle = 0;
    std::shared_ptr<OpenFile> file;
    uint64_t owner = 0;
    bool is_flock = false;
    fuse_file_lock lock{};
  };
  // Opens the inode of the request for locking: a descriptor or a negative errno.
  using Opener = std::function<int()>;

  // How many may wait; more get ENOLCK. Each holds a descriptor of a ring.
  static constexpr size_t kMaxWaiters = 256;

  // Who would be in the way of the lock; type F_UNLCK: nobody. 0 or an errno.
  int Get(const Request& request, const Opener& open, fuse_file_lock& out);
  // 0, EAGAIN when somebody is in the way, or another errno.
  int Set(const Request& request, const Opener& open);
  // Keeps a request that Set() answered with EAGAIN: `chain` is answered through `completer`, with
  // 0 when the lock is had, with ENOLCK at once when too many wait.
  void Wait(const Request& request, uint64_t unique, Completer* completer,
            vmm::DescriptorChain chain);

  // Tries for all who wait. True when some still do.
  bool Retry();
  bool waiting() const;
  // The waiting request `unique` is answered with EINTR.
  void Interrupt(uint64_t unique);
  // All that wait for answers through `completer` (null: through any) are answered with EINTR.
  void Cancel(const Completer* completer);

  // `owner` closed a descriptor of the inode: POSIX says that its locks go.
  void Flush(uint64_t nodeid, uint64_t owner);
  // The last descriptor of an open file is gone, and what was locked only through it.
  void Release(uint64_t nodeid, uint64_t handle);
  void Clear();

 private:
  struct OwnerKey {
    uint64_t nodeid;
    uint64_t owner;
    friend auto operator<=>(const OwnerKey&, const OwnerKey&) = default;
  };
  struct Owner {
    base::UniqueFd fd;
    uint64_t handle = 0;  // the last that was locked through
  };
  struct Waiter {
    Request request;
    uint64_t unique;
    Completer* completer;
    vmm::DescriptorChain chain;
  };

  // With mutex_ held.
  int FindOwner(const Request& request, const Opener& open, Owner*& out);
  int TrySet(const Request& request);
  bool RetryLocked();
  static void Answer(Waiter& waiter, int err);

  mutable std::mutex mutex_;
  std::map<OwnerKey, Owner> owners_;
  std::list<Waiter> waiters_;
};

}  // namespace holt::fsd
