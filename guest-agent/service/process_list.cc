#include "guest-agent/service/process_list.h"

#include <time.h>
#include <unistd.h>

#include <charconv>

#include "base/file.h"
#include "base/log.h"

namespace holt::guest_agent {
namespace {

constexpr size_t kMaxCommand = 4096;
constexpr size_t kMaxProcFile = 4 << 20;
constexpr int64_t kSecond = 1'000'000'000;

template <typename T>
T Number(std::string_view text) {
  T value{};
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// The line "name:\tvalue" without its name.
std::string_view Field(std::string_view status, std::string_view name) {
  while (!status.empty()) {
    size_t end = std::min(status.find('\n'), status.size());
    std::string_view line = status.substr(0, end);
    status.remove_prefix(std::min(end + 1, status.size()));
    if (!line.starts_with(name)) continue;
    line.remove_prefix(name.size());
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    return line;
  }
  return {};
}

// The fields of /proc/<pid>/stat after the name, which may hold anything: "state ppid …".
std::vector<std::string_view> StatFields(std::string_view stat) {
  std::vector<std::string_view> fields;
  size_t paren = stat.rfind(')');
  if (paren == std::string_view::npos) return fields;
  stat.remove_prefix(paren + 1);
  while (!stat.empty()) {
    size_t end = std::min(stat.find(' '), stat.size());
    if (end > 0) fields.push_back(stat.substr(0, end));
    stat.remove_prefix(std::min(end + 1, stat.size()));
  }
  return fields;
}

// Protobuf strings must be UTF-8; a command line is any bytes.
std::string Printable(std::string_view text) {
  std::string out;
  for (unsigned char c : base::log::Sanitize(text)) {
    if (c < 0x80) {
      out += static_cast<char>(c);
    } else {
      out += fmt::format("\\x{:02x}", c);
    }
  }
  return out;
}

std::string Command(std::string_view cmdline, std::string_view name) {
  cmdline = cmdline.substr(0, kMaxCommand);
  while (cmdline.ends_with('\0')) cmdline.remove_suffix(1);
  if (cmdline.empty()) return "[" + Printable(name) + "]";
  std::string joined(cmdline);
  for (char& c : joined)
    if (c == '\0') c = ' ';
  return Printable(joined);
}

int64_t BootUnixNanos() {
  timespec real{};
  timespec boot{};
  clock_gettime(CLOCK_REALTIME, &real);
  clock_gettime(CLOCK_BOOTTIME, &boot);
  return (real.tv_sec - boot.tv_sec) * kSecond + real.tv_nsec - boot.tv_nsec;
}

}  // namespace

ProcessInfo ParseProcess(int pid, std::string_view status, std::string_view stat,
                         std::string_view cmdline, int64_t boot_unix_nanos, int64_t ticks) {
  ProcessInfo info;
  info.pid = pid;
  info.parent_pid = Number<int32_t>(Field(status, "PPid:"));
  std::string_view uids = Field(status, "Uid:");
  size_t first = uids.find('\t');
  if (first != std::string_view::npos) info.uid = Number<uint32_t>(uids.substr(first + 1));
  std::string_view pids = Field(status, "NSpid:");
  size_t last = pids.find_last_of('\t');
  info.container_pid =
      Number<int32_t>(last == std::string_view::npos ? pids : pids.substr(last + 1));
  info.command = Command(cmdline, Field(status, "Name:"));
  std::vector<std::string_view> fields = StatFields(stat);
  if (fields.size() < 20 || ticks <= 0) return info;
  // proc(5): utime and stime are fields 14 and 15, starttime 22; the first here is 3.
  uint64_t cpu = Number<uint64_t>(fields[11]) + Number<uint64_t>(fields[12]);
  info.cpu_nanos = cpu * static_cast<uint64_t>(kSecond / ticks);
  info.started_unix_nanos = boot_unix_nanos + Number<int64_t>(fields[19]) * (kSecond / ticks);
  return info;
}

base::Result<ProcessInfo> ReadProcess(int pid) {
  std::string directory = fmt::format("/proc/{}", pid);
  TRY_ASSIGN(std::string status, base::ReadFile(directory + "/status", kMaxProcFile));
  TRY_ASSIGN(std::string stat, base::ReadFile(directory + "/stat", kMaxProcFile));
  // A zombie has none, and one larger than this is cut off anyway.
  auto cmdline = base::ReadFile(directory + "/cmdline", kMaxProcFile);
  return ParseProcess(pid, status, stat, cmdline ? *cmdline : "", BootUnixNanos(),
                      sysconf(_SC_CLK_TCK));
}

}  // namespace holt::guest_agent
