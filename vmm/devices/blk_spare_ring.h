#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::vmm {

// A BlkRing that holt-vmm runs and the monitor keeps the file of: made in the monitor, inherited by
// holt-vmm. holt-vmm, which has no system call for it, can neither choose the file nor keep it.
class SpareRing {
 public:
  static base::Result<SpareRing> Create(unsigned entries);

  // For the other process: the descriptor, borrowed, and what BlkRing::Adopt wants.
  int fd() const { return fd_.get(); }
  const std::string& parameters() const { return parameters_; }

  // From here on operations are done in this file, which the ring keeps. There is none before.
  base::Status SetFile(int file) const;
  // From here on they fail. Returns when those in flight are done and the file is closed: who runs
  // the ring is asked first to have none.
  base::Status ClearFile() const;

 private:
  base::UniqueFd fd_;
  std::string parameters_;
};

}  // namespace holt::vmm
