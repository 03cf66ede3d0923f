#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/runtime_spec.h"

// /etc/passwd and /etc/group of a container's root, read without NSS (a library of the container's
// choice must not run in the agent).
namespace holt::guest_agent {

struct PasswdEntry {
  std::string name;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string home;
};
struct GroupEntry {
  std::string name;
  uint32_t gid = 0;
  std::vector<std::string> members;
};

// Lines that are not well formed are skipped.
std::vector<PasswdEntry> ParsePasswd(std::string_view text);
std::vector<GroupEntry> ParseGroup(std::string_view text);

struct ResolvedUser {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;  // supplementary
  std::string home;              // "/" when unknown
};

// `user.username`, when set, is what images and people write ("name", "uid", "name:group",
// "uid:gid") and wins over the numbers: the group of a name is its passwd entry's, its
// supplementary groups come from /etc/group unless a group is given; a number needs no entry.
// Without it the numbers are it.
base::Result<ResolvedUser> ResolveUser(const oci::User& user,
                                       const std::vector<PasswdEntry>& passwd,
                                       const std::vector<GroupEntry>& group);

// The same with the files below `root`; files that do not exist are empty.
base::Result<ResolvedUser> ResolveUserInRoot(int root, const oci::User& user);

}  // namespace holt::guest_agent
