#include "shim/network/config.h"

#include <net/if.h>
#include <sys/stat.h>

#include <memory>

#include "oci/unsupported.h"
#include "shim/network/namespace.h"
#include "shim/network/tap.h"

namespace holt::shim::network {
namespace {

using base::Code;
using base::MakeError;
using base::Status;

// By path an engine may name the host's own (Docker's --network host): joined to a machine, the
// host would lose its interfaces.
Status CheckIsNotTheHosts(int fd) {
  struct stat given {};
  struct stat own {};
  if (fstat(fd, &given) != 0 || stat("/proc/self/ns/net", &own) != 0)
    return HOLT_ERRNO("which network namespace this is");
  if (given.st_dev != own.st_dev || given.st_ino != own.st_ino) return {};
  return MakeError(Code::kUnsupported,
                   "not supported: it is the host's, which a virtual machine cannot share");
}

// Taps are there as long as a machine has them.
Status CheckIsNotAnothers(int fd) {
  return RunInNamespace(fd, []() -> Status {
    std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex*)> all(if_nameindex(),
                                                                             if_freenameindex);
    if (!all) return HOLT_ERRNO("list the interfaces");
    for (const struct if_nameindex* one = all.get(); one->if_index != 0; ++one)
      if (std::string_view(one->if_name).starts_with(kTapPrefix))
        return MakeError(Code::kUnsupported,
                         "not supported: another container's machine has it, as {} shows, and two "
                         "machines cannot share it",
                         one->if_name);
    return {};
  });
}

base::Result<base::UniqueFd> OpenGiven(const std::string& path) {
  TRY_ASSIGN(base::UniqueFd opened, OpenNamespace(path));
  TRY_CONTEXT(CheckIsNotTheHosts(opened.get()), path);
  TRY_CONTEXT(CheckIsNotAnothers(opened.get()), path);
  return opened;
}

}  // namespace

base::Result<base::UniqueFd> NamespaceOf(const oci::Config& config) {
  // Says so when there is none.
  TRY(oci::CheckHostSupport(config));
  const oci::Namespace* network = oci::FindNamespace(config, "network");
  HOLT_CHECK(network != nullptr);
  auto opened = network->path.empty() ? NewNamespace() : OpenGiven(network->path);
  if (!opened) return std::move(opened).error().Wrap("linux.namespaces: network");
  return opened;
}

}  // namespace holt::shim::network
