#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "rpc/connection.h"

namespace holt::rpc {

struct CallOptions {
  // None: wait for ever. Sent to the server too, and kept here in case it does not keep it.
  std::optional<std::chrono::nanoseconds> timeout;
  std::vector<std::pair<std::string, std::string>> metadata;
};

// Calls ttrpc methods over one connection; any number at once. Lives on one event loop.
class Client {
 public:
  using RawCallback = std::function<void(base::Result<std::string> payload)>;

  // Takes a connected stream socket.
  static base::Result<std::unique_ptr<Client>> Create(base::EventLoop& loop, base::UniqueFd socket);
  // Calls that wait are answered kCancelled.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void CallRaw(const std::string& service, const std::string& method, std::string payload,
               const CallOptions& options, RawCallback callback);

  // client.Call<Resp>("holt.agent.v1.Agent", "Wait", request, {}, [](base::Result<Resp> r) {…});
  template <typename Response, typename Request>
  void Call(const std::string& service, const std::string& method, const Request& request,
            const CallOptions& options, std::function<void(base::Result<Response>)> callback) {
    CallRaw(service, method, request.SerializeAsString(), options,
            [callback = std::move(callback)](base::Result<std::string> payload) {
              if (!payload) return callback(std::move(payload).error());
              Response response;
              if (!response.ParseFromString(*payload))
                return callback(base::Error(base::Code::kDataLoss, "malformed response message"));
              callback(std::move(response));
            });
  }

  // Called once when the connection ends by itself, after every waiting call failed.
  void OnClosed(std::function<void()> callback) { on_closed_ = std::move(callback); }
  bool open() const { return connection_->open(); }

 private:
  struct Waiting {
    RawCallback callback;
    base::EventLoop::TimerId timer = 0;
  };

  Client(base::EventLoop& loop, base::UniqueFd socket)
      : loop_(loop), connection_(Connection::Create(loop, std::move(socket))) {}
  void OnFrame(FrameReader::Frame frame);
  void Finish(uint32_t stream_id, base::Result<std::string> result);
  void FailAll(const base::Error& error);

  base::EventLoop& loop_;
  std::shared_ptr<Connection> connection_;
  std::map<uint32_t, Waiting> waiting_;
  uint32_t next_stream_id_ = 1;
  std::function<void()> on_closed_;
  // Set by the destructor for callbacks that outlive it.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// For short-lived commands that have nothing else to do: its own loop, and calls that block.
class BlockingClient {
 public:
  static base::Result<std::unique_ptr<BlockingClient>> Create(base::UniqueFd socket);
  static base::Result<std::unique_ptr<BlockingClient>> Connect(const std::string& unix_path);

  base::Result<std::string> CallRaw(const std::string& service, const std::string& method,
                                    std::string payload, const CallOptions& options = {});

  template <typename Response, typename Request>
  base::Result<Response> Call(const std::string& service, const std::string& method,
                              const Request& request, const CallOptions& options = {}) {
    TRY_ASSIGN(std::string payload, CallRaw(service, method, request.SerializeAsString(), options));
    Response response;
    if (!response.ParseFromString(payload))
      return base::Error(base::Code::kDataLoss, "malformed response message");
    return response;
  }

 private:
  BlockingClient() = default;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<Client> client_;
};

}  // namespace holt::rpc
