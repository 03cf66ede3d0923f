#include "vmm/devices/blk_ring.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/devices/blk_spare_ring.h"
#include "vmm/jail/filtered_child.h"
#include "vmm/jail/privileges.h"
#include "vmm/jail/seccomp.h"

namespace holt::vmm {
namespace {

base::UniqueFd File(std::string_view content) {
  base::UniqueFd fd(memfd_create("disk", MFD_CLOEXEC));
  EXPECT_EQ(pwrite(fd.get(), content.data(), content.size(), 0),
            static_cast<ssize_t>(content.size()));
  return fd;
}

// What the operation that was prepared came to.
int Result(BlkRing& ring) {
  int out = 1 << 20;
  EXPECT_TRUE(ring.Submit());
  ring.Wait();
  ring.Reap([&](uint64_t, int result) { out = result; });
  return out;
}

TEST(BlkRing, ReadsAndWritesItsFile) {
  const base::UniqueFd file = File("0123456789");
  auto ring = BlkRing::Create(file.get(), 4);
  ASSERT_TRUE(ring.ok()) << ring.error().message();
  char bytes[4] = {'a', 'b', 'c', 'd'};
  iovec buffer{bytes, 4};
  (*ring)->Write(std::span(&buffer, 1), 2, 1);
  EXPECT_EQ(Result(**ring), 4);
  (*ring)->Read(std::span(&buffer, 1), 0, 1);
  EXPECT_EQ(Result(**ring), 4);
  EXPECT_EQ(std::string(bytes, 4), "01ab");
  (*ring)->Flush(1);
  EXPECT_EQ(Result(**ring), 0);
}

TEST(BlkRing, DoesNothingElseAndReachesNoOtherFile) {
  const base::UniqueFd file = File("0123456789"), other = File("secret");
  auto ring = BlkRing::Create(file.get(), 4);
  ASSERT_TRUE(ring.ok()) << ring.error().message();
  io_uring& raw = (*ring)->raw();
  char bytes[4] = {};
  iovec buffer{bytes, 4};
  auto prepare = [&](auto prepare_with, unsigned flags) {
    io_uring_sqe* sqe = io_uring_get_sqe(&raw);
    prepare_with(sqe);
    sqe->flags = static_cast<uint8_t>(flags);
    return Result(**ring);
  };
  EXPECT_EQ(prepare([&](auto* sqe) { io_uring_prep_readv(sqe, other.get(), &buffer, 1, 0); }, 0),
            -EACCES)
      << "a descriptor of the process";
  EXPECT_EQ(prepare([](auto* sqe) { io_uring_prep_openat(sqe, AT_FDCWD, "/", O_RDONLY, 0); }, 0),
            -EACCES);
  EXPECT_EQ(prepare([](auto* sqe) { io_uring_prep_nop(sqe); }, IOSQE_FIXED_FILE), -EACCES);
  EXPECT_EQ(
      prepare([&](auto* sqe) { io_uring_prep_readv(sqe, 1, &buffer, 1, 0); }, IOSQE_FIXED_FILE),
      -EBADF)
      << "there is one file";
  const int fd = other.get();
  EXPECT_LT(io_uring_register_files_update(&raw, 0, &fd, 1), 0) << "and it stays the same";
  EXPECT_EQ(std::string(bytes, 4), std::string(4, '\0'));
  EXPECT_LT(io_uring_unregister_files(&raw), 0);
  EXPECT_LT(io_uring_register_files(&raw, &fd, 1), 0);
}

// `rings`: whether the filter leaves those that exist.
FilteredChild Jailed(bool rings, const std::function<void(BlkRing&)>& action) {
  auto ring = std::make_shared<std::unique_ptr<BlkRing>>();
  return FilteredChild(
      [ring, rings]() -> std::shared_ptr<void> {
        static base::UniqueFd file(memfd_create("disk", MFD_CLOEXEC));
        auto made = BlkRing::Create(file.get(), 4);
        if (!made) return nullptr;
        *ring = std::move(*made);
        const bool confined = DropPrivileges().ok() &&
                              InstallSeccomp(SeccompPolicy::kSoftware, {.rings = rings}).ok();
        return confined ? ring : nullptr;
      },
      [ring, action] { action(**ring); });
}

TEST(BlkRing, RunsUnderTheFilterWhereThereAreDisksOnly) {
  auto write = [](BlkRing& ring) {
    char bytes[4] = {'a', 'b', 'c', 'd'};
    iovec buffer{bytes, 4};
    ring.Write(std::span(&buffer, 1), 0, 1);
    ring.Flush(2);
    if (Result(ring) < 0) _exit(3);
  };
  EXPECT_EQ(Jailed(true, write).Finish(), 0);
  EXPECT_TRUE(Jailed(false, write).IsKilledByFilter());
  EXPECT_TRUE(Jailed(true,
                     [](BlkRing&) {
                       io_uring_params params{};
                       (void)syscall(SYS_io_uring_setup, 4, &params);
                     })
                  .IsKilledByFilter())
      << "no ring without restrictions";
}

// A ring of another process's, run by one that is jailed as holt-vmm is.
FilteredChild Running(const SpareRing& spare, const std::function<void(BlkRing&)>& action) {
  auto ring = std::make_shared<std::unique_ptr<BlkRing>>();
  return FilteredChild(
      [ring, &spare]() -> std::shared_ptr<void> {
        auto adopted = BlkRing::Adopt(base::UniqueFd(dup(spare.fd())), spare.parameters());
        if (!adopted) return nullptr;
        *ring = std::move(*adopted);
        const bool confined =
            DropPrivileges().ok() && InstallSeccomp(SeccompPolicy::kSoftware, {.rings = true}).ok();
        return confined ? ring : nullptr;
      },
      [ring, action] { action(**ring); });
}

TEST(SpareRing, ItsFileIsTheOtherProcesss) {
  const base::UniqueFd file = File("0123456789");
  // Exits with 0 when it wrote, with 1 where there was nothing to write to.
  auto write = [](BlkRing& ring) {
    char bytes[4] = {'a', 'b', 'c', 'd'};
    iovec buffer{bytes, 4};
    ring.Write(std::span(&buffer, 1), 2, 1);
    const int result = Result(ring);
    _exit(result == 4 ? 0 : result == -EBADF ? 1 : 2);
  };
  auto content = [&] {
    char bytes[10] = {};
    EXPECT_EQ(pread(file.get(), bytes, sizeof bytes, 0), 10);
    return std::string(bytes, sizeof bytes);
  };
  const SpareRing empty = *SpareRing::Create(4), used = *SpareRing::Create(4),
                  cleared = *SpareRing::Create(4);
  EXPECT_EQ(WEXITSTATUS(Running(empty, write).Finish()), 1);
  ASSERT_TRUE(cleared.SetFile(file.get()).ok());
  {
    // It runs already.
    FilteredChild child = Running(cleared, write);
    ASSERT_TRUE(cleared.ClearFile().ok());
    EXPECT_FALSE(cleared.ClearFile().ok()) << "there is none";
    EXPECT_EQ(WEXITSTATUS(child.Finish()), 1);
    EXPECT_EQ(content(), "0123456789");
  }
  FilteredChild child = Running(used, write);
  ASSERT_TRUE(used.SetFile(file.get()).ok());
  EXPECT_EQ(child.Finish(), 0);
  EXPECT_EQ(content(), "01abcd6789");
}

TEST(SpareRing, WhoRunsItDoesNothingElseAndRegistersNothing) {
  const base::UniqueFd file = File("0123456789");
  auto spare = SpareRing::Create(4);
  ASSERT_TRUE(spare.ok()) << spare.error().message();
  ASSERT_TRUE(spare->SetFile(file.get()).ok());
  auto ring = BlkRing::Adopt(base::UniqueFd(dup(spare->fd())), spare->parameters());
  ASSERT_TRUE(ring.ok()) << ring.error().message();
  io_uring& raw = (*ring)->raw();
  io_uring_sqe* sqe = io_uring_get_sqe(&raw);
  io_uring_prep_openat(sqe, AT_FDCWD, "/", O_RDONLY, 0);
  EXPECT_EQ(Result(**ring), -EACCES);
  char bytes[4] = {};
  iovec buffer{bytes, 4};
  EXPECT_LT(io_uring_register_buffers(&raw, &buffer, 1), 0);
  EXPECT_LT(io_uring_register_eventfd(&raw, file.get()), 0);
  EXPECT_TRUE(Running(*spare, [](BlkRing& own) {
                (void)io_uring_unregister_files(&own.raw());
              }).IsKilledByFilter());
}

TEST(SpareRing, NoRingIsTakenForOne) {
  auto spare = SpareRing::Create(4);
  ASSERT_TRUE(spare.ok()) << spare.error().message();
  EXPECT_FALSE(BlkRing::Adopt(base::UniqueFd(), spare->parameters()).ok());
  EXPECT_FALSE(BlkRing::Adopt(base::UniqueFd(dup(spare->fd())), "short").ok());
  EXPECT_FALSE(
      BlkRing::Adopt(base::UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC)), spare->parameters())
          .ok());
}

}  // namespace
}  // namespace holt::vmm
