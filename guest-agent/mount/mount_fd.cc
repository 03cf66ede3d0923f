#include "guest-agent/mount/mount_fd.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

namespace holt::guest_agent {
namespace {

using base::Result;
using base::Status;
using base::UniqueFd;

// The messages the file system left on its context, each "e text" or "w text".
std::string ContextMessages(int context) {
  std::string all;
  char message[512];
  ssize_t n;
  while ((n = read(context, message, sizeof message)) > 2) {
    std::string_view text(message + 2, static_cast<size_t>(n) - 2);
    while (text.ends_with('\n')) text.remove_suffix(1);
    all += all.empty() ? "" : "; ";
    all += text;
  }
  return all;
}

base::Error ContextError(int err, int context, const std::string& what) {
  std::string messages = ContextMessages(context);
  return base::ErrnoError(err, messages.empty() ? what : what + ": " + messages);
}

Status SetParameters(int context, const FilesystemOptions& options) {
  for (const std::string& flag : options.flags)
    if (fsconfig(context, FSCONFIG_SET_FLAG, flag.c_str(), nullptr, 0) != 0)
      return ContextError(errno, context, "option " + flag);
  for (const std::string& option : options.data) {
    size_t equals = option.find('=');
    int result;
    if (equals == std::string::npos) {
      result = fsconfig(context, FSCONFIG_SET_FLAG, option.c_str(), nullptr, 0);
    } else {
      result = fsconfig(context, FSCONFIG_SET_STRING, option.substr(0, equals).c_str(),
                        option.c_str() + equals + 1, 0);
    }
    if (result != 0) return ContextError(errno, context, "option " + option);
  }
  return {};
}

Status Configure(int context, const FilesystemOptions& options) {
  if (!options.source.empty() &&
      fsconfig(context, FSCONFIG_SET_STRING, "source", options.source.c_str(), 0) != 0)
    return ContextError(errno, context, "source " + options.source);
  TRY(SetParameters(context, options));
  if (fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return ContextError(errno, context, "create");
  return {};
}

}  // namespace

Result<UniqueFd> NewFilesystem(const FilesystemOptions& options) {
  UniqueFd context(fsopen(options.type.c_str(), FSOPEN_CLOEXEC));
  if (!context) {
    if (errno == ENODEV)
      return base::MakeError(base::Code::kUnsupported, "file system {}: unknown to the kernel",
                             options.type);
    return HOLT_ERRNO("file system {}", options.type);
  }
  TRY_CONTEXT(Configure(context.get(), options), options.type);
  UniqueFd mount(
      fsmount(context.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(options.attributes)));
  if (!mount) return ContextError(errno, context.get(), options.type + ": fsmount");
  return mount;
}

Status Reconfigure(int fd, const FilesystemOptions& options) {
  UniqueFd context(fspick(fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH));
  if (!context) return HOLT_ERRNO("fspick");
  TRY(SetParameters(context.get(), options));
  if (fsconfig(context.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0) != 0)
    return ContextError(errno, context.get(), "reconfigure");
  return {};
}

Result<UniqueFd> CloneTree(int fd, bool recursive) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
  if (recursive) flags |= AT_RECURSIVE;
  UniqueFd tree(open_tree(fd, "", flags));
  if (!tree) return HOLT_ERRNO("open_tree");
  return tree;
}

Status Attach(int mount, int target) {
  if (move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    return HOLT_ERRNO("move_mount");
  return {};
}

Status SetAttributes(int mount, uint64_t set, uint64_t clear, bool recursive) {
  if (set == 0 && clear == 0) return {};
  mount_attr attributes{};
  attributes.attr_set = set;
  attributes.attr_clr = clear;
  unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  if (mount_setattr(mount, "", flags, &attributes, sizeof attributes) != 0)
    return HOLT_ERRNO("mount_setattr");
  return {};
}

Status SetPropagation(int mount, unsigned long propagation) {
  mount_attr attributes{};
  attributes.propagation = propagation & ~static_cast<unsigned long>(MS_REC);
  unsigned flags = AT_EMPTY_PATH | (propagation & MS_REC ? AT_RECURSIVE : 0);
  if (mount_setattr(mount, "", flags, &attributes, sizeof attributes) != 0)
    return HOLT_ERRNO("mount_setattr: propagation");
  return {};
}

}  // namespace holt::guest_agent
