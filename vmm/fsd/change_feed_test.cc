// What the host changes in a directory that a guest knows, and how the guest lets it happen again.
#include "vmm/fsd/change_feed.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "base/socket.h"
#include "vmm/fsd/fake_guest.h"

namespace holt::fsd {
namespace {

using rpc::Past;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kRoot = InodeTable::kRootId;

class ChangeFeedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "fsd-test-XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    share_ = path;
    ASSERT_EQ(mkdir((share_ + "/dir").c_str(), 0755), 0);
    Write("file", "content");
    auto root = base::Open(share_, O_PATH | O_DIRECTORY);
    ASSERT_TRUE(root.ok());
    ServerOptions options;
    options.replays = true;
    auto server = Server::Create(options, std::move(*root), nullptr);
    ASSERT_TRUE(server.ok()) << server.error().message();
    server_ = std::move(*server);
    loop_ = *base::EventLoop::Create();
    auto pair = *base::SocketPair();
    changes_ = std::move(pair.first);
    for (int fd : {changes_.get(), pair.second.get()})
      ASSERT_TRUE(base::SetNonblocking(fd, true).ok());
    auto watched =
        server_->WatchVolumes(*loop_, base::UniqueFd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
                              std::move(pair.second), {"."});
    ASSERT_TRUE(watched.ok()) << watched.error().message();
    guest_ = std::make_unique<FakeGuest>(server_.get());
    ASSERT_TRUE(guest_->Init().ok());
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(share_);
  }

  std::string At(const std::string& name) const { return share_ + "/" + name; }
  void Write(const std::string& name, const std::string& text) const {
    ASSERT_TRUE(base::WriteFile(At(name), text).ok());
  }
  // What came, as "created dir/name"; of directories only the last name.
  std::vector<std::string> Changes() {
    feed().RunForTest();
    feed().RunForTest();  // what waited for its other half
    char buffer[65536];
    ssize_t n;
    while ((n = read(changes_.get(), buffer, sizeof buffer)) > 0)
      bytes_.append(buffer, static_cast<size_t>(n));
    std::vector<std::string> out;
    std::string_view left = bytes_;
    while (true) {
      auto change = rpc::TakeChange(left);
      EXPECT_TRUE(change.ok());
      if (!change.ok() || !*change) break;
      const char* const kinds[] = {"",        "modified", "attributes", "written",
                                   "created", "removed",  "renamed"};
      std::string text = kinds[static_cast<int>((*change)->kind)];
      text += " " + Short((*change)->directory) + (*change)->name;
      if ((*change)->type == S_IFDIR) text += "/";
      if (!(*change)->new_name.empty())
        text += " " + Short((*change)->new_directory) + (*change)->new_name;
      out.push_back(std::move(text));
    }
    bytes_.erase(0, bytes_.size() - left.size());
    return out;
  }
  static std::string Short(const std::string& directory) {
    if (directory == ".") return "";
    return std::filesystem::path(directory).filename().string() + "/";
  }
  ChangeFeed& feed() { return *server_->feed_for_test(); }
  FakeGuest& guest() { return *guest_; }
  // The requests that follow are the agent's.
  void Replay(Past past) {
    guest().uid = rpc::kReplayUid;
    guest().gid = rpc::kReplayGid + static_cast<uint32_t>(past);
  }
  void AsItself() {
    guest().uid = geteuid();
    guest().gid = getegid();
  }
  Reply Unlink(uint64_t parent, std::string_view name, bool directory = false) {
    return guest().Send(directory ? FUSE_RMDIR : FUSE_UNLINK, parent, FakeGuest::Named("", name));
  }
  Reply Rename(uint64_t parent, std::string_view from, uint64_t to_parent, std::string_view to) {
    return guest().Send(
        FUSE_RENAME2, parent,
        FakeGuest::Named(FakeGuest::Named(Bytes(fuse_rename2_in{to_parent, 0, 0}), from), to));
  }
  Reply Mknod(uint64_t parent, std::string_view name, uint32_t mode) {
    return guest().Send(FUSE_MKNOD, parent,
                        FakeGuest::Named(Bytes(fuse_mknod_in{mode, 0, 0, 0}), name));
  }

  std::string share_;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<FakeGuest> guest_;
  base::UniqueFd changes_;
  std::string bytes_;
};

TEST_F(ChangeFeedTest, TellsWhatTheHostDoesInItsOrder) {
  Write("new", "1");
  ASSERT_EQ(chmod(At("new").c_str(), 0600), 0);
  ASSERT_EQ(rename(At("new").c_str(), At("newer").c_str()), 0);
  ASSERT_EQ(unlink(At("newer").c_str()), 0);
  ASSERT_EQ(mkdir(At("sub").c_str(), 0755), 0);
  ASSERT_EQ(rmdir(At("sub").c_str()), 0);
  // By the time it is told the new name is gone, so the rename is a removal.
  EXPECT_THAT(Changes(),
              ElementsAre("created new", "modified new", "written new", "attributes new",
                          "removed new", "removed newer", "created sub/", "removed sub/"));
}

TEST_F(ChangeFeedTest, RenamesAreOneChangeAndBringTheirInodeAlong) {
  const uint64_t dir = guest().Find(kRoot, "dir");
  ASSERT_EQ(rename(At("file").c_str(), At("dir/moved").c_str()), 0);
  EXPECT_THAT(Changes(), ElementsAre("renamed file dir/moved"));
  // The agent looks for the old name first, and finds what has the new one now.
  Replay(Past::kKnown);
  Reply old = guest().Lookup(kRoot, "file");
  ASSERT_TRUE(old.ok()) << old.error;
  EXPECT_EQ(old.As<fuse_entry_out>().attr.size, 7u);
  Replay(Past::kReplaced);
  EXPECT_EQ(guest().Lookup(dir, "moved").error, ENOENT);
  EXPECT_TRUE(Rename(kRoot, "file", dir, "moved").ok());
  AsItself();
  EXPECT_EQ(guest().Find(dir, "moved"), old.As<fuse_entry_out>().nodeid);
}

TEST_F(ChangeFeedTest, WhatComesFromElsewhereIsCreatedAndWritten) {
  std::string elsewhere = share_ + "-elsewhere";
  ASSERT_TRUE(base::WriteFile(elsewhere, "x").ok());
  ASSERT_EQ(rename(elsewhere.c_str(), At("here").c_str()), 0);
  EXPECT_THAT(Changes(), ElementsAre("created here", "written here"));
  ASSERT_EQ(rename(At("here").c_str(), elsewhere.c_str()), 0);
  EXPECT_THAT(Changes(), ElementsAre("removed here"));
  unlink(elsewhere.c_str());
}

// The guest's kernel has told its watchers itself.
TEST_F(ChangeFeedTest, ChangesOfTheGuestsOwnAreNotTold) {
  Reply made = guest().Create(kRoot, "own", O_RDWR);
  ASSERT_TRUE(made.ok());
  const uint64_t own = made.As<fuse_entry_out>().nodeid;
  const auto open = made.As<fuse_open_out>(sizeof(fuse_entry_out));
  fuse_write_in write{.fh = open.fh, .offset = 0, .size = 3};
  ASSERT_TRUE(guest().Send(FUSE_WRITE, own, Bytes(write) + "abc").ok());
  fuse_setattr_in mode{};
  mode.valid = FATTR_MODE;
  mode.mode = 0600;
  ASSERT_TRUE(guest().Send(FUSE_SETATTR, own, Bytes(mode)).ok());
  ASSERT_TRUE(guest().Send(FUSE_RELEASE, own, Bytes(fuse_release_in{.fh = open.fh})).ok());
  Reply truncated = guest().Open(own, O_WRONLY | O_TRUNC);
  ASSERT_TRUE(truncated.ok());
  ASSERT_TRUE(
      guest()
          .Send(FUSE_RELEASE, own, Bytes(fuse_release_in{.fh = truncated.As<fuse_open_out>().fh}))
          .ok());
  ASSERT_TRUE(
      guest().Send(FUSE_LINK, kRoot, FakeGuest::Named(Bytes(fuse_link_in{own}), "linked")).ok());
  const uint64_t dir = guest().Find(kRoot, "dir");
  ASSERT_TRUE(Rename(kRoot, "own", dir, "moved").ok());
  ASSERT_TRUE(Unlink(dir, "moved").ok());
  ASSERT_TRUE(
      guest().Send(FUSE_MKDIR, dir, FakeGuest::Named(Bytes(fuse_mkdir_in{0755, 0}), "d")).ok());
  ASSERT_TRUE(Unlink(dir, "d", true).ok());
  ASSERT_TRUE(Mknod(dir, "fifo", S_IFIFO | 0600).ok());
  ASSERT_TRUE(
      guest().Send(FUSE_SYMLINK, dir, FakeGuest::Named(FakeGuest::Named("", "s"), "t")).ok());
  EXPECT_THAT(Changes(), IsEmpty());
  // Nor does that hide what the host does to the same names.
  Write("linked", "of the host");
  EXPECT_THAT(Changes(), ElementsAre("modified linked", "written linked"));
}

TEST_F(ChangeFeedTest, OnlyWhatTheGuestHoldsIsWatched) {
  EXPECT_EQ(feed().watches(), 1u);
  Write("dir/a", "x");
  EXPECT_THAT(Changes(), IsEmpty());
  const uint64_t dir = guest().Find(kRoot, "dir");
  EXPECT_EQ(feed().watches(), 2u);
  Write("dir/b", "x");
  EXPECT_THAT(Changes(), ElementsAre("created dir/b", "modified dir/b", "written dir/b"));
  ASSERT_FALSE(guest().Send(FUSE_FORGET, dir, Bytes(fuse_forget_in{1})).answered);
  EXPECT_EQ(feed().watches(), 1u);
  Write("dir/c", "x");
  EXPECT_THAT(Changes(), IsEmpty());
  // A directory that is gone takes its watch along.
  ASSERT_NE(guest().Find(kRoot, "dir"), 0u);
  std::filesystem::remove_all(At("dir"));
  (void)Changes();
  ASSERT_FALSE(guest().Send(FUSE_DESTROY, kRoot, "").error);
  EXPECT_EQ(feed().watches(), 1u) << "the root, which a guest always holds";
}

TEST_F(ChangeFeedTest, AFileThatIsWrittenAllTheTimeIsOneChange) {
  base::UniqueFd file(open(At("file").c_str(), O_WRONLY | O_CLOEXEC));
  base::UniqueFd other(open(At("dir").c_str(), O_RDONLY | O_CLOEXEC));
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(write(file.get(), "x", 1), 1);
    ASSERT_EQ(fchmod(other.get(), i % 2 ? 0700 : 0755), 0);  // so that inotify does not merge
  }
  EXPECT_THAT(Changes(), ElementsAre("modified file", "attributes dir/"));
}

TEST_F(ChangeFeedTest, AGuestThatTakesNothingCostsABoundedAmount) {
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 500; ++i) {
      std::string name = At("f" + std::to_string(round * 500 + i));
      base::UniqueFd made(open(name.c_str(), O_CREAT | O_RDONLY | O_CLOEXEC, 0600));
      ASSERT_TRUE(made);
    }
    feed().RunForTest();
  }
  EXPECT_GT(feed().lost(), 1000u);
  // It comes back, and gets what is there by then.
  std::vector<std::string> got;
  for (int i = 0; i < 200; ++i)
    for (const std::string& change : Changes()) got.push_back(change);
  EXPECT_GT(got.size(), 1000u);
  EXPECT_LT(got.size(), 20000u);
  Write("after", "x");
  EXPECT_THAT(Changes(), ElementsAre("created after", "modified after", "written after"));
}

TEST_F(ChangeFeedTest, AReplayChangesNothing) {
  ASSERT_NE(guest().Find(kRoot, "file"), 0u);
  const uint64_t file = guest().Find(kRoot, "file");
  const uint64_t dir = guest().Find(kRoot, "dir");
  auto listing = [&] {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(share_))
      names.push_back(entry.path().string());
    std::sort(names.begin(), names.end());
    return names;
  };
  struct stat before {};
  ASSERT_EQ(stat(At("file").c_str(), &before), 0);
  const auto names = listing();
  for (uint32_t past = 0; past < rpc::kPasts; ++past) {
    Replay(static_cast<Past>(past));
    fuse_setattr_in set{};
    set.valid = FATTR_MODE | FATTR_SIZE | FATTR_MTIME | FATTR_UID;
    set.mode = 0777;
    set.uid = 12345;
    EXPECT_TRUE(guest().Send(FUSE_SETATTR, file, Bytes(set)).ok());
    (void)Mknod(kRoot, "made", S_IFREG | 0600);
    (void)guest().Send(FUSE_MKDIR, kRoot, FakeGuest::Named(Bytes(fuse_mkdir_in{0755, 0}), "made"));
    (void)guest().Send(FUSE_SYMLINK, kRoot, FakeGuest::Named(FakeGuest::Named("", "made"), "t"));
    EXPECT_TRUE(Unlink(kRoot, "file").ok());
    EXPECT_TRUE(Unlink(kRoot, "dir", true).ok());
    EXPECT_TRUE(Rename(kRoot, "file", dir, "file").ok());
    Reply open = guest().Open(file, O_RDWR | O_TRUNC);
    ASSERT_TRUE(open.ok());
    const uint64_t handle = open.As<fuse_open_out>().fh;
    fuse_write_in write{.fh = handle, .offset = 0, .size = 3};
    EXPECT_EQ(guest().Send(FUSE_WRITE, file, Bytes(write) + "abc").error, EPERM);
    AsItself();
    EXPECT_EQ(guest().Send(FUSE_WRITE, file, Bytes(write) + "abc").error, EBADF)
        << "it was opened for reading";
    Replay(static_cast<Past>(past));
    EXPECT_TRUE(guest().Send(FUSE_RELEASE, file, Bytes(fuse_release_in{.fh = handle})).ok());
    EXPECT_EQ(guest().Create(kRoot, "made", O_RDWR).error, EPERM);
    EXPECT_EQ(
        guest().Send(FUSE_LINK, kRoot, FakeGuest::Named(Bytes(fuse_link_in{file}), "made")).error,
        EPERM);
    EXPECT_EQ(
        guest()
            .Send(FUSE_SETXATTR, file, FakeGuest::Named(Bytes(fuse_setxattr_in{}), "user.x") + "v")
            .error,
        EPERM);
  }
  struct stat after {};
  ASSERT_EQ(stat(At("file").c_str(), &after), 0);
  EXPECT_EQ(after.st_mode, before.st_mode);
  EXPECT_EQ(after.st_size, before.st_size);
  EXPECT_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  EXPECT_EQ(after.st_uid, before.st_uid);
  EXPECT_EQ(listing(), names);
}

TEST_F(ChangeFeedTest, LookupsOfAReplaySeeThePast) {
  const uint64_t old = guest().Find(kRoot, "file");
  // Replaced on the host, as editors do.
  Write("aside", "new content");
  ASSERT_EQ(rename(At("aside").c_str(), At("file").c_str()), 0);
  Replay(Past::kNow);
  const auto now = guest().Lookup(kRoot, "file").As<fuse_entry_out>();
  EXPECT_EQ(now.attr.size, 11u);
  EXPECT_NE(now.nodeid, old);
  Replay(Past::kReplaced);
  EXPECT_EQ(guest().Find(kRoot, "file"), old);
  Replay(Past::kAbsent);
  EXPECT_EQ(guest().Lookup(kRoot, "file").error, ENOENT);
  Replay(Past::kFile);
  EXPECT_EQ(guest().Find(kRoot, "file"), old);
  // Of what the guest never saw there is a stand-in, which is nothing.
  const auto stand_in = guest().Lookup(kRoot, "never").As<fuse_entry_out>();
  EXPECT_EQ(stand_in.attr.mode, static_cast<uint32_t>(S_IFREG | 0600));
  EXPECT_EQ(stand_in.entry_valid, 0u);
  Replay(Past::kDirectory);
  const auto directory = guest().Lookup(kRoot, "never").As<fuse_entry_out>();
  EXPECT_TRUE(S_ISDIR(directory.attr.mode));
  Replay(Past::kKnown);
  EXPECT_EQ(guest().Lookup(kRoot, "never").error, ENOENT);
  AsItself();
  for (uint64_t nodeid : {stand_in.nodeid, directory.nodeid}) {
    EXPECT_EQ(guest().Send(FUSE_GETATTR, nodeid, Bytes(fuse_getattr_in{})).error, ESTALE);
    EXPECT_EQ(guest().Lookup(nodeid, "x").error, ESTALE);
    EXPECT_EQ(guest().Create(nodeid, "x", O_RDWR).error, ESTALE);
  }
  EXPECT_EQ(guest().Find(kRoot, "file"), now.nodeid);
}

}  // namespace
}  // namespace holt::fsd
