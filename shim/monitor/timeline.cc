#include "shim/monitor/timeline.h"

#include <time.h>

#include <algorithm>
#include <map>

#include "oci/json_binding.h"

namespace holt::shim {

namespace {

struct JsonStep {
  std::string name;
  std::string process;
  int64_t begin_us = 0;
  int64_t end_us = 0;
};
struct JsonTimeline {
  std::vector<JsonStep> steps;
};

template <typename A>
void Describe(A& a, JsonStep& x) {
  a("name", x.name);
  a("process", x.process);
  a("begin_us", x.begin_us);
  a("end_us", x.end_us);
}
template <typename A>
void Describe(A& a, JsonTimeline& x) {
  a("steps", x.steps);
}

std::string XmlEscape(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

int64_t MonotonicNanos() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

void Timeline::Begin(std::string_view name) {
  steps_.push_back({std::string(name), process_, MonotonicNanos(), 0});
}

void Timeline::End(std::string_view name) {
  for (auto it = steps_.rbegin(); it != steps_.rend(); ++it) {
    if (it->name != name || it->end_nanos != 0) continue;
    it->end_nanos = MonotonicNanos();
    return;
  }
}

void Timeline::Add(std::string_view process, std::string_view name, int64_t begin_nanos,
                   int64_t end_nanos) {
  steps_.push_back({std::string(name), std::string(process), begin_nanos, end_nanos});
}

void Timeline::Merge(const std::vector<TimelineStep>& steps) {
  steps_.insert(steps_.end(), steps.begin(), steps.end());
}

std::vector<TimelineStep> Timeline::Steps() const {
  std::vector<TimelineStep> out = steps_;
  int64_t now = MonotonicNanos();
  for (TimelineStep& step : out)
    if (step.end_nanos == 0) step.end_nanos = now;
  std::stable_sort(out.begin(), out.end(), [](const TimelineStep& a, const TimelineStep& b) {
    return a.begin_nanos < b.begin_nanos;
  });
  return out;
}

std::string TimelineToJson(const std::vector<TimelineStep>& steps, int64_t origin_nanos) {
  JsonTimeline out;
  for (const TimelineStep& step : steps)
    out.steps.push_back({step.name, step.process, (step.begin_nanos - origin_nanos) / 1000,
                         (step.end_nanos - origin_nanos) / 1000});
  return oci::DumpJson(oci::JsonWriter::Write(out), -1);
}

base::Result<std::vector<TimelineStep>> TimelineFromJson(std::string_view json,
                                                         int64_t origin_nanos) {
  TRY_ASSIGN(oci::Json parsed, oci::ParseJsonText(json, "timeline", 1 << 20, 8));
  JsonTimeline in;
  oci::JsonReader reader;
  reader.ReadRoot(parsed, in);
  TRY(reader.status());
  std::vector<TimelineStep> out;
  for (const JsonStep& step : in.steps)
    out.push_back({step.name, step.process, step.begin_us * 1000 + origin_nanos,
                   step.end_us * 1000 + origin_nanos});
  return out;
}

std::string TimelineToSvg(const std::vector<TimelineStep>& steps, int64_t origin_nanos) {
  constexpr int kRow = 20;
  constexpr int kLabel = 260;
  constexpr int kWidth = 900;
  const char* const kColours[] = {"#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2"};
  int64_t last = origin_nanos + 1'000'000;
  std::map<std::string, std::string> colours;
  for (const TimelineStep& step : steps) {
    last = std::max(last, step.end_nanos);
    if (!colours.contains(step.process))
      colours[step.process] = kColours[colours.size() % std::size(kColours)];
  }
  double per_ms = kWidth / (static_cast<double>(last - origin_nanos) / 1e6);
  auto x = [&](int64_t nanos) {
    return kLabel + static_cast<double>(nanos - origin_nanos) / 1e6 * per_ms;
  };
  size_t height = (steps.size() + 2) * kRow + 20;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" "
      "font-family=\"sans-serif\" "
      "font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
      kLabel + kWidth + 90, height);
  // A line every 1, 2, 5, 10 … ms, at most 20 of them.
  double total_ms = static_cast<double>(last - origin_nanos) / 1e6;
  double unit = 1;
  for (int i = 0; total_ms / unit > 20; ++i) unit *= i % 3 == 1 ? 2.5 : 2;
  for (double at = 0; at <= total_ms; at += unit) {
    double px = kLabel + at * per_ms;
    svg += fmt::format(
        "<line x1=\"{0:.1f}\" y1=\"18\" x2=\"{0:.1f}\" y2=\"{1}\" stroke=\"#ddd\"/>"
        "<text x=\"{0:.1f}\" y=\"12\" text-anchor=\"middle\">{2:g} ms</text>\n",
        px, height - 10, at);
  }
  int row = 1;
  for (const TimelineStep& step : steps) {
    double left = x(step.begin_nanos);
    double width = std::max(1.0, x(step.end_nanos) - left);
    svg += fmt::format(
        "<text x=\"4\" y=\"{0}\">{1}: {2}</text><rect x=\"{3:.1f}\" y=\"{4}\" width=\"{5:.1f}\" "
        "height=\"14\" fill=\"{6}\"/><text x=\"{7:.1f}\" y=\"{0}\">{8:.1f}</text>\n",
        row * kRow + 12, XmlEscape(step.process), XmlEscape(step.name), left, row * kRow, width,
        colours[step.process], left + width + 4,
        static_cast<double>(step.end_nanos - step.begin_nanos) / 1e6);
    ++row;
  }
  return svg + "</svg>\n";
}

}  // namespace holt::shim
