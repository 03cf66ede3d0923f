#include "base/file_limit.h"

#include <sys/resource.h>

#include <algorithm>

namespace holt::base {

Result<size_t> RaiseFileLimit(size_t wanted) {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return HOLT_ERRNO("RLIMIT_NOFILE");
  const rlim_t hard = files.rlim_max;
  rlimit raised{std::max<rlim_t>(files.rlim_cur, wanted), std::max<rlim_t>(hard, wanted)};
  if (setrlimit(RLIMIT_NOFILE, &raised) != 0) {
    // More than the hard limit is for the privileged, and bounded by fs.nr_open.
    raised = {std::max(files.rlim_cur, std::min<rlim_t>(hard, wanted)), hard};
    if (setrlimit(RLIMIT_NOFILE, &raised) != 0) return HOLT_ERRNO("RLIMIT_NOFILE {}", hard);
  }
  return static_cast<size_t>(raised.rlim_cur);
}

}  // namespace holt::base
