#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "shim/monitor/sandbox.h"

// The container's network: taps before the machine starts, the rest when the container does.
namespace holt::shim {

using base::Code;
using namespace std::chrono_literals;

namespace {
// Whoever changes the network all the time cannot fill the log.
constexpr size_t kMaxNetworkWarnings = 100;
constexpr size_t kMaxQueuePairs = 8;
constexpr size_t kMaxResolvConf = 64 << 10;
}  // namespace

base::Status Sandbox::PrepareNetwork() {
  for (const std::string& text : options_.request.publish) {
    TRY_ASSIGN(network::Published published, network::ParsePublished(text));
    published_.push_back(std::move(published));
  }
  if (!options_.request.passt.empty()) {
    TRY_ASSIGN(families_, network::UsableFamilies());
    resolv_conf_ = network::UserResolvConf(
        families_, base::ReadFile("/etc/resolv.conf", kMaxResolvConf).value_or(""));
  }
  if (!options_.network) return {};
  size_t wanted = 0;
  auto annotation = options_.config.annotations.find(network::kDevicesAnnotation);
  if (annotation != options_.config.annotations.end()) {
    TRY_ASSIGN(wanted, network::ParseDevices(annotation->second));
  }
  timeline_.Begin("make network devices");
  // A processor that sends does not wait for another one.
  const size_t queues = std::clamp<size_t>(options_.request.vcpus, 1, kMaxQueuePairs);
  TRY_ASSIGN(network_, network::Attachment::Create(std::move(options_.network), wanted, queues));
  timeline_.End("make network devices");
  return {};
}

void Sandbox::AttachNetwork(Done done) {
  const bool user = !options_.request.passt.empty();
  if (!network_ && !user) return done({});
  timeline_.Begin("attach the network");
  auto finish = [this, done](base::Status status) {
    timeline_.End("attach the network");
    // Whatever was not found or not allowed here, it was not the container's program.
    if (!status && status.error().code() != Code::kUnavailable &&
        status.error().code() != Code::kCancelled)
      return done(base::Error(Code::kFailedPrecondition, status.error().message()));
    done(std::move(status));
  };
  auto config = user ? network::UserNetworkConfig(families_) : AttachNamespace();
  if (!config)
    return finish(base::Error(Code::kFailedPrecondition, "network: " + config.error().message()));
  ConfigureNetwork(std::move(*config), finish);
}

base::Result<agent::v1::NetworkConfig> Sandbox::AttachNamespace() {
  // First, so that nothing that changes now is missed.
  TRY_ASSIGN(network_watch_, network::Watch::Create(loop_, network_->network_namespace(),
                                                    [this] { FollowNetwork(); }));
  auto attached = [this]() -> base::Result<agent::v1::NetworkConfig> {
    TRY_ASSIGN(network::Attachment::Synced synced, network_->Sync());
    if (!synced.refused.empty()) return synced.refused.front();
    return std::move(synced.config);
  }();
  if (attached) return attached;
  network_watch_.reset();
  network_->Detach();
  return attached;
}

void Sandbox::FollowNetwork() {
  if (phase_ == Phase::kExited || phase_ == Phase::kTeardown) return;
  // One after the other: the guest takes its time, and what it is told is all there is.
  if (network_busy_) {
    network_changed_ = true;
    return;
  }
  auto synced = network_->Sync();
  if (!synced) return NoteRefused({synced.error()});
  if (synced->config.SerializeAsString() == network_config_) return NoteRefused(synced->refused);
  ConfigureNetwork(std::move(synced->config),
                   [this, refused = std::move(synced->refused)](const base::Status& status) {
                     if (!status) return NoteRefused({status.error()});
                     NoteRefused(refused);
                   });
}

void Sandbox::ConfigureNetwork(agent::v1::NetworkConfig config, Done done) {
  network_busy_ = true;
  network_config_ = config.SerializeAsString();
  link_->client()->Call<agent::v1::Empty>(
      "holt.agent.v1.Agent", "ConfigureNetwork", config, {.timeout = 30s},
      [this, done = std::move(done)](base::Result<agent::v1::Empty> result) {
        auto finish = [this, done](const base::Status& status) {
          network_busy_ = false;
          done(status);
          if (std::exchange(network_changed_, false) && phase_ != Phase::kTeardown) FollowNetwork();
        };
        if (!result) return finish(result.error());
        // With a network of Docker's that comes later, its resolver does.
        ServeResolver(finish);
      });
}

// A container that runs goes on without.
void Sandbox::NoteRefused(const std::vector<base::Error>& refused) {
  std::string text;
  for (const base::Error& error : refused)
    text += (text.empty() ? "" : "; ") + base::log::Sanitize(error.message());
  if (text == network_refused_) return;
  network_refused_ = text;
  if (text.empty() || network_warnings_ == kMaxNetworkWarnings) return;
  ++network_warnings_;
  base::log::Warning("network: not in the container: {}", text);
}

void Sandbox::ServeResolver(Done done) {
  if (!network_ || resolver_ || !UsesDockersResolver(options_.config, paths_.Share()))
    return done({});
  if (auto started = StartResolver(); !started)
    return done(std::move(started).error().Wrap("resolver"));
  link_->client()->Call<agent::v1::Empty>("holt.agent.v1.Agent", "ServeResolver",
                                          agent::v1::Empty(), {.timeout = 30s},
                                          [this, done](base::Result<agent::v1::Empty> result) {
                                            if (result) return done({});
                                            resolver_.reset();
                                            done(result.error());
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
