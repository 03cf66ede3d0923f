#include "vmm/fsd/change_feed.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "base/log.h"
#include "vmm/fsd/proc_path.h"

namespace holt::fsd {
namespace {

using rpc::ChangeKind;

constexpr uint32_t kFileEvents = IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE;
constexpr uint32_t kDirectoryEvents =
    kFileEvents | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_EXCL_UNLINK;
// Reads in a row, so that a busy host does not keep the guest waiting.
constexpr int kReads = 16;
// Records made before the loop looks at the guest's requests again.
constexpr size_t kBatch = 256;
constexpr size_t kMaxOut = 64 << 10;
constexpr size_t kMaxHeld = 1024;

}  // namespace

ChangeFeed::ChangeFeed(InodeTable& inodes, base::UniqueFd inotify, base::UniqueFd sink)
    : inodes_(inodes), inotify_(std::move(inotify)), sink_(std::move(sink)) {
  inodes_.OnGone([this](Inode& inode) { Unfollow(inode); });
}

ChangeFeed::~ChangeFeed() {
  inodes_.OnGone(nullptr);
  if (loop_ == nullptr) return;
  if (timer_ != 0) loop_->CancelTimer(timer_);
  if (waiting_for_sink_) loop_->RemoveFd(sink_.get());
  if (inotify_) loop_->RemoveFd(inotify_.get());
}

base::Result<base::UniqueFd> ChangeFeed::OpenInotify(uint32_t uid) {
  const uid_t self = geteuid();
  if (seteuid(uid) != 0) return HOLT_ERRNO("inotify: become user {}", uid);
  base::UniqueFd fd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  const int err = errno;
  if (seteuid(self) != 0) return HOLT_ERRNO("inotify: become user {} again", self);
  if (!fd) return base::ErrnoError(err, "inotify");
  return fd;
}

base::Status ChangeFeed::AddVolume(int root, const std::string& path) {
  struct statx stat {};
  if (statx(root, path.c_str(), AT_SYMLINK_NOFOLLOW, kStatxMask, &stat) != 0)
    return HOLT_ERRNO("--watch {}", path);
  volumes_[stat.stx_mnt_id] = path;
  return {};
}

base::Status ChangeFeed::Attach(base::EventLoop& loop) {
  TRY(loop.AddFd(inotify_.get(), EPOLLIN, [this](uint32_t) { Drain({}); }));
  loop_ = &loop;
  return {};
}

void ChangeFeed::Follow(const PinnedInode& parent, const char* name, const PinnedInode& inode) {
  if (!Covers(inode.inode->key)) return;
  const bool below = parent.inode->key.mount == inode.inode->key.mount;
  if (below) inodes_.SetName(inode.inode, parent.inode->nodeid, name);
  // A file is watched by its directory, unless it is a volume itself.
  if (!below || inode.inode->type == S_IFDIR) Watch(inode);
}

void ChangeFeed::Watch(const PinnedInode& inode) {
  if (inode.inode->watch >= 0 || !inotify_) return;
  if (watches_.size() >= kMaxWatches) {
    if (!std::exchange(said_full_, true))
      base::log::Warning(
          "the guest uses more than {} directories of its volumes: changes of the "
          "host in others are not announced to it",
          kMaxWatches);
    return;
  }
  const int watch =
      inotify_add_watch(inotify_.get(), ProcPath(inode.get()).get(),
                        inode.inode->type == S_IFDIR ? kDirectoryEvents : kFileEvents);
  if (watch < 0) {
    if (errno == ENOSPC && !std::exchange(said_full_, true))
      base::log::Warning(
          "fs.inotify.max_user_watches is used up: changes of the host in {} are "
          "not announced",
          volumes_.at(inode.inode->key.mount));
    return;
  }
  inode.inode->watch = watch;
  watches_[watch].push_back(inode.inode->nodeid);
}

void ChangeFeed::Unfollow(Inode& inode) {
  auto it = inode.watch >= 0 ? watches_.find(inode.watch) : watches_.end();
  inode.watch = -1;
  if (it == watches_.end()) return;
  std::erase(it->second, inode.nodeid);
  if (!it->second.empty()) return;
  inotify_rm_watch(inotify_.get(), it->first);
  watches_.erase(it);
}

void ChangeFeed::Clear() {
  for (const auto& [watch, inodes] : watches_) inotify_rm_watch(inotify_.get(), watch);
  watches_.clear();
  pending_.clear();
  last_.clear();
  held_.clear();
}

ChangeFeed::Own::Own(ChangeFeed* feed, const Inode& directory, const char* name)
    : feed_(feed != nullptr && feed->Covers(directory.key) ? feed : nullptr) {
  if (feed_ == nullptr) return;
  feed_->Drain({});
  Add(directory, name);
}

ChangeFeed::Own::Own(ChangeFeed* feed, const Inode& inode)
    : feed_(feed != nullptr && feed->Covers(inode.key) ? feed : nullptr) {
  if (feed_ == nullptr) return;
  feed_->Drain({});
  Add(inode);
}

void ChangeFeed::Own::Add(const Inode& directory, const char* name) {
  if (feed_ != nullptr) places_.push_back({directory.nodeid, name});
}

void ChangeFeed::Own::Add(const Inode& inode) {
  if (feed_ == nullptr) return;
  places_.push_back({inode.nodeid, ""});
  auto [parent, name] = feed_->inodes_.NameOf(inode);
  if (parent != 0) places_.push_back({parent, std::move(name)});
}

ChangeFeed::Own::~Own() {
  if (feed_ != nullptr) feed_->Drain(places_);
}

void ChangeFeed::Drain(const std::vector<Place>& own) {
  if (!inotify_) return;
  alignas(inotify_event) std::array<char, 16 << 10> buffer;
  for (int i = 0; i < kReads; ++i) {
    const ssize_t n = read(inotify_.get(), buffer.data(), buffer.size());
    if (n <= 0) return;
    for (size_t at = 0; at < static_cast<size_t>(n);) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const char* name = buffer.data() + at + sizeof event;
      OnEvent(event.wd, event.mask, event.cookie,
              {name, event.len == 0 ? 0 : strnlen(name, event.len)}, own);
      at += sizeof event + event.len;
    }
  }
}

void ChangeFeed::OnEvent(int watch, uint32_t mask, uint32_t cookie, std::string_view name,
                         const std::vector<Place>& own) {
  if ((mask & IN_Q_OVERFLOW) != 0) return Lose("fs.inotify.max_queued_events");
  auto found = watches_.find(watch);
  if (found == watches_.end()) return;
  if ((mask & (IN_IGNORED | IN_UNMOUNT)) != 0) {
    for (uint64_t nodeid : found->second) {
      PinnedInode inode;
      if (inodes_.Pin(nodeid, inode) == 0) inode.inode->watch = -1;
    }
    watches_.erase(found);
    return;
  }
  const bool directory = (mask & IN_ISDIR) != 0;
  for (uint64_t nodeid : std::vector(found->second)) {
    Place place{nodeid, std::string(name)};
    if (std::find(own.begin(), own.end(), place) != own.end()) continue;
    PinnedInode inode;
    if (inodes_.Pin(nodeid, inode) != 0) continue;
    const uint64_t mount = inode.inode->key.mount;
    // Of a directory in a volume the one above it tells.
    if (name.empty() && inodes_.NameOf(*inode.inode).first != 0) continue;
    auto add = [&](ChangeKind kind, uint32_t half = 0) {
      Add({.kind = kind, .directory = directory, .place = place, .cookie = half, .mount = mount});
    };
    if ((mask & IN_CREATE) != 0) add(ChangeKind::kCreated);
    if ((mask & IN_DELETE) != 0) add(ChangeKind::kRemoved);
    if ((mask & IN_MOVED_FROM) != 0) add(ChangeKind::kRemoved, cookie);
    if ((mask & IN_MOVED_TO) != 0 && !JoinRename(place, mount, cookie, directory)) {
      // From where the guest does not look: a file that is new and complete.
      add(ChangeKind::kCreated);
      if (!directory) add(ChangeKind::kWritten);
    }
    if ((mask & IN_MODIFY) != 0) add(ChangeKind::kModified);
    if ((mask & IN_ATTRIB) != 0) add(ChangeKind::kAttributes);
    if ((mask & IN_CLOSE_WRITE) != 0) add(ChangeKind::kWritten);
  }
}

bool ChangeFeed::JoinRename(const Place& to, uint64_t mount, uint32_t cookie, bool directory) {
  // The two halves come one after the other, others' between them at most.
  size_t looked = 0;
  for (auto it = pending_.rbegin(); it != pending_.rend() && looked < 16; ++it, ++looked) {
    if (it->cookie != cookie || it->mount != mount || it->directory != directory) continue;
    it->kind = ChangeKind::kRenamed;
    it->cookie = 0;
    it->to = to;
    last_[{to.nodeid, to.name}] = ChangeKind::kRenamed;
    return true;
  }
  return false;
}

void ChangeFeed::Add(Pending change) {
  auto [last, added] = last_.try_emplace({change.place.nodeid, change.place.name}, change.kind);
  const bool repeats = change.kind == ChangeKind::kModified ||
                       change.kind == ChangeKind::kAttributes ||
                       change.kind == ChangeKind::kWritten;
  if (!added && repeats && last->second == change.kind) return;
  if (pending_.size() >= kMaxPending) return Lose("a guest that does not take them");
  last->second = change.kind;
  pending_.push_back(std::move(change));
  FlushSoon();
}

void ChangeFeed::Lose(const char* why) {
  ++lost_;
  if (!std::exchange(said_lost_, true))
    base::log::Warning("more changes of the host than can be announced to the guest ({})", why);
}

void ChangeFeed::FlushSoon() {
  if (loop_ == nullptr || timer_ != 0 || waiting_for_sink_) return;
  timer_ = loop_->AddTimer(kPause, [this] {
    timer_ = 0;
    Flush();
  });
}

void ChangeFeed::RunForTest() {
  Drain({});
  Flush();
}

void ChangeFeed::Flush() {
  Drain({});
  size_t made = 0;
  while (!pending_.empty() && made++ < kBatch && out_.size() < kMaxOut) {
    // The other half of a rename may not have been there to read yet.
    if (pending_.size() == 1 && pending_.front().cookie != 0 &&
        !std::exchange(pending_.front().waited, true))
      break;
    Pending change = std::move(pending_.front());
    pending_.pop_front();
    for (const Place* place : {&change.place, &change.to}) {
      auto last = last_.find({place->nodeid, place->name});
      if (last != last_.end() && last->second == change.kind) last_.erase(last);
    }
    Append(change);
  }
  if (pending_.empty()) last_.clear();
  if (!WriteOut()) return;
  if (!pending_.empty()) FlushSoon();
}

bool ChangeFeed::WriteOut() {
  while (!out_.empty()) {
    const ssize_t n = write(sink_.get(), out_.data(), out_.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      if (loop_ == nullptr || waiting_for_sink_) return false;
      waiting_for_sink_ = true;
      auto status = loop_->AddFd(sink_.get(), EPOLLOUT, [this](uint32_t) {
        loop_->RemoveFd(sink_.get());
        waiting_for_sink_ = false;
        Flush();
      });
      if (!status) Stop(status.error().message());
      return false;
    }
    if (n < 0) {
      Stop(std::strerror(errno));
      return false;
    }
    out_.erase(0, static_cast<size_t>(n));
  }
  return true;
}

void ChangeFeed::Stop(const std::string& why) {
  base::log::Debug("changes of the host are not announced any more: {}", why);
  Clear();
  out_.clear();
  if (loop_ != nullptr && inotify_) loop_->RemoveFd(inotify_.get());
  inotify_.Reset();
}

bool ChangeFeed::PathOf(const PinnedInode& inode, std::string& out) const {
  if (inodes_.NameOf(*inode.inode).first == 0) {
    // The root of a volume, whose place does not change whatever becomes of it on the host.
    auto volume = volumes_.find(inode.inode->key.mount);
    if (volume == volumes_.end()) return false;
    out = volume->second;
    return true;
  }
  struct statx stat {};
  if (statx(inode.get(), "", AT_EMPTY_PATH, STATX_NLINK, &stat) != 0 || stat.stx_nlink == 0)
    return false;
  char path[PATH_MAX];
  const ssize_t n = readlinkat(AT_FDCWD, ProcPath(inode.get()).get(), path, sizeof path);
  if (n <= 1 || n == static_cast<ssize_t>(sizeof path) || path[0] != '/') return false;
  out.assign(path + 1, static_cast<size_t>(n) - 1);
  return true;
}

bool ChangeFeed::BindOldName(const Pending& change, const PinnedInode& to) {
  base::UniqueFd fd(openat(to.get(), change.to.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct statx stat {};
  if (!fd || statx(fd.get(), "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask, &stat) != 0 ||
      stat.stx_mnt_id != change.mount)
    return false;
  PinnedInode inode;
  if (inodes_.Intern(std::move(fd), stat, inode) != 0) return false;
  held_.push_back(inode.inode->nodeid);
  if (held_.size() > kMaxHeld) {
    inodes_.Forget(held_.front(), 1);
    held_.pop_front();
  }
  inodes_.SetName(inode.inode, change.place.nodeid, change.place.name);
  return true;
}

void ChangeFeed::Append(const Pending& change) {
  PinnedInode directory;
  if (inodes_.Pin(change.place.nodeid, directory) != 0) return;
  rpc::Change record;
  record.kind = change.kind;
  record.name = change.place.name;
  record.type = change.directory ? S_IFDIR : 0;
  if (!PathOf(directory, record.directory)) return;
  if (change.kind == ChangeKind::kCreated) {
    struct statx stat {};
    const bool there =
        statx(directory.get(), record.name.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &stat) == 0;
    record.type = there ? stat.stx_mode & S_IFMT : change.directory ? S_IFDIR : S_IFREG;
  } else if (change.kind == ChangeKind::kRenamed) {
    PinnedInode to;
    // What has moved on already is told of by what follows.
    if (inodes_.Pin(change.to.nodeid, to) == 0 && PathOf(to, record.new_directory) &&
        BindOldName(change, to)) {
      record.new_name = change.to.name;
    } else {
      record.new_directory.clear();
      record.kind = ChangeKind::kRemoved;
    }
  }
  rpc::AppendChange(record, out_);
}

}  // namespace holt::fsd
