#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "rpc/connection.h"

namespace holt::ttrpc {
class Request;
}

namespace holt::rpc {

class ServerConnection;

// One call being served. Answer it once, at once or later, from the loop's thread; a call dropped
// without an answer is answered UNAVAILABLE. Copies share the call.
class Call {
 public:
  const std::string& metadata(const std::string& key) const;
  // Nothing when the client set no timeout.
  std::optional<std::chrono::nanoseconds> timeout() const;
  // True when the deadline passed or the client went away: the answer is not wanted any more.
  bool cancelled() const;
  // Called once when that happens. The client got DEADLINE_EXCEEDED already.
  void OnCancelled(std::function<void()> callback) const;

  void ReplyBytes(std::string payload) const;
  void Fail(const base::Error& error) const;

  struct State;
  explicit Call(std::shared_ptr<State> state) : state_(std::move(state)) {}

 private:
  std::shared_ptr<State> state_;
};

// A Call whose answer is a `Response` message.
template <typename Response>
class TypedCall : public Call {
 public:
  explicit TypedCall(const Call& call) : Call(call) {}
  void Reply(const Response& response) const { ReplyBytes(response.SerializeAsString()); }
  // Answers with the value or the error.
  void Finish(const base::Result<Response>& result) const {
    if (result) {
      Reply(*result);
    } else {
      Fail(result.error());
    }
  }
};

// Serves ttrpc methods on any number of connections; calls run concurrently as far as handlers
// answer later. Lives on one event loop.
class Server {
 public:
  using RawHandler = std::function<void(const std::string& payload, Call call)>;

  explicit Server(base::EventLoop& loop) : loop_(loop) {}
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void HandleRaw(const std::string& service, const std::string& method, RawHandler handler);

  // server.Handle<Req, Resp>("holt.agent.v1.Agent", "Signal", [](const Req&, TypedCall<Resp>) {…});
  template <typename Request, typename Response>
  void Handle(const std::string& service, const std::string& method,
              std::function<void(const Request&, TypedCall<Response>)> handler) {
    HandleRaw(service, method,
              [handler = std::move(handler)](const std::string& payload, Call call) {
                Request request;
                if (!request.ParseFromString(payload))
                  return call.Fail(
                      base::Error(base::Code::kInvalidArgument, "malformed request message"));
                handler(request, TypedCall<Response>(call));
              });
  }

  // Serves one connected socket. `on_closed` is called once when it ends.
  base::Status Serve(base::UniqueFd socket, std::function<void()> on_closed = nullptr);
  // Accepts from a listening nonblocking Unix socket (owned from here on) and serves each.
  base::Status Listen(base::UniqueFd listener);
  size_t connections() const { return connections_.size(); }

  // Calls at once on one connection; more are refused with RESOURCE_EXHAUSTED.
  static constexpr size_t kMaxCallsPerConnection = 1024;

 private:
  friend class ServerConnection;
  base::EventLoop& loop_;
  base::UniqueFd listener_;
  std::map<std::pair<std::string, std::string>, RawHandler> handlers_;
  std::map<ServerConnection*, std::shared_ptr<ServerConnection>> connections_;
};

}  // namespace holt::rpc
