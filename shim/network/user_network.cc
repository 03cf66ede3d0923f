#include "shim/network/user_network.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <charconv>

#include "base/file.h"

namespace holt::shim::network {
namespace {

using base::Code;
using base::MakeError;

constexpr char kGuestAddress[] = "10.0.2.15";
constexpr char kGateway[] = "10.0.2.2";
constexpr uint32_t kPrefixLength = 24;
// The largest that passt takes: nothing is cut up between it and the machine.
constexpr uint32_t kMtu = 65520;

std::string Bytes(const char* address) {
  in_addr value{};
  HOLT_CHECK(inet_pton(AF_INET, address, &value) == 1);
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

base::Result<uint16_t> ParsePort(std::string_view text) {
  uint16_t port = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0)
    return MakeError(Code::kInvalidArgument, "\"{}\" is not a port from 1 to 65535", text);
  return port;
}

// passt's words for it: "127.0.0.1/8080:80".
std::string Spec(const Published& published) {
  return (published.address.empty() ? "" : published.address + "/") +
         fmt::format("{}:{}", published.host, published.guest);
}

}  // namespace

base::Result<Published> ParsePublished(std::string_view text) {
  Published out;
  const size_t slash = text.rfind('/');
  if (slash != std::string_view::npos) {
    const std::string_view protocol = text.substr(slash + 1);
    if (protocol != "tcp")
      return MakeError(Code::kInvalidArgument, "\"{}\": only ports of tcp can be published",
                       protocol);
    text = text.substr(0, slash);
  }
  const size_t last = text.rfind(':');
  if (last == std::string_view::npos)
    return MakeError(Code::kInvalidArgument, "\"{}\" is not [ADDRESS:]HOST:CONTAINER[/tcp]", text);
  TRY_ASSIGN(out.guest, ParsePort(text.substr(last + 1)));
  text = text.substr(0, last);
  const size_t first = text.rfind(':');
  TRY_ASSIGN(out.host, ParsePort(first == std::string_view::npos ? text : text.substr(first + 1)));
  if (first == std::string_view::npos) return out;
  out.address = text.substr(0, first);
  in_addr ignored{};
  if (inet_pton(AF_INET, out.address.c_str(), &ignored) != 1)
    return MakeError(Code::kInvalidArgument, "\"{}\" is not an IPv4 address", out.address);
  return out;
}

base::Result<std::string> FindPasst() {
  for (const char* path : {"/usr/bin/passt", "/usr/local/bin/passt"})
    if (base::PathExists(path)) return path;
  return MakeError(Code::kNotFound,
                   "passt is not installed (Debian's package has that name); --network none needs "
                   "nothing");
}

std::vector<std::string> PasstArgv(const std::string& passt, int fd, uid_t uid,
                                   const std::vector<Published>& published) {
  std::vector<std::string> argv = {
      passt, "--foreground", "--quiet", "--stderr", "--fd", fmt::format("{}", fd), "--runas",
      fmt::format("{}:{}", uid, uid), "--ipv4-only", "--address", kGuestAddress, "--netmask",
      fmt::format("{}", kPrefixLength), "--gateway", kGateway, "--mtu", fmt::format("{}", kMtu),
      // Otherwise the gateway's address is the host's loopback.
      "--no-map-gw", "--dns-forward", kUserResolver,
      // The agent configures the guest.
      "--no-dhcp"};
  for (const Published& port : published) argv.insert(argv.end(), {"--tcp-ports", Spec(port)});
  return argv;
}

agent::v1::NetworkConfig UserNetworkConfig() {
  agent::v1::NetworkConfig config;
  agent::v1::NetworkInterface* interface = config.add_interfaces();
  interface->set_device_mac(kUserMac.data(), kUserMac.size());
  interface->set_mac(kUserMac.data(), kUserMac.size());
  interface->set_name("eth0");
  interface->set_mtu(kMtu);
  interface->set_up(true);
  agent::v1::NetworkAddress* address = interface->add_addresses();
  address->set_address(Bytes(kGuestAddress));
  address->set_broadcast(Bytes("10.0.2.255"));
  address->set_prefix_length(kPrefixLength);
  agent::v1::NetworkRoute* route = config.add_routes();
  route->set_family(AF_INET);
  route->set_gateway(Bytes(kGateway));
  route->set_interface("eth0");
  route->set_table(RT_TABLE_MAIN);
  route->set_protocol(RTPROT_BOOT);
  route->set_type(RTN_UNICAST);
  return config;
}

}  // namespace holt::shim::network
