#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/import.h"

// Bodies of `holt pull, images, inspect, rmi, import, gc`: options already parsed, results to
// `out`, progress and notes to `err`. An error that comes back is for the caller to print; its text
// is whole.
namespace holt::image::commands {

struct Io {
  std::FILE* out = stdout;
  std::FILE* err = stderr;
};

struct StoreOptions {
  std::string store = kDefaultStorePath;  // --store
};

// holt pull [--platform P] [--tls-verify=false] [--authfile F] [-q] IMAGE...
struct PullCommand {
  StoreOptions common;
  std::vector<std::string> images;
  std::string platform;
  bool tls_verify = true;
  std::string auth_file;
  bool quiet = false;  // -q: prints image ids only
};
base::Status RunPull(const PullCommand& command, const Io& io);

// holt images [--format table|json] [--digests] [-q] [--no-trunc] [NAME]
struct ImagesCommand {
  StoreOptions common;
  std::string format = "table";
  bool digests = false;
  bool quiet = false;
  bool no_trunc = false;
  std::string name;  // only images of this repository, or this name
};
base::Status RunImages(const ImagesCommand& command, const Io& io);

// holt inspect IMAGE... : a JSON list of objects with Docker's property names.
struct InspectCommand {
  StoreOptions common;
  std::vector<std::string> images;
};
base::Status RunInspect(const InspectCommand& command, const Io& io);

// holt rmi [-f] IMAGE...
struct RmiCommand {
  StoreOptions common;
  std::vector<std::string> images;
  bool force = false;  // also when a container uses it; its layers go when the container goes
};
base::Status RunRmi(const RmiCommand& command, const Io& io);

// holt import [--name N] [--select TAG] [--format F] [--env …] [--entrypoint …] [--cmd …]
// [--workdir …]
//             [--user …] [--label …] [-q] PATH|-
struct ImportCommand {
  StoreOptions common;
  std::string path;
  std::string format = "auto";  // auto, oci, oci-archive, docker-archive, rootfs
  ImportOptions options;        // `format` and `progress` are set from this command
  bool quiet = false;
};
base::Status RunImport(const ImportCommand& command, const Io& io);

// holt gc [--dry-run] [--all]
struct GcCommand {
  StoreOptions common;
  bool dry_run = false;
  bool all = false;  // also downloads that could still be resumed
  bool quiet = false;
};
base::Status RunGc(const GcCommand& command, const Io& io);

}  // namespace holt::image::commands
