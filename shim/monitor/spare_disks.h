#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "vmm/devices/blk_spare_ring.h"

namespace holt::shim {

// A machine's places for disks that come while it runs: which disk is where, and the rings, whose
// files are chosen here and read and written by holt-vmm (docs/adr/0150). Dropping this closes
// them.
class SpareDisks {
 public:
  // `count` places for a machine of `vcpus`.
  static base::Result<SpareDisks> Create(size_t count, uint32_t vcpus);

  size_t size() const { return places_.size(); }
  // For holt-vmm to inherit: borrowed.
  std::vector<int> RingsOf(size_t place) const;
  const std::string& ring_parameters(size_t place) const {
    return places_[place].rings.front().parameters();
  }

  // Takes a free place for the disk `id` and puts `fd`, borrowed, into its rings. kAlreadyExists:
  // it has one; kResourceExhausted: none is free, which the error explains.
  base::Result<size_t> Take(const std::string& id, int fd);
  std::optional<size_t> Find(const std::string& id) const;
  // The host's device is closed when this returns. Only when holt-vmm has nothing in flight.
  base::Status Free(size_t place);

 private:
  struct Place {
    std::vector<vmm::SpareRing> rings;  // one for each queue
    std::string id;                     // empty: free
  };
  std::vector<Place> places_;
};

}  // namespace holt::shim
