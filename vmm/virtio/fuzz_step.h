#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace holt::vmm {

// One step of a fuzzer that plays a guest; its input is a row of them.
struct __attribute__((packed)) FuzzStep {
  uint8_t action;
  uint8_t small;
  uint16_t offset;
  uint64_t value;
};

// Calls with each whole step of the input.
template <typename Work>
void ForEachStep(const uint8_t* data, size_t size, const Work& work) {
  for (size_t at = 0; at + sizeof(FuzzStep) <= size; at += sizeof(FuzzStep)) {
    FuzzStep step;
    std::memcpy(&step, data + at, sizeof step);
    work(step);
  }
}

}  // namespace holt::vmm
