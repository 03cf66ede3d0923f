#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "rpc/change.h"
#include "vmm/fsd/inode_table.h"

namespace holt::fsd {

// What the host changes in directories that the guest knows, as records for the guest's agent
// (rpc/change.h, docs/adr/0110-changes-are-replayed.md). The guest's kernel holds on to every inode
// that somebody there watches, so a watch on each directory that the guest holds misses nothing and
// needs no message. Lives on the loop that serves the guest's requests; not thread-safe.
class ChangeFeed {
 public:
  // Directories watched at once; others are served but not watched.
  static constexpr size_t kMaxWatches = 8192;
  // Changes waiting for a guest that does not take them; more are lost, which is said once.
  static constexpr size_t kMaxPending = 8192;
  // Changes are held back this long, so that a file that is written all the time is one change.
  static constexpr std::chrono::milliseconds kPause{10};

  // A name in a directory that the guest knows; with an empty name the inode itself.
  struct Place {
    uint64_t nodeid = 0;
    std::string name;
    friend bool operator==(const Place&, const Place&) = default;
  };

  // `inotify` (see OpenInotify) and `sink`, a nonblocking stream, are kept; `inodes` outlives it.
  ChangeFeed(InodeTable& inodes, base::UniqueFd inotify, base::UniqueFd sink);
  ~ChangeFeed();
  ChangeFeed(const ChangeFeed&) = delete;
  ChangeFeed& operator=(const ChangeFeed&) = delete;

  // An inotify instance that counts against the limits of user `uid` (who is nobody else), not
  // root's 128 instances for the whole host. Before capabilities are dropped, with one thread.
  static base::Result<base::UniqueFd> OpenInotify(uint32_t uid);

  // What is mounted at `path` of the directory `root` is a volume: watched.
  base::Status AddVolume(int root, const std::string& path);
  bool Covers(const InodeKey& key) const { return volumes_.contains(key.mount); }
  base::Status Attach(base::EventLoop& loop);

  // The guest holds `inode` now, by `name` in `parent`.
  void Follow(const PinnedInode& parent, const char* name, const PinnedInode& inode);
  // Watches an inode of a volume.
  void Watch(const PinnedInode& inode);
  // The guest does not hold it any more.
  void Unfollow(Inode& inode);
  void Clear();

  // Changes of the guest's own, which its kernel has told already: what happens during the lifetime
  // of this to one of the places. Costs two reads that find nothing, outside of volumes nothing.
  class Own {
   public:
    // Of nothing. `feed` may be null, which is the same.
    Own() : feed_(nullptr) {}
    Own(ChangeFeed* feed, const Inode& directory, const char* name);
    // To an inode, by the name the guest knows it by.
    Own(ChangeFeed* feed, const Inode& inode);
    ~Own();
    Own(const Own&) = delete;
    Own& operator=(const Own&) = delete;
    // One more place.
    void Add(const Inode& directory, const char* name);
    void Add(const Inode& inode);

   private:
    ChangeFeed* feed_;
    std::vector<Place> places_;
  };

  size_t watches() const { return watches_.size(); }
  uint64_t lost() const { return lost_; }
  // Reads what happened and sends it, without waiting for the pause; for tests.
  void RunForTest();

 private:
  struct Pending {
    rpc::ChangeKind kind;
    bool directory = false;
    Place place;
    Place to;             // of a rename
    uint32_t cookie = 0;  // not 0: the first half of a rename
    uint64_t mount = 0;
    bool waited = false;  // for the other half
  };

  void Drain(const std::vector<Place>& own);
  void OnEvent(int watch, uint32_t mask, uint32_t cookie, std::string_view name,
               const std::vector<Place>& own);
  void Add(Pending change);
  bool JoinRename(const Place& to, uint64_t mount, uint32_t cookie, bool directory);
  void Lose(const char* why);
  void FlushSoon();
  void Flush();
  bool WriteOut();
  void Append(const Pending& change);
  bool PathOf(const PinnedInode& inode, std::string& out) const;
  bool BindOldName(const Pending& change, const PinnedInode& to);
  void Stop(const std::string& why);

  InodeTable& inodes_;
  base::UniqueFd inotify_;
  base::UniqueFd sink_;
  base::EventLoop* loop_ = nullptr;
  base::EventLoop::TimerId timer_ = 0;
  bool waiting_for_sink_ = false;

  std::map<uint64_t, std::string> volumes_;                 // by mount: its path in the share
  std::unordered_map<int, std::vector<uint64_t>> watches_;  // inodes by watch
  std::deque<Pending> pending_;
  std::map<std::pair<uint64_t, std::string>, rpc::ChangeKind> last_;  // of a place in pending_
  std::deque<uint64_t> held_;  // renamed inodes that the guest is about to ask for
  std::string out_;            // records not written yet
  uint64_t lost_ = 0;
  bool said_lost_ = false;
  bool said_full_ = false;
};

}  // namespace holt::fsd
