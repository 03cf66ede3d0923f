#include "guest-agent/container/user_database.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "guest-agent/mount/in_root.h"

namespace holt::guest_agent {
namespace {

using base::Code;
using base::MakeError;
using base::Result;

constexpr size_t kMaxFile = 8 << 20;
constexpr size_t kMaxGroups = 65536;  // NGROUPS_MAX

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<uint32_t> ToId(std::string_view text) {
  uint32_t id = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  if (id == UINT32_MAX) return std::nullopt;  // -1 means "no change" to setresuid(2)
  return id;
}

Result<std::string> ReadInRoot(int root, const std::string& path) {
  // O_NONBLOCK: the image may have put a FIFO there.
  auto file = OpenInRoot(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) {
    int err = file.error().err();
    if (err == ENOENT || err == ENOTDIR) return std::string();
    return std::move(file).error();
  }
  return base::ReadFd(file->get(), kMaxFile);
}

Result<uint32_t> ResolveGroup(std::string_view name, const std::vector<GroupEntry>& group) {
  for (const GroupEntry& entry : group)
    if (entry.name == name) return entry.gid;
  if (auto id = ToId(name)) return *id;
  return MakeError(Code::kInvalidArgument,
                   "process.user: unable to find group {}: no matching entries in group file",
                   name);
}

}  // namespace

std::vector<PasswdEntry> ParsePasswd(std::string_view text) {
  std::vector<PasswdEntry> entries;
  for (std::string_view line : Split(text, '\n')) {
    auto fields = Split(line, ':');
    if (fields.size() < 6 || fields[0].empty() || line.starts_with('#')) continue;
    auto uid = ToId(fields[2]);
    auto gid = ToId(fields[3]);
    if (uid && gid) entries.push_back({std::string(fields[0]), *uid, *gid, std::string(fields[5])});
  }
  return entries;
}

std::vector<GroupEntry> ParseGroup(std::string_view text) {
  std::vector<GroupEntry> entries;
  for (std::string_view line : Split(text, '\n')) {
    auto fields = Split(line, ':');
    if (fields.size() < 3 || fields[0].empty() || line.starts_with('#')) continue;
    auto gid = ToId(fields[2]);
    if (!gid) continue;
    GroupEntry entry{std::string(fields[0]), *gid, {}};
    if (fields.size() > 3)
      for (std::string_view member : Split(fields[3], ','))
        if (!member.empty()) entry.members.emplace_back(member);
    entries.push_back(std::move(entry));
  }
  return entries;
}

Result<ResolvedUser> ResolveUser(const oci::User& user, const std::vector<PasswdEntry>& passwd,
                                 const std::vector<GroupEntry>& group) {
  ResolvedUser out{user.uid, user.gid, user.additional_gids, "/"};
  const PasswdEntry* entry = nullptr;
  if (user.username.empty()) {
    for (const PasswdEntry& candidate : passwd)
      if (!entry && candidate.uid == user.uid) entry = &candidate;
    if (entry && !entry->home.empty()) out.home = entry->home;
    return out;
  }
  std::string_view name = user.username;
  std::string_view group_name;
  if (size_t colon = name.find(':'); colon != std::string_view::npos) {
    group_name = name.substr(colon + 1);
    name = name.substr(0, colon);
  }
  auto id = ToId(name);
  for (const PasswdEntry& candidate : passwd)
    if (!entry && (candidate.name == name || (id && candidate.uid == *id))) entry = &candidate;
  if (!entry && !id && !name.empty())
    return MakeError(Code::kInvalidArgument,
                     "process.user: unable to find user {}: no matching entries in passwd file",
                     name);
  out.uid = entry ? entry->uid : id.value_or(0);
  out.gid = entry ? entry->gid : 0;
  if (entry && !entry->home.empty()) out.home = entry->home;
  if (!group_name.empty()) {
    TRY_ASSIGN(out.gid, ResolveGroup(group_name, group));
  } else if (entry) {
    for (const GroupEntry& candidate : group)
      if (std::find(candidate.members.begin(), candidate.members.end(), entry->name) !=
              candidate.members.end() &&
          out.groups.size() < kMaxGroups)
        out.groups.push_back(candidate.gid);
  }
  return out;
}

Result<ResolvedUser> ResolveUserInRoot(int root, const oci::User& user) {
  TRY_ASSIGN_CONTEXT(std::string passwd, ReadInRoot(root, "/etc/passwd"), "process.user");
  std::string group;
  // Numbers need no group file.
  if (!user.username.empty()) {
    TRY_ASSIGN_CONTEXT(group, ReadInRoot(root, "/etc/group"), "process.user");
  }
  return ResolveUser(user, ParsePasswd(passwd), ParseGroup(group));
}

}  // namespace holt::guest_agent
