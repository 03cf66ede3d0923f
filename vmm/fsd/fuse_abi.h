#pragma once

#include <linux/fuse.h>

#include <cstdint>

// What FUSE gained after the header of the oldest system we build on (7.38);
// include/uapi/linux/fuse.h of Linux 6.12 is the source.
namespace holt::fsd {

inline constexpr uint32_t kFuseMajor = 7;
// The newest minor whose messages we know (7.39: FUSE_STATX).
inline constexpr uint32_t kFuseMinor = 39;
// virtio-fs began with this one (Linux 5.4); older layouts of messages are not spoken.
inline constexpr uint32_t kFuseOldestMinor = 31;

inline constexpr uint32_t kOpStatx = 52;
inline constexpr uint64_t kInitDirectIoAllowMmap = 1ull << 36;

struct FuseStatxTime {
  int64_t seconds;
  uint32_t nanoseconds;
  int32_t reserved;
};

struct FuseStatx {
  uint32_t mask;
  uint32_t blksize;
  uint64_t attributes;
  uint32_t nlink;
  uint32_t uid;
  uint32_t gid;
  uint16_t mode;
  uint16_t spare0;
  uint64_t ino;
  uint64_t size;
  uint64_t blocks;
  uint64_t attributes_mask;
  FuseStatxTime atime;
  FuseStatxTime btime;
  FuseStatxTime ctime;
  FuseStatxTime mtime;
  uint32_t rdev_major;
  uint32_t rdev_minor;
  uint32_t dev_major;
  uint32_t dev_minor;
  uint64_t spare2[14];
};
static_assert(sizeof(FuseStatx) == 256);

struct FuseStatxIn {
  uint32_t getattr_flags;
  uint32_t reserved;
  uint64_t fh;
  uint32_t sx_flags;
  uint32_t sx_mask;
};

struct FuseStatxOut {
  uint64_t attr_valid;
  uint32_t attr_valid_nsec;
  uint32_t flags;
  uint64_t spare[2];
  FuseStatx stat;
};

}  // namespace holt::fsd
