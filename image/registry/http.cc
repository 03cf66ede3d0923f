#include "image/registry/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <optional>

namespace holt::image::registry {

using base::Code;
using base::Error;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

constexpr size_t kMaxHeaderBytes = 64 << 10;
constexpr size_t kMaxErrorBody = 16 << 10;
constexpr long kBufferBytes = 256 << 10;
// A small answer (manifest, token) takes no longer than this, however steadily it drips.
constexpr long kSmallBodySeconds = 300;

void InitialiseOnce() {
  static std::once_flag once;
  std::call_once(once, [] { HOLT_CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); });
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return lower;
}

std::string_view Trim(std::string_view text) {
  const char* space = " \t\r\n";
  size_t begin = text.find_first_not_of(space);
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

Error Explain(CURLcode code, const char* detail) {
  std::string why = *detail ? detail : curl_easy_strerror(code);
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return Error(Code::kUnavailable,
                   why + " (DNS); check the registry's name and this machine's network",
                   EHOSTUNREACH);
    case CURLE_COULDNT_RESOLVE_PROXY:
      return Error(Code::kUnavailable, why + "; check the *_proxy variables", EHOSTUNREACH);
    case CURLE_COULDNT_CONNECT:
      return Error(Code::kUnavailable, why + "; is the registry running, and is its port right?",
                   ECONNREFUSED);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return Error(
          Code::kFailedPrecondition,
          "TLS: " + why +
              "; add its authority to this machine's (update-ca-certificates), or accept any "
              "certificate with --tls-verify=false");
    case CURLE_SSL_CONNECT_ERROR:
      return Error(Code::kFailedPrecondition,
                   "TLS: " + why + "; a registry without TLS needs --tls-verify=false", kNotTls);
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return Error(Code::kUnavailable, why);
    default:
      return Error(Code::kInternal, "HTTP: " + why);
  }
}

}  // namespace

std::string HttpResponse::Header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return "";
}

std::string HttpResponse::Headers(std::string_view name) const {
  std::string joined;
  for (const auto& [key, value] : headers)
    if (key == name) joined += (joined.empty() ? "" : ", ") + value;
  return joined;
}

// What the callbacks of one request share.
struct HttpClient::Transfer {
  const HttpRequest& request;
  CURL* curl;
  HttpResponse response{};
  size_t header_bytes = 0;
  bool begun = false;
  std::optional<Error> error{};

  static size_t OnHeader(char* data, size_t, size_t size, void* self) {
    auto* me = static_cast<Transfer*>(self);
    std::string_view line(data, size);
    me->header_bytes += size;
    if (me->header_bytes > kMaxHeaderBytes) {
      me->error = Error(Code::kResourceExhausted, "the answer's headers have no end");
      return 0;
    }
    // A new answer: the one before was "100 Continue" or a proxy's.
    if (line.starts_with("HTTP/")) me->response.headers.clear();
    if (size_t colon = line.find(':'); colon != std::string_view::npos)
      me->response.headers.emplace_back(Lower(Trim(line.substr(0, colon))),
                                        std::string(Trim(line.substr(colon + 1))));
    return size;
  }

  static size_t OnBody(char* data, size_t, size_t size, void* self) {
    auto* me = static_cast<Transfer*>(self);
    Status status = me->Body({data, size});
    if (status) return size;
    me->error = std::move(status).error();
    return size == 0 ? 1 : 0;
  }

  Status Body(std::string_view bytes) {
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response.status);
    bool good = response.status >= 200 && response.status < 300;
    if (good && request.sink) {
      if (!begun && request.begin) TRY(request.begin(response));
      begun = true;
      return request.sink(bytes);
    }
    if (good) {
      if (response.body.size() + bytes.size() > request.max_bytes)
        return MakeError(Code::kResourceExhausted,
                         "the answer is larger than {} bytes, the most that is allowed",
                         request.max_bytes);
      response.body += bytes;
      return {};
    }
    // Of an error page the beginning is enough.
    if (response.body.size() + bytes.size() > kMaxErrorBody)
      return MakeError(Code::kCancelled, "enough of it");
    response.body += bytes;
    return {};
  }

  static int OnProgress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    auto* me = static_cast<Transfer*>(self);
    if (!me->request.cancelled || !me->request.cancelled()) return 0;
    me->error = Error(Code::kCancelled, "cancelled");
    return 1;
  }
};

HttpClient::HttpClient(const NetworkTimeouts& timeouts, bool verify)
    : timeouts_(timeouts), verify_(verify) {
  InitialiseOnce();
  curl_ = curl_easy_init();
  HOLT_CHECK(curl_ != nullptr);
}

HttpClient::~HttpClient() { curl_easy_cleanup(curl_); }

Result<HttpResponse> HttpClient::Get(const HttpRequest& request) {
  CURL* curl = curl_;
  curl_easy_reset(curl);  // keeps connections
  Transfer transfer{.request = request, .curl = curl};
  char detail[CURL_ERROR_SIZE] = "";
  curl_slist* list = nullptr;
  for (const std::string& header : request.headers) list = curl_slist_append(list, header.c_str());
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(list, curl_slist_free_all);

  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "holt/" HOLT_VERSION);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, kBufferBytes);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(timeouts_.connect.count()));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT,
                   static_cast<long>(timeouts_.slow_bytes_per_second));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(timeouts_.slow_for.count()));
  if (!request.sink) curl_easy_setopt(curl, CURLOPT_TIMEOUT, kSmallBodySeconds);
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, verify_ ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, verify_ ? 2L : 0L);
  // OpenSSL's variable, which libcurl does not read by itself.
  if (const char* file = getenv("SSL_CERT_FILE")) curl_easy_setopt(curl, CURLOPT_CAINFO, file);
  std::string range = fmt::format("{}-", request.range_from);
  if (request.range_from > 0) curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, Transfer::OnHeader);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, Transfer::OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, Transfer::OnProgress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);

  CURLcode code = curl_easy_perform(curl);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &transfer.response.status);
  // A cut error page is still an answer.
  bool failed_answer = transfer.response.status >= 300 && !transfer.response.headers.empty();
  bool cancelled = request.cancelled && request.cancelled();
  if (code != CURLE_OK && failed_answer && !cancelled) return std::move(transfer.response);
  if (transfer.error) return std::move(*transfer.error);
  if (code != CURLE_OK) return Explain(code, detail);
  return std::move(transfer.response);
}

}  // namespace holt::image::registry
