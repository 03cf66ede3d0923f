#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace holt::image::registry {

// An http or https address, taken apart by libcurl's own parser, so that what is checked here is
// what is connected to.
struct Url {
  std::string text;
  std::string scheme;  // "http", "https"
  std::string host;    // lower case
  std::string port;    // always there

  // Refuses other schemes and addresses with a user name in them.
  static base::Result<Url> Parse(std::string_view text);

  bool SameOrigin(const Url& other) const {
    return scheme == other.scheme && host == other.host && port == other.port;
  }
};

// May holt speak to it? Plain http is for this machine's own names and --tls-verify=false.
base::Status CheckScheme(const Url& url, bool insecure);

// Where a redirect leads. Refuses https to http, and what CheckScheme refuses.
base::Result<Url> FollowRedirect(const Url& from, const std::string& location, bool insecure);

// As a value of a query: everything but unreserved characters as %XX.
std::string EscapeQuery(std::string_view text);

}  // namespace holt::image::registry
