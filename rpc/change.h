#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

// Changes that the host made to files of a share, on their way from holt-fsd, which sees them, to
// holt-agent, which makes them happen again in the guest (docs/adr/0110-changes-are-replayed.md):
// there the kernel then tells inotify watchers what it would have told them for a change of the
// guest's own.
namespace holt::rpc {

enum class ChangeKind : uint8_t {
  kModified = 1,    // content
  kAttributes = 2,  // mode, owner, times
  kWritten = 3,     // closed after it was open for writing
  kCreated = 4,
  kRemoved = 5,
  kRenamed = 6,  // from `directory`/`name` to `new_directory`/`new_name`
};

struct Change {
  ChangeKind kind = ChangeKind::kModified;
  // S_IFMT bits of the file; 0: a directory or not is all that is known, and it is not one.
  uint32_t type = 0;
  // Paths in the share without a leading slash; an empty name means the directory (or the file that
  // is a volume of its own) itself.
  std::string directory;
  std::string name;
  std::string new_directory;
  std::string new_name;
};

// Appends the record of `change` to `out`.
void AppendChange(const Change& change, std::string& out);
// Takes the first record from `bytes`; nothing when it is not whole yet. An error when no record
// looks like this.
base::Result<std::optional<Change>> TakeChange(std::string_view& bytes);
// No record is larger.
inline constexpr size_t kMaxChangeBytes = 16 << 10;

// A FUSE request with this user id and one of these group ids is part of a replay: holt-fsd answers
// it as if it had been done, and changes nothing. Nothing else is safe with these ids, and nothing
// is won by taking them: who does cheats only its own guest.
inline constexpr uint32_t kReplayUid = 0x686f6c74;
inline constexpr uint32_t kReplayGid = 0x686f6c00;
// What a lookup is to find, as kReplayGid + this.
enum class Past : uint32_t {
  kNow = 0,        // what is there
  kAbsent = 1,     // nothing: it is about to be made
  kReplaced = 2,   // what the guest knew by that name, if that is not what is there now
  kKnown = 3,      // the same, to be moved
  kFile = 4,       // the same, or an empty stand-in: it is about to be removed
  kDirectory = 5,  // the same for a directory
};
inline constexpr uint32_t kPasts = 6;

}  // namespace holt::rpc
