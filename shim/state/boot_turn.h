#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holt::shim {

// One of the places for machines that boot on this host. A boot keeps a processor busy; when fifty
// start at once they all take as long as fifty one after the other, and run into their deadlines
// together. With as many at a time as make progress the first are ready early, and each deadline
// counts from its own turn. docs/adr/0130-machines-boot-in-turns.md.
class BootTurn {
 public:
  static constexpr char kDefaultFile[] = "/run/holt-boots.lock";

  // Two for each processor: one machine's guest boots while another's is being set up.
  static size_t Places();

  // A free place, or nothing. Given back when this is destroyed, whoever dies.
  static base::Result<std::optional<BootTurn>> Try(const std::string& file = kDefaultFile,
                                                   size_t places = Places());

 private:
  explicit BootTurn(base::UniqueFd lock) : lock_(std::move(lock)) {}
  base::UniqueFd lock_;
};

}  // namespace holt::shim
