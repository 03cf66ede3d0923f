#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"

namespace holt::fsd {

// How long the guest may believe what it was told. docs/processes/holt-fsd.md says when to use
// which.
enum class Cache {
  kNone,      // every look asks; data is not cached
  kMetadata,  // names and attributes for a day; data is not cached
  kAuto,      // names and attributes for a second; data until it changed
  kAlways,    // a day: only this guest writes
};

enum class Locks {
  kGuest,  // the guest's kernel keeps them: processes of this guest see each other's
  kHost,   // every lock is taken on the host too: guests and host processes see each other's
};

// What the FUSE server is told about the share.
struct ServerOptions {
  bool read_only = false;
  Cache cache = Cache::kAuto;
  Locks locks = Locks::kGuest;
  bool writeback = false;
  bool posix_acl = true;
  // The guest replays changes (rpc/change.h): its requests of that kind are not to be taken for
  // others.
  bool replays = false;
  // Inodes kept open before they are put away as file handles.
  size_t max_inode_fds = 16384;
};

// The command line of holt-fsd.
struct Options {
  ServerOptions server;
  int socket_fd = -1;       // or:
  std::string socket_path;  // listened on; one connection is served
  int shared_dir_fd = -1;   // or:
  std::string shared_dir;
  std::vector<std::string> watched;  // paths in the share, each a mount
  int changes_fd = -1;               // gets what the host changes there
  uint32_t changes_uid = 0;          // whose inotify limits count
  unsigned queues = 1;  // request queues, each with a thread of its own when more than one
  base::log::Level log_level = base::log::Level::kInfo;
  bool help = false;
  bool version = false;
};

// Parses the arguments after the program's name. An error names the argument.
base::Result<Options> ParseOptions(const std::vector<std::string>& arguments);
std::string Usage();

}  // namespace holt::fsd
