#include "tests/e2e/fault_registry.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <random>

#include "base/file.h"
#include "image/digest.h"

namespace holt::e2e {
namespace {

constexpr size_t kContent = 3 << 20;

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(tolower(static_cast<unsigned char>(c)));
  return text;
}

bool SendAll(int fd, std::string_view data) {
  while (!data.empty()) {
    ssize_t n = send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    data.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

SmallImage MakeSmallImage(const std::string& directory) {
  std::mt19937_64 random(7);
  std::string content(kContent, '\0');
  for (char& c : content) c = static_cast<char>(random());
  SmallImage image;
  EXPECT_TRUE(base::WriteFile(directory + "/content", content).ok());
  std::string command = "tar -C '" + directory + "' -cf '" + directory + "/layer.tar' content";
  EXPECT_EQ(system(command.c_str()), 0);
  image.layer = *base::ReadFile(directory + "/layer.tar");
  image.layer_digest = image::Sha256(image.layer).text();
  image.config =
      R"({"architecture":"amd64","os":"linux","config":{"Cmd":["true"]},"rootfs":{"type":"layers",)"
      R"("diff_ids":[")" +
      image.layer_digest + R"("]}})";
  image.config_digest = image::Sha256(image.config).text();
  image.manifest = fmt::format(
      R"({{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",)"
      R"("config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},)"
      R"("layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{}","size":{}}}]}})",
      image.config_digest, image.config.size(), image.layer_digest, image.layer.size());
  return image;
}

FaultRegistry::FaultRegistry(SmallImage image, Fault fault)
    : image_(std::move(image)), fault_(std::move(fault)) {
  listener_.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  // SAFETY: the sockets API's own way of passing addresses.
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(bind(listener_.get(), generic, length), 0);
  EXPECT_EQ(listen(listener_.get(), 16), 0);
  EXPECT_EQ(getsockname(listener_.get(), generic, &length), 0);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Serve(); });
}

FaultRegistry::~FaultRegistry() {
  stop_ = true;
  thread_.join();
  for (std::thread& thread : connections_) thread.join();
}

std::vector<Request> FaultRegistry::Requests() {
  std::lock_guard lock(mutex_);
  return requests_;
}

std::vector<Request> FaultRegistry::Requests(const std::string& part) {
  std::vector<Request> found;
  for (Request& request : Requests())
    if (request.path.find(part) != std::string::npos) found.push_back(std::move(request));
  return found;
}

Reply FaultRegistry::Default(const Request& request) const {
  if (request.path.find("/manifests/") != std::string::npos)
    return {.headers = {"Content-Type: application/vnd.oci.image.manifest.v1+json"},
            .body = image_.manifest};
  if (request.path.find("/blobs/" + image_.config_digest) != std::string::npos)
    return {.body = image_.config};
  if (request.path.find("/blobs/" + image_.layer_digest) == std::string::npos)
    return {.status = 404};
  auto range = request.headers.find("range");
  if (range == request.headers.end()) return {.body = image_.layer};
  size_t from = std::stoul(range->second.substr(6));
  return {.status = 206,
          .headers = {fmt::format("Content-Range: bytes {}-{}/{}", from, image_.layer.size() - 1,
                                  image_.layer.size())},
          .body = image_.layer.substr(from)};
}

void FaultRegistry::Serve() {
  while (!stop_) {
    pollfd ready{listener_.get(), POLLIN, 0};
    if (poll(&ready, 1, 20) <= 0) continue;
    int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) connections_.emplace_back([this, fd] { Connection(fd); });
  }
}

void FaultRegistry::Connection(int raw) {
  base::UniqueFd fd(raw);
  std::string head;
  while (head.find("\r\n\r\n") == std::string::npos) {
    char buffer[4096];
    ssize_t n = recv(fd.get(), buffer, sizeof buffer, 0);
    if (n <= 0) return;
    head.append(buffer, static_cast<size_t>(n));
    // TLS is not spoken here, and said so as Go's server does.
    if (head[0] == 0x16) return void(SendAll(fd.get(), "HTTP/1.0 400 Bad Request\r\n\r\n"));
  }
  Request request;
  size_t space = head.find(' ');
  request.path = head.substr(space + 1, head.find(' ', space + 1) - space - 1);
  for (size_t at = head.find("\r\n") + 2; head.compare(at, 2, "\r\n") != 0;) {
    size_t end = head.find("\r\n", at);
    size_t colon = head.find(':', at);
    request.headers[Lower(head.substr(at, colon - at))] = head.substr(colon + 2, end - colon - 2);
    at = end + 2;
  }
  {
    std::lock_guard lock(mutex_);
    requests_.push_back(request);
  }
  std::optional<Reply> reply = fault_ ? fault_(request) : std::nullopt;
  Send(fd.get(), reply ? *reply : Default(request));
}

void FaultRegistry::Send(int fd, const Reply& reply) {
  std::string head = fmt::format("HTTP/1.1 {} Status\r\nConnection: close\r\n", reply.status);
  if (!reply.endless) head += fmt::format("Content-Length: {}\r\n", reply.body.size());
  for (const std::string& header : reply.headers) head += header + "\r\n";
  if (!SendAll(fd, head + "\r\n")) return;
  bool open = SendAll(fd, std::string_view(reply.body).substr(0, reply.send));
  while (open && reply.endless && !stop_) open = SendAll(fd, reply.body);
  while (open && reply.stall && !stop_) {
    pollfd gone{fd, POLLIN | POLLRDHUP, 0};
    if (poll(&gone, 1, 20) > 0) return;
  }
}

}  // namespace holt::e2e
