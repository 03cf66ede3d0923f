// holt check: what this host has, what is missing, and what that costs.
#include <sys/utsname.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "image/store.h"
#include "shim/cgroup/place.h"
#include "shim/cli/container.h"
#include "shim/cli/subcommands.h"
#include "shim/network/user_network.h"
#include "shim/run/accel.h"
#include "shim/run/launch.h"
#include "shim/run/qemu_version.h"
#include "shim/run/sizing.h"
#include "shim/state/uid_lease.h"

namespace holt::shim::cli {
namespace {

enum class Verdict { kGood, kPoor, kMissing };

struct Finding {
  std::string name;
  Verdict verdict = Verdict::kGood;
  std::string text;  // what was found
  std::string cost;  // what it costs, and the mend
};

std::string_view VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kGood:
      return "ok";
    case Verdict::kPoor:
      return "poor";
    case Verdict::kMissing:
      return "missing";
  }
  return "";
}

Finding Kvm(const HostProcessors& host) {
  if (host.kvm.usable()) return {"kvm", Verdict::kGood, host.kvm.text, ""};
  return {"kvm", Verdict::kPoor, host.kvm.text,
          "machines run on the software processor: starts take about a second more, and programs "
          "run some "
          "ten times slower"};
}

Finding Qemu(const HostProcessors& host) {
  if (!host.qemu.empty()) {
    auto version = QemuVersionOf(host.qemu, geteuid());
    if (!version) return {"qemu", Verdict::kPoor, version.error().message(), "it may not run"};
    const std::string text = fmt::format("{}, {}.{}", host.qemu, version->major, version->minor);
    if (*version >= kParallelQemu) return {"qemu", Verdict::kGood, text, ""};
    return {"qemu", host.kvm.usable() ? Verdict::kGood : Verdict::kPoor, text,
            fmt::format("several processors of a machine take turns; side by side from {}.{} on",
                        kParallelQemu.major, kParallelQemu.minor)};
  }
  bool needed = !host.kvm.usable();
  return {"qemu", needed ? Verdict::kMissing : Verdict::kPoor, "qemu-system-x86_64 is not in PATH",
          needed ? "no container can run; install the package qemu-system-x86"
                 : "only needed where KVM is not usable"};
}

Finding Passt() {
  auto found = network::FindPasst();
  if (found) return {"passt", Verdict::kGood, *found, ""};
  return {"passt", Verdict::kPoor, found.error().message(),
          "containers of holt run have no network"};
}

Finding FromStatus(const char* name, const base::Result<std::string>& found, const char* cost) {
  if (found) return {name, Verdict::kGood, *found, ""};
  return {name, Verdict::kMissing, found.error().message(), cost};
}

base::Result<std::string> UsableKernel(const Installation& installation) {
  TRY_ASSIGN(std::string kernel, installation.Kernel());
  TRY(CheckKernelFile(kernel));
  return kernel;
}

base::Result<std::string> Programs(const Installation& installation) {
  for (const char* name : {"holt-monitor", "holt-vmm", "holt-fsd", "holt-stub"}) {
    auto path = installation.Program(name);
    if (!path) return std::move(path).error();
  }
  return installation.libexec;
}

Finding Privileges() {
  if (geteuid() == 0) return {"privileges", Verdict::kGood, "root", ""};
  return {"privileges", Verdict::kMissing, fmt::format("user id {}", geteuid()),
          "mounts and user ids of sandboxes need root; run holt as root"};
}

Finding UserIds() {
  auto lease = UidLease::Take();
  if (lease)
    return {"user ids", Verdict::kGood,
            fmt::format("{} to {}, one for each sandbox", UidLease::kFirst,
                        UidLease::kFirst + UidLease::kCount - 1),
            ""};
  return {"user ids", Verdict::kMissing, lease.error().message(), "no machine can be started"};
}

Finding Overlay(const std::string& store_path) {
  // An existing store knows how it was made; a new one would find out.
  if (base::PathExists(store_path)) {
    auto store = image::Store::Open(store_path);
    if (!store)
      return {"image store", Verdict::kMissing, store.error().message(),
              "no image can be kept or run"};
    if ((*store)->driver() == image::Driver::kOverlay)
      return {"image store", Verdict::kGood, store_path + ": overlay", ""};
    return {"image store", Verdict::kPoor, store_path + ": overlayfs cannot use its file system",
            "each container's root is a copy of its image; put the store on ext4, XFS or btrfs "
            "(--store)"};
  }
  auto filesystems = base::ReadFile("/proc/filesystems", 1 << 16);
  bool has = filesystems && filesystems->find("\toverlay\n") != std::string::npos;
  std::string text = store_path + ": not made yet; ";
  if (has) return {"image store", Verdict::kGood, text + "the kernel has overlayfs", ""};
  return {"image store", Verdict::kPoor, text + "the kernel has no overlayfs loaded",
          "without it each container's root is a copy of its image"};
}

Finding Cgroup() {
  if (HostHasCgroup2()) return {"cgroup", Verdict::kGood, "version 2", ""};
  return {"cgroup", Verdict::kPoor, "version 1, or both, or none",
          "containers' limits are enforced in their machines only; those of the host's processors "
          "and disks are errors"};
}

Finding Memory() {
  auto total = HostMemory();
  auto text = base::ReadFile("/proc/meminfo", 1 << 16);
  uint64_t available = 0;
  if (text)
    if (size_t at = text->find("MemAvailable:"); at != std::string::npos)
      available = strtoull(text->c_str() + at + 13, nullptr, 10) >> 10;
  std::string found = fmt::format("{} MiB, {} MiB available", total.value_or(0) >> 20, available);
  if (available >= kDefaultMachineBytes >> 20) return {"memory", Verdict::kGood, found, ""};
  return {
      "memory", Verdict::kPoor, found,
      fmt::format("a machine has {} MiB by default; use run --memory", kDefaultMachineBytes >> 20)};
}

Finding Kernel() {
  utsname name{};
  uname(&name);
  return {"host", Verdict::kGood, fmt::format("{} {} {}", name.sysname, name.release, name.machine),
          ""};
}

std::vector<Finding> Look(const Global& global, std::string& accel) {
  std::vector<Finding> out;
  HostProcessors host = ProbeProcessors(global.root);
  auto choice = ChooseAccel("auto", host);
  accel = choice ? std::string(AccelName(choice->accel)) : "";
  out.push_back(Kernel());
  out.push_back(Privileges());
  out.push_back(Kvm(host));
  out.push_back(Qemu(host));
  if (auto installation = FindInstallation()) {
    constexpr char kCost[] = "no container can run";
    out.push_back(FromStatus("guest kernel", UsableKernel(*installation), kCost));
    out.push_back(FromStatus("guest initramfs", installation->Initramfs(), kCost));
    out.push_back(FromStatus("programs", Programs(*installation), kCost));
  }
  out.push_back(Overlay(global.store));
  out.push_back(UserIds());
  out.push_back(Cgroup());
  out.push_back(Passt());
  out.push_back(Memory());
  return out;
}

base::Status PrintJson(const std::vector<Finding>& findings, const std::string& accel, bool works) {
  using Json = nlohmann::ordered_json;
  Json out;
  out["version"] = HOLT_VERSION;
  out["works"] = works;
  out["accel"] = accel;
  for (const Finding& finding : findings) {
    Json item;
    item["name"] = finding.name;
    item["state"] = VerdictName(finding.verdict);
    item["found"] = finding.text;
    if (!finding.cost.empty()) item["cost"] = finding.cost;
    out["findings"].push_back(std::move(item));
  }
  return Print(out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

base::Status PrintText(const std::vector<Finding>& findings, const std::string& accel, bool works) {
  std::string out;
  for (const Finding& finding : findings) {
    out +=
        fmt::format("{:<8} {:<16} {}\n", VerdictName(finding.verdict), finding.name, finding.text);
    if (!finding.cost.empty()) out += fmt::format("{:<25} → {}\n", "", finding.cost);
  }
  out += works ? fmt::format("\nContainers can run, on the processor \"{}\".\n", accel)
               : "\nContainers cannot run: see what is missing.\n";
  return Print(out);
}

}  // namespace

Subcommand CheckCommand() {
  return {
      .name = "check",
      .group = Group::kHost,
      .summary = "Tell what this host has, what is missing, and what that costs.",
      .define = [](Flags& flags) -> Body {
        auto json = std::make_shared<bool>(false);
        auto none = std::make_shared<std::vector<std::string>>();
        flags.Bool("--json", *json, "as JSON");
        flags.Operands("", 0, 0, *none);
        return [json, none](const Global& global) -> base::Result<int> {
          std::string accel;
          std::vector<Finding> findings = Look(global, accel);
          bool works = !accel.empty();
          for (const Finding& finding : findings)
            works = works && finding.verdict != Verdict::kMissing;
          TRY(*json ? PrintJson(findings, accel, works) : PrintText(findings, accel, works));
          return works ? 0 : 1;
        };
      },
      .notes =
          "Exit status: 0 when containers can run, 1 when something that is missing forbids it.",
  };
}

}  // namespace holt::shim::cli
