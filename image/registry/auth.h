#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/reference.h"

namespace holt::image::registry {

struct Credentials {
  std::string user;
  std::string password;
  std::string file;  // where they are from, for messages
};

// Files that may hold credentials, in the order they are asked.
struct AuthPlaces {
  std::vector<std::string> files;
  bool must_exist = false;  // the one file that somebody named

  // --authfile (if not empty), or $REGISTRY_AUTH_FILE; else podman's and Docker's usual places.
  static AuthPlaces Usual(const std::string& auth_file);
};

struct AuthLookup {
  std::optional<Credentials> credentials;
  // A file keeps them with a helper program, which holt does not run; for the message when they
  // turn out to be needed.
  std::string helper;
};

// What the text of one file (Docker's config.json, podman's auth.json) says of the registry of
// `reference`. Errors name `path` and never quote the text, which holds passwords.
base::Result<AuthLookup> ParseAuthFile(const std::string& text, const std::string& path,
                                       const Reference& reference);

// The credentials for the registry of `reference`: the entry of the longest prefix of its name
// (podman) or its host (Docker; docker.io under its old URL, too). An unreadable file is an error.
base::Result<AuthLookup> FindCredentials(const AuthPlaces& places, const Reference& reference);

// Standard base64 with padding; nullopt if it is none.
std::optional<std::string> DecodeBase64(std::string_view text);
std::string EncodeBase64(std::string_view bytes);

}  // namespace holt::image::registry
