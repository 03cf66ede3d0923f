// What a guest can send to holt-fsd, most of it wrong. The share is a real directory; beside it,
// where no request may reach, lies another.
#include "vmm/fsd/server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "vmm/fsd/fake_guest.h"

namespace holt::fsd {
namespace {

constexpr uint64_t kRoot = InodeTable::kRootId;

class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "fsd-test-XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    base_ = path;
    share_ = base_ + "/share";
    outside_ = base_ + "/outside";
    for (const std::string& dir : {share_, outside_, share_ + "/dir"})
      ASSERT_EQ(mkdir(dir.c_str(), 0755), 0);
    ASSERT_TRUE(base::WriteFile(outside_ + "/secret", "secret").ok());
    ASSERT_TRUE(base::WriteFile(share_ + "/file", "content").ok());
    ASSERT_EQ(symlink(outside_.c_str(), (share_ + "/out").c_str()), 0);
    ASSERT_EQ(symlink((outside_ + "/secret").c_str(), (share_ + "/link").c_str()), 0);
    ASSERT_EQ(mkfifo((share_ + "/fifo").c_str(), 0600), 0);
    Serve({});
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(base_);
  }

  void Serve(const ServerOptions& options) {
    auto root = base::Open(share_, O_PATH | O_DIRECTORY);
    ASSERT_TRUE(root.ok());
    auto server = Server::Create(options, std::move(*root), nullptr);
    ASSERT_TRUE(server.ok()) << server.error().message();
    server_ = std::move(*server);
    guest_ = std::make_unique<FakeGuest>(server_.get());
    ASSERT_TRUE(guest_->Init().ok());
  }
  FakeGuest& guest() { return *guest_; }

  std::string base_, share_, outside_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<FakeGuest> guest_;
};

TEST_F(ServerTest, NothingIsServedBeforeInit) {
  auto root = base::Open(share_, O_PATH | O_DIRECTORY);
  auto server = *Server::Create({}, std::move(*root), nullptr);
  FakeGuest guest(server.get());
  EXPECT_EQ(guest.Lookup(kRoot, "file").error, EIO);
  EXPECT_EQ(guest.Init(7, 30).error, EPROTO);
  EXPECT_EQ(guest.Init(6, 99).error, EPROTO);
  Reply newer = guest.Init(8, 0);
  EXPECT_EQ(newer.As<fuse_init_out>().major, 7u);
  EXPECT_EQ(guest.Lookup(kRoot, "file").error, EIO) << "a version was answered, nothing agreed";
  EXPECT_TRUE(guest.Init().ok());
  EXPECT_TRUE(guest.Lookup(kRoot, "file").ok());
}

TEST_F(ServerTest, NamesAreOneComponent) {
  const uint64_t dir = guest().Find(kRoot, "dir");
  ASSERT_NE(dir, 0u);
  const std::string long_name(256, 'x');
  const std::pair<std::string, int> bad[] = {
      {"", EINVAL},    {".", EINVAL},    {"..", EINVAL},           {"../outside", EINVAL},
      {"a/b", EINVAL}, {"/etc", EINVAL}, {long_name, ENAMETOOLONG}};
  for (const auto& [name, error] : bad) {
    SCOPED_TRACE(name);
    EXPECT_EQ(guest().Lookup(dir, name).error, error);
    EXPECT_EQ(guest().Create(dir, name, O_RDWR).error, error);
    EXPECT_EQ(
        guest().Send(FUSE_MKDIR, dir, FakeGuest::Named(Bytes(fuse_mkdir_in{0755, 0}), name)).error,
        error);
    EXPECT_EQ(guest()
                  .Send(FUSE_MKNOD, dir,
                        FakeGuest::Named(Bytes(fuse_mknod_in{S_IFREG | 0600, 0, 0, 0}), name))
                  .error,
              error);
    EXPECT_EQ(guest().Send(FUSE_UNLINK, dir, FakeGuest::Named("", name)).error, error);
    EXPECT_EQ(guest().Send(FUSE_RMDIR, dir, FakeGuest::Named("", name)).error, error);
    EXPECT_EQ(guest()
                  .Send(FUSE_SYMLINK, dir, FakeGuest::Named(FakeGuest::Named("", name), "target"))
                  .error,
              error);
    EXPECT_EQ(guest()
                  .Send(FUSE_LINK, dir,
                        FakeGuest::Named(Bytes(fuse_link_in{guest().Find(kRoot, "file")}), name))
                  .error,
              error);
    auto rename = [&](std::string_view from, std::string_view to) {
      return guest()
          .Send(FUSE_RENAME, kRoot,
                FakeGuest::Named(FakeGuest::Named(Bytes(fuse_rename_in{dir}), from), to))
          .error;
    };
    EXPECT_EQ(rename("file", name), error);
    EXPECT_EQ(rename(name, "new"), error);
  }
  EXPECT_TRUE(std::filesystem::is_empty(share_ + "/dir"));
  EXPECT_TRUE(std::filesystem::exists(share_ + "/file"));
}

TEST_F(ServerTest, ANameWithoutItsEndIsNoName) {
  EXPECT_EQ(guest().Send(FUSE_LOOKUP, kRoot, "file").error, EINVAL);
  EXPECT_EQ(
      guest()
          .Send(FUSE_RENAME, kRoot, FakeGuest::Named(Bytes(fuse_rename_in{kRoot}), "file") + "new")
          .error,
      EINVAL);
  EXPECT_EQ(guest().Send(FUSE_MKDIR, kRoot, "x").error, EINVAL);
}

TEST_F(ServerTest, SymlinksAreNeverFollowed) {
  const uint64_t out = guest().Find(kRoot, "out");
  const uint64_t link = guest().Find(kRoot, "link");
  ASSERT_NE(out, 0u);
  EXPECT_TRUE(S_ISLNK(guest().Lookup(kRoot, "out").As<fuse_entry_out>().attr.mode));
  EXPECT_EQ(guest().Open(link, O_RDONLY).error, ELOOP);
  EXPECT_EQ(guest().Send(FUSE_OPENDIR, out, Bytes(fuse_open_in{})).error, ENOTDIR);
  EXPECT_EQ(guest().Lookup(out, "secret").error, ENOTDIR);
  EXPECT_EQ(guest().Create(out, "new", O_RDWR).error, ENOTDIR);
  // Creating where a link is already opens the link, not where it leads.
  EXPECT_EQ(guest().Create(kRoot, "link", O_RDWR | O_TRUNC).error, ELOOP);
  fuse_setattr_in size{};
  size.valid = FATTR_SIZE;
  EXPECT_NE(guest().Send(FUSE_SETATTR, link, Bytes(size)).error, 0);
  fuse_setattr_in mode{};
  mode.valid = FATTR_MODE;
  mode.mode = 0777;
  EXPECT_EQ(guest().Send(FUSE_SETATTR, link, Bytes(mode)).error, EOPNOTSUPP);
  EXPECT_EQ(guest().Send(FUSE_READLINK, link, "").body, outside_ + "/secret");
  EXPECT_EQ(*base::ReadFile(outside_ + "/secret"), "secret");
  struct stat st {};
  ASSERT_EQ(stat((outside_ + "/secret").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0644u);
  // A hard link to a link is a link.
  ASSERT_TRUE(
      guest().Send(FUSE_LINK, kRoot, FakeGuest::Named(Bytes(fuse_link_in{link}), "again")).ok());
  EXPECT_TRUE(std::filesystem::is_symlink(share_ + "/again"));
}

// A directory that becomes a link between two requests: the inode stays what it was.
TEST_F(ServerTest, AnInodeStaysItselfWhenItsNameIsSwapped) {
  const uint64_t dir = guest().Find(kRoot, "dir");
  ASSERT_EQ(rename((share_ + "/dir").c_str(), (share_ + "/was").c_str()), 0);
  ASSERT_EQ(symlink(outside_.c_str(), (share_ + "/dir").c_str()), 0);
  ASSERT_TRUE(guest().Create(dir, "made", O_RDWR).ok());
  EXPECT_TRUE(std::filesystem::exists(share_ + "/was/made"));
  EXPECT_FALSE(std::filesystem::exists(outside_ + "/made"));
}

TEST_F(ServerTest, PipesAndSocketsAreNotOpened) {
  const uint64_t fifo = guest().Find(kRoot, "fifo");
  EXPECT_EQ(guest().Open(fifo, O_RDONLY).error, ENXIO);  // it would wait for a writer
  EXPECT_EQ(guest().Create(kRoot, "fifo", O_RDWR).error, ENXIO);
  EXPECT_EQ(guest().Open(guest().Find(kRoot, "dir"), O_RDONLY).error, EISDIR);
}

// A device node of the share is the guest's kernel's to open; here it would be the host's.
TEST_F(ServerTest, DevicesAreNotOpened) {
  if (mknod((share_ + "/null").c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0 ||
      mknod((share_ + "/disk").c_str(), S_IFBLK | 0666, makedev(7, 0)) != 0)
    GTEST_SKIP() << "making devices needs root";
  for (const char* name : {"null", "disk"}) {
    const uint64_t node = guest().Find(kRoot, name);
    ASSERT_NE(node, 0u);
    EXPECT_EQ(guest().Open(node, O_RDWR).error, ENXIO) << name;
    EXPECT_EQ(guest().Create(kRoot, name, O_RDWR).error, ENXIO) << name;
    fuse_setattr_in size{};
    size.valid = FATTR_SIZE;
    EXPECT_EQ(guest().Send(FUSE_SETATTR, node, Bytes(size)).error, EINVAL) << name;
  }
}

TEST_F(ServerTest, InodesTheGuestDoesNotHoldAreStale) {
  EXPECT_EQ(guest().Send(FUSE_GETATTR, 0, Bytes(fuse_getattr_in{})).error, ESTALE);
  EXPECT_EQ(guest().Send(FUSE_GETATTR, 77, Bytes(fuse_getattr_in{})).error, ESTALE);
  EXPECT_EQ(guest().Send(FUSE_GETATTR, UINT64_MAX, Bytes(fuse_getattr_in{})).error, ESTALE);
  const uint64_t file = guest().Find(kRoot, "file");
  EXPECT_EQ(guest().Find(kRoot, "file"), file) << "one inode, one number";
  // Two lookups; forgetting a million is forgetting all.
  guest().Send(FUSE_FORGET, file, Bytes(fuse_forget_in{1'000'000}));
  EXPECT_EQ(guest().Send(FUSE_GETATTR, file, Bytes(fuse_getattr_in{})).error, ESTALE);
  EXPECT_NE(guest().Find(kRoot, "file"), file) << "a number that comes back names nothing old";
  EXPECT_EQ(guest().Send(FUSE_GETATTR, file, Bytes(fuse_getattr_in{})).error, ESTALE)
      << "its place is taken by another";
  guest().Send(FUSE_FORGET, kRoot, Bytes(fuse_forget_in{UINT64_MAX}));
  EXPECT_TRUE(guest().Send(FUSE_GETATTR, kRoot, Bytes(fuse_getattr_in{})).ok());
  // More announced than sent.
  guest().Send(FUSE_BATCH_FORGET, 0,
               Bytes(fuse_batch_forget_in{UINT32_MAX, 0}) + Bytes(fuse_forget_one{5, 1}), 0);
  EXPECT_TRUE(guest().Lookup(kRoot, "file").ok());
}

TEST_F(ServerTest, HandlesAreWhatTheyWereOpenedAs) {
  const uint64_t file = guest().Open(guest().Find(kRoot, "file"), O_RDONLY).As<fuse_open_out>().fh;
  const uint64_t dir =
      guest().Send(FUSE_OPENDIR, kRoot, Bytes(fuse_open_in{})).As<fuse_open_out>().fh;
  fuse_read_in read{};
  read.size = 100;
  read.fh = dir;
  EXPECT_EQ(guest().Send(FUSE_READ, kRoot, Bytes(read)).error, EBADF);
  read.fh = file;
  EXPECT_EQ(guest().Send(FUSE_READDIR, kRoot, Bytes(read)).error, EBADF);
  EXPECT_EQ(guest().Send(FUSE_READ, kRoot, Bytes(read)).body, "content");
  read.fh = 4711;
  EXPECT_EQ(guest().Send(FUSE_READ, kRoot, Bytes(read)).error, EBADF);
  // Opened for reading: the host's kernel refuses the write.
  fuse_write_in write{};
  write.fh = file;
  write.size = 1;
  EXPECT_EQ(guest().Send(FUSE_WRITE, kRoot, Bytes(write) + "x").error, EBADF);
  fuse_release_in release{};
  release.fh = file;
  EXPECT_TRUE(guest().Send(FUSE_RELEASE, kRoot, Bytes(release)).ok());
  EXPECT_EQ(guest().Send(FUSE_RELEASE, kRoot, Bytes(release)).error, EBADF);
  EXPECT_NE(guest().Open(guest().Find(kRoot, "file"), O_RDONLY).As<fuse_open_out>().fh, file);
}

TEST_F(ServerTest, LengthsAreNotBelieved) {
  const uint64_t fh = guest().Open(guest().Find(kRoot, "file"), O_RDWR).As<fuse_open_out>().fh;
  fuse_write_in write{};
  write.fh = fh;
  write.size = 1 << 20;  // more than is sent
  EXPECT_EQ(guest().Send(FUSE_WRITE, kRoot, Bytes(write) + "x").error, EINVAL);
  write.size = 1;
  write.offset = UINT64_MAX;
  EXPECT_EQ(guest().Send(FUSE_WRITE, kRoot, Bytes(write) + "x").error, EINVAL);
  fuse_read_in read{};
  read.fh = fh;
  read.size = UINT32_MAX;  // more than there is room for
  EXPECT_EQ(guest().Send(FUSE_READ, kRoot, Bytes(read), 4).body, "cont");
  read.offset = UINT64_MAX - 5;
  EXPECT_EQ(guest().Send(FUSE_READ, kRoot, Bytes(read)).error, EINVAL);
  fuse_setxattr_in xattr{};
  xattr.size = UINT32_MAX;
  EXPECT_EQ(guest().Send(FUSE_SETXATTR, kRoot, Bytes(xattr) + FakeGuest::Named("", "user.x")).error,
            E2BIG);
  xattr.size = 100;
  EXPECT_EQ(guest()
                .Send(FUSE_SETXATTR, kRoot, Bytes(xattr) + FakeGuest::Named("", "user.x") + "short")
                .error,
            EINVAL);
  // A header that claims more than the buffers hold, less than itself, or nothing at all.
  fuse_in_header header{};
  header.opcode = FUSE_GETATTR;
  header.nodeid = kRoot;
  header.len = 4096;
  EXPECT_EQ(guest().SendRaw(Bytes(header), 200).error, EINVAL);
  header.len = 3;
  EXPECT_EQ(guest().SendRaw(Bytes(header), 200).error, EINVAL);
  EXPECT_FALSE(guest().SendRaw("xx", 200).answered);
  header.len = sizeof header;
  EXPECT_FALSE(guest().SendRaw(Bytes(header), 0).answered) << "no room for an answer";
  // Every operation with no arguments at all: an answer, whatever it is, and no harm.
  for (uint32_t opcode = 0; opcode < 80; ++opcode) {
    if (opcode == FUSE_INIT || opcode == FUSE_DESTROY) continue;
    SCOPED_TRACE(opcode);
    header.opcode = opcode;
    Reply reply = guest().SendRaw(Bytes(header), 256);
    if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT) continue;
    EXPECT_TRUE(reply.answered);
    const bool takes_none = opcode == FUSE_STATFS || opcode == FUSE_SYNCFS;
    EXPECT_EQ(reply.error == 0, takes_none);
  }
}

TEST_F(ServerTest, ReadOnlyRefusesEveryChange) {
  Serve({.read_only = true});
  const uint64_t file = guest().Find(kRoot, "file");
  EXPECT_EQ(guest().Create(kRoot, "new", O_RDWR).error, EROFS);
  EXPECT_EQ(guest().Open(file, O_RDWR).error, EROFS);
  EXPECT_EQ(guest().Open(file, O_RDONLY | O_TRUNC).error, EROFS);
  EXPECT_EQ(
      guest().Send(FUSE_MKDIR, kRoot, FakeGuest::Named(Bytes(fuse_mkdir_in{0755, 0}), "new")).error,
      EROFS);
  EXPECT_EQ(guest()
                .Send(FUSE_MKNOD, kRoot,
                      FakeGuest::Named(Bytes(fuse_mknod_in{S_IFREG | 0600, 0, 0, 0}), "new"))
                .error,
            EROFS);
  EXPECT_EQ(
      guest().Send(FUSE_SYMLINK, kRoot, FakeGuest::Named(FakeGuest::Named("", "new"), "t")).error,
      EROFS);
  EXPECT_EQ(
      guest().Send(FUSE_LINK, kRoot, FakeGuest::Named(Bytes(fuse_link_in{file}), "new")).error,
      EROFS);
  EXPECT_EQ(guest().Send(FUSE_UNLINK, kRoot, FakeGuest::Named("", "file")).error, EROFS);
  EXPECT_EQ(guest().Send(FUSE_RMDIR, kRoot, FakeGuest::Named("", "dir")).error, EROFS);
  EXPECT_EQ(guest()
                .Send(FUSE_RENAME, kRoot,
                      FakeGuest::Named(FakeGuest::Named(Bytes(fuse_rename_in{kRoot}), "file"), "x"))
                .error,
            EROFS);
  EXPECT_EQ(guest().Send(FUSE_SETATTR, file, Bytes(fuse_setattr_in{})).error, EROFS);
  EXPECT_EQ(
      guest()
          .Send(FUSE_SETXATTR, file, Bytes(fuse_setxattr_in{}) + FakeGuest::Named("", "user.x"))
          .error,
      EROFS);
  EXPECT_EQ(guest().Send(FUSE_REMOVEXATTR, file, FakeGuest::Named("", "user.x")).error, EROFS);
  EXPECT_EQ(guest()
                .Send(FUSE_TMPFILE, kRoot,
                      FakeGuest::Named(Bytes(fuse_create_in{O_RDWR, 0600, 0, 0}), ""))
                .error,
            EROFS);
  const uint64_t fh = guest().Open(file, O_RDONLY).As<fuse_open_out>().fh;
  fuse_write_in write{};
  write.fh = fh;
  write.size = 1;
  EXPECT_EQ(guest().Send(FUSE_WRITE, file, Bytes(write) + "x").error, EROFS);
  EXPECT_EQ(guest().Send(FUSE_FALLOCATE, file, Bytes(fuse_fallocate_in{fh, 0, 100, 0, 0})).error,
            EROFS);
  fuse_copy_file_range_in copy{};
  copy.fh_in = copy.fh_out = fh;
  copy.len = 1;
  EXPECT_EQ(guest().Send(FUSE_COPY_FILE_RANGE, file, Bytes(copy)).error, EROFS);
  EXPECT_EQ(
      guest()
          .Send(FUSE_RENAME2, kRoot,
                FakeGuest::Named(
                    FakeGuest::Named(Bytes(fuse_rename2_in{kRoot, RENAME_EXCHANGE, 0}), "file"),
                    "fifo"))
          .error,
      EROFS);
  EXPECT_EQ(guest().Create(kRoot, "file", O_RDONLY).error, EROFS);
  EXPECT_EQ(guest().Send(FUSE_ACCESS, file, Bytes(fuse_access_in{W_OK, 0})).error, EROFS);
  EXPECT_EQ(*base::ReadFile(share_ + "/file"), "content");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(share_), {}), 5);
}

// CVE-2021-20263: a file that was changed by somebody without privilege is no longer one that gives
// privileges. The guest's kernel leaves that to us.
TEST_F(ServerTest, AChangeTakesSetIdBitsAndCapabilitiesAway) {
  const uint64_t file = guest().Find(kRoot, "file");
  const std::string path = share_ + "/file";
  // cap_net_raw+ep, version 2; who may not set it is tested for the mode alone.
  const std::string capability("\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  fuse_setxattr_in set{};
  set.size = static_cast<uint32_t>(capability.size());
  const std::string set_capability =
      Bytes(set) + FakeGuest::Named("", "security.capability") + capability;
  const std::string get_capability =
      Bytes(fuse_getxattr_in{64, 0}) + FakeGuest::Named("", "security.capability");
  auto changed_by = [&](const char* what, const auto& change) {
    SCOPED_TRACE(what);
    const bool set_it = guest().Send(FUSE_SETXATTR, file, set_capability).ok();
    EXPECT_TRUE(set_it || geteuid() != 0);
    ASSERT_EQ(chmod(path.c_str(), 06755), 0);
    ASSERT_EQ(guest().Send(FUSE_GETXATTR, file, get_capability).ok(), set_it);
    change();
    EXPECT_EQ(guest().Send(FUSE_GETXATTR, file, get_capability).error, ENODATA);
    struct stat st {};
    ASSERT_EQ(stat(path.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0755u);
  };
  const uint64_t fh = guest().Open(file, O_RDWR).As<fuse_open_out>().fh;
  changed_by("WRITE", [&] {
    fuse_write_in write{};
    write.fh = fh;
    write.size = 1;
    write.write_flags = FUSE_WRITE_KILL_SUIDGID;
    EXPECT_TRUE(guest().Send(FUSE_WRITE, file, Bytes(write) + "x").ok());
  });
  changed_by("SETATTR of the size", [&] {
    fuse_setattr_in size{};
    size.valid = FATTR_SIZE | FATTR_KILL_SUIDGID;
    size.size = 3;
    EXPECT_TRUE(guest().Send(FUSE_SETATTR, file, Bytes(size)).ok());
  });
  changed_by("OPEN with O_TRUNC", [&] {
    EXPECT_TRUE(
        guest()
            .Send(FUSE_OPEN, file, Bytes(fuse_open_in{O_RDWR | O_TRUNC, FUSE_OPEN_KILL_SUIDGID}))
            .ok());
  });
  changed_by("CREATE of what is there", [&] {
    EXPECT_TRUE(guest()
                    .Send(FUSE_CREATE, kRoot,
                          FakeGuest::Named(Bytes(fuse_create_in{O_RDWR | O_TRUNC, 0644, 0,
                                                                FUSE_OPEN_KILL_SUIDGID}),
                                           "file"))
                    .ok());
  });
  // These two do not say it: what counts is who asks.
  ASSERT_TRUE(base::WriteFile(path, "content").ok());
  const uint32_t was = guest().uid;
  changed_by("COPY_FILE_RANGE", [&] {
    guest().uid = 1000;
    fuse_copy_file_range_in copy{};
    copy.fh_in = copy.fh_out = fh;
    copy.off_out = 100;
    copy.len = 3;
    EXPECT_TRUE(guest().Send(FUSE_COPY_FILE_RANGE, file, Bytes(copy)).ok());
    guest().uid = was;
  });
}

TEST_F(ServerTest, InodesBeyondTheLimitArePutAwayAndComeBack) {
  Serve({.max_inode_fds = 16});
  std::vector<uint64_t> nodes;
  for (int i = 0; i < 500; ++i) {
    const std::string name = "n" + std::to_string(i);
    Reply made = guest().Create(kRoot, name, O_RDWR);
    ASSERT_TRUE(made.ok());
    nodes.push_back(made.As<fuse_entry_out>().nodeid);
    fuse_release_in release{};
    release.fh = made.As<fuse_open_out>(sizeof(fuse_entry_out)).fh;
    ASSERT_TRUE(guest().Send(FUSE_RELEASE, nodes.back(), Bytes(release)).ok());
  }
  EXPECT_EQ(server_->inode_count(), 501u);
  // open_by_handle_at() is for who has CAP_DAC_READ_SEARCH; others keep them all open.
  if (geteuid() == 0) {
    EXPECT_LT(server_->open_inode_fds(), 200u);
  } else {
    EXPECT_EQ(server_->open_inode_fds(), 501u);
  }
  for (size_t i = 0; i < nodes.size(); ++i) {
    Reply attr = guest().Send(FUSE_GETATTR, nodes[i], Bytes(fuse_getattr_in{}));
    ASSERT_TRUE(attr.ok()) << i << ": " << strerror(attr.error);
    struct stat st {};
    ASSERT_EQ(stat((share_ + "/n" + std::to_string(i)).c_str(), &st), 0);
    EXPECT_EQ(attr.As<fuse_attr_out>().attr.ino, st.st_ino);
    EXPECT_EQ(guest().Find(kRoot, "n" + std::to_string(i)), nodes[i]);
  }
}

TEST_F(ServerTest, DirectoriesAreReadWholeInSmallPieces) {
  std::set<std::string> expected;
  for (const auto& entry : std::filesystem::directory_iterator(share_))
    expected.insert(entry.path().filename());
  for (int i = 0; i < 300; ++i) {
    const std::string name = "entry-" + std::to_string(i);
    ASSERT_TRUE(base::WriteFile(share_ + "/" + name, "").ok());
    expected.insert(name);
  }
  for (uint32_t opcode : {FUSE_READDIR, FUSE_READDIRPLUS}) {
    const uint64_t fh =
        guest().Send(FUSE_OPENDIR, kRoot, Bytes(fuse_open_in{})).As<fuse_open_out>().fh;
    std::set<std::string> seen;
    fuse_read_in in{};
    in.fh = fh;
    in.size = 1000;
    for (int round = 0; round < 1000; ++round) {
      Reply reply = guest().Send(opcode, kRoot, Bytes(in), 1000);
      ASSERT_TRUE(reply.ok());
      if (reply.body.empty()) break;
      size_t at = 0;
      while (at < reply.body.size()) {
        if (opcode == FUSE_READDIRPLUS) at += sizeof(fuse_entry_out);
        auto entry = reply.As<fuse_dirent>(at);
        std::string name = reply.body.substr(at + FUSE_NAME_OFFSET, entry.namelen);
        const bool dots = name == "." || name == "..";
        EXPECT_TRUE(dots || seen.insert(name).second) << name << " twice";
        in.offset = entry.off;
        at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + entry.namelen);
      }
    }
    EXPECT_EQ(seen, expected);
  }
  // READDIRPLUS counts a lookup for each: forgetting them leaves the root.
  EXPECT_EQ(server_->inode_count(), expected.size() + 1);
}

TEST_F(ServerTest, RenameTakesOnlyItsFlags) {
  auto rename = [&](uint32_t flags, std::string_view to) {
    fuse_rename2_in in{kRoot, flags, 0};
    return guest()
        .Send(FUSE_RENAME2, kRoot, FakeGuest::Named(FakeGuest::Named(Bytes(in), "file"), to))
        .error;
  };
  EXPECT_EQ(rename(1u << 30, "x"), EINVAL);
  EXPECT_EQ(rename(RENAME_NOREPLACE, "fifo"), EEXIST);
  EXPECT_EQ(rename(RENAME_NOREPLACE, "moved"), 0);
}

TEST_F(ServerTest, IoctlsDoNotReachTheHost) {
  const uint64_t file = guest().Find(kRoot, "file");
  EXPECT_EQ(guest().Send(FUSE_IOCTL, file, Bytes(fuse_ioctl_in{})).error, ENOTTY);
  EXPECT_EQ(guest().Send(FUSE_SETUPMAPPING, file, std::string(40, '\0')).error, ENOSYS);
  EXPECT_EQ(guest().Send(9999, file, "").error, ENOSYS);
}

class HostLocksTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    Serve({.locks = Locks::kHost});
    file_ = guest().Find(kRoot, "file");
    fh_ = guest().Open(file_, O_RDWR).As<fuse_open_out>().fh;
  }
  Reply Lock(uint32_t opcode, uint64_t owner, uint32_t type) {
    fuse_lk_in in{};
    in.fh = fh_;
    in.owner = owner;
    in.lk = {0, 9, type, 1};
    return guest().Send(opcode, file_, Bytes(in));
  }
  uint64_t file_ = 0, fh_ = 0;
};

TEST_F(HostLocksTest, AWaiterGetsTheLockOrIsInterrupted) {
  EXPECT_TRUE(Lock(FUSE_SETLK, 1, F_WRLCK).ok());
  EXPECT_EQ(Lock(FUSE_SETLK, 2, F_WRLCK).error, EAGAIN);
  EXPECT_FALSE(Lock(FUSE_SETLKW, 2, F_WRLCK).answered);
  EXPECT_TRUE(server_->LocksWaiting());
  EXPECT_TRUE(server_->RetryLocks());
  EXPECT_FALSE(guest().Late().answered);
  EXPECT_TRUE(Lock(FUSE_SETLK, 1, F_UNLCK).ok());
  server_->RetryLocks();
  EXPECT_FALSE(server_->LocksWaiting());
  EXPECT_TRUE(guest().Late().ok());
  EXPECT_EQ(Lock(FUSE_SETLK, 1, F_WRLCK).error, EAGAIN) << "2 has it";
  EXPECT_FALSE(Lock(FUSE_SETLKW, 1, F_WRLCK).answered);
  guest().Send(FUSE_INTERRUPT, 0, Bytes(fuse_interrupt_in{guest().last_unique()}));
  EXPECT_EQ(guest().Late().error, EINTR);
}

TEST_F(HostLocksTest, WaitersAreBounded) {
  EXPECT_TRUE(Lock(FUSE_SETLK, 1, F_WRLCK).ok());
  for (size_t i = 0; i < LockTable::kMaxWaiters; ++i)
    EXPECT_FALSE(Lock(FUSE_SETLKW, 100 + i, F_WRLCK).answered);
  Lock(FUSE_SETLKW, 99, F_WRLCK);
  EXPECT_EQ(guest().Late().error, ENOLCK);
  server_->Cancel(&guest());
  EXPECT_FALSE(server_->LocksWaiting());
}

TEST_F(HostLocksTest, TheEndOfAGuestFreesItsLocks) {
  EXPECT_TRUE(Lock(FUSE_SETLK, 1, F_WRLCK).ok());
  auto fd = base::Open(share_ + "/file", O_RDWR);
  struct flock mine {};
  mine.l_type = F_WRLCK;
  mine.l_len = 10;
  EXPECT_EQ(fcntl(fd->get(), F_OFD_SETLK, &mine), -1) << "held on the host too";
  server_->Reset();
  EXPECT_EQ(fcntl(fd->get(), F_OFD_SETLK, &mine), 0);
  EXPECT_EQ(server_->handle_count(), 0u);
}

}  // namespace
}  // namespace holt::fsd
