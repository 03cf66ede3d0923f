#include "shim/cli/run_network.h"

#include "shim/cli/report.h"
#include "shim/network/user_network.h"

namespace holt::shim::cli {
base::Status ChooseNetwork(const ContainerFlags& flags, Request& request) {
  if (flags.network == "none") return {};
  auto passt = network::FindPasst();
  auto families = network::UsableFamilies();
  if (!passt || !families) {
    const base::Error& why = passt ? families.error() : passt.error();
    if (flags.network == "passt") return why.Wrap("--network passt");
    if (!flags.publish.empty()) return why.Wrap("--publish");
    ReportNote("no network: " + why.message() + " (--network none: not wanted)");
    return {};
  }
  std::vector<network::Published> published;
  for (const std::string& text : flags.publish) {
    TRY_ASSIGN(network::Published ports, network::ParsePublished(text));
    published.push_back(std::move(ports));
  }
  TRY(network::CheckPublished(published, families->ipv4, families->ipv6));
  request.passt = *passt;
  request.publish = flags.publish;
  return {};
}

}  // namespace holt::shim::cli
