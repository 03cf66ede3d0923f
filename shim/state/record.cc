#include "shim/state/record.h"

#include <time.h>
#include <unistd.h>

#include <cstdio>

#include "base/file.h"
#include "oci/json_binding.h"

namespace holt::shim {

template <typename A>
void Describe(A& a, Request& x) {
  a("id", x.id);
  a("name", x.name);
  a("bundle", x.bundle);
  a("persist", x.persist);
  a("image", x.image);
  a("command", x.command);
  a("store", x.store);
  a("rootfs", x.rootfs);
  a("accel", x.accel);
  a("memory_bytes", x.memory_bytes);
  a("vcpus", x.vcpus);
  a("cgroup", x.cgroup);
  a("scope", x.scope);
  a("overhead_bytes", x.overhead_bytes);
  a("kernel", x.kernel);
  a("initramfs", x.initramfs);
  a("libexec", x.libexec);
  a("qemu", x.qemu);
  a("stdin_open", x.stdin_open);
  a("auto_remove", x.auto_remove);
  a("notify_socket", x.notify_socket);
  a("foreground", x.foreground);
  a("passt", x.passt);
  a("publish", x.publish);
  a("network_namespace", x.network_namespace);
  a("write_hosts", x.write_hosts);
  a("timeline", x.timeline);
  a("debug", x.debug);
  a("stop_signal", x.stop_signal);
  a("log_bytes", x.log_bytes);
  a("start_deadline_ms", x.start_deadline_ms);
  a("created_unix_nanos", x.created_unix_nanos);
}

template <typename A>
void Describe(A& a, ProcessIdentity& x) {
  a("name", x.name);
  a("pid", x.pid);
  a("start_ticks", x.start_ticks);
}

template <typename A>
void Describe(A& a, Record& x) {
  a("id", x.id);
  a("name", x.name);
  a("status", x.status);
  a("pid", x.pid);
  a("monitor_pid", x.monitor_pid);
  a("bundle", x.bundle);
  a("rootfs", x.rootfs);
  a("image", x.image);
  a("command", x.command);
  a("store", x.store);
  a("accel", x.accel);
  a("stop_signal", x.stop_signal);
  a("terminal", x.terminal);
  a("stdin_open", x.stdin_open);
  a("auto_remove", x.auto_remove);
  a("oom_killed", x.oom_killed);
  a("exit_status", x.exit_status);
  a("error", x.error);
  a("created_unix_nanos", x.created_unix_nanos);
  a("started_unix_nanos", x.started_unix_nanos);
  a("exited_unix_nanos", x.exited_unix_nanos);
  a("memory_bytes", x.memory_bytes);
  a("vcpus", x.vcpus);
  a("oci_version", x.oci_version);
  a("resources", x.resources);
  a("annotations", x.annotations);
  a("processes", x.processes);
  a("uid", x.uid);
  a("cgroup", x.cgroup);
}

namespace {

constexpr size_t kMaxBytes = 8 << 20;
constexpr int kMaxDepth = 8;

template <typename T>
base::Result<T> ParseAs(std::string_view json, std::string_view what) {
  TRY_ASSIGN(oci::Json parsed, oci::ParseJsonText(json, what, kMaxBytes, kMaxDepth));
  T out;
  oci::JsonReader reader;
  reader.ReadRoot(parsed, out);
  if (auto status = reader.status(); !status) return std::move(status).error().Wrap(what);
  return out;
}

}  // namespace

std::string_view AccelName(Accel accel) { return accel == Accel::kKvm ? "kvm" : "software"; }

base::Result<Request> ParseRequest(std::string_view json) {
  return ParseAs<Request>(json, "request.json");
}
std::string SerializeRequest(const Request& request) {
  return oci::DumpJson(oci::JsonWriter::Write(request), 1);
}
base::Result<Record> ParseRecord(std::string_view json) {
  return ParseAs<Record>(json, "state.json");
}
std::string SerializeRecord(const Record& record) {
  return oci::DumpJson(oci::JsonWriter::Write(record), 1);
}

Record RecordOf(const Request& request) {
  Record record;
  record.id = request.id;
  record.name = request.name;
  record.bundle = request.bundle;
  record.rootfs = request.rootfs;
  record.image = request.image;
  record.command = request.command;
  record.store = request.store;
  record.accel = request.accel;
  record.stop_signal = request.stop_signal;
  record.stdin_open = request.stdin_open;
  record.auto_remove = request.auto_remove;
  record.created_unix_nanos = request.created_unix_nanos;
  record.memory_bytes = request.memory_bytes;
  record.vcpus = request.vcpus;
  return record;
}

base::Status WriteRecord(const std::string& path, const Record& record) {
  std::string aside = path + ".new";
  TRY(base::WriteFile(aside, SerializeRecord(record) + "\n", 0600));
  if (rename(aside.c_str(), path.c_str()) != 0) return HOLT_ERRNO("rename {}", aside);
  return {};
}

std::string FormatTime(int64_t unix_nanos) {
  if (unix_nanos == 0) return "";
  time_t seconds = unix_nanos / 1'000'000'000;
  tm parts{};
  gmtime_r(&seconds, &parts);
  char date[32];
  strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:09}Z", date, unix_nanos % 1'000'000'000);
}

int64_t NowUnixNanos() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace holt::shim
