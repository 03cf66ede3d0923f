#include "oci/mount_options.h"

#include <linux/mount.h>

#include <algorithm>

namespace holt::oci {
namespace {

// glibc's and the kernel's mount headers do not go together; these are from linux/mount.h's MS_
// part, which is the ABI of mount(2).
constexpr unsigned long kMsRec = 1ul << 14;
constexpr unsigned long kMsUnbindable = 1ul << 17;
constexpr unsigned long kMsPrivate = 1ul << 18;
constexpr unsigned long kMsSlave = 1ul << 19;
constexpr unsigned long kMsShared = 1ul << 20;

struct Attribute {
  std::string_view name;  // with "r" before it: the recursive form
  uint64_t set;
  uint64_t clear;
};
// The access time attributes are values of one field, so that setting one clears the whole field.
constexpr Attribute kAttributes[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"atime", 0, MOUNT_ATTR__ATIME},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"norelatime", 0, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nostrictatime", 0, MOUNT_ATTR__ATIME},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
};

struct Propagation {
  std::string_view name;
  unsigned long flags;
};
constexpr Propagation kPropagations[] = {
    {"shared", kMsShared},         {"rshared", kMsShared | kMsRec},
    {"private", kMsPrivate},       {"rprivate", kMsPrivate | kMsRec},
    {"slave", kMsSlave},           {"rslave", kMsSlave | kMsRec},
    {"unbindable", kMsUnbindable}, {"runbindable", kMsUnbindable | kMsRec},
};

struct SuperblockFlag {
  std::string_view name;
  std::string_view flag;  // empty: only takes the other one back
  std::string_view cancels;
};
constexpr SuperblockFlag kSuperblockFlags[] = {
    {"sync", "sync", ""},         {"async", "", "sync"},          {"dirsync", "dirsync", ""},
    {"lazytime", "lazytime", ""}, {"nolazytime", "", "lazytime"}, {"mand", "mand", ""},
    {"nomand", "", "mand"},
};

// Options that are understood and change nothing.
constexpr std::string_view kNoEffect[] = {"defaults", "silent", "loud"};

constexpr std::string_view kFlagOptions[] = {"bind",      "rbind", "remount",
                                             "tmpcopyup", "idmap", "ridmap"};

void Apply(const Attribute& attribute, uint64_t& set, uint64_t& clear) {
  uint64_t touched = attribute.set | attribute.clear;
  set = (set & ~touched) | attribute.set;
  clear = (clear & ~attribute.set) | attribute.clear;
}

bool ApplyAttribute(std::string_view option, MountOptions& out) {
  for (const Attribute& attribute : kAttributes) {
    if (option == attribute.name) {
      Apply(attribute, out.attr_set, out.attr_clear);
      return true;
    }
    if (option.starts_with('r') && option.substr(1) == attribute.name) {
      Apply(attribute, out.recursive_attr_set, out.recursive_attr_clear);
      return true;
    }
  }
  return false;
}

bool ApplyPropagation(std::string_view option, MountOptions& out) {
  for (const Propagation& propagation : kPropagations) {
    if (option != propagation.name) continue;
    out.propagation.push_back(propagation.flags);
    return true;
  }
  return false;
}

bool ApplySuperblockFlag(std::string_view option, MountOptions& out) {
  for (const SuperblockFlag& flag : kSuperblockFlags) {
    if (option != flag.name) continue;
    auto& flags = out.superblock_flags;
    std::string_view gone = flag.flag.empty() ? flag.cancels : flag.flag;
    flags.erase(std::remove(flags.begin(), flags.end(), gone), flags.end());
    if (!flag.flag.empty()) flags.emplace_back(flag.flag);
    return true;
  }
  return false;
}

bool ApplyFlagOption(std::string_view option, MountOptions& out) {
  if (option == "bind" || option == "rbind") {
    out.bind = true;
    if (option == "rbind") out.recursive_bind = true;
  } else if (option == "remount") {
    out.remount = true;
  } else if (option == "tmpcopyup") {
    out.tmpcopyup = true;
  } else if (option == "idmap" || option == "ridmap") {
    out.idmap = true;
    out.recursive_idmap = option == "ridmap";
  } else {
    return false;
  }
  return true;
}

}  // namespace

base::Result<MountOptions> ParseMountOptions(const Mount& mount, const std::string& path) {
  MountOptions out;
  out.bind = mount.type == "bind" || mount.type == "rbind";
  out.recursive_bind = mount.type == "rbind";
  std::vector<size_t> data_index;
  for (size_t i = 0; i < mount.options.size(); ++i) {
    const std::string& option = mount.options[i];
    bool no_effect =
        std::find(std::begin(kNoEffect), std::end(kNoEffect), option) != std::end(kNoEffect);
    if (no_effect || ApplyFlagOption(option, out) || ApplyPropagation(option, out) ||
        ApplySuperblockFlag(option, out) || ApplyAttribute(option, out))
      continue;
    data_index.push_back(i);
    out.data.push_back(option);
  }
  if (out.bind && !out.data.empty())
    return base::MakeError(base::Code::kInvalidArgument,
                           "{}.options[{}]: \"{}\" is not an option of a bind mount", path,
                           data_index[0], out.data[0].substr(0, 100));
  return out;
}

std::vector<std::string> KnownMountOptions() {
  std::vector<std::string> names;
  for (const Attribute& attribute : kAttributes) {
    names.emplace_back(attribute.name);
    names.push_back("r" + std::string(attribute.name));
  }
  for (const Propagation& propagation : kPropagations) names.emplace_back(propagation.name);
  for (const SuperblockFlag& flag : kSuperblockFlags) names.emplace_back(flag.name);
  for (std::string_view name : kNoEffect) names.emplace_back(name);
  for (std::string_view name : kFlagOptions) names.emplace_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace holt::oci
