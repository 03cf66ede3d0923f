#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "shim/state/process_identity.h"

// The two files that describe a sandbox: request.json, which the CLI writes before the monitor
// starts and nobody changes, and state.json, which the monitor replaces atomically at every step.
namespace holt::shim {

enum class Accel { kKvm, kSoftware };
std::string_view AccelName(Accel accel);

// What the monitor is to do.
struct Request {
  std::string id;
  std::string name;
  std::string bundle;   // OCI verbs: the bundle's directory
  std::string persist;  // conmon's directory of that name, where there is one
  std::string image;    // run: the image's name, for people
  std::string command;  // for `ps`
  // The root: of the image store (store and container id), or a directory of the bundle.
  std::string store;
  std::string rootfs;
  std::string accel;          // kvm, software
  uint64_t memory_bytes = 0;  // of the machine
  uint32_t vcpus = 1;
  // The host's cgroup, "/holt/<id>", below where cgroups are mounted; empty: none.
  std::string cgroup;
  bool scope = false;           // that cgroup is a scope that systemd is to make
  uint64_t overhead_bytes = 0;  // what a memory limit on the host has beside the machine's memory
  std::string kernel;
  std::string initramfs;
  std::string libexec;
  std::string qemu;         // software only
  bool stdin_open = false;  // stdin is a stream, not /dev/null
  bool auto_remove = false;
  // NOTIFY_SOCKET of the command's own environment (shim/state/notify_socket.h); empty: none.
  std::string notify_socket;
  // The caller stays: if it goes away before the start, so does the sandbox.
  bool foreground = false;
  // With a path of passt: the network of shim/network/user_network.h, with these ports.
  std::string passt;
  std::vector<std::string> publish;
  std::string network_namespace;  // its path where it was given
  bool write_hosts = false;       // make /etc/hosts and /etc/hostname
  bool timeline = false;
  bool debug = false;
  std::string stop_signal;
  uint64_t log_bytes = 8 << 20;   // of output that is kept
  int64_t start_deadline_ms = 0;  // until the agent is ready; 0: 120 s
  int64_t created_unix_nanos = 0;
};

// What is known about a sandbox. `status` is runc's word for it.
struct Record {
  std::string id;
  std::string name;
  std::string status = "creating";  // creating, created, running, paused, stopped
  int32_t pid = 0;                  // the stub's, or the monitor's where there is none
  int32_t monitor_pid = 0;
  std::string bundle;
  std::string rootfs;
  std::string image;
  std::string command;
  std::string store;
  std::string accel;
  std::string stop_signal;
  bool terminal = false;
  bool stdin_open = false;
  bool auto_remove = false;
  bool oom_killed = false;
  int32_t exit_status = 0;
  std::string error;  // why the machine or the start failed
  int64_t created_unix_nanos = 0;
  int64_t started_unix_nanos = 0;
  int64_t exited_unix_nanos = 0;
  uint64_t memory_bytes = 0;
  uint32_t vcpus = 0;
  std::string oci_version;
  std::string resources;  // linux.resources as they are now, JSON: `update` changes them
  std::map<std::string, std::string> annotations;
  // For who cleans up after a dead monitor: its processes, itself included, and their user id.
  std::vector<ProcessIdentity> processes;
  uint32_t uid = 0;
  std::string cgroup;  // the host's, as in the request; empty: none
};

base::Result<Request> ParseRequest(std::string_view json);
std::string SerializeRequest(const Request& request);
base::Result<Record> ParseRecord(std::string_view json);
std::string SerializeRecord(const Record& record);

// What a record says before its monitor has written one.
Record RecordOf(const Request& request);

// Replaces the file: readers see the old or the new text whole. Nothing of a sandbox outlives the
// host's boot, so nothing is forced to the disk.
base::Status WriteRecord(const std::string& path, const Record& record);

// "2024-05-06T07:08:09.123456789Z", and "" for 0.
std::string FormatTime(int64_t unix_nanos);
int64_t NowUnixNanos();

}  // namespace holt::shim
