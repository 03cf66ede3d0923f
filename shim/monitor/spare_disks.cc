#include "shim/monitor/spare_disks.h"

#include "shim/monitor/block_devices.h"
#include "vmm/devices/blk_format.h"

namespace holt::shim {

using base::Code;
using base::MakeError;
using base::Result;

Result<SpareDisks> SpareDisks::Create(size_t count, uint32_t vcpus) {
  SpareDisks spares;
  for (size_t i = 0; i < count; ++i) {
    Place place;
    for (uint32_t queue = 0; queue < vmm::blk::QueuesFor(vcpus); ++queue) {
      TRY_ASSIGN(auto ring, vmm::SpareRing::Create(vmm::blk::kMaxQueueSize));
      place.rings.push_back(std::move(ring));
    }
    spares.places_.push_back(std::move(place));
  }
  return spares;
}

std::vector<int> SpareDisks::RingsOf(size_t place) const {
  std::vector<int> out;
  for (const vmm::SpareRing& ring : places_[place].rings) out.push_back(ring.fd());
  return out;
}

std::optional<size_t> SpareDisks::Find(const std::string& id) const {
  for (size_t i = 0; i < places_.size(); ++i)
    if (places_[i].id == id) return i;
  return std::nullopt;
}

Result<size_t> SpareDisks::Take(const std::string& id, int fd) {
  if (Find(id)) return MakeError(Code::kAlreadyExists, "the machine has a disk {}", id);
  const auto place = Find("");
  if (!place)
    return MakeError(Code::kResourceExhausted,
                     "the machine is running and has no place for another disk: {} were wanted for "
                     "it (annotation {})",
                     size(), kSpareDisksAnnotation);
  places_[*place].id = id;
  for (const vmm::SpareRing& ring : places_[*place].rings) {
    if (auto set = ring.SetFile(fd); !set) {
      (void)Free(*place);
      return set.error();
    }
  }
  return *place;
}

base::Status SpareDisks::Free(size_t place) {
  base::Status status;
  // With the machine they all went.
  if (place >= places_.size()) return status;
  for (const vmm::SpareRing& ring : places_[place].rings)
    if (auto cleared = ring.ClearFile(); !cleared) status = std::move(cleared);
  places_[place].id.clear();
  return status;
}

}  // namespace holt::shim
