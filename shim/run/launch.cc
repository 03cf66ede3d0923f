#include "shim/run/launch.h"

#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstring>

#include "base/file.h"
#include "image/rootfs.h"
#include "shim/monitor/cleanup.h"

namespace holt::shim {
namespace {

// Holds the signals back that would end this process between two steps that only make sense
// together.
class HeldSignals {
 public:
  HeldSignals() {
    sigset_t held;
    sigemptyset(&held);
    for (int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&held, number);
    pthread_sigmask(SIG_BLOCK, &held, &before_);
  }
  ~HeldSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

 private:
  sigset_t before_;
};

base::Result<SandboxPaths> PublishWithRoot(NewSandbox& sandbox, const Request& request,
                                           const std::optional<ImageRoot>& image) {
  TRY_ASSIGN(SandboxPaths paths, sandbox.Publish());
  if (!image) return paths;
  image::RootfsOptions options;
  options.container_id = request.id;
  options.image = image->image;
  options.state_dir = paths.directory;
  auto rootfs = image::PrepareRootfs(*image->store, options);
  if (!rootfs) return std::move(rootfs).error().Wrap("root file system");
  return paths;
}

}  // namespace

base::Status CheckKernelFile(const std::string& path) {
  TRY_ASSIGN_CONTEXT(base::UniqueFd file, base::Open(path, O_RDONLY), "guest kernel");
  unsigned char head[0x210] = {};
  ssize_t n = pread(file.get(), head, sizeof head, 0);
  if (n < 0) return HOLT_ERRNO("guest kernel: read {}", path);
  Elf64_Ehdr elf;
  static_assert(sizeof elf <= sizeof head);
  std::memcpy(&elf, head, sizeof elf);
  bool is_elf = std::memcmp(head, ELFMAG, SELFMAG) == 0 && head[EI_CLASS] == ELFCLASS64 &&
                elf.e_machine == EM_X86_64 && elf.e_type == ET_EXEC;
  // Documentation/arch/x86/boot.rst: "HdrS" at 0x202.
  bool is_bzimage =
      std::memcmp(head + 0x202, "HdrS", 4) == 0 && head[0x1fe] == 0x55 && head[0x1ff] == 0xaa;
  if (is_elf || is_bzimage) return {};
  return base::MakeError(
      base::Code::kInvalidArgument,
      "guest kernel: {} is not a kernel: neither an x86-64 vmlinux nor a bzImage", path);
}

base::Status FillInstallation(Request& request) {
  TRY_ASSIGN(Installation installation, FindInstallation());
  TRY_ASSIGN(request.kernel, installation.Kernel());
  TRY(CheckKernelFile(request.kernel));
  TRY_ASSIGN(request.initramfs, installation.Initramfs());
  for (const char* program : {"holt-monitor", "holt-vmm", "holt-fsd"}) {
    auto path = installation.Program(program);
    if (!path) return std::move(path).error();
  }
  request.libexec = installation.libexec;
  return {};
}

base::Result<Launched> LaunchSandbox(const Registry& registry, const Request& request,
                                     const oci::Config& config,
                                     const std::optional<ImageRoot>& image, int network,
                                     std::span<const int> descriptors) {
  Registry writable(registry.root());
  TRY_ASSIGN(NewSandbox sandbox, writable.Begin(request.id, request.name));
  TRY(base::WriteFile(sandbox.directory() + "/request.json", SerializeRequest(request), 0600));
  TRY(base::WriteFile(sandbox.directory() + "/config.json", oci::SerializeConfig(config), 0600));
  Launched launched;
  {
    HeldSignals held;
    auto paths = PublishWithRoot(sandbox, request, image);
    if (!paths) {
      bool published = base::PathExists(PathsOf(registry.root(), request.id).directory) &&
                       paths.error().code() != base::Code::kAlreadyExists;
      // Lets go of the lock: a sandbox without an owner can be cleaned up.
      { NewSandbox done = std::move(sandbox); }
      if (published) (void)Cleanup(registry.root(), request.id);
      return std::move(paths).error();
    }
    launched.paths = *paths;
  }
  TRY_ASSIGN(launched.monitor, StartMonitor(std::move(sandbox), request, network, descriptors));
  return launched;
}

}  // namespace holt::shim
