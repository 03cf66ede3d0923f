#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/socket.h"
#include "rpc/client.h"
#include "rpc/monitor.pb.h"
#include "rpc/server.h"
#include "rpc/status.h"
#include "rpc/ttrpc.pb.h"
#include "rpc/ttrpc_vectors.h"

namespace holt::rpc {
namespace {

using base::Code;
using monitor::v1::KillRequest;
using monitor::v1::ProcessRequest;
using monitor::v1::WaitResponse;
using std::chrono::milliseconds;

constexpr char kService[] = "holt.test.Test";

class TtrpcTest : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_ = *base::EventLoop::Create();
    server_ = std::make_unique<Server>(*loop_);
    auto [a, b] = *base::SocketPair();
    ASSERT_TRUE(server_->Serve(std::move(a)).ok());
    client_ = *Client::Create(*loop_, std::move(b));
  }

  // Runs the loop until `done`, at most a few seconds.
  void RunUntil(const std::function<bool()>& done) {
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    bool reached = false;
    while (!(reached = done()) && std::chrono::steady_clock::now() < end)
      loop_->RunOnce(milliseconds(10));
    ASSERT_TRUE(reached);
  }

  base::Result<WaitResponse> CallWait(const std::string& method, const CallOptions& options = {}) {
    std::optional<base::Result<WaitResponse>> answer;
    ProcessRequest request;
    request.set_container_id("c1");
    client_->Call<WaitResponse>(kService, method, request, options,
                                [&](base::Result<WaitResponse> r) { answer = std::move(r); });
    RunUntil([&] { return answer.has_value(); });
    return std::move(*answer);
  }

  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
};

TEST_F(TtrpcTest, AnswersAndErrorsTravelWithMetadata) {
  server_->Handle<ProcessRequest, WaitResponse>(
      kService, "Ok", [](const ProcessRequest& request, TypedCall<WaitResponse> call) {
        WaitResponse response;
        response.set_error(request.container_id() + call.metadata("k"));
        call.Reply(response);
      });
  server_->Handle<ProcessRequest, WaitResponse>(
      kService, "No", [](const ProcessRequest&, TypedCall<WaitResponse> call) {
        call.Fail(base::Error(Code::kNotFound, "no such thing"));
      });
  EXPECT_EQ(CallWait("Ok", {.metadata = {{"k", "-v"}}})->error(), "c1-v");
  auto no = CallWait("No");
  EXPECT_EQ(no.error().code(), Code::kNotFound);
  EXPECT_EQ(no.error().message(), "no such thing");
  EXPECT_EQ(CallWait("Absent").error().code(), Code::kUnsupported);
}

TEST_F(TtrpcTest, CallsRunConcurrentlyAndAnswerInAnyOrder) {
  std::vector<TypedCall<WaitResponse>> held;
  server_->Handle<ProcessRequest, WaitResponse>(
      kService, "Hold",
      [&](const ProcessRequest&, TypedCall<WaitResponse> call) { held.push_back(call); });
  std::string order;
  for (char name : {'a', 'b', 'c'}) {
    client_->Call<WaitResponse>(kService, "Hold", ProcessRequest(), {},
                                [&order, name](base::Result<WaitResponse>) { order += name; });
  }
  RunUntil([&] { return held.size() == 3; });
  for (int i : {2, 0, 1}) held[i].Reply({});
  RunUntil([&] { return order.size() == 3; });
  EXPECT_EQ(order, "cab");
}

TEST_F(TtrpcTest, DeadlineIsKeptByTheServerAndCancelsTheCall) {
  bool cancelled = false;
  std::optional<TypedCall<WaitResponse>> held;
  server_->Handle<ProcessRequest, WaitResponse>(
      kService, "Hold", [&](const ProcessRequest&, TypedCall<WaitResponse> call) {
        EXPECT_EQ(call.timeout(), milliseconds(20));
        call.OnCancelled([&] { cancelled = true; });
        held = call;
      });
  EXPECT_EQ(CallWait("Hold", {.timeout = milliseconds(20)}).error().code(),
            Code::kDeadlineExceeded);
  RunUntil([&] { return cancelled; });
  held->Reply({});  // too late, and harmless
}

TEST_F(TtrpcTest, ClientThatGoesAwayCancelsItsCalls) {
  bool cancelled = false;
  std::optional<TypedCall<WaitResponse>> held;
  server_->Handle<ProcessRequest, WaitResponse>(
      kService, "Hold", [&](const ProcessRequest&, TypedCall<WaitResponse> call) {
        call.OnCancelled([&] { cancelled = true; });
        held = call;
      });
  client_->Call<WaitResponse>(kService, "Hold", ProcessRequest(), {},
                              [](base::Result<WaitResponse>) {});
  RunUntil([&] { return held.has_value(); });
  client_.reset();
  RunUntil([&] { return cancelled && server_->connections() == 0; });
}

TEST_F(TtrpcTest, ServerThatGoesAwayFailsWaitingCalls) {
  server_->Handle<ProcessRequest, WaitResponse>(
      kService, "Hang", [&](const ProcessRequest&, TypedCall<WaitResponse> call) {
        static std::optional<TypedCall<WaitResponse>> keep;
        keep = call;
        loop_->Post([this] { server_.reset(); });
      });
  EXPECT_EQ(CallWait("Hang").error().code(), Code::kUnavailable);
}

TEST_F(TtrpcTest, DroppedCallIsAnswered) {
  server_->Handle<ProcessRequest, WaitResponse>(
      kService, "Drop", [](const ProcessRequest&, TypedCall<WaitResponse>) {});
  EXPECT_EQ(CallWait("Drop").error().code(), Code::kUnavailable);
}

TEST_F(TtrpcTest, LargeMessagesTravelAndOversizeIsRefused) {
  server_->Handle<KillRequest, WaitResponse>(
      kService, "Echo", [](const KillRequest& request, TypedCall<WaitResponse> call) {
        WaitResponse response;
        response.set_error(request.container_id());
        if (request.signal() == 1) response.set_error(std::string(5 << 20, 'r'));
        call.Reply(response);
      });
  auto call = [&](size_t size, int signal) {
    std::optional<base::Result<WaitResponse>> answer;
    KillRequest request;
    request.set_container_id(std::string(size, 'x'));
    request.set_signal(signal);
    client_->Call<WaitResponse>(kService, "Echo", request, {},
                                [&](base::Result<WaitResponse> r) { answer = std::move(r); });
    RunUntil([&] { return answer.has_value(); });
    return std::move(*answer);
  };
  EXPECT_EQ(call(3 << 20, 0)->error().size(), size_t{3 << 20});
  EXPECT_EQ(call(5 << 20, 0).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(call(1, 1).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(call(10, 0)->error().size(), 10u);  // the connection is still good
}

// What a raw peer gets for frames that the client above would never send.
class RawPeerTest : public TtrpcTest {
 protected:
  void SetUp() override {
    TtrpcTest::SetUp();
    auto [a, b] = *base::SocketPair();
    ASSERT_TRUE(server_->Serve(std::move(a)).ok());
    raw_ = std::move(b);
    server_->Handle<ProcessRequest, WaitResponse>(
        kService, "Ok",
        [](const ProcessRequest&, TypedCall<WaitResponse> call) { call.Reply({}); });
  }
  ttrpc::Response Exchange(const std::string& wire) {
    EXPECT_EQ(write(raw_.get(), wire.data(), wire.size()), static_cast<ssize_t>(wire.size()));
    FrameReader reader;
    std::optional<FrameReader::Frame> frame;
    RunUntil([&] {
      char buffer[4096];
      ssize_t n = recv(raw_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (n > 0) reader.Append({buffer, static_cast<size_t>(n)});
      frame = reader.Next();
      return frame.has_value();
    });
    ttrpc::Response response;
    EXPECT_TRUE(response.ParseFromString(frame->data));
    return response;
  }
  static std::string Request(uint32_t stream) {
    ttrpc::Request request;
    request.set_service(kService);
    request.set_method("Ok");
    std::string wire;
    AppendFrame(wire, {.stream_id = stream}, request.SerializeAsString());
    return wire;
  }
  base::UniqueFd raw_;
};

TEST_F(RawPeerTest, StreamIdsMustBeOddAndRise) {
  EXPECT_EQ(Exchange(Request(2)).status().code(), static_cast<int>(StatusCode::kInvalidArgument));
  EXPECT_EQ(Exchange(Request(5)).status().code(), 0);
  EXPECT_EQ(Exchange(Request(5)).status().code(), static_cast<int>(StatusCode::kInvalidArgument));
  EXPECT_EQ(Exchange(Request(3)).status().code(), static_cast<int>(StatusCode::kInvalidArgument));
  EXPECT_EQ(Exchange(Request(7)).status().code(), 0);
}

TEST_F(RawPeerTest, GarbageInAFrameIsAnsweredAndSurvived) {
  std::string wire;
  AppendFrame(wire, {.stream_id = 1}, "\xff\xff\xff");
  EXPECT_EQ(Exchange(wire).status().code(), static_cast<int>(StatusCode::kInvalidArgument));
  EXPECT_EQ(Exchange(Request(3)).status().code(), 0);
}

// Against what containerd's Go implementation sent and answered, byte for byte.
class VectorsTest : public RawPeerTest {
 protected:
  void SetUp() override {
    RawPeerTest::SetUp();
    server_->HandleRaw("holt.test.Vectors", "Echo",
                       [](const std::string& payload, Call call) { call.ReplyBytes(payload); });
    server_->HandleRaw("holt.test.Vectors", "Fail", [](const std::string&, Call call) {
      call.Fail(base::Error(Code::kNotFound, "container otter does not exist"));
    });
  }

  std::string ReadWire(int fd, size_t bytes) {
    std::string wire;
    RunUntil([&] {
      char buffer[4096];
      ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
      if (n > 0) wire.append(buffer, static_cast<size_t>(n));
      return wire.size() >= bytes;
    });
    return wire;
  }

  void ExpectServed(std::string_view request, std::string_view response) {
    auto [a, b] = *base::SocketPair();
    ASSERT_TRUE(server_->Serve(std::move(a)).ok());
    ASSERT_EQ(write(b.get(), request.data(), request.size()), static_cast<ssize_t>(request.size()));
    EXPECT_EQ(ReadWire(b.get(), response.size()), response);
  }

  base::Result<std::string> ExpectCalled(const std::string& method, const CallOptions& options,
                                         std::string_view request, std::string_view response) {
    auto [a, b] = *base::SocketPair();
    auto client = *Client::Create(*loop_, std::move(a));
    std::optional<base::Result<std::string>> answer;
    client->CallRaw("holt.test.Vectors", method, "\x0a\x05otter", options,
                    [&](base::Result<std::string> r) { answer = std::move(r); });
    EXPECT_EQ(ReadWire(b.get(), request.size()), request);
    EXPECT_EQ(write(b.get(), response.data(), response.size()),
              static_cast<ssize_t>(response.size()));
    RunUntil([&] { return answer.has_value(); });
    return std::move(*answer);
  }
};

TEST_F(VectorsTest, ServerAnswersAsGoDoes) {
  ExpectServed(vectors::kEchoRequest, vectors::kEchoResponse);
  ExpectServed(vectors::kFailRequest, vectors::kFailResponse);
  ExpectServed(vectors::kUnknownRequest, vectors::kUnknownResponse);
  ExpectServed(vectors::kMetadataRequest, vectors::kMetadataResponse);
}

TEST_F(VectorsTest, ClientAsksAsGoDoes) {
  EXPECT_EQ(*ExpectCalled("Echo", {}, vectors::kEchoRequest, vectors::kEchoResponse),
            "\x0a\x05otter");
  EXPECT_EQ(
      ExpectCalled("Fail", {}, vectors::kFailRequest, vectors::kFailResponse).error().message(),
      "container otter does not exist");
  EXPECT_EQ(ExpectCalled("Absent", {}, vectors::kUnknownRequest, vectors::kUnknownResponse)
                .error()
                .code(),
            Code::kUnsupported);
  EXPECT_TRUE(ExpectCalled("Echo", {.metadata = {{"key", "value"}}}, vectors::kMetadataRequest,
                           vectors::kMetadataResponse)
                  .ok());
}

}  // namespace
}  // namespace holt::rpc
