#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "image/pull.h"

// HTTP GET over libcurl, one request at a time: no redirects, no retries, no credentials of its
// own.
namespace holt::image::registry {

struct HttpResponse {
  long status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;  // at most the request's max_bytes; not what went to a sink

  // The first of that name, or empty.
  std::string Header(std::string_view name) const;
  // All of that name, joined by commas.
  std::string Headers(std::string_view name) const;
};

struct HttpRequest {
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  size_t max_bytes = 0;              // of a body that is collected
  uint64_t range_from = 0;           // > 0: asks for the bytes from there on
  // With a sink, the body of a 2xx goes there and is bounded by it; `begin` sees status and headers
  // first. An error of either ends the transfer and is what Get returns.
  std::function<base::Status(const HttpResponse&)> begin;
  std::function<base::Status(std::string_view)> sink;
  std::function<bool()> cancelled;
};

class HttpClient {
 public:
  HttpClient(const NetworkTimeouts& timeouts, bool verify);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Any status is a response. Errors: kUnavailable where another attempt may help, with the errno
  // ECONNREFUSED or EHOSTUNREACH where that needs somebody to act first; kFailedPrecondition for
  // TLS.
  base::Result<HttpResponse> Get(const HttpRequest& request);

 private:
  struct Transfer;
  void* curl_;  // CURL, which is void
  NetworkTimeouts timeouts_;
  bool verify_;
};

// The error of a peer that speaks no TLS at all, told by its errno.
inline constexpr int kNotTls = EPROTO;

}  // namespace holt::image::registry
