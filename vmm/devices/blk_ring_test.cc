#include "vmm/devices/blk_ring.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

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

}  // namespace
}  // namespace holt::vmm
