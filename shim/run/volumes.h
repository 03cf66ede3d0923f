#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "oci/runtime_spec.h"

// What -v, --mount and --tmpfs mean, as mounts of config.json. Errors say what was given and what
// is taken; the caller puts the flag's name in front.
namespace holt::shim {

struct Volume {
  oci::Mount mount;
  // -v makes a directory of the host that does not exist, as Docker does; --mount does not.
  bool create_source = false;
  // The source is a socket, and who connects to it in the container reaches the host's.
  bool socket = false;
};

// "HOST:CONTAINER[:OPTIONS]": the host's path absolute or beginning with ".", OPTIONS of ro, rw,
// rro, socket and exec, noexec, nosuid, nodev and their like. Named volumes are not supported.
base::Result<Volume> ParseVolume(std::string_view text, const std::string& working_directory);

// "type=bind,source=…,target=…[,readonly]" or
// "type=tmpfs,target=…[,tmpfs-size=64m,tmpfs-mode=1777]".
base::Result<Volume> ParseMountFlag(std::string_view text, const std::string& working_directory);

// "PATH[:OPTIONS]": options of tmpfs(5), "size=64m,mode=1777,noexec".
base::Result<oci::Mount> ParseTmpfs(std::string_view text);

// Makes the source's directory where that is wanted, else checks that it exists.
base::Status PrepareSource(const Volume& volume);

}  // namespace holt::shim
