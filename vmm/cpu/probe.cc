#include "vmm/cpu/probe.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <optional>

#include "base/file.h"
#include "base/log.h"
#include "vmm/cpu/probe_child.h"
#include "vmm/cpu/probe_guest.h"

namespace holt::vmm {
namespace {

using Step = ProbeResult::Step;

constexpr char kCacheFormat[] = "holt-kvm-probe-1";
constexpr size_t kMaxCacheBytes = 512;

KvmProbe FromLoop(std::chrono::nanoseconds loop) {
  const double milliseconds = static_cast<double>(loop.count()) / 1e6;
  KvmProbe probe;
  probe.loop = loop;
  if (loop > kSlowestUsableLoop) {
    probe.state = KvmState::kTooSlow;
    probe.text = fmt::format(
        "/dev/kvm interprets guest code (a million turns took {:.0f} ms): this host has no "
        "hardware virtualization "
        "for it",
        milliseconds);
  } else {
    probe.state = KvmState::kUsable;
    probe.text = fmt::format("/dev/kvm runs guests (a million turns took {:.2f} ms)", milliseconds);
  }
  return probe;
}

KvmProbe Fails(std::string why) {
  return {KvmState::kFails, "/dev/kvm does not work: " + std::move(why)};
}

KvmProbe FromGuest(const ProbeResult& result) {
  const char* name = ProbeStepName(result.step);
  switch (result.step) {
    case Step::kNone:
      return FromLoop(std::chrono::nanoseconds(result.loop_nanos));
    case Step::kCapability:
      return Fails(fmt::format("it lacks capability {} that a machine needs", result.error));
    case Step::kExitReason:
      return Fails(fmt::format("a tiny guest ended with exit reason {}",
                               static_cast<uint32_t>(result.error)));
    case Step::kApiVersion:
      if (result.error == 0) return Fails("its interface is not version 12");
      [[fallthrough]];
    default:
      break;
  }
  std::string mend;
  if (result.error == EBUSY) mend = " (another hypervisor holds the processor's virtualization)";
  return Fails(base::ErrnoError(result.error, name).message() + mend);
}

// What an answer is about: this boot of the host and this device node.
std::string CacheKey(int device) {
  auto boot = base::ReadFile("/proc/sys/kernel/random/boot_id", 64);
  struct stat status {};
  if (!boot || fstat(device, &status) != 0) return "";
  while (!boot->empty() && boot->back() == '\n') boot->pop_back();
  return fmt::format("{} {} {}:{}:{}", kCacheFormat, *boot, status.st_rdev, status.st_ino,
                     status.st_ctim.tv_sec);
}

std::optional<KvmProbe> ReadCache(const std::string& path, const std::string& key) {
  // O_NONBLOCK: a FIFO planted there must not stop us.
  auto fd = base::Open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  struct stat status {};
  if (!fd || fstat(fd->get(), &status) != 0) return std::nullopt;
  const bool ours = S_ISREG(status.st_mode) && (status.st_uid == 0 || status.st_uid == geteuid()) &&
                    (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
  if (!ours) return std::nullopt;
  auto text = base::ReadFd(fd->get(), kMaxCacheBytes);
  if (!text || !text->starts_with(key + " ") || !text->ends_with("\n")) return std::nullopt;
  const char* begin = text->data() + key.size() + 1;
  const char* end = text->data() + text->size() - 1;
  uint64_t nanos = 0;
  auto [rest, error] = std::from_chars(begin, end, nanos);
  if (error != std::errc() || rest != end || nanos == 0 || nanos > 60'000'000'000)
    return std::nullopt;
  KvmProbe probe = FromLoop(std::chrono::nanoseconds(nanos));
  probe.from_cache = true;
  return probe;
}

// Nameless until it is whole: a command killed here leaves nothing behind.
base::Status WriteCache(const std::string& path, const std::string& text) {
  TRY_ASSIGN(auto file, base::Open(std::filesystem::path(path).parent_path(),
                                   O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644));
  TRY(base::WriteFd(file.get(), text));
  if (fchmod(file.get(), 0644) != 0) return HOLT_ERRNO("chmod {}", path);
  (void)unlink(path.c_str());
  const std::string link = fmt::format("/proc/self/fd/{}", file.get());
  if (linkat(AT_FDCWD, link.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0) return {};
  // Another command was as fast, and found out the same.
  if (errno == EEXIST) return {};
  return HOLT_ERRNO("link {}", path);
}

KvmProbe RunGuest(int device, std::chrono::milliseconds deadline) {
  auto result = RunBounded(RunProbeGuest, device, deadline);
  if (!result) return Fails(result.error().message());
  return FromGuest(*result);
}

}  // namespace

std::string_view KvmStateName(KvmState state) {
  switch (state) {
    case KvmState::kUsable:
      return "usable";
    case KvmState::kNoDevice:
      return "no-device";
    case KvmState::kNoPermission:
      return "no-permission";
    case KvmState::kFails:
      return "fails";
    case KvmState::kTooSlow:
      return "too-slow";
  }
  return "unknown";
}

KvmProbe ProbeKvm(const KvmProbeOptions& options) {
  auto device = base::Open(options.device, O_RDWR | O_NONBLOCK);
  if (!device) {
    const int error = device.error().err();
    // ENODEV, ENXIO: the node is there and its module is not.
    if (error == ENOENT || error == ENODEV || error == ENXIO)
      return {KvmState::kNoDevice,
              "there is no " + options.device +
                  " (no hardware virtualization, or the module kvm_intel or kvm_amd is "
                  "not loaded)"};
    if (error == EACCES || error == EPERM)
      return {KvmState::kNoPermission, "this user may not open " + options.device +
                                           " (run as root, or add the user to the group kvm)"};
    return Fails(device.error().message());
  }
  const std::string key = options.cache_file.empty() ? "" : CacheKey(device->get());
  if (!key.empty())
    if (auto cached = ReadCache(options.cache_file, key)) return *cached;
  KvmProbe probe = RunGuest(device->get(), options.deadline);
  if (!key.empty() && probe.loop.count() > 0) {
    auto written = WriteCache(options.cache_file, fmt::format("{} {}\n", key, probe.loop.count()));
    if (!written)
      base::log::Debug("the answer of the KVM probe is not kept: {}", written.error().message());
  }
  return probe;
}

}  // namespace holt::vmm
