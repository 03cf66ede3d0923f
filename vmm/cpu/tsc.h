#pragma once

#include <cstdint>

namespace holt::vmm {

// The rate of the host's time-stamp counter in kHz, measured against CLOCK_MONOTONIC_RAW for 10 ms.
// TCG gives its guest this counter, and no means to calibrate it by.
uint64_t MeasureTscKhz();

}  // namespace holt::vmm
