#include "rpc/server.h"

#include <sys/epoll.h>

#include "base/log.h"
#include "base/socket.h"
#include "rpc/status.h"
#include "rpc/ttrpc.pb.h"

namespace holt::rpc {

struct Call::State {
  std::weak_ptr<ServerConnection> connection;
  uint32_t stream_id = 0;
  std::map<std::string, std::string> metadata;
  std::optional<std::chrono::nanoseconds> timeout;
  bool answered = false;
  bool cancelled = false;
  std::function<void()> on_cancelled;

  void Respond(const base::Error* error, std::string payload);
  void Cancel();
  ~State() {
    if (answered || cancelled) return;
    base::Error dropped(base::Code::kUnavailable, "the call was dropped without an answer");
    Respond(&dropped, {});
  }
};

class ServerConnection : public std::enable_shared_from_this<ServerConnection> {
 public:
  ServerConnection(Server& server, base::UniqueFd socket, std::function<void()> on_closed)
      : server_(&server),
        loop_(server.loop_),
        connection_(Connection::Create(server.loop_, std::move(socket))),
        on_closed_(std::move(on_closed)) {}

  base::Status Start() {
    return connection_->Start(
        {.on_frame = [this](FrameReader::Frame frame) { OnFrame(std::move(frame)); },
         .on_closed = [this](base::Status) { OnClosed(); }});
  }

  // The server goes away: no more calls, no on_closed.
  void Detach() {
    server_ = nullptr;
    on_closed_ = nullptr;
    connection_->Close();
    CancelAll();
  }

  void Respond(uint32_t stream_id, const base::Error* error, std::string payload) {
    Forget(stream_id);
    ttrpc::Response response;
    if (error != nullptr) {
      response.mutable_status()->set_code(static_cast<int32_t>(ToStatusCode(error->code())));
      response.mutable_status()->set_message(error->message());
    } else {
      response.set_payload(std::move(payload));
    }
    std::string bytes = response.SerializeAsString();
    if (bytes.size() > kMaxFrameBytes) {
      base::Error too_long(base::Code::kResourceExhausted, "response exceeds 4 MiB");
      return Respond(stream_id, &too_long, {});
    }
    connection_->Send({.stream_id = stream_id, .type = FrameType::kResponse}, bytes);
  }

 private:
  struct Active {
    std::weak_ptr<Call::State> call;
    base::EventLoop::TimerId timer = 0;
  };

  void Forget(uint32_t stream_id) {
    auto it = active_.find(stream_id);
    if (it == active_.end()) return;
    if (it->second.timer != 0) loop_.CancelTimer(it->second.timer);
    active_.erase(it);
  }

  void Refuse(uint32_t stream_id, base::Code code, const std::string& why) {
    base::Error error(code, why);
    Respond(stream_id, &error, {});
  }

  void OnFrame(FrameReader::Frame frame) {
    auto self = shared_from_this();
    uint32_t id = frame.header.stream_id;
    if (frame.oversize) return Refuse(id, base::Code::kResourceExhausted, "message exceeds 4 MiB");
    // Streaming is not part of any service here: a data frame can only be the end marker of a
    // request.
    if (frame.header.type == FrameType::kData) return;
    if (frame.header.type != FrameType::kRequest) return;
    if (id % 2 == 0)
      return Refuse(id, base::Code::kInvalidArgument,
                    "StreamID must be odd for client initiated streams");
    if (id <= last_stream_id_)
      return Refuse(id, base::Code::kInvalidArgument,
                    "StreamID cannot be re-used and must increment");
    last_stream_id_ = id;
    ttrpc::Request request;
    if (!request.ParseFromString(frame.data))
      return Refuse(id, base::Code::kInvalidArgument, "malformed ttrpc request");
    if (active_.size() >= Server::kMaxCallsPerConnection)
      return Refuse(id, base::Code::kResourceExhausted, "too many calls at once");
    Dispatch(id, request);
  }

  void Dispatch(uint32_t id, const ttrpc::Request& request) {
    auto handler = server_->handlers_.find({request.service(), request.method()});
    if (handler == server_->handlers_.end())
      return Refuse(id, base::Code::kUnsupported,
                    "method " + request.method());  // the words of the Go implementation
    auto state = std::make_shared<Call::State>();
    state->connection = weak_from_this();
    state->stream_id = id;
    for (const auto& pair : request.metadata()) state->metadata.emplace(pair.key(), pair.value());
    Active active{.call = state};
    if (request.timeout_nano() > 0) {
      state->timeout = std::chrono::nanoseconds(request.timeout_nano());
      active.timer = loop_.AddTimer(*state->timeout, [this, id] { OnDeadline(id); });
    }
    active_.emplace(id, std::move(active));
    handler->second(request.payload(), Call(std::move(state)));
  }

  void OnDeadline(uint32_t id) {
    auto self = shared_from_this();
    auto it = active_.find(id);
    if (it == active_.end()) return;
    it->second.timer = 0;
    auto call = it->second.call.lock();
    Refuse(id, base::Code::kDeadlineExceeded, "deadline exceeded");
    if (call) call->Cancel();
  }

  void CancelAll() {
    auto active = std::move(active_);
    active_.clear();
    for (auto& [id, entry] : active) {
      if (entry.timer != 0) loop_.CancelTimer(entry.timer);
      if (auto call = entry.call.lock()) call->Cancel();
    }
  }

  void OnClosed() {
    auto self = shared_from_this();
    CancelAll();
    if (server_ == nullptr) return;
    auto on_closed = std::move(on_closed_);
    server_->connections_.erase(this);
    if (on_closed) on_closed();
  }

  Server* server_;
  base::EventLoop& loop_;
  std::shared_ptr<Connection> connection_;
  std::function<void()> on_closed_;
  std::map<uint32_t, Active> active_;
  uint32_t last_stream_id_ = 0;
};

void Call::State::Respond(const base::Error* error, std::string payload) {
  if (answered || cancelled) return;
  answered = true;
  if (auto live = connection.lock()) live->Respond(stream_id, error, std::move(payload));
}

void Call::State::Cancel() {
  if (answered || cancelled) return;
  cancelled = true;
  auto callback = std::move(on_cancelled);
  if (callback) callback();
}

const std::string& Call::metadata(const std::string& key) const {
  static const std::string kNone;
  auto it = state_->metadata.find(key);
  return it == state_->metadata.end() ? kNone : it->second;
}

std::optional<std::chrono::nanoseconds> Call::timeout() const { return state_->timeout; }
bool Call::cancelled() const { return state_->cancelled; }

void Call::OnCancelled(std::function<void()> callback) const {
  if (state_->cancelled) return callback();
  state_->on_cancelled = std::move(callback);
}

void Call::ReplyBytes(std::string payload) const { state_->Respond(nullptr, std::move(payload)); }
void Call::Fail(const base::Error& error) const { state_->Respond(&error, {}); }

Server::~Server() {
  if (listener_) loop_.RemoveFd(listener_.get());
  auto connections = std::move(connections_);
  connections_.clear();
  for (auto& [raw, connection] : connections) connection->Detach();
}

void Server::HandleRaw(const std::string& service, const std::string& method, RawHandler handler) {
  handlers_[{service, method}] = std::move(handler);
}

base::Status Server::Serve(base::UniqueFd socket, std::function<void()> on_closed) {
  auto connection =
      std::make_shared<ServerConnection>(*this, std::move(socket), std::move(on_closed));
  TRY(connection->Start());
  connections_.emplace(connection.get(), connection);
  return {};
}

base::Status Server::Listen(base::UniqueFd listener) {
  listener_ = std::move(listener);
  return loop_.AddFd(listener_.get(), EPOLLIN, [this](uint32_t) {
    auto socket = base::AcceptUnix(listener_.get());
    if (!socket) {
      if (socket.error().code() != base::Code::kUnavailable)
        base::log::Warning("ttrpc: {}", socket.error().message());
      return;
    }
    if (auto status = Serve(std::move(*socket)); !status)
      base::log::Warning("ttrpc: {}", status.error().message());
  });
}

}  // namespace holt::rpc
