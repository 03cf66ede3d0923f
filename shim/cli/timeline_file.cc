#include "shim/cli/timeline_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

namespace holt::shim::cli {
namespace {

constexpr off_t kMaxBytes = 1 << 20;

base::Result<std::vector<TimelineStep>> ReadSteps(const base::UniqueFd& file) {
  struct stat st {};
  if (!file || fstat(file.get(), &st) != 0 || st.st_size == 0 || st.st_size > kMaxBytes)
    return base::Error(base::Code::kUnavailable, "the monitor has left none");
  std::string text(static_cast<size_t>(st.st_size), '\0');
  if (pread(file.get(), text.data(), text.size(), 0) != st.st_size) return HOLT_ERRNO("read");
  return TimelineFromJson(text, 0);
}

}  // namespace

base::Status WriteTimelineFile(const std::string& path, const Timeline& own,
                               const base::UniqueFd& monitor) {
  Timeline all("holt");
  all.Merge(own.Steps());
  TRY_ASSIGN_CONTEXT(auto steps, ReadSteps(monitor), "--timeline");
  all.Merge(steps);
  auto sorted = all.Steps();
  int64_t origin = sorted.empty() ? 0 : sorted.front().begin_nanos;
  bool only_picture = path.ends_with(".svg");
  if (!only_picture)
    TRY_CONTEXT(base::WriteFile(path, TimelineToJson(sorted, origin)), "--timeline");
  TRY_CONTEXT(base::WriteFile(only_picture ? path : path + ".svg", TimelineToSvg(sorted, origin)),
              "--timeline");
  return {};
}

}  // namespace holt::shim::cli
