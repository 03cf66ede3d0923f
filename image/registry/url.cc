#include "image/registry/url.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>

#include "base/log.h"
#include "image/reference.h"

namespace holt::image::registry {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

constexpr size_t kMaxUrl = 16 << 10;

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Handle = std::unique_ptr<CURLU, FreeUrl>;

std::string Part(CURLU* handle, CURLUPart part, unsigned flags = 0) {
  char* raw = nullptr;
  if (curl_url_get(handle, part, &raw, flags) != CURLUE_OK || !raw) return "";
  std::string text = raw;
  curl_free(raw);
  return text;
}

std::string Shown(std::string_view text) { return base::log::Sanitize(text.substr(0, 200)); }

Result<Url> TakeApart(CURLU* handle, std::string_view given) {
  Url url;
  url.text = Part(handle, CURLUPART_URL);
  url.scheme = Part(handle, CURLUPART_SCHEME);
  url.host = Part(handle, CURLUPART_HOST);
  url.port = Part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT);
  std::transform(url.host.begin(), url.host.end(), url.host.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if ((url.scheme != "http" && url.scheme != "https") || url.host.empty() || url.port.empty())
    return MakeError(Code::kPermissionDenied, "\"{}\" is neither an http nor an https address",
                     Shown(given));
  if (!Part(handle, CURLUPART_USER).empty() || !Part(handle, CURLUPART_PASSWORD).empty())
    return MakeError(Code::kPermissionDenied, "an address with a user name in it ({})", url.host);
  return url;
}

bool IsClean(std::string_view text) {
  return text.size() <= kMaxUrl && std::none_of(text.begin(), text.end(), [](char c) {
           return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f;
         });
}

}  // namespace

Result<Url> Url::Parse(std::string_view text) {
  Handle handle(curl_url());
  std::string copy(text);
  if (!IsClean(text) || curl_url_set(handle.get(), CURLUPART_URL, copy.c_str(), 0) != CURLUE_OK)
    return MakeError(Code::kPermissionDenied, "\"{}\" is not an address", Shown(text));
  return TakeApart(handle.get(), text);
}

Status CheckScheme(const Url& url, bool insecure) {
  if (url.scheme == "https" || insecure || IsLocalHost(url.host)) return {};
  return MakeError(Code::kPermissionDenied,
                   "{} without encryption (http) is not allowed; if you trust the network, use "
                   "--tls-verify=false",
                   url.host);
}

Result<Url> FollowRedirect(const Url& from, const std::string& location, bool insecure) {
  Handle handle(curl_url());
  bool ok = IsClean(location) && !location.empty() &&
            curl_url_set(handle.get(), CURLUPART_URL, from.text.c_str(), 0) == CURLUE_OK &&
            curl_url_set(handle.get(), CURLUPART_URL, location.c_str(), 0) == CURLUE_OK;
  if (!ok)
    return MakeError(Code::kPermissionDenied, "{} redirects to \"{}\", which is no address",
                     from.host, Shown(location));
  auto to = TakeApart(handle.get(), location);
  if (!to) return std::move(to).error().Wrap(from.host + " redirects to");
  if (from.scheme == "https" && to->scheme == "http")
    return MakeError(Code::kPermissionDenied,
                     "{} redirects from https to plain http ({}), which is refused", from.host,
                     to->host);
  if (Status checked = CheckScheme(*to, insecure); !checked)
    return std::move(checked).error().Wrap(from.host + " redirects");
  return to;
}

std::string EscapeQuery(std::string_view text) {
  std::string out;
  for (char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace holt::image::registry
