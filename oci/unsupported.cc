#include "oci/unsupported.h"

#include "oci/mount_options.h"

namespace holt::oci {
namespace {

using base::Status;

base::Error Unsupported(std::string_view property, std::string_view why = "") {
  return base::Error(base::Code::kUnsupported,
                     fmt::format("{}: not supported{}{}", property, why.empty() ? "" : ": ", why));
}

Status CheckMounts(const std::vector<Mount>& mounts) {
  for (size_t i = 0; i < mounts.size(); ++i) {
    std::string item = fmt::format("mounts[{}]", i);
    TRY_ASSIGN(MountOptions options, ParseMountOptions(mounts[i], item));
    bool mapped = options.idmap || !mounts[i].uid_mappings.empty();
    if (mapped && !options.bind)
      return Unsupported(item + ".uidMappings", "only bind mounts can have ids mapped");
    if (options.tmpcopyup && mounts[i].type != "tmpfs")
      return Unsupported(item + ".options", "tmpcopyup of something else than a tmpfs");
  }
  return {};
}

Status CheckNamespaces(const std::vector<Namespace>& namespaces) {
  for (size_t i = 0; i < namespaces.size(); ++i) {
    const Namespace& entry = namespaces[i];
    std::string item = fmt::format("linux.namespaces[{}]", i);
    if (!entry.path.empty() && entry.type != "network")
      return Unsupported(item + ".path",
                         fmt::format("joining another container's namespace ({})", entry.type));
  }
  return {};
}

Status CheckSeccomp(const Seccomp& seccomp) {
  if (!seccomp.listener_path.empty()) return Unsupported("linux.seccomp.listenerPath");
  if (seccomp.default_action == "SCMP_ACT_NOTIFY")
    return Unsupported("linux.seccomp.defaultAction", "SCMP_ACT_NOTIFY");
  for (size_t i = 0; i < seccomp.flags.size(); ++i)
    // The kernel takes it with a listener only.
    if (seccomp.flags[i] == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")
      return Unsupported(fmt::format("linux.seccomp.flags[{}]", i), seccomp.flags[i]);
  for (size_t i = 0; i < seccomp.syscalls.size(); ++i)
    if (seccomp.syscalls[i].action == "SCMP_ACT_NOTIFY")
      return Unsupported(fmt::format("linux.seccomp.syscalls[{}].action", i), "SCMP_ACT_NOTIFY");
  return {};
}

}  // namespace

bool IsDefaultAppArmorProfile(std::string_view name) {
  // Podman's has its version behind it.
  return name == kNoAppArmorProfile || name == "docker-default" || name == "crio-default" ||
         name == "cri-containerd.apparmor.d" || name == "nerdctl-default" ||
         name.starts_with("containers-default-");
}

Status CheckGuestSupport(const Process& process) {
  const std::string& profile = process.apparmor_profile;
  if (!profile.empty() && !IsDefaultAppArmorProfile(profile))
    return Unsupported("process.apparmorProfile",
                       fmt::format("\"{}\": the guest's kernel has no AppArmor; engines' default "
                                   "profiles are taken, which confine the stub on the host",
                                   profile));
  if (!process.selinux_label.empty())
    return Unsupported("process.selinuxLabel", "the guest's kernel has no SELinux");
  return {};
}

Status CheckGuestSupport(const Resources& resources) {
  constexpr std::string_view kV1 = "cgroup v2 has no such limit";
  if (resources.memory) {
    const MemoryResources& memory = *resources.memory;
    if (memory.kernel.value_or(-1) > 0) return Unsupported("linux.resources.memory.kernel", kV1);
    if (memory.kernel_tcp.value_or(-1) > 0)
      return Unsupported("linux.resources.memory.kernelTCP", kV1);
    if (memory.swappiness) return Unsupported("linux.resources.memory.swappiness", kV1);
    if (memory.disable_oom_killer.value_or(false))
      return Unsupported("linux.resources.memory.disableOOMKiller", kV1);
  }
  if (resources.cpu) {
    if (resources.cpu->realtime_runtime.value_or(0) != 0)
      return Unsupported("linux.resources.cpu.realtimeRuntime", kV1);
    if (resources.cpu->realtime_period.value_or(0) != 0)
      return Unsupported("linux.resources.cpu.realtimePeriod", kV1);
  }
  if (resources.block_io) {
    if (resources.block_io->leaf_weight.value_or(0) != 0)
      return Unsupported("linux.resources.blockIO.leafWeight", kV1);
    for (size_t i = 0; i < resources.block_io->weight_device.size(); ++i)
      if (resources.block_io->weight_device[i].leaf_weight.value_or(0) != 0)
        return Unsupported(fmt::format("linux.resources.blockIO.weightDevice[{}].leafWeight", i),
                           kV1);
  }
  if (resources.network &&
      (resources.network->class_id.value_or(0) != 0 || !resources.network->priorities.empty()))
    return Unsupported("linux.resources.network", kV1);
  if (!resources.rdma.empty()) return Unsupported("linux.resources.rdma");
  return {};
}

Status CheckGuestSupport(const Config& config) {
  if (config.process) TRY(CheckGuestSupport(*config.process));
  TRY(CheckMounts(config.mounts));
  if (!config.linux_) return {};
  const Linux& linux_spec = *config.linux_;
  TRY(CheckNamespaces(linux_spec.namespaces));
  if (linux_spec.resources) TRY(CheckGuestSupport(*linux_spec.resources));
  if (linux_spec.seccomp) TRY(CheckSeccomp(*linux_spec.seccomp));
  if (!linux_spec.mount_label.empty())
    return Unsupported("linux.mountLabel", "the guest's kernel has no SELinux");
  if (linux_spec.memory_policy) return Unsupported("linux.memoryPolicy");
  return {};
}

namespace {

Status CheckVm(const Vm& vm) {
  if (vm.hypervisor) return Unsupported("vm.hypervisor", "the machine is holt's own");
  if (vm.image) return Unsupported("vm.image", "the container's root is root.path");
  if (vm.kernel) {
    if (!vm.kernel->initrd.empty())
      return Unsupported("vm.kernel.initrd", "holt's agent is in the machine's");
    if (!vm.kernel->parameters.empty()) return Unsupported("vm.kernel.parameters");
  }
  if (!vm.hw_config) return {};
  if (!vm.hw_config->device_tree.empty()) return Unsupported("vm.hwConfig.deviceTree");
  if (!vm.hw_config->dtdevs.empty()) return Unsupported("vm.hwConfig.dtdevs");
  if (!vm.hw_config->iomems.empty()) return Unsupported("vm.hwConfig.iomems");
  if (!vm.hw_config->irqs.empty()) return Unsupported("vm.hwConfig.irqs");
  return {};
}

}  // namespace

Status CheckHostSupport(const Config& config) {
  if (config.vm) TRY(CheckVm(*config.vm));
  if (!config.linux_) return {};
  const Linux& linux_spec = *config.linux_;
  const Namespace* network = FindNamespace(config, "network");
  if (!network)
    return Unsupported("linux.namespaces",
                       "no network namespace: a virtual machine cannot share the host's network");
  if (linux_spec.intel_rdt) return Unsupported("linux.intelRdt");
  return {};
}

Status CheckSupported(const Config& config) {
  TRY(CheckHostSupport(config));
  return CheckGuestSupport(config);
}

}  // namespace holt::oci
