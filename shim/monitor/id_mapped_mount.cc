#include "shim/monitor/id_mapped_mount.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <algorithm>

#include "base/user_namespace.h"
#include "oci/id_mapping.h"

namespace holt::shim {
namespace {

using base::Result;
using base::Status;
using base::UniqueFd;

bool HasOption(const oci::Mount& mount, std::string_view option) {
  return std::find(mount.options.begin(), mount.options.end(), option) != mount.options.end();
}

}  // namespace

Result<std::optional<IdMappings>> FindIdMappings(const oci::Mount& mount,
                                                 const oci::Config& config) {
  bool recursive = HasOption(mount, "ridmap");
  if (!mount.uid_mappings.empty())
    return std::optional(IdMappings{mount.uid_mappings, mount.gid_mappings, recursive});
  if (!recursive && !HasOption(mount, "idmap")) return std::optional<IdMappings>();
  if (!config.linux_ || config.linux_->uid_mappings.empty() || config.linux_->gid_mappings.empty())
    return base::MakeError(base::Code::kInvalidArgument,
                           "options: idmap needs uidMappings and gidMappings, the mount's own or "
                           "those of a user namespace");
  return std::optional(
      IdMappings{config.linux_->uid_mappings, config.linux_->gid_mappings, recursive});
}

Status BindIdMapped(const std::string& source, const std::string& target, bool recursive,
                    const IdMappings& mappings) {
  TRY_ASSIGN(UniqueFd user_namespace,
             base::MakeUserNamespace(oci::IdRanges(mappings.uids), oci::IdRanges(mappings.gids)));
  unsigned recurse = recursive ? AT_RECURSIVE : 0;
  // Detached: the kernel maps no mount that somebody may already use.
  UniqueFd tree(open_tree(AT_FDCWD, source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recurse));
  if (!tree) return HOLT_ERRNO("{}", source);
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(user_namespace.get());
  unsigned flags = AT_EMPTY_PATH | (mappings.recursive ? AT_RECURSIVE : 0);
  if (mount_setattr(tree.get(), "", flags, &attributes, sizeof attributes) != 0) {
    if (errno == EINVAL)
      return base::MakeError(base::Code::kUnsupported,
                             "{}: its file system cannot be mounted with ids mapped", source);
    return HOLT_ERRNO("{}: idmap", source);
  }
  if (move_mount(tree.get(), "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return HOLT_ERRNO("mount {}", target);
  return {};
}

}  // namespace holt::shim
