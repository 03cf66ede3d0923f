#include "shim/network/config.h"

#include "oci/unsupported.h"
#include "shim/network/namespace.h"

namespace holt::shim::network {

base::Result<base::UniqueFd> NamespaceOf(const oci::Config& config) {
  // Says so when there is none.
  TRY(oci::CheckHostSupport(config));
  const oci::Namespace* network = oci::FindNamespace(config, "network");
  HOLT_CHECK(network != nullptr);
  auto opened = network->path.empty() ? NewNamespace() : OpenNamespace(network->path);
  if (!opened) return std::move(opened).error().Wrap("linux.namespaces: network");
  return opened;
}

}  // namespace holt::shim::network
