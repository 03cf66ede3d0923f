#include "vmm/fsd/inode_table.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "vmm/fsd/proc_path.h"

namespace holt::fsd {

// struct file_handle with room for what any file system writes.
struct FileHandleBytes {
  alignas(file_handle) std::array<std::byte, sizeof(file_handle) + MAX_HANDLE_SZ> bytes{};

  file_handle* get() {
    // SAFETY: aligned and large enough; file_handle is a plain header before its bytes.
    return reinterpret_cast<file_handle*>(bytes.data());
  }
  size_t size() { return sizeof(file_handle) + get()->handle_bytes; }
};

namespace {

bool EncodeHandle(int fd, FileHandleBytes& out) {
  out.get()->handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  return name_to_handle_at(fd, "", out.get(), &mount, AT_EMPTY_PATH) == 0;
}

constexpr size_t kEvictBatch = 64;
constexpr size_t kEvictSteps = 4 * kEvictBatch;

}  // namespace

Inode::Inode() = default;
Inode::~Inode() = default;
InodeTable::~InodeTable() = default;

InodeKey KeyOf(const struct statx& stat) {
  return InodeKey{stat.stx_mnt_id, stat.stx_ino, stat.stx_dev_major, stat.stx_dev_minor};
}

InodeTable::Slot* InodeTable::FindSlot(uint64_t nodeid) {
  const uint64_t index = nodeid & 0xffffffff;
  if (index >= slots_.size()) return nullptr;
  Slot& slot = slots_[index];
  if (!slot.inode || slot.generation != nodeid >> 32) return nullptr;
  return &slot;
}

std::shared_ptr<Inode> InodeTable::NewInode(const InodeKey& key, mode_t type) {
  uint32_t index;
  if (free_slots_.empty()) {
    index = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    index = free_slots_.back();
    free_slots_.pop_back();
  }
  auto inode = std::make_shared<Inode>();
  inode->nodeid = (uint64_t{slots_[index].generation} << 32) | index;
  inode->key = key;
  inode->type = type;
  slots_[index].inode = inode;
  by_key_[key] = inode;
  ++mounts_[key.mount].inodes;
  return inode;
}

void InodeTable::Remove(const std::shared_ptr<Inode>& inode) {
  const auto index = static_cast<uint32_t>(inode->nodeid & 0xffffffff);
  if (auto it = by_key_.find(inode->key); it != by_key_.end() && it->second == inode)
    by_key_.erase(it);
  if (auto it = mounts_.find(inode->key.mount); it != mounts_.end() && --it->second.inodes == 0)
    mounts_.erase(it);
  if (inode->fd) --open_fds_;
  inode->fd.reset();
  DropName(*inode);
  if (on_gone_) on_gone_(*inode);
  slots_[index].inode.reset();
  // The number comes back with another generation, so that a stale one names nothing.
  ++slots_[index].generation;
  free_slots_.push_back(index);
}

int InodeTable::Reset(int root) {
  base::UniqueFd fd(openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return errno;
  struct statx stat {};
  if (statx(fd.get(), "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask, &stat) != 0)
    return errno;
  std::lock_guard lock(mutex_);
  slots_.clear();
  free_slots_.clear();
  by_key_.clear();
  by_name_.clear();
  mounts_.clear();
  hand_ = 0;
  slots_.resize(1);  // number 0 is "no inode"
  auto inode = NewInode(KeyOf(stat), S_IFDIR);
  inode->fd = std::make_shared<const base::UniqueFd>(std::move(fd));
  inode->lookups = 1;
  open_fds_ = 1;
  return 0;
}

int InodeTable::Pin(uint64_t nodeid, PinnedInode& out) {
  std::lock_guard lock(mutex_);
  return PinSlot(nodeid, out);
}

int InodeTable::Ref(uint64_t nodeid, PinnedInode& out) {
  std::lock_guard lock(mutex_);
  if (int err = PinSlot(nodeid, out); err != 0) return err;
  ++out.inode->lookups;
  return 0;
}

void InodeTable::DropName(Inode& inode) {
  auto it = by_name_.find(std::pair(inode.parent, inode.name));
  if (it != by_name_.end() && it->second == inode.nodeid) by_name_.erase(it);
  inode.parent = 0;
  inode.name.clear();
}

void InodeTable::SetName(const std::shared_ptr<Inode>& inode, uint64_t parent,
                         std::string_view name) {
  std::lock_guard lock(mutex_);
  if (inode->parent == parent && inode->name == name &&
      by_name_.contains(std::pair(parent, inode->name)))
    return void(by_name_[std::pair(parent, inode->name)] = inode->nodeid);
  DropName(*inode);
  inode->parent = parent;
  inode->name = name;
  by_name_[std::pair(parent, inode->name)] = inode->nodeid;
}

void InodeTable::ForgetName(uint64_t parent, std::string_view name) {
  std::lock_guard lock(mutex_);
  by_name_.erase(std::pair(parent, std::string(name)));
}

uint64_t InodeTable::FindName(uint64_t parent, std::string_view name) const {
  std::lock_guard lock(mutex_);
  auto it = by_name_.find(std::pair(parent, std::string(name)));
  return it == by_name_.end() ? 0 : it->second;
}

std::pair<uint64_t, std::string> InodeTable::NameOf(const Inode& inode) const {
  std::lock_guard lock(mutex_);
  return {inode.parent, inode.name};
}

int InodeTable::PinSlot(uint64_t nodeid, PinnedInode& out) {
  Slot* slot = FindSlot(nodeid);
  if (slot == nullptr) return ESTALE;
  Inode& inode = *slot->inode;
  if (!inode.fd) {
    if (int err = Reopen(inode); err != 0) return err;
  }
  inode.used.store(true, std::memory_order_relaxed);
  out.inode = slot->inode;
  out.fd = inode.fd;
  return 0;
}

int InodeTable::Intern(base::UniqueFd fd, const struct statx& stat, PinnedInode& out) {
  const InodeKey key = KeyOf(stat);
  std::lock_guard lock(mutex_);
  std::shared_ptr<Inode> inode;
  if (auto it = by_key_.find(key); it != by_key_.end()) {
    inode = it->second;
    if (!inode->fd) {
      // Put away: nothing pinned its number, so it may be another file's by now.
      FileHandleBytes now;
      if (EncodeHandle(fd.get(), now) && now.size() == inode->handle->size() &&
          std::memcmp(now.bytes.data(), inode->handle->bytes.data(), now.size()) == 0) {
        inode->fd = std::make_shared<const base::UniqueFd>(std::move(fd));
        ++open_fds_;
      } else {
        by_key_.erase(it);
        inode.reset();
      }
    }
  }
  if (!inode) {
    inode = NewInode(key, stat.stx_mode & S_IFMT);
    inode->fd = std::make_shared<const base::UniqueFd>(std::move(fd));
    ++open_fds_;
  }
  ++inode->lookups;
  inode->used.store(true, std::memory_order_relaxed);
  out.inode = inode;
  out.fd = inode->fd;
  if (open_fds_ > max_fds_) EvictSome();
  return 0;
}

void InodeTable::Forget(uint64_t nodeid, uint64_t count) {
  if (nodeid == kRootId) return;
  std::lock_guard lock(mutex_);
  Slot* slot = FindSlot(nodeid);
  if (slot == nullptr) return;
  Inode& inode = *slot->inode;
  inode.lookups -= std::min(inode.lookups, count);
  if (inode.lookups != 0) return;
  auto keep = slot->inode;  // Remove() resets the slot's
  Remove(keep);
}

bool InodeTable::SwapStamp(Inode& inode, const ContentStamp& now) {
  std::lock_guard lock(mutex_);
  const bool same = inode.stamp == now;
  inode.stamp = now;
  return same;
}

void InodeTable::EvictSome() {
  size_t evicted = 0;
  // A bounded walk: on file systems without handles nothing can be evicted, and every lookup comes
  // here.
  for (size_t steps = 0; steps < kEvictSteps && evicted < kEvictBatch; ++steps) {
    hand_ = hand_ + 1 < slots_.size() ? hand_ + 1 : 0;
    Inode* inode = slots_[hand_].inode.get();
    // use_count: an operation that holds the descriptor now will want it again.
    if (inode == nullptr || !inode->fd || inode->nodeid == kRootId || inode->fd.use_count() > 1)
      continue;
    if (inode->used.exchange(false, std::memory_order_relaxed)) continue;
    auto mount = mounts_.find(inode->key.mount);
    if (mount == mounts_.end() || mount->second.handles_fail) continue;
    if (PutAway(*inode, mount->second)) ++evicted;
  }
}

bool InodeTable::PutAway(Inode& inode, Mount& mount) {
  const int fd = inode.fd->get();
  auto handle = std::make_unique<FileHandleBytes>();
  if (!EncodeHandle(fd, *handle)) {
    mount.handles_fail = true;
    base::log::Debug("mount {}: no file handles ({}); its inodes stay open", inode.key.mount,
                     std::strerror(errno));
    return false;
  }
  if (!mount.anchor) {
    // An O_PATH descriptor is not taken by open_by_handle_at, and opening anything but these two
    // kinds could do things.
    if (inode.type != S_IFDIR && inode.type != S_IFREG) return false;
    mount.anchor.Reset(open(ProcPath(fd).get(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!mount.anchor) return false;
    base::UniqueFd probe(open_by_handle_at(mount.anchor.get(), handle->get(), O_PATH | O_CLOEXEC));
    if (!probe) {
      mount.handles_fail = true;
      mount.anchor.Reset();
      return false;
    }
  }
  // A file without a name lives only as long as somebody has it open.
  struct statx stat {};
  if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_NLINK, &stat) != 0 ||
      stat.stx_nlink == 0)
    return false;
  inode.handle = std::move(handle);
  inode.fd.reset();
  --open_fds_;
  return true;
}

int InodeTable::Reopen(Inode& inode) {
  auto mount = mounts_.find(inode.key.mount);
  if (mount == mounts_.end() || !mount->second.anchor) return ESTALE;
  base::UniqueFd fd(open_by_handle_at(mount->second.anchor.get(), inode.handle->get(),
                                      O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return errno;
  inode.fd = std::make_shared<const base::UniqueFd>(std::move(fd));
  ++open_fds_;
  if (open_fds_ > max_fds_) {
    inode.used.store(true, std::memory_order_relaxed);
    auto keep = inode.fd;  // makes use_count 2: not this one
    EvictSome();
  }
  return 0;
}

size_t InodeTable::size() const {
  std::lock_guard lock(mutex_);
  return slots_.size() - free_slots_.size() - (slots_.empty() ? 0 : 1);
}

size_t InodeTable::open_fds() const {
  std::lock_guard lock(mutex_);
  return open_fds_;
}

}  // namespace holt::fsd
