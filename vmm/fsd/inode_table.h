#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace holt::fsd {

// What makes an inode the same one. The mount is part of it, because one inode that is bound to two
// places may be read-only in one of them.
struct InodeKey {
  uint64_t mount = 0;
  uint64_t ino = 0;
  uint32_t dev_major = 0;
  uint32_t dev_minor = 0;
  friend bool operator==(const InodeKey&, const InodeKey&) = default;
};

InodeKey KeyOf(const struct statx& stat);
// The fields of statx that a KeyOf() and an attribute reply need.
inline constexpr unsigned kStatxMask = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;

struct FileHandleBytes;  // a name_to_handle_at() result

// Content as it was last seen by an open or a close of the guest, to tell whether its cache is
// good.
struct ContentStamp {
  int64_t mtime_seconds = 0;
  uint32_t mtime_nanoseconds = 0;
  uint64_t size = UINT64_MAX;
  friend bool operator==(const ContentStamp&, const ContentStamp&) = default;
};

// An inode that the guest knows. Members without a comment never change.
struct Inode {
  uint64_t nodeid = 0;
  InodeKey key;
  mode_t type = 0;               // S_IFMT bits
  std::atomic<bool> used{true};  // since the clock hand passed

  // Guarded by the table's mutex.
  uint64_t lookups = 0;
  std::shared_ptr<const base::UniqueFd> fd;  // O_PATH; null when put away as a handle
  std::unique_ptr<FileHandleBytes> handle;
  ContentStamp stamp;
  uint64_t parent = 0;  // the directory where the guest found it last, if it was told of (SetName)
  std::string name;

  int watch = -1;  // the change feed's

  Inode();
  ~Inode();
};

// An inode with its descriptor, for the length of an operation.
struct PinnedInode {
  std::shared_ptr<Inode> inode;
  std::shared_ptr<const base::UniqueFd> fd;
  int get() const { return fd->get(); }
};

// Every inode that the guest holds a reference to. Thread-safe.
//
// An inode is an O_PATH descriptor, which pins it: its number cannot be reused. When more than
// `max_fds` are open, those unused longest are put away as file handles (where the file system and
// our capabilities allow it) and opened again when needed.
class InodeTable {
 public:
  static constexpr uint64_t kRootId = 1;

  explicit InodeTable(size_t max_fds) : max_fds_(max_fds) {}
  ~InodeTable();

  // Forgets everything, and makes `root` inode 1. 0 or an errno.
  int Reset(int root);

  // 0, or ESTALE when the guest names what it does not hold, or the errno of opening it again.
  int Pin(uint64_t nodeid, PinnedInode& out);
  // The inode behind `fd` (O_PATH, just opened; `stat` is of it), with one lookup more.
  int Intern(base::UniqueFd fd, const struct statx& stat, PinnedInode& out);
  // Drops `count` lookups; at none the inode is gone. More than there are is taken as all.
  void Forget(uint64_t nodeid, uint64_t count);

  // Pin() with one lookup more.
  int Ref(uint64_t nodeid, PinnedInode& out);

  // By what name the guest knows an inode: the last one.
  void SetName(const std::shared_ptr<Inode>& inode, uint64_t parent, std::string_view name);
  void ForgetName(uint64_t parent, std::string_view name);
  // 0: none.
  uint64_t FindName(uint64_t parent, std::string_view name) const;
  std::pair<uint64_t, std::string> NameOf(const Inode& inode) const;
  // Called, with the table locked, for every inode that goes.
  void OnGone(std::function<void(Inode&)> callback) { on_gone_ = std::move(callback); }

  // Whether the guest's cached content of the inode is what `now` describes; remembers `now`.
  bool SwapStamp(Inode& inode, const ContentStamp& now);

  size_t size() const;
  size_t open_fds() const;

 private:
  struct KeyHash {
    size_t operator()(const InodeKey& key) const {
      uint64_t h = key.ino * 0x9e3779b97f4a7c15ull;
      h ^= (key.mount << 32) ^ (uint64_t{key.dev_major} << 20) ^ key.dev_minor;
      return static_cast<size_t>(h ^ (h >> 29));
    }
  };
  struct Slot {
    uint32_t generation = 0;
    std::shared_ptr<Inode> inode;
  };
  struct Mount {
    size_t inodes = 0;
    bool handles_fail = false;
    base::UniqueFd anchor;  // what open_by_handle_at() wants; null until the first handle
  };

  // All with mutex_ held.
  Slot* FindSlot(uint64_t nodeid);
  std::shared_ptr<Inode> NewInode(const InodeKey& key, mode_t type);
  void Remove(const std::shared_ptr<Inode>& inode);
  void EvictSome();
  bool PutAway(Inode& inode, Mount& mount);
  int Reopen(Inode& inode);
  int PinSlot(uint64_t nodeid, PinnedInode& out);
  void DropName(Inode& inode);

  const size_t max_fds_;
  mutable std::mutex mutex_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  std::unordered_map<InodeKey, std::shared_ptr<Inode>, KeyHash> by_key_;
  std::map<uint64_t, Mount> mounts_;
  std::map<std::pair<uint64_t, std::string>, uint64_t, std::less<>> by_name_;
  std::function<void(Inode&)> on_gone_;
  size_t open_fds_ = 0;
  size_t hand_ = 0;
};

}  // namespace holt::fsd
