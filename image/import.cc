#include "image/import.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "image/import_source.h"
#include "image/layer_builder.h"
#include "image/platform.h"
#include "image/reference.h"
#include "image/store_json.h"

namespace holt::image {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

// A file of the archive, counted for the progress bar.
class FileLayer : public LayerSource {
 public:
  FileLayer(UniqueFd fd, std::string label, Progress* progress, Cancelled cancelled)
      : fd_(std::move(fd)),
        source_(fd_.get()),
        label_(std::move(label)),
        progress_(progress),
        cancelled_(std::move(cancelled)) {}
  Result<size_t> Read(std::span<std::byte> buffer) override {
    if (cancelled_ && cancelled_()) return MakeError(Code::kCancelled, "cancelled");
    auto n = source_.Read(buffer);
    if (!n) return n;
    done_ += *n;
    if (progress_) progress_->Advance(label_, done_);
    return n;
  }

 private:
  UniqueFd fd_;
  layer::FileSource source_;
  std::string label_;
  Progress* progress_;
  Cancelled cancelled_;
  uint64_t done_ = 0;
};

std::string Now() {
  time_t now = time(nullptr);
  tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

Result<oci::ImageConfig> RootfsConfig(const ImportOptions& options, const Digest& diff_id) {
  TRY_ASSIGN(oci::Platform platform, ParsePlatform(options.platform));
  oci::ImageConfig config;
  config.created = Now();
  config.architecture = platform.architecture;
  config.variant = platform.variant;
  config.os = platform.os;
  config.config.env = options.env;
  if (config.config.env.empty())
    config.config.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  config.config.entrypoint = options.entrypoint;
  config.config.cmd = options.cmd;
  if (config.config.cmd.empty() && config.config.entrypoint.empty())
    config.config.cmd = {"/bin/sh"};
  config.config.working_dir = options.working_dir;
  config.config.user = options.user;
  for (const std::string& label : options.labels) {
    size_t equals = label.find('=');
    if (equals == std::string::npos || equals == 0)
      return MakeError(Code::kInvalidArgument, "label \"{}\": write NAME=VALUE", label);
    config.config.labels[label.substr(0, equals)] = label.substr(equals + 1);
  }
  config.rootfs.type = "layers";
  config.rootfs.diff_ids = {diff_id.text()};
  config.history.push_back({.created = config.created, .created_by = "holt import"});
  return config;
}

Result<StoredImage> ImportRootfs(Store& store, layer::ByteSource& source, const std::string& name,
                                 const ImportOptions& options) {
  TRY(RootfsConfig(options, Sha256("")));  // wrong options are found before the work
  layer::UnpackOptions unpack;
  unpack.driver = store.driver();
  unpack.limits = options.limits;
  if (options.progress) options.progress->Start("rootfs", 0);
  TRY_ASSIGN(LayerBuilder builder, LayerBuilder::Unpack(store, source, unpack));
  layer::UnpackResult result = builder.result();
  if (result.entries == 0)
    return MakeError(Code::kInvalidArgument, "it is empty, or not a tar archive");
  TRY_ASSIGN(Digest chain_id, builder.Commit({}));
  if (options.progress) options.progress->State("rootfs", "done", true);
  TRY_ASSIGN(oci::ImageConfig config, RootfsConfig(options, result.diff_id));
  ImagePlan plan;
  plan.name = name;
  plan.config = oci::WriteImageConfig(config);
  oci::ImageManifest manifest;
  manifest.schema_version = 2;
  manifest.media_type = oci::kOciManifest;
  manifest.config = {.media_type = oci::kOciConfig,
                     .digest = Sha256(plan.config).text(),
                     .size = static_cast<int64_t>(plan.config.size())};
  manifest.layers.push_back({.media_type = oci::kOciLayer,
                             .digest = result.blob.text(),
                             .size = static_cast<int64_t>(result.blob_size)});
  plan.manifest = oci::WriteManifest(manifest);
  TRY(PlanLayers(manifest, config, plan));
  plan.layers[0].open = [](const Cancelled&) -> Result<std::unique_ptr<LayerSource>> {
    return MakeError(Code::kInternal, "the layer left the store while it was locked");
  };
  AssembleOptions quiet;
  return Assemble(store, plan, quiet);
}

// Standard input as a file that can be read again.
Result<UniqueFd> Spool(Store& store) {
  UniqueFd fd(open((store.path() + "/tmp").c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd) return HOLT_ERRNO("standard input: make a temporary file");
  layer::FileSource input(STDIN_FILENO);
  std::vector<std::byte> buffer(256 << 10);
  while (true) {
    TRY_ASSIGN(size_t n, input.Read(buffer));
    if (n == 0) break;
    // SAFETY: bytes seen as characters, for the call.
    Status written = base::WriteFd(fd.get(), {reinterpret_cast<const char*>(buffer.data()), n});
    if (!written)
      return ExplainSpace(std::move(written).error(), store.path()).Wrap("standard input");
  }
  if (lseek(fd.get(), 0, SEEK_SET) != 0) return HOLT_ERRNO("standard input: rewind");
  return fd;
}

struct OpenInput {
  ImportFormat format;
  UniqueFd fd;  // but for a directory
};

Result<OpenInput> OpenPath(Store& store, const std::string& path, ImportFormat format) {
  OpenInput input{format, {}};
  if (path == "-") {
    if (format == ImportFormat::kOciDirectory)
      return MakeError(Code::kInvalidArgument, "a directory cannot come from standard input");
    if (format == ImportFormat::kRootfsTar) {
      input.fd.Reset(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
      if (!input.fd) return HOLT_ERRNO("standard input");
      return input;
    }
    TRY_ASSIGN(input.fd, Spool(store));
  } else {
    TRY_ASSIGN(input.fd, base::Open(path, O_RDONLY));
  }
  struct stat st {};
  if (fstat(input.fd.get(), &st) != 0) return HOLT_ERRNO("stat {}", path);
  bool directory = S_ISDIR(st.st_mode);
  if (format == ImportFormat::kAuto && directory) input.format = ImportFormat::kOciDirectory;
  if (directory != (input.format == ImportFormat::kOciDirectory))
    return MakeError(Code::kInvalidArgument, "it is {}a directory", directory ? "" : "not ");
  if (format != ImportFormat::kAuto || directory) return input;
  layer::FileSource source(input.fd.get());
  TRY_ASSIGN(ArchiveKind kind, DetectArchive(source));
  input.format = kind == ArchiveKind::kOci      ? ImportFormat::kOciArchive
                 : kind == ArchiveKind::kDocker ? ImportFormat::kDockerArchive
                                                : ImportFormat::kRootfsTar;
  if (lseek(input.fd.get(), 0, SEEK_SET) != 0)
    return HOLT_ERRNO("rewind (a pipe needs --format, or \"-\" for standard input)");
  return input;
}

Result<std::vector<StoredImage>> ImportArchive(Store& store, const std::string& path,
                                               OpenInput input, const std::string& name,
                                               const ImportOptions& options) {
  std::unique_ptr<ArchiveTree> tree;
  if (input.format == ImportFormat::kOciDirectory) {
    TRY_ASSIGN(tree, ArchiveTree::FromDirectory(path));
  } else {
    layer::FileSource source(input.fd.get());
    TRY_ASSIGN(tree, ArchiveTree::FromTar(store, source, options.limits));
  }
  bool docker = input.format == ImportFormat::kDockerArchive;
  TRY_ASSIGN(auto plans,
             docker ? PlanDockerArchive(*tree, options) : PlanOciLayout(*tree, options));
  std::vector<StoredImage> images;
  for (ImagePlan& plan : plans) {
    if (!name.empty()) plan.name = name;
    AssembleOptions assemble;
    assemble.limits = options.limits;
    assemble.progress = options.progress;
    TRY_ASSIGN(StoredImage image, Assemble(store, plan, assemble));
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace

void OpenFromTree(const ArchiveTree& tree, const std::string& name, Progress* progress,
                  LayerPlan& layer) {
  layer.open = [&tree, name, progress, label = layer.label](
                   const Cancelled& cancelled) -> Result<std::unique_ptr<LayerSource>> {
    TRY_ASSIGN(UniqueFd fd, tree.Open(name));
    return std::make_unique<FileLayer>(std::move(fd), label, progress, cancelled);
  };
}

std::string ArchiveName(std::string_view text) {
  auto reference = Reference::Parse(text);
  return reference ? reference->ToString() : "";
}

Result<std::vector<StoredImage>> ImportImage(Store& store, const std::string& path,
                                             const ImportOptions& options) {
  std::string name;
  if (!options.name.empty()) {
    TRY_ASSIGN(Reference reference, Reference::Parse(options.name));
    if (!reference.digest.empty())
      return MakeError(Code::kInvalidArgument, "\"{}\": the name of an import cannot have a digest",
                       options.name);
    name = reference.ToString();
  }
  store.RemoveStaleTemporaries();
  TRY_ASSIGN(FileLock lock, store.LockShared());
  auto import = [&]() -> Result<std::vector<StoredImage>> {
    TRY_ASSIGN(OpenInput input, OpenPath(store, path, options.format));
    if (input.format != ImportFormat::kRootfsTar)
      return ImportArchive(store, path, std::move(input), name, options);
    layer::FileSource source(input.fd.get());
    TRY_ASSIGN(StoredImage image, ImportRootfs(store, source, name, options));
    return std::vector<StoredImage>{std::move(image)};
  };
  auto images = import();
  if (!images)
    return std::move(images).error().Wrap("import " + (path == "-" ? "standard input" : path));
  return images;
}

}  // namespace holt::image
