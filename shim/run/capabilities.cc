#include "shim/run/capabilities.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

namespace holt::shim {
namespace {

// In the order of their numbers (linux/capability.h).
constexpr std::string_view kAll[] = {"CHOWN",
                                     "DAC_OVERRIDE",
                                     "DAC_READ_SEARCH",
                                     "FOWNER",
                                     "FSETID",
                                     "KILL",
                                     "SETGID",
                                     "SETUID",
                                     "SETPCAP",
                                     "LINUX_IMMUTABLE",
                                     "NET_BIND_SERVICE",
                                     "NET_BROADCAST",
                                     "NET_ADMIN",
                                     "NET_RAW",
                                     "IPC_LOCK",
                                     "IPC_OWNER",
                                     "SYS_MODULE",
                                     "SYS_RAWIO",
                                     "SYS_CHROOT",
                                     "SYS_PTRACE",
                                     "SYS_PACCT",
                                     "SYS_ADMIN",
                                     "SYS_BOOT",
                                     "SYS_NICE",
                                     "SYS_RESOURCE",
                                     "SYS_TIME",
                                     "SYS_TTY_CONFIG",
                                     "MKNOD",
                                     "LEASE",
                                     "AUDIT_WRITE",
                                     "AUDIT_CONTROL",
                                     "SETFCAP",
                                     "MAC_OVERRIDE",
                                     "MAC_ADMIN",
                                     "SYSLOG",
                                     "WAKE_ALARM",
                                     "BLOCK_SUSPEND",
                                     "AUDIT_READ",
                                     "PERFMON",
                                     "BPF",
                                     "CHECKPOINT_RESTORE"};
constexpr std::string_view kDefault[] = {
    "CHOWN",   "DAC_OVERRIDE",     "FOWNER",  "FSETID",     "KILL",  "SETGID",      "SETUID",
    "SETPCAP", "NET_BIND_SERVICE", "NET_RAW", "SYS_CHROOT", "MKNOD", "AUDIT_WRITE", "SETFCAP"};

// The bare upper-case name; "ALL" for all of them.
base::Result<std::string> Normalize(const std::string& text) {
  std::string name;
  for (unsigned char c : text) name += static_cast<char>(toupper(c));
  if (name.starts_with("CAP_")) name.erase(0, 4);
  if (name == "ALL" || std::find(std::begin(kAll), std::end(kAll), name) != std::end(kAll))
    return name;
  return base::MakeError(base::Code::kInvalidArgument,
                         "\"{}\": no such capability; `man 7 capabilities` lists them", text);
}

}  // namespace

std::vector<std::string> DefaultCapabilities() {
  auto result = ResolveCapabilities({}, {});
  HOLT_CHECK(result.ok());
  return *std::move(result);
}

base::Result<std::vector<std::string>> ResolveCapabilities(const std::vector<std::string>& add,
                                                           const std::vector<std::string>& drop) {
  std::set<std::string, std::less<>> added, dropped;
  for (const std::string& text : add) {
    TRY_ASSIGN_CONTEXT(std::string name, Normalize(text), "--cap-add");
    added.insert(std::move(name));
  }
  for (const std::string& text : drop) {
    TRY_ASSIGN_CONTEXT(std::string name, Normalize(text), "--cap-drop");
    dropped.insert(std::move(name));
  }
  std::vector<std::string> out;
  for (std::string_view name : kAll) {
    bool by_default =
        std::find(std::begin(kDefault), std::end(kDefault), name) != std::end(kDefault);
    bool keep = added.contains("ALL")
                    ? !dropped.contains(name)
                    : by_default && !dropped.contains("ALL") && !dropped.contains(name);
    if (keep || added.contains(name)) out.push_back("CAP_" + std::string(name));
  }
  return out;
}

oci::Capabilities CapabilitySets(const std::vector<std::string>& names) {
  return {
      .bounding = names, .effective = names, .inheritable = {}, .permitted = names, .ambient = {}};
}

}  // namespace holt::shim
