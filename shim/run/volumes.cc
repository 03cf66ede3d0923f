#include "shim/run/volumes.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <vector>

#include "base/file.h"
#include "shim/run/values.h"

namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;

base::Result<std::string> HostPath(const std::string& path, const std::string& working_directory) {
  if (path.empty()) return MakeError(Code::kInvalidArgument, "the host's path is missing");
  if (path[0] == '/') return path;
  if (path == "." || path == ".." || path.starts_with("./") || path.starts_with("../"))
    return std::filesystem::path(working_directory + "/" + path).lexically_normal().string();
  return MakeError(
      Code::kInvalidArgument,
      "\"{}\" is not a path: named volumes are not supported; write an absolute path of "
      "the host, or one that begins with ./",
      path);
}

base::Result<std::string> ContainerPath(const std::string& path) {
  if (path.empty())
    return MakeError(Code::kInvalidArgument, "the path in the container is missing");
  if (path[0] != '/')
    return MakeError(Code::kInvalidArgument, "\"{}\": the path in the container must be absolute",
                     path);
  std::string normal = std::filesystem::path(path).lexically_normal().string();
  while (normal.size() > 1 && normal.back() == '/') normal.pop_back();
  if (normal == "/")
    return MakeError(Code::kInvalidArgument,
                     "\"/\" cannot be mounted over: it is the container's root");
  return normal;
}

// Options of -v that make no difference here, or that holt cannot keep.
base::Status AddBindOption(const std::string& option, std::vector<std::string>& options) {
  constexpr std::string_view kMountOptions[] = {"ro",     "rro", "exec",  "noexec", "suid",
                                                "nosuid", "dev", "nodev", "noatime"};
  if (option == "rw" || option == "z" || option == "Z" || option.empty()) return {};
  if (option == "rbind" || option == "rprivate" || option == "private") return {};
  if (std::find(std::begin(kMountOptions), std::end(kMountOptions), option) !=
      std::end(kMountOptions)) {
    options.push_back(option);
    return {};
  }
  return MakeError(Code::kInvalidArgument, "\"{}\": no option of a volume that holt knows", option);
}

oci::Mount Bind(std::string source, std::string destination, std::vector<std::string> options) {
  oci::Mount mount;
  mount.type = "bind";
  mount.source = std::move(source);
  mount.destination = std::move(destination);
  mount.options = {"rbind", "rprivate"};
  mount.options.insert(mount.options.end(), options.begin(), options.end());
  return mount;
}

base::Result<std::string> TmpfsOption(const std::string& name, const std::string& value) {
  if (name == "size") {
    TRY_ASSIGN(uint64_t bytes, ParseBytes(value));
    return fmt::format("size={}", bytes);
  }
  unsigned mode = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), mode, 8);
  if (error != std::errc() || end != value.data() + value.size() || mode > 07777)
    return MakeError(Code::kInvalidArgument, "\"{}\": not a mode, like 1777", value);
  return fmt::format("mode={:o}", mode);
}

}  // namespace

base::Result<Volume> ParseVolume(std::string_view text, const std::string& working_directory) {
  std::vector<std::string> parts = Split(text, ':');
  auto describe = [&] { return fmt::format("\"{}\"", text); };
  if (parts.size() == 1)
    return MakeError(Code::kInvalidArgument,
                     "\"{}\": write HOST:CONTAINER[:ro]; anonymous volumes are not supported",
                     text);
  if (parts.size() > 3)
    return MakeError(Code::kInvalidArgument, "\"{}\": more than two colons; use --mount", text);
  Volume volume;
  TRY_ASSIGN_CONTEXT(std::string source, HostPath(parts[0], working_directory), describe());
  TRY_ASSIGN_CONTEXT(std::string destination, ContainerPath(parts[1]), describe());
  std::vector<std::string> options;
  if (parts.size() == 3)
    for (const std::string& option : Split(parts[2], ',')) {
      if (option == "socket")
        volume.socket = true;
      else
        TRY_CONTEXT(AddBindOption(option, options), describe());
    }
  volume.mount = Bind(std::move(source), std::move(destination), std::move(options));
  volume.create_source = !volume.socket;
  return volume;
}

base::Result<Volume> ParseMountFlag(std::string_view text, const std::string& working_directory) {
  std::string type = "bind", source, target;
  std::vector<std::string> options, tmpfs = {"nosuid", "nodev", "noexec"};
  bool tmpfs_only = false;
  bool socket = false;
  for (const std::string& field : Split(text, ',')) {
    auto [key, value] = SplitKeyValue(field);
    if (key == "type") {
      type = value;
    } else if (key == "source" || key == "src") {
      source = value;
    } else if (key == "target" || key == "destination" || key == "dst") {
      target = value;
    } else if (key == "readonly" || key == "ro") {
      if (value.empty() || value == "true" || value == "1") options.push_back("ro");
    } else if (key == "socket") {
      socket = value.empty() || value == "true" || value == "1";
    } else if (key == "tmpfs-size" || key == "tmpfs-mode") {
      TRY_ASSIGN_CONTEXT(std::string option, TmpfsOption(key.substr(6), value), key);
      tmpfs.push_back(std::move(option));
      tmpfs_only = true;
    } else {
      return MakeError(Code::kInvalidArgument, "\"{}\": no field of a mount that holt knows", key);
    }
  }
  if (type != "bind" && type != "tmpfs")
    return MakeError(Code::kInvalidArgument, "type={}: not supported; use bind or tmpfs", type);
  Volume volume;
  TRY_ASSIGN(std::string destination, ContainerPath(target));
  if (type == "bind") {
    if (tmpfs_only)
      return MakeError(Code::kInvalidArgument, "tmpfs-size and tmpfs-mode are for type=tmpfs");
    TRY_ASSIGN(source, HostPath(source, working_directory));
    volume.mount = Bind(std::move(source), std::move(destination), std::move(options));
    volume.socket = socket;
    return volume;
  }
  if (socket) return MakeError(Code::kInvalidArgument, "socket is for type=bind");
  if (!source.empty()) return MakeError(Code::kInvalidArgument, "type=tmpfs has no source");
  tmpfs.insert(tmpfs.end(), options.begin(), options.end());
  volume.mount = {.destination = std::move(destination),
                  .type = "tmpfs",
                  .source = "tmpfs",
                  .options = std::move(tmpfs)};
  return volume;
}

base::Result<oci::Mount> ParseTmpfs(std::string_view text) {
  size_t colon = text.find(':');
  TRY_ASSIGN(std::string destination, ContainerPath(std::string(text.substr(0, colon))));
  oci::Mount mount{.destination = std::move(destination),
                   .type = "tmpfs",
                   .source = "tmpfs",
                   .options = {"nosuid", "nodev", "noexec"}};
  if (colon == std::string_view::npos) return mount;
  constexpr std::string_view kFlags[] = {"ro",     "rw",  "exec",  "noexec",  "suid",
                                         "nosuid", "dev", "nodev", "noatime", "strictatime"};
  for (const std::string& field : Split(text.substr(colon + 1), ',')) {
    auto [key, value] = SplitKeyValue(field);
    if (key == "size" || key == "mode") {
      TRY_ASSIGN_CONTEXT(std::string option, TmpfsOption(key, value), key);
      mount.options.push_back(std::move(option));
    } else if (key == "uid" || key == "gid" || key == "nr_inodes") {
      TRY_ASSIGN_CONTEXT(int64_t number, ParseInteger(value, 0, UINT32_MAX - 1), key);
      mount.options.push_back(fmt::format("{}={}", key, number));
    } else if (std::find(std::begin(kFlags), std::end(kFlags), field) != std::end(kFlags)) {
      mount.options.push_back(field);
    } else {
      return MakeError(Code::kInvalidArgument, "\"{}\": no option of a tmpfs that holt knows",
                       field);
    }
  }
  return mount;
}

base::Status PrepareSource(const Volume& volume) {
  if (volume.mount.type != "bind") return {};
  struct stat st {};
  if (stat(volume.mount.source.c_str(), &st) == 0) {
    if (volume.socket && S_ISSOCK(st.st_mode)) return {};
    if (volume.socket)
      return MakeError(Code::kInvalidArgument, "{}: is not a socket", volume.mount.source);
    if (S_ISSOCK(st.st_mode))
      return MakeError(Code::kUnsupported,
                       "{}: is a socket; to let the container connect to it, and so to the host's "
                       "service, add the option \"socket\"",
                       volume.mount.source);
    if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode)) return {};
    return MakeError(
        Code::kUnsupported,
        "{}: is neither a file nor a directory; devices and FIFOs of the host mean nothing in a "
        "virtual machine",
        volume.mount.source);
  }
  if (errno == ENOENT && volume.create_source) return base::MakeDirs(volume.mount.source);
  return HOLT_ERRNO("{}", volume.mount.source);
}

}  // namespace holt::shim
