#include "vmm/cpu/tsc.h"

#include <x86intrin.h>

#include <ctime>

namespace holt::vmm {
namespace {

uint64_t NowNanos() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

uint64_t MeasureTscKhz() {
  constexpr uint64_t kWindowNanos = 10'000'000;
  const uint64_t begin = NowNanos();
  const uint64_t first = __rdtsc();
  uint64_t now = begin;
  while (now - begin < kWindowNanos) now = NowNanos();
  const uint64_t ticks = __rdtsc() - first;
  return ticks * 1'000'000 / (now - begin);
}

}  // namespace holt::vmm
