#include "vmm/fsd/lock_table.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

#include "vmm/fsd/server.h"

namespace holt::fsd {
namespace {

// F_OFD_* want l_pid 0 and a length instead of an inclusive end. 0 or EINVAL.
int ToFlock(const fuse_file_lock& lock, struct flock& out) {
  constexpr auto kMax = static_cast<uint64_t>(INT64_MAX);
  if (lock.start > kMax || lock.end > kMax || lock.start > lock.end) return EINVAL;
  if (lock.type != F_RDLCK && lock.type != F_WRLCK && lock.type != F_UNLCK) return EINVAL;
  out = {};
  out.l_type = static_cast<short>(lock.type);
  out.l_whence = SEEK_SET;
  out.l_start = static_cast<off_t>(lock.start);
  out.l_len = lock.end == kMax ? 0 : static_cast<off_t>(lock.end - lock.start + 1);
  return 0;
}

}  // namespace

int LockTable::FindOwner(const Request& request, const Opener& open, Owner*& out) {
  const OwnerKey key{request.nodeid, request.owner};
  auto it = owners_.find(key);
  if (it == owners_.end()) {
    int fd = open();
    if (fd < 0) return -fd;
    it = owners_.emplace(key, Owner{base::UniqueFd(fd), request.handle}).first;
  }
  it->second.handle = request.handle;
  out = &it->second;
  return 0;
}

int LockTable::Get(const Request& request, const Opener& open, fuse_file_lock& out) {
  struct flock lock {};
  if (int err = ToFlock(request.lock, lock); err != 0) return err;
  std::lock_guard guard(mutex_);
  Owner* owner = nullptr;
  if (int err = FindOwner(request, open, owner); err != 0) return err;
  if (fcntl(owner->fd.get(), F_OFD_GETLK, &lock) != 0) return errno;
  out = {};
  out.type = static_cast<uint32_t>(lock.l_type);
  if (lock.l_type == F_UNLCK) return 0;
  out.start = static_cast<uint64_t>(lock.l_start);
  out.end = lock.l_len == 0 ? static_cast<uint64_t>(INT64_MAX)
                            : out.start + static_cast<uint64_t>(lock.l_len) - 1;
  // A pid of the host means nothing in the guest; an OFD lock's is -1 anyway.
  return 0;
}

int LockTable::TrySet(const Request& request) {
  if (request.is_flock) {
    int operation = 0;
    switch (request.lock.type) {
      case F_RDLCK:
        operation = LOCK_SH;
        break;
      case F_WRLCK:
        operation = LOCK_EX;
        break;
      case F_UNLCK:
        operation = LOCK_UN;
        break;
      default:
        return EINVAL;
    }
    if (!request.file) return EBADF;
    return flock(request.file->fd.get(), operation | LOCK_NB) == 0 ? 0 : errno;
  }
  struct flock lock {};
  if (int err = ToFlock(request.lock, lock); err != 0) return err;
  auto it = owners_.find(OwnerKey{request.nodeid, request.owner});
  if (it == owners_.end()) return EINTR;  // flushed while it waited
  if (fcntl(it->second.fd.get(), F_OFD_SETLK, &lock) == 0) return 0;
  return errno == EACCES ? EAGAIN : errno;
}

int LockTable::Set(const Request& request, const Opener& open) {
  std::lock_guard guard(mutex_);
  if (!request.is_flock) {
    Owner* owner = nullptr;
    if (int err = FindOwner(request, open, owner); err != 0) return err;
  }
  int err = TrySet(request);
  // Giving up a lock, or a write lock for a read lock, may be what others wait for.
  if (err == 0 && request.lock.type != F_WRLCK && !waiters_.empty()) RetryLocked();
  return err;
}

void LockTable::Wait(const Request& request, uint64_t unique, Completer* completer,
                     vmm::DescriptorChain chain) {
  std::lock_guard guard(mutex_);
  Waiter waiter{request, unique, completer, std::move(chain)};
  if (waiters_.size() >= kMaxWaiters) return Answer(waiter, ENOLCK);
  waiters_.push_back(std::move(waiter));
}

void LockTable::Answer(Waiter& waiter, int err) {
  uint32_t written = WriteLateReply(waiter.chain, waiter.unique, err);
  waiter.completer->Complete(std::move(waiter.chain), written);
}

bool LockTable::RetryLocked() {
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    int err = TrySet(it->request);
    if (err == EAGAIN) {
      ++it;
      continue;
    }
    Answer(*it, err);
    it = waiters_.erase(it);
  }
  return !waiters_.empty();
}

bool LockTable::Retry() {
  std::lock_guard guard(mutex_);
  return RetryLocked();
}

bool LockTable::waiting() const {
  std::lock_guard guard(mutex_);
  return !waiters_.empty();
}

void LockTable::Interrupt(uint64_t unique) {
  std::lock_guard guard(mutex_);
  for (auto it = waiters_.begin(); it != waiters_.end(); ++it) {
    if (it->unique != unique) continue;
    Answer(*it, EINTR);
    waiters_.erase(it);
    return;
  }
}

void LockTable::Cancel(const Completer* completer) {
  std::lock_guard guard(mutex_);
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    if (completer != nullptr && it->completer != completer) {
      ++it;
      continue;
    }
    Answer(*it, EINTR);
    it = waiters_.erase(it);
  }
}

void LockTable::Flush(uint64_t nodeid, uint64_t owner) {
  std::lock_guard guard(mutex_);
  if (owners_.erase(OwnerKey{nodeid, owner}) != 0 && !waiters_.empty()) RetryLocked();
}

void LockTable::Release(uint64_t nodeid, uint64_t handle) {
  std::lock_guard guard(mutex_);
  for (auto it = owners_.lower_bound(OwnerKey{nodeid, 0});
       it != owners_.end() && it->first.nodeid == nodeid;) {
    it = it->second.handle == handle ? owners_.erase(it) : std::next(it);
  }
  if (!waiters_.empty()) RetryLocked();
}

void LockTable::Clear() {
  Cancel(nullptr);
  std::lock_guard guard(mutex_);
  owners_.clear();
}

}  // namespace holt::fsd
