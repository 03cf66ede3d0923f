#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace holt::image {

// The name of an image as Docker writes it, completed by Docker's defaults:
//   debian                       docker.io/library/debian:latest
//   me/tool:1                    docker.io/me/tool:1
//   localhost:5000/a/b@sha256:…  as it is
// The grammar is that of distribution's reference package: [domain[:port]/]path[:tag][@digest].
struct Reference {
  std::string domain;      // "docker.io", "localhost:5000", "[::1]:5000"
  std::string repository;  // "library/debian"
  std::string tag;         // "latest" when neither tag nor digest was given
  std::string digest;      // "sha256:…" or empty; wins over the tag when both are there

  // Parses and completes; the error says what is wrong with which part.
  static base::Result<Reference> Parse(std::string_view text);

  // The canonical name: "docker.io/library/debian:12", with @digest if there is one.
  std::string ToString() const;
  // Without tag and digest: "docker.io/library/debian".
  std::string Name() const { return domain + "/" + repository; }
  // The way people write it: without docker.io and library.
  std::string FamiliarName() const;
  // What the registry's API takes: the digest, or else the tag.
  const std::string& ManifestKey() const { return digest.empty() ? tag : digest; }
  // Host (and port) that serves it: docker.io is served by registry-1.docker.io.
  std::string RegistryHost() const;
  // A registry on this machine (localhost, *.localhost, 127.0.0.0/8, [::1]), which Docker also
  // reaches over plain http.
  bool IsLocal() const;
};

// The host of "host:port", brackets of an IPv6 address kept.
std::string HostWithoutPort(std::string_view domain);
// Is `domain` (port allowed) this machine by its name?
bool IsLocalHost(std::string_view domain);

}  // namespace holt::image
