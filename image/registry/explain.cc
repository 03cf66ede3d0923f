// What a registry's refusals mean to the person who asked for the image.
#include <time.h>

#include "base/log.h"
#include "image/registry/registry.h"
#include "oci/json_binding.h"

namespace holt::image::registry {

using base::Code;
using base::Error;

namespace {

constexpr size_t kMaxShown = 200;

// The message in {"errors":[{"code","message"}]}, or nothing.
std::string RegistryMessage(const HttpResponse& response) {
  auto json = oci::ParseJsonText(response.body, "error", 64 << 10, 16);
  if (!json || !json->is_object()) return "";
  auto errors = json->find("errors");
  if (errors == json->end() || !errors->is_array() || errors->empty() || !(*errors)[0].is_object())
    return "";
  for (const char* name : {"message", "code"}) {
    auto it = (*errors)[0].find(name);
    if (it != (*errors)[0].end() && it->is_string() && !it->get_ref<const std::string&>().empty())
      return base::log::Sanitize(it->get<std::string>().substr(0, kMaxShown));
  }
  return "";
}

}  // namespace

std::string Registry::LoginMend() const {
  if (!login_.helper.empty())
    return fmt::format(
        "{}, which holt does not run; log in with `podman login {}`, or name a file with "
        "--authfile",
        login_.helper, reference_.domain);
  return fmt::format(
      "log in with `podman login {0}` or `docker login {0}`, or name a file with --authfile",
      reference_.domain);
}

Failure Registry::Explain(Error error) const {
  bool again = error.code() == Code::kUnavailable && (error.err() == 0 || reached_);
  return {std::move(error).Wrap("registry " + reference_.RegistryHost()), again};
}

Failure Registry::Explain(const HttpResponse& response, const std::string& what) const {
  std::string said = RegistryMessage(response);
  std::string answer = fmt::format("{}{}{}", response.status, said.empty() ? "" : ": ", said);
  const std::string& host = reference_.RegistryHost();
  auto fail = [&](Code code, std::string text) { return Failure{Error(code, std::move(text))}; };
  switch (response.status) {
    case 401:
      if (login_.credentials)
        return fail(
            Code::kPermissionDenied,
            fmt::format("{} refuses the login of {} in {}, or the image does not exist ({}); {}",
                        host, base::log::Sanitize(login_.credentials->user),
                        login_.credentials->file, answer, LoginMend()));
      return fail(
          Code::kPermissionDenied,
          fmt::format("it does not exist at {}, or needs a login ({}); check the name, or {}", host,
                      answer, LoginMend()));
    case 403:
      return fail(Code::kPermissionDenied,
                  fmt::format("{} denies access to it ({}); use a login that may pull it: {}", host,
                              answer, LoginMend()));
    case 404:
      if (what == "manifest")
        return fail(
            Code::kNotFound,
            fmt::format("there is no such image at {} ({}); check its name and tag", host, answer));
      return fail(Code::kNotFound,
                  fmt::format("{} has lost a part of it, {} ({}); it must be pushed again", host,
                              what, answer));
    default:
      break;
  }
  Failure failure{
      Error(Code::kUnavailable, fmt::format("{} answered {} for the {}", host, answer, what))};
  failure.again = response.status == 408 || response.status == 429 || response.status == 500 ||
                  (response.status >= 502 && response.status <= 504);
  failure.after = ParseRetryAfter(response.Header("retry-after"), time(nullptr));
  if (response.status == 429)
    failure.error =
        Error(Code::kUnavailable,
              fmt::format("{} limits how often it is asked ({}); try later, or {}", host, answer,
                          login_.credentials ? "with another login" : LoginMend()));
  else if (response.status >= 500)
    failure.error =
        Error(Code::kUnavailable,
              fmt::format("{} failed ({}); its operator must look, or try later", host, answer));
  return failure;
}

}  // namespace holt::image::registry
