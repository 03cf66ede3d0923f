#pragma once

#include <functional>
#include <vector>

#include "vmm/devices/blk.h"

namespace holt::vmm {

// A machine's places for disks that come while it runs, by number, whoever carries them.
class BlkSpares {
 public:
  // Runs its argument, which changes what the driver reads, and tells the driver of it.
  using ChangeConfig = std::function<void(const std::function<void()>& change)>;

  // `blk` is one of CreateSpare's and outlives this.
  void Add(Blk& blk, ChangeConfig change) { places_.push_back({&blk, std::move(change)}); }
  // As Blk::Plug; kNotFound: no such place. An id is another's: kAlreadyExists.
  base::Status Plug(size_t place, BlkDisk disk);
  // As Blk::Unplug.
  base::Status Unplug(size_t place, std::function<void()> done);

 private:
  struct Place {
    Blk* blk = nullptr;
    ChangeConfig change;
  };
  base::Result<Place*> Find(size_t place);

  std::vector<Place> places_;
};

}  // namespace holt::vmm
