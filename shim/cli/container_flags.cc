#include "shim/cli/container_flags.h"

#include <filesystem>

#include "shim/network/user_network.h"
#include "shim/run/devices.h"
#include "shim/run/environment.h"
#include "shim/run/values.h"
#include "shim/state/sockets.h"

namespace holt::shim::cli {
namespace {

using base::Code;
using base::MakeError;
using base::Status;

std::string WorkingDirectory() {
  std::error_code error;
  return std::filesystem::current_path(error).string();
}

Status SecurityOption(const std::string& text, ContainerOptions& options) {
  if (text == "no-new-privileges" || text == "no-new-privileges:true" ||
      text == "no-new-privileges=true") {
    options.no_new_privileges = true;
  } else if (text == "no-new-privileges:false" || text == "no-new-privileges=false") {
    options.no_new_privileges = false;
  } else if (text == "seccomp=unconfined" || text == "seccomp:unconfined") {
    options.seccomp_unconfined = true;
  } else {
    return MakeError(Code::kUnsupported,
                     "\"{}\": not supported; there are no-new-privileges and seccomp=unconfined",
                     text);
  }
  return {};
}

Status KeyValue(const std::string& text, std::map<std::string, std::string>& out) {
  auto [key, value] = SplitKeyValue(text);
  if (key.empty()) return MakeError(Code::kInvalidArgument, "\"{}\": write NAME=VALUE", text);
  out[key] = value;
  return {};
}

void DefineProcess(Flags& flags, ContainerFlags& out) {
  ContainerOptions& options = out.options;
  flags.List("-e, --env", out.env, "NAME=VALUE", "set a variable; NAME alone takes the caller's");
  flags.List("--env-file", out.env_files, "FILE", "variables from a file, one a line");
  flags.String("-w, --workdir", options.working_directory, "DIR",
               "working directory in the container");
  flags.String("-u, --user", options.user, "USER[:GROUP]",
               "names or numbers, looked up in the container");
  flags.Value("--entrypoint", "PROGRAM", "instead of the image's; \"\" is none",
              [&options](const std::string& value) -> Status {
                options.entrypoint = value;
                return {};
              });
  flags.String("--hostname", options.hostname, "NAME",
               "name of the host in the container (its id)");
  flags.Value("--stop-signal", "SIGNAL", "what `holt stop` sends first (the image's, or SIGTERM)",
              [&options](const std::string& value) -> Status {
                TRY_ASSIGN(int number, ParseSignal(value));
                options.stop_signal = SignalName(number);
                return {};
              });
  flags.Value("-l, --label", "NAME=VALUE", "an annotation of the container",
              [&options](const std::string& value) { return KeyValue(value, options.labels); });
  flags.Value(
      "--annotation", "NAME=VALUE", "an annotation of the container",
      [&options](const std::string& value) { return KeyValue(value, options.annotations); });
}

void DefineFiles(Flags& flags, ContainerFlags& out) {
  flags.Value("-v, --volume", "HOST:PATH[:ro,socket]",
              "a directory or file of the host in the container",
              [&out](const std::string& value) -> Status {
                TRY_ASSIGN(Volume volume, ParseVolume(value, WorkingDirectory()));
                out.volumes.push_back(std::move(volume));
                return {};
              });
  flags.Value("--mount", "FIELDS",
              "the same in long: type=bind,source=HOST,target=PATH,readonly; or type=tmpfs",
              [&out](const std::string& value) -> Status {
                TRY_ASSIGN(Volume volume, ParseMountFlag(value, WorkingDirectory()));
                out.volumes.push_back(std::move(volume));
                return {};
              });
  flags.Value("--tmpfs", "PATH[:OPTIONS]", "a file system in memory: size=64m,mode=1777",
              [&out](const std::string& value) -> Status {
                TRY_ASSIGN(oci::Mount mount, ParseTmpfs(value));
                out.volumes.push_back({.mount = std::move(mount)});
                return {};
              });
  flags.Bool("--read-only", out.options.read_only, "nothing writes to the root file system");
  flags.Value("--shm-size", "SIZE", "of /dev/shm (64m)",
              [&out](const std::string& value) -> Status {
                TRY_ASSIGN(out.options.shm_bytes, ParseBytes(value));
                return {};
              });
}

void DefineLimits(Flags& flags, ContainerFlags& out) {
  ContainerOptions& options = out.options;
  flags.Value("-m, --memory", "SIZE", "the container's limit, 256m; its machine gets somewhat more",
              [&options](const std::string& value) -> Status {
                TRY_ASSIGN(options.memory_bytes, ParseBytes(value));
                return {};
              });
  flags.Value("--cpus", "NUMBER",
              "how much processor time it gets, 1.5; rounded up, the machine's processors",
              [&options](const std::string& value) -> Status {
                TRY_ASSIGN(options.cpus_milli, ParseCpus(value));
                return {};
              });
  flags.Value("--pids-limit", "NUMBER", "processes and threads at most; -1 is no limit",
              [&options](const std::string& value) -> Status {
                TRY_ASSIGN(options.pids_limit, ParseInteger(value, -1, INT32_MAX));
                if (*options.pids_limit == 0) options.pids_limit = -1;
                return {};
              });
  flags.Value("--ulimit", "NAME=SOFT[:HARD]", "nofile=1024:2048",
              [&options](const std::string& value) -> Status {
                TRY_ASSIGN(oci::Rlimit rlimit, ParseUlimit(value));
                std::erase_if(options.rlimits,
                              [&](const oci::Rlimit& other) { return other.type == rlimit.type; });
                options.rlimits.push_back(std::move(rlimit));
                return {};
              });
}

void DefinePrivileges(Flags& flags, ContainerFlags& out) {
  ContainerOptions& options = out.options;
  flags.List("--cap-add", options.cap_add, "CAPABILITY", "more than Docker's default; ALL");
  flags.List("--cap-drop", options.cap_drop, "CAPABILITY", "less; ALL");
  flags.Value("--security-opt", "OPTION", "no-new-privileges, or seccomp=unconfined",
              [&options](const std::string& value) { return SecurityOption(value, options); });
  flags.Value("--network", "none|passt",
              "nothing but loopback (none), or the host's connections by passt (default)",
              [&out](const std::string& value) -> Status {
                if (value != "none" && value != "passt")
                  return MakeError(Code::kUnsupported,
                                   "\"{}\": not supported; there are none and passt", value);
                out.network = value;
                return {};
              });
  flags.Unsupported("--net", true, "write --network");
  flags.Unsupported(
      "--privileged", false,
      "the container has a machine of its own: --cap-add ALL gives all of its privileges");
  flags.Value("--device", "HOST[:PATH][:rwm]",
              "a block device of the host, at PATH in the container; r alone is read-only",
              [&options](const std::string& value) -> Status {
                TRY_ASSIGN(GivenDevice device, ParseDevice(value));
                options.devices.push_back(std::move(device));
                return {};
              });
  flags.Value("-p, --publish", "[ADDRESS:]HOST:CONTAINER[/udp]",
              "a port of the host's (or FIRST-LAST) that leads into the container",
              [&out](const std::string& value) -> Status {
                TRY(network::ParsePublished(value));
                out.publish.push_back(value);
                return {};
              });
  flags.Unsupported("--init", false, "the container's process is its process 1");
  flags.Unsupported("--gpus", true, "devices of the host are not passed to the machine yet");
  flags.Unsupported("--restart", true, "there is no daemon that could restart a container");
}

}  // namespace

void ContainerFlags::Define(Flags& flags) {
  DefineProcess(flags, *this);
  DefineFiles(flags, *this);
  DefineLimits(flags, *this);
  DefinePrivileges(flags, *this);
}

base::Status ContainerFlags::Finish() {
  if (network == "none" && !publish.empty())
    return MakeError(Code::kInvalidArgument, "--publish: needs a network, not --network none");
  options.env.clear();
  for (const std::string& file : env_files) {
    TRY_ASSIGN_CONTEXT(auto variables, ReadEnvFile(file), "--env-file");
    options.env.insert(options.env.end(), variables.begin(), variables.end());
  }
  for (const std::string& text : env) {
    TRY_ASSIGN_CONTEXT(std::string variable, ParseVariable(text), "--env");
    options.env.push_back(std::move(variable));
  }
  options.mounts.clear();
  for (const Volume& volume : volumes) {
    TRY_CONTEXT(PrepareSource(volume), "volume");
    options.mounts.push_back(volume.mount);
    if (!volume.socket) continue;
    std::string& sockets = options.annotations[kSocketsAnnotation];
    sockets += (sockets.empty() ? "" : ",") + volume.mount.destination;
  }
  return {};
}

}  // namespace holt::shim::cli
