#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holt::shim {

int64_t MonotonicNanos();

// One step of a start: CLOCK_MONOTONIC nanoseconds, which all processes of the host share.
struct TimelineStep {
  std::string name;
  std::string process;
  int64_t begin_nanos = 0;
  int64_t end_nanos = 0;
};

class Timeline {
 public:
  explicit Timeline(std::string process) : process_(std::move(process)) {}

  void Begin(std::string_view name);
  // Ends the newest step of that name that is open; none is no error.
  void End(std::string_view name);
  void Add(std::string_view process, std::string_view name, int64_t begin_nanos, int64_t end_nanos);
  // Takes over steps of another process.
  void Merge(const std::vector<TimelineStep>& steps);
  // By begin. A step that was never ended ends now.
  std::vector<TimelineStep> Steps() const;

 private:
  std::string process_;
  std::vector<TimelineStep> steps_;
};

// A list of {"name","process","begin_us","end_us"}, microseconds since `origin_nanos`.
std::string TimelineToJson(const std::vector<TimelineStep>& steps, int64_t origin_nanos);
base::Result<std::vector<TimelineStep>> TimelineFromJson(std::string_view json,
                                                         int64_t origin_nanos);
// A picture: a bar per step, a colour per process, a millisecond scale.
std::string TimelineToSvg(const std::vector<TimelineStep>& steps, int64_t origin_nanos);

}  // namespace holt::shim
