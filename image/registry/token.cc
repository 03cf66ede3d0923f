// How a registry is satisfied that asks who is there: Basic, or a token from where it says.
#include "base/log.h"
#include "image/registry/registry.h"
#include "oci/json_binding.h"

namespace holt::image::registry {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

constexpr size_t kMaxToken = 64 << 10;

struct TokenAnswer {
  std::string token;
  std::string access_token;  // OAuth2's name for it
};

template <typename A>
void Describe(A& a, TokenAnswer& x) {
  a("token", x.token);
  a("access_token", x.access_token);
}

std::string BasicAuthorization(const Credentials& login) {
  return "Basic " + EncodeBase64(login.user + ":" + login.password);
}

// Fit to be the value of a header: visible ASCII (RFC 6750, 2.1, is narrower).
bool IsHeaderValue(std::string_view text) {
  for (char c : text)
    if (c <= 0x20 || c >= 0x7f) return false;
  return !text.empty();
}

}  // namespace

Result<bool> Registry::Authorize(HttpClient& client, const HttpResponse& refusal,
                                 const std::string& used) {
  {
    std::lock_guard lock(mutex_);
    // Another layer's request got a new token meanwhile.
    if (authorization_ != used) return true;
  }
  std::string authorization;
  for (const Challenge& challenge : ParseChallenges(refusal.Headers("www-authenticate"))) {
    if (challenge.scheme == "bearer") {
      TRY_ASSIGN(std::string token, FetchToken(client, challenge));
      authorization = token.empty() ? "" : "Bearer " + token;
      break;
    }
    if (challenge.scheme == "basic" && login_.credentials) {
      authorization = BasicAuthorization(*login_.credentials);
      break;
    }
  }
  if (authorization.empty() || authorization == used) return false;
  std::lock_guard lock(mutex_);
  authorization_ = authorization;
  return true;
}

Result<std::string> Registry::FetchToken(HttpClient& client, const Challenge& challenge) {
  std::string realm = challenge.Value("realm");
  auto url = Url::Parse(realm);
  if (!url) return std::move(url).error().Wrap("the registry sends to get a token from");
  // Where the registry is reached encrypted, so is whoever gets the password.
  if (origin_.scheme == "https" && url->scheme == "http")
    return MakeError(
        Code::kPermissionDenied,
        "the registry sends to {} for a token without encryption (http), which is refused",
        url->host);
  if (Status checked = CheckScheme(*url, insecure_); !checked)
    return std::move(checked).error().Wrap("the registry's token service");
  HttpRequest request{.url = url->text, .max_bytes = kMaxToken};
  std::string scope = fmt::format("repository:{}:pull", reference_.repository);
  request.url += url->text.find('?') == std::string::npos ? '?' : '&';
  request.url += "scope=" + EscapeQuery(scope);
  if (std::string service = challenge.Value("service"); !service.empty())
    request.url += "&service=" + EscapeQuery(service);
  if (login_.credentials)
    request.headers.push_back("Authorization: " + BasicAuthorization(*login_.credentials));
  auto response = client.Get(request);
  if (!response) return std::move(response).error().Wrap("token service " + url->host);
  // Refused: the answer to the image's request, which is 401, says it.
  if (response->status == 400 || response->status == 401 || response->status == 403 ||
      response->status == 404)
    return std::string();
  if (response->status != 200)
    return base::Error(
        response->status >= 500 || response->status == 429 ? Code::kUnavailable
                                                           : Code::kFailedPrecondition,
        fmt::format("token service {}: it answered {}", url->host, response->status));
  auto parsed = oci::ParseJsonText(response->body, "token", kMaxToken, 8);
  TokenAnswer answer;
  oci::JsonReader reader;
  if (parsed) reader.ReadRoot(*parsed, answer);
  std::string token = answer.token.empty() ? answer.access_token : answer.token;
  if (!parsed || reader.failed() || !IsHeaderValue(token))
    return MakeError(Code::kFailedPrecondition, "token service {}: its answer has no token",
                     url->host);
  return token;
}

}  // namespace holt::image::registry
