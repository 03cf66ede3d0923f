#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace holt::e2e {

// An image of one layer, large enough to be cut in the middle.
struct SmallImage {
  std::string layer;  // a tar
  std::string config;
  std::string manifest;
  std::string layer_digest;
  std::string config_digest;
};
SmallImage MakeSmallImage(const std::string& directory);

struct Request {
  std::string path;
  std::map<std::string, std::string> headers;  // names in lower case
};

struct Reply {
  int status = 200;
  std::vector<std::string> headers;
  std::string body;
  size_t send = std::string::npos;  // of the body, then the connection is cut
  bool stall = false;               // …or rather stays open, silent
  bool endless = false;             // the body again and again
};

// A registry on loopback that serves one image by HTTP/1.1, except where `fault` answers instead.
class FaultRegistry {
 public:
  using Fault = std::function<std::optional<Reply>(const Request&)>;
  explicit FaultRegistry(SmallImage image, Fault fault = {});
  ~FaultRegistry();
  std::string Host() const { return "127.0.0.1:" + std::to_string(port_); }
  std::vector<Request> Requests();
  // Requests whose path contains `part`.
  std::vector<Request> Requests(const std::string& part);
  Reply Default(const Request& request) const;

 private:
  void Serve();
  void Connection(int fd);
  void Send(int fd, const Reply& reply);

  SmallImage image_;
  Fault fault_;
  base::UniqueFd listener_;
  int port_ = 0;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<Request> requests_;
  std::vector<std::thread> connections_;
  std::thread thread_;
};

}  // namespace holt::e2e
