#include "shim/monitor/sandbox.h"

// The container's network: taps before the machine starts, the rest when the container does.
namespace holt::shim {

using base::Code;
using namespace std::chrono_literals;

base::Status Sandbox::PrepareNetwork() {
  for (const std::string& text : options_.request.publish) {
    TRY_ASSIGN(network::Published published, network::ParsePublished(text));
    published_.push_back(std::move(published));
  }
  if (!options_.network) return {};
  size_t wanted = 0;
  auto annotation = options_.config.annotations.find(network::kDevicesAnnotation);
  if (annotation != options_.config.annotations.end()) {
    TRY_ASSIGN(wanted, network::ParseDevices(annotation->second));
  }
  timeline_.Begin("make network devices");
  TRY_ASSIGN(network_, network::Attachment::Create(std::move(options_.network), wanted));
  timeline_.End("make network devices");
  return {};
}

void Sandbox::AttachNetwork(Done done) {
  const bool user = !options_.request.passt.empty();
  if (!network_ && !user) return done({});
  timeline_.Begin("attach the network");
  // Whatever was not found or not allowed here, it was not the container's program.
  auto fail = [this, done](const base::Error& error) {
    timeline_.End("attach the network");
    const Code code = error.code();
    if (code != Code::kUnavailable && code != Code::kCancelled)
      return done(base::Error(Code::kFailedPrecondition, error.message()));
    done(error);
  };
  auto config = user ? network::UserNetworkConfig() : network_->Attach();
  if (!config)
    return fail(base::Error(Code::kFailedPrecondition, "network: " + config.error().message()));
  link_->client()->Call<agent::v1::Empty>(
      "holt.agent.v1.Agent", "ConfigureNetwork", *config, {.timeout = 30s},
      [this, fail, done](base::Result<agent::v1::Empty> result) {
        if (!result) return fail(result.error());
        ServeResolver([this, fail, done](const base::Status& served) {
          if (!served) return fail(served.error());
          timeline_.End("attach the network");
          done({});
        });
      });
}

void Sandbox::ServeResolver(Done done) {
  if (!network_ || resolver_ || !UsesDockersResolver(options_.config, paths_.Share()))
    return done({});
  if (auto started = StartResolver(); !started)
    return done(std::move(started).error().Wrap("resolver"));
  link_->client()->Call<agent::v1::Empty>("holt.agent.v1.Agent", "ServeResolver",
                                          agent::v1::Empty(), {.timeout = 30s},
                                          [done](base::Result<agent::v1::Empty> result) {
                                            if (!result) return done(result.error());
                                            done({});
                                          });
}

base::Status Sandbox::StartResolver() {
  TRY_ASSIGN(base::UniqueFd datagrams, link_->ListenForGuest(Resolver::kUdpPort));
  TRY_ASSIGN(base::UniqueFd connections, link_->ListenForGuest(Resolver::kTcpPort));
  TRY_ASSIGN(resolver_, Resolver::Start(loop_, std::move(datagrams), std::move(connections),
                                        network_->network_namespace()));
  return {};
}

}  // namespace holt::shim
