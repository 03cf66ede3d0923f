#include "rpc/client.h"

#include "base/socket.h"
#include "rpc/status.h"
#include "rpc/ttrpc.pb.h"

namespace holt::rpc {

base::Result<std::unique_ptr<Client>> Client::Create(base::EventLoop& loop, base::UniqueFd socket) {
  std::unique_ptr<Client> client(new Client(loop, std::move(socket)));
  Client* raw = client.get();
  TRY(client->connection_->Start({
      .on_frame = [raw](FrameReader::Frame frame) { raw->OnFrame(std::move(frame)); },
      .on_closed =
          [raw](base::Status reason) {
            std::weak_ptr<bool> alive = raw->alive_;
            raw->FailAll(reason ? base::Error(base::Code::kUnavailable, "connection closed")
                                : reason.error());
            if (alive.expired()) return;
            auto on_closed = std::move(raw->on_closed_);
            if (on_closed) on_closed();
          },
  }));
  return client;
}

Client::~Client() {
  alive_.reset();
  connection_->Close();
  FailAll(base::Error(base::Code::kCancelled, "the client was closed"));
}

void Client::CallRaw(const std::string& service, const std::string& method, std::string payload,
                     const CallOptions& options, RawCallback callback) {
  uint32_t id = next_stream_id_;
  next_stream_id_ += 2;
  Waiting waiting{.callback = std::move(callback)};
  auto fail_later = [&](base::Error error) {
    loop_.Post(
        [callback = std::move(waiting.callback), error = std::move(error)] { callback(error); });
  };
  if (!open()) return fail_later(base::Error(base::Code::kUnavailable, "connection closed"));
  ttrpc::Request request;
  request.set_service(service);
  request.set_method(method);
  request.set_payload(std::move(payload));
  if (options.timeout) request.set_timeout_nano(options.timeout->count());
  for (const auto& [key, value] : options.metadata) {
    auto* pair = request.add_metadata();
    pair->set_key(key);
    pair->set_value(value);
  }
  std::string bytes = request.SerializeAsString();
  if (bytes.size() > kMaxFrameBytes)
    return fail_later(base::Error(base::Code::kResourceExhausted, "request exceeds 4 MiB"));
  if (options.timeout) {
    waiting.timer = loop_.AddTimer(*options.timeout, [this, id, service, method] {
      auto it = waiting_.find(id);
      if (it == waiting_.end()) return;
      it->second.timer = 0;
      Finish(id, base::MakeError(base::Code::kDeadlineExceeded, "{}/{}: no answer in time", service,
                                 method));
    });
  }
  waiting_.emplace(id, std::move(waiting));
  connection_->Send({.stream_id = id, .type = FrameType::kRequest}, bytes);
}

void Client::OnFrame(FrameReader::Frame frame) {
  if (frame.header.type != FrameType::kResponse) return;
  uint32_t id = frame.header.stream_id;
  if (frame.oversize)
    return Finish(id, base::Error(base::Code::kResourceExhausted, "response exceeds 4 MiB"));
  ttrpc::Response response;
  if (!response.ParseFromString(frame.data))
    return Finish(id, base::Error(base::Code::kDataLoss, "malformed ttrpc response"));
  if (response.status().code() != 0)
    return Finish(
        id, base::Error(FromStatusCode(response.status().code()), response.status().message()));
  Finish(id, std::move(*response.mutable_payload()));
}

void Client::Finish(uint32_t stream_id, base::Result<std::string> result) {
  // An answer nobody waits for any more: its deadline passed here.
  auto it = waiting_.find(stream_id);
  if (it == waiting_.end()) return;
  Waiting waiting = std::move(it->second);
  waiting_.erase(it);
  if (waiting.timer != 0) loop_.CancelTimer(waiting.timer);
  waiting.callback(std::move(result));
}

void Client::FailAll(const base::Error& error) {
  auto waiting = std::move(waiting_);
  waiting_.clear();
  base::EventLoop& loop = loop_;  // a callback may destroy the client
  for (auto& [id, call] : waiting) {
    if (call.timer != 0) loop.CancelTimer(call.timer);
    call.callback(error);
  }
}

base::Result<std::unique_ptr<BlockingClient>> BlockingClient::Create(base::UniqueFd socket) {
  std::unique_ptr<BlockingClient> blocking(new BlockingClient);
  TRY_ASSIGN(blocking->loop_, base::EventLoop::Create());
  TRY_ASSIGN(blocking->client_, Client::Create(*blocking->loop_, std::move(socket)));
  return blocking;
}

base::Result<std::unique_ptr<BlockingClient>> BlockingClient::Connect(
    const std::string& unix_path) {
  TRY_ASSIGN(base::UniqueFd socket, base::ConnectUnix(unix_path));
  return Create(std::move(socket));
}

base::Result<std::string> BlockingClient::CallRaw(const std::string& service,
                                                  const std::string& method, std::string payload,
                                                  const CallOptions& options) {
  std::optional<base::Result<std::string>> answer;
  client_->CallRaw(service, method, std::move(payload), options,
                   [&](base::Result<std::string> result) { answer = std::move(result); });
  while (!answer) loop_->RunOnce(std::chrono::nanoseconds(-1));
  return std::move(*answer);
}

}  // namespace holt::rpc
