// Both loaders: a file of any content is refused or ends up in the guest's memory, never elsewhere.
#include "vmm/boot/fake_kernel.h"
#include "vmm/boot/kernel.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holt::vmm;
  if (size > 1 << 20) return 0;
  // Small, so that touching all of it is quick and little of what a file may ask for fits.
  static const GuestLayout layout = LayoutFor(24 * kMiB);
  static const auto memory = AllocateGuestMemory(layout);
  auto file = FileWith(std::string_view(reinterpret_cast<const char*>(data), size));
  auto kernel = LoadKernel(file.get(), *memory->memory, layout);
  if (kernel) HOLT_CHECK(kernel->end <= layout.low_bytes && kernel->entry < kernel->end);
  return 0;
}
