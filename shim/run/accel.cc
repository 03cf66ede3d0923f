#include "shim/run/accel.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"

namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;

constexpr char kQemuName[] = "qemu-system-x86_64";

vmm::KvmProbe Probe(const std::string& root) {
  vmm::KvmProbeOptions options;
  // Without the directory the answer is just not kept.
  if (base::MakeDirs(root, 0711)) options.cache_file = root + "/.kvm";
  return vmm::ProbeKvm(options);
}

base::Result<AccelChoice> Software(const std::string& qemu) {
  if (!qemu.empty()) return AccelChoice{.accel = Accel::kSoftware, .qemu = qemu};
  return MakeError(Code::kNotFound,
                   "the software processor needs {}, which is not in PATH; install the package "
                   "qemu-system-x86, or name it in HOLT_QEMU",
                   kQemuName);
}

}  // namespace

std::string FindQemu() {
  if (const char* named = getenv("HOLT_QEMU"); named != nullptr && *named != '\0')
    return access(named, X_OK) == 0 ? named : "";
  const char* path = getenv("PATH");
  // Daemons start commands with a PATH of their own making.
  std::string_view rest = path != nullptr && *path != '\0' ? path : "/usr/local/bin:/usr/bin:/bin";
  while (true) {
    size_t end = std::min(rest.find(':'), rest.size());
    std::string candidate = std::string(rest.substr(0, end)) + "/" + kQemuName;
    if (candidate[0] == '/' && access(candidate.c_str(), X_OK) == 0) return candidate;
    if (end == rest.size()) return "";
    rest.remove_prefix(end + 1);
  }
}

HostProcessors ProbeProcessors(const std::string& root) {
  return {.kvm = Probe(root), .qemu = FindQemu()};
}

base::Result<AccelChoice> ChooseAccel(std::string_view wanted, const HostProcessors& host) {
  if (wanted == "software") return Software(host.qemu);
  if (host.kvm.usable()) return AccelChoice{};
  if (wanted == "kvm")
    return MakeError(Code::kUnavailable,
                     "--accel kvm: {}; --accel software works without KVM, slower", host.kvm.text);
  auto software = Software(host.qemu);
  if (!software)
    return MakeError(Code::kUnavailable, "no processor for the machine: {}; {}", host.kvm.text,
                     software.error().message());
  software->note = fmt::format("using the software processor, which is slower: {}", host.kvm.text);
  return software;
}

std::string DefaultAccel() {
  const char* wanted = getenv("HOLT_ACCEL");
  return wanted != nullptr && *wanted != '\0' ? wanted : "auto";
}

base::Result<AccelChoice> ChooseAccel(std::string_view wanted, const std::string& root) {
  if (wanted != "auto" && wanted != "kvm" && wanted != "software")
    return MakeError(Code::kInvalidArgument, "HOLT_ACCEL \"{}\": must be auto, kvm or software",
                     wanted);
  if (wanted == "software") return Software(FindQemu());
  return ChooseAccel(wanted, ProbeProcessors(root));
}

}  // namespace holt::shim
