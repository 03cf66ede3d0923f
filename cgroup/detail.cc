#include "cgroup/detail.h"

#include <dirent.h>
#include <fcntl.h>

#include <charconv>
#include <memory>

#include "base/file.h"
#include "cgroup/stats.h"

namespace holt::cgroup {
namespace {

constexpr size_t kMaxFile = 1 << 20;

std::string Read(int cgroup, const std::string& file) {
  auto fd = base::OpenAt(cgroup, file, O_RDONLY | O_NOFOLLOW);
  if (!fd) return "";
  return base::ReadFd(fd->get(), kMaxFile).value_or("");
}

template <typename T>
T Number(std::string_view text) {
  T value{};
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

uint64_t ReadNumber(int cgroup, const std::string& file) {
  std::string text = Read(cgroup, file);
  return text.starts_with("max") ? UINT64_MAX : Number<uint64_t>(text);
}

// Takes what is in front of the first `separator` off `text`.
std::string_view Cut(std::string_view& text, char separator) {
  size_t end = std::min(text.find(separator), text.size());
  std::string_view front = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return front;
}

std::string OneLine(std::string text) {
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// Which page sizes there are: "hugetlb.2MB.current" is one of a cgroup's files.
std::map<std::string, Hugetlb> ReadHugetlb(int cgroup) {
  std::map<std::string, Hugetlb> out;
  auto fd = base::OpenAt(cgroup, ".", O_RDONLY | O_DIRECTORY);
  if (!fd) return out;
  std::unique_ptr<DIR, int (*)(DIR*)> directory(fdopendir(fd->Release()), closedir);
  while (const dirent* entry = directory ? readdir(directory.get()) : nullptr) {
    constexpr std::string_view kPrefix = "hugetlb.";
    constexpr std::string_view kSuffix = ".current";
    std::string_view name = entry->d_name;
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    name.remove_prefix(kPrefix.size());
    name.remove_suffix(kSuffix.size());
    if (name.find('.') != std::string_view::npos) continue;  // hugetlb.2MB.rsvd.current
    std::string file = fmt::format("hugetlb.{}", name);
    out[std::string(name)] = {.usage = ReadNumber(cgroup, file + ".current"),
                              .failures = ParseFlatKeyed(Read(cgroup, file + ".events"))["max"]};
  }
  return out;
}

}  // namespace

std::vector<IoDevice> ParseIoStat(std::string_view text) {
  std::vector<IoDevice> devices;
  while (!text.empty()) {
    std::string_view line = Cut(text, '\n');
    std::string_view number = Cut(line, ' ');
    if (number.find(':') == std::string_view::npos || line.empty()) continue;
    IoDevice device;
    device.major = Number<uint32_t>(Cut(number, ':'));
    device.minor = Number<uint32_t>(number);
    while (!line.empty()) {
      std::string_view value = Cut(line, ' ');
      std::string_view key = Cut(value, '=');
      for (auto [name, target] : {std::pair("rbytes", &device.read_bytes),
                                  {"wbytes", &device.write_bytes},
                                  {"dbytes", &device.discard_bytes},
                                  {"rios", &device.read_ops},
                                  {"wios", &device.write_ops},
                                  {"dios", &device.discard_ops}})
        if (key == name) *target = Number<uint64_t>(value);
    }
    devices.push_back(device);
  }
  return devices;
}

PressureLines ParsePressure(std::string_view text) {
  PressureLines lines;
  while (!text.empty()) {
    std::string_view line = Cut(text, '\n');
    std::string_view kind = Cut(line, ' ');
    if (kind != "some" && kind != "full") continue;
    PressureLine& out = kind == "some" ? lines.some : lines.full;
    while (!line.empty()) {
      std::string_view value = Cut(line, ' ');
      std::string_view key = Cut(value, '=');
      if (key == "avg10") out.avg10 = Number<double>(value);
      if (key == "avg60") out.avg60 = Number<double>(value);
      if (key == "avg300") out.avg300 = Number<double>(value);
      if (key == "total") out.total_us = Number<uint64_t>(value);
    }
  }
  return lines;
}

CgroupDetail ReadDetail(int cgroup) {
  CgroupDetail detail;
  detail.swap_usage = ReadNumber(cgroup, "memory.swap.current");
  detail.swap_limit = ReadNumber(cgroup, "memory.swap.max");
  detail.swap_peak = ReadNumber(cgroup, "memory.swap.peak");
  detail.cpus = OneLine(Read(cgroup, "cpuset.cpus.effective"));
  detail.mems = OneLine(Read(cgroup, "cpuset.mems.effective"));
  detail.io = ParseIoStat(Read(cgroup, "io.stat"));
  detail.hugetlb = ReadHugetlb(cgroup);
  for (const char* resource : {"cpu", "memory", "io"}) {
    std::string text = Read(cgroup, fmt::format("{}.pressure", resource));
    if (!text.empty()) detail.pressure[resource] = ParsePressure(text);
  }
  return detail;
}

}  // namespace holt::cgroup
