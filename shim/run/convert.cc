#include "shim/run/convert.h"

#include <algorithm>

#include "oci/known_values.h"
#include "shim/run/capabilities.h"
#include "shim/run/defaults.h"
#include "shim/run/environment.h"
#include "shim/run/seccomp_profile.h"
#include "shim/run/values.h"

namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;

constexpr uint64_t kCpuPeriod = 100'000;

std::vector<std::string> Arguments(const oci::ImageRunConfig& image,
                                   const ContainerOptions& options) {
  std::vector<std::string> args;
  if (options.entrypoint) {
    if (!options.entrypoint->empty()) args.push_back(*options.entrypoint);
  } else {
    args = image.entrypoint;
  }
  // The image's Cmd is meant for the image's Entrypoint, not for another.
  const auto& tail = !options.args.empty() || options.entrypoint ? options.args : image.cmd;
  args.insert(args.end(), tail.begin(), tail.end());
  return args;
}

std::vector<std::string> Environment(const oci::ImageRunConfig& image,
                                     const ContainerOptions& options, const std::string& hostname) {
  std::vector<std::string> env = {std::string("PATH=") + kDefaultPath, "HOSTNAME=" + hostname};
  if (options.terminal) env.push_back("TERM=xterm");
  // An entry without "=" is somebody's mistake that Docker lets pass.
  for (const std::string& variable : image.env)
    if (variable.find('=') != std::string::npos && variable[0] != '=') SetVariable(env, variable);
  ApplyVariables(env, options.env);
  return env;
}

base::Result<std::string> WorkingDirectory(const oci::ImageRunConfig& image,
                                           const ContainerOptions& options) {
  const std::string& given = options.working_directory;
  if (!given.empty()) {
    if (given[0] == '/') return given;
    return MakeError(Code::kInvalidArgument, "--workdir \"{}\": must be an absolute path", given);
  }
  if (image.working_dir.empty()) return std::string("/");
  return image.working_dir[0] == '/' ? image.working_dir : "/" + image.working_dir;
}

// The annotations that the image specification's conversion names.
std::map<std::string, std::string> Annotations(const oci::ImageConfig& image,
                                               const ContainerOptions& options) {
  std::map<std::string, std::string> out;
  auto set = [&](const char* name, const std::string& value) {
    if (!value.empty()) out[std::string("org.opencontainers.image.") + name] = value;
  };
  set("os", image.os);
  set("architecture", image.architecture);
  set("variant", image.variant);
  set("os.version", image.os_version);
  set("author", image.author);
  set("created", image.created);
  set("stopSignal", options.stop_signal.empty() ? image.config.stop_signal : options.stop_signal);
  std::string ports;
  for (const auto& [port, unused] : image.config.exposed_ports)
    ports += (ports.empty() ? "" : ",") + port;
  set("exposedPorts", ports);
  // What holt reads itself, or systemd by it, is not the image's to say.
  for (const auto& [name, value] : image.config.labels)
    if (!name.starts_with("holt.") && !name.starts_with("org.systemd.property.")) out[name] = value;
  for (const auto& [name, value] : options.labels) out[name] = value;
  for (const auto& [name, value] : options.annotations) out[name] = value;
  return out;
}

oci::Resources MakeResources(const ContainerOptions& options) {
  oci::Resources resources;
  resources.devices = DefaultDeviceRules();
  for (const GivenDevice& device : options.devices) resources.devices.push_back(device.rule);
  if (options.memory_bytes) {
    resources.memory.emplace();
    resources.memory->limit = static_cast<int64_t>(*options.memory_bytes);
    resources.memory->swap = resources.memory->limit;
  }
  if (options.cpus_milli != 0) {
    resources.cpu.emplace();
    resources.cpu->period = kCpuPeriod;
    resources.cpu->quota = static_cast<int64_t>(options.cpus_milli * (kCpuPeriod / 1000));
  }
  if (options.pids_limit) resources.pids = oci::PidsResources{.limit = *options.pids_limit};
  return resources;
}

// The defaults that nobody mounts over, then the user's, parents before what is below them.
std::vector<oci::Mount> MakeMounts(const oci::ImageRunConfig& image,
                                   const ContainerOptions& options) {
  std::vector<oci::Mount> mounts =
      DefaultMounts(options.shm_bytes != 0 ? options.shm_bytes : kDefaultShmBytes);
  std::vector<oci::Mount> own = options.mounts;
  auto has = [](const std::vector<oci::Mount>& list, const std::string& destination) {
    return std::any_of(list.begin(), list.end(),
                       [&](const oci::Mount& mount) { return mount.destination == destination; });
  };
  // A volume of the image lies in the container's own writable layer; a root that is read-only has
  // none, so it is a file system in memory there.
  if (options.read_only)
    for (const auto& [path, unused] : image.volumes)
      if (!path.empty() && path[0] == '/' && path != "/" && !has(own, path))
        own.push_back({.destination = path,
                       .type = "tmpfs",
                       .source = "tmpfs",
                       .options = {"nosuid", "nodev", "mode=755"}});
  std::stable_sort(own.begin(), own.end(), [](const oci::Mount& a, const oci::Mount& b) {
    auto depth = [](const std::string& path) { return std::count(path.begin(), path.end(), '/'); };
    return depth(a.destination) < depth(b.destination);
  });
  std::erase_if(mounts, [&](const oci::Mount& mount) { return has(own, mount.destination); });
  mounts.insert(mounts.end(), own.begin(), own.end());
  return mounts;
}

base::Status CheckUnique(const std::vector<oci::Mount>& mounts) {
  for (size_t i = 0; i < mounts.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (mounts[i].destination == mounts[j].destination)
        return MakeError(Code::kInvalidArgument, "duplicate mount point: {}",
                         mounts[i].destination);
  return {};
}

}  // namespace

base::Result<oci::Config> ConvertToConfig(const oci::ImageConfig& image,
                                          const ContainerOptions& options) {
  oci::Config config;
  config.oci_version = oci::kSpecVersion;
  config.hostname = options.hostname.empty() ? options.id : options.hostname;
  config.root = oci::Root{.path = "rootfs", .readonly = options.read_only};
  oci::Process& process = config.process.emplace();
  process.args = Arguments(image.config, options);
  if (process.args.empty())
    return MakeError(
        Code::kInvalidArgument,
        "no command: the image has neither Entrypoint nor Cmd; give one behind the image's "
        "name");
  process.terminal = options.terminal;
  if (options.terminal) process.console_size = options.console_size;
  process.env = Environment(image.config, options, config.hostname);
  TRY_ASSIGN(process.cwd, WorkingDirectory(image.config, options));
  process.user.username = options.user.empty() ? image.config.user : options.user;
  TRY_ASSIGN(auto capabilities, ResolveCapabilities(options.cap_add, options.cap_drop));
  process.capabilities = CapabilitySets(capabilities);
  process.no_new_privileges = options.no_new_privileges;
  process.rlimits = options.rlimits;

  TRY(CheckUnique(options.mounts));
  config.mounts = MakeMounts(image.config, options);
  config.annotations = Annotations(image, options);
  oci::Linux& linux_spec = config.linux_.emplace();
  linux_spec.namespaces = DefaultNamespaces();
  linux_spec.resources = MakeResources(options);
  for (const GivenDevice& device : options.devices) linux_spec.devices.push_back(device.node);
  linux_spec.masked_paths = DefaultMaskedPaths();
  linux_spec.readonly_paths = DefaultReadonlyPaths();
  if (!options.seccomp_unconfined) linux_spec.seccomp = DefaultSeccomp(capabilities);
  TRY_CONTEXT(oci::Validate(config), "configuration of the container");
  return config;
}

std::string DescribeCommand(const std::vector<std::string>& args) {
  std::string out;
  for (const std::string& arg : args) {
    bool plain = !arg.empty() && arg.find_first_of(" \t\n\"'\\$&|;<>()*?`") == std::string::npos;
    if (!out.empty()) out += ' ';
    if (plain) {
      out += arg;
      continue;
    }
    out += '\'';
    for (char c : arg) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    out += '\'';
  }
  return out;
}

}  // namespace holt::shim
