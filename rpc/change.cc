#include "rpc/change.h"

#include <climits>
#include <cstring>

namespace holt::rpc {
namespace {

// Both ends are the same build on the same kind of processor.
struct Header {
  uint32_t type;
  uint8_t kind;
  uint8_t reserved;
  uint16_t lengths[4];  // of the strings that follow, in the order of Change
};
static_assert(sizeof(Header) == 16);

constexpr size_t kMost[4] = {PATH_MAX, NAME_MAX, PATH_MAX, NAME_MAX};
static_assert(sizeof(Header) + 2 * (PATH_MAX + NAME_MAX) <= kMaxChangeBytes);

}  // namespace

void AppendChange(const Change& change, std::string& out) {
  const std::string* parts[4] = {&change.directory, &change.name, &change.new_directory,
                                 &change.new_name};
  Header header{};
  header.type = change.type;
  header.kind = static_cast<uint8_t>(change.kind);
  for (int i = 0; i < 4; ++i) {
    HOLT_CHECK(parts[i]->size() <= kMost[i]);
    header.lengths[i] = static_cast<uint16_t>(parts[i]->size());
  }
  out.append(reinterpret_cast<const char*>(&header), sizeof header);
  for (const std::string* part : parts) out += *part;
}

base::Result<std::optional<Change>> TakeChange(std::string_view& bytes) {
  Header header;
  if (bytes.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof header);
  size_t total = sizeof header;
  for (int i = 0; i < 4; ++i) {
    if (header.lengths[i] > kMost[i])
      return base::MakeError(base::Code::kDataLoss, "a change with a name of {} bytes",
                             header.lengths[i]);
    total += header.lengths[i];
  }
  if (header.kind < static_cast<uint8_t>(ChangeKind::kModified) ||
      header.kind > static_cast<uint8_t>(ChangeKind::kRenamed))
    return base::MakeError(base::Code::kDataLoss, "a change of kind {}", header.kind);
  if (bytes.size() < total) return std::nullopt;
  Change change;
  change.kind = static_cast<ChangeKind>(header.kind);
  change.type = header.type;
  size_t at = sizeof header;
  std::string* parts[4] = {&change.directory, &change.name, &change.new_directory,
                           &change.new_name};
  for (int i = 0; i < 4; ++i) {
    *parts[i] = bytes.substr(at, header.lengths[i]);
    at += header.lengths[i];
  }
  bytes.remove_prefix(total);
  return change;
}

}  // namespace holt::rpc
