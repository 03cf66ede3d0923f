#pragma once

#include <chrono>
#include <string>
#include <string_view>

// Can this host's /dev/kvm run a stock kernel? A device that is there does not mean so: on some
// hosts (KVM without VT-x or SVM) guest kernel code is interpreted at a few MIPS and stock kernels
// fail.
namespace holt::vmm {

enum class KvmState {
  kUsable,
  kNoDevice,      // there is no /dev/kvm
  kNoPermission,  // it is there, but this user may not open it
  kFails,    // it opens, but something that a machine needs does not work; `text` says which call
  kTooSlow,  // it works, by interpreting guest code
};

// "usable", "no-device", "no-permission", "fails", "too-slow": for JSON.
std::string_view KvmStateName(KvmState state);

struct KvmProbe {
  KvmState state = KvmState::kNoDevice;
  // One line for people: what was found and, where known, the mend.
  std::string text;
  // What the tiny guest took for its million turns; zero where it did not run.
  std::chrono::nanoseconds loop{0};
  bool from_cache = false;

  bool usable() const { return state == KvmState::kUsable; }
};

struct KvmProbeOptions {
  std::string device = "/dev/kvm";
  // The answer of an earlier probe since the host's boot is kept here (in holt's runtime directory,
  // which must exist); empty: it is not kept. Only the answers that cost time are: usable and too
  // slow. A file that is not a plain file of ours, or that is not about this boot and this device,
  // is as good as none. Failing to write it is no error.
  std::string cache_file;
  // After this the guest counts as one that never comes back (kFails).
  std::chrono::milliseconds deadline{5000};
};

// Runs a guest of a few bytes, a loop of a million turns, in a child process that is killed at the
// deadline: returns in bounded time even where KVM_RUN hangs. Hardware needs about a millisecond,
// an interpreter most of a second. Safe to call in a process with threads; leaves no child behind.
KvmProbe ProbeKvm(const KvmProbeOptions& options = {});

// A guest that takes longer is being interpreted.
inline constexpr std::chrono::milliseconds kSlowestUsableLoop{100};

}  // namespace holt::vmm
