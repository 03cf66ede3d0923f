#include "image/reference.h"

#include <arpa/inet.h>

#include <algorithm>

#include "oci/image_spec.h"

namespace holt::image {
namespace {

using base::Code;
using base::MakeError;
using base::Status;

constexpr size_t kMaxNameLength = 255;
constexpr size_t kMaxTagLength = 128;

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsNumber(char c) { return c >= '0' && c <= '9'; }
bool IsWord(char c) { return IsLower(c) || IsUpper(c) || IsNumber(c) || c == '_'; }

base::Error Bad(std::string_view text, std::string_view why) {
  std::string shown(text.substr(0, 200));
  for (char& c : shown)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return MakeError(Code::kInvalidArgument,
                   "\"{}\" is not an image reference: {} (write [HOST[:PORT]/]NAME[:TAG][@DIGEST])",
                   shown, why);
}

// path-component := [a-z0-9]+ ((\.|_|__|-+) [a-z0-9]+)*
bool IsPathComponent(std::string_view component) {
  size_t i = 0;
  while (true) {
    size_t start = i;
    while (i < component.size() && (IsLower(component[i]) || IsNumber(component[i]))) ++i;
    if (i == start) return false;
    if (i == component.size()) return true;
    if (component[i] == '.') {
      ++i;
    } else if (component[i] == '_') {
      ++i;
      if (i < component.size() && component[i] == '_') ++i;
    } else if (component[i] == '-') {
      while (i < component.size() && component[i] == '-') ++i;
    } else {
      return false;
    }
  }
}

bool IsPort(std::string_view port) {
  if (port.empty() || port.size() > 5 || !std::all_of(port.begin(), port.end(), IsNumber))
    return false;
  int value = std::stoi(std::string(port));
  return value >= 1 && value <= 65535;
}

bool IsHostName(std::string_view host) {
  if (host.empty()) return false;
  size_t label = 0;
  for (size_t i = 0; i <= host.size(); ++i) {
    if (i < host.size() && host[i] != '.') {
      bool ok = IsLower(host[i]) || IsUpper(host[i]) || IsNumber(host[i]) || host[i] == '-';
      if (!ok) return false;
      continue;
    }
    if (i == label || host[label] == '-' || host[i - 1] == '-') return false;
    label = i + 1;
  }
  return true;
}

bool IsDomain(std::string_view domain) {
  std::string host = HostWithoutPort(domain);
  std::string_view rest = domain.substr(host.size());
  if (!rest.empty() && (rest[0] != ':' || !IsPort(rest.substr(1)))) return false;
  if (host.starts_with('[')) {
    if (!host.ends_with(']')) return false;
    in6_addr address{};
    return inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &address) == 1;
  }
  return IsHostName(host);
}

Status CheckTag(std::string_view text, std::string_view tag) {
  if (tag.empty()) return Bad(text, "the tag after ':' is empty");
  if (tag.size() > kMaxTagLength)
    return Bad(text, fmt::format("the tag has {} characters, at most {} are allowed", tag.size(),
                                 kMaxTagLength));
  bool ok = IsWord(tag[0]) && std::all_of(tag.begin(), tag.end(),
                                          [](char c) { return IsWord(c) || c == '.' || c == '-'; });
  if (!ok)
    return Bad(text,
               fmt::format("the tag \"{}\" may have only letters, digits, '_', '.' and '-'", tag));
  return {};
}

Status CheckRepository(std::string_view text, std::string_view repository) {
  size_t start = 0;
  while (true) {
    size_t slash = repository.find('/', start);
    std::string_view component = repository.substr(start, slash - start);
    if (!IsPathComponent(component)) {
      if (component.empty()) return Bad(text, "a part of its name is empty");
      if (std::any_of(component.begin(), component.end(), IsUpper))
        return Bad(text, fmt::format("\"{}\" must be lower case", component));
      return Bad(text,
                 fmt::format("\"{}\" may have only lower-case letters and digits, with '.', '_' "
                             "or '-' between them",
                             component));
    }
    if (slash == std::string_view::npos) return {};
    start = slash + 1;
  }
}

// Docker's rule: what stands before the first slash is a host if it could not be a user's name.
bool LooksLikeDomain(std::string_view first) {
  return first == "localhost" || first.find_first_of(".:[") != std::string_view::npos ||
         std::any_of(first.begin(), first.end(), IsUpper);
}

}  // namespace

std::string HostWithoutPort(std::string_view domain) {
  if (domain.starts_with('[')) {
    size_t end = domain.find(']');
    return std::string(domain.substr(0, end == std::string_view::npos ? end : end + 1));
  }
  return std::string(domain.substr(0, domain.find(':')));
}

bool IsLocalHost(std::string_view domain) {
  std::string host = HostWithoutPort(domain);
  if (host == "localhost" || host == "[::1]" || host.ends_with(".localhost")) return true;
  // 127.0.0.0/8, and only as four numbers: "127.example.org" is not this machine.
  if (!host.starts_with("127.")) return false;
  int dots = 0;
  for (char c : host) {
    if (c == '.') {
      ++dots;
    } else if (!IsNumber(c)) {
      return false;
    }
  }
  return dots == 3;
}

base::Result<Reference> Reference::Parse(std::string_view text) {
  if (text.empty()) return Bad(text, "it is empty");
  if (text.find("://") != std::string_view::npos)
    return Bad(text, "leave out the scheme; a registry's host comes first");
  Reference reference;
  std::string_view rest = text;
  if (size_t at = rest.find('@'); at != std::string_view::npos) {
    reference.digest = std::string(rest.substr(at + 1));
    if (!oci::IsDigest(reference.digest))
      return Bad(text, "the digest after '@' must be sha256: and 64 lower-case hex digits");
    rest = rest.substr(0, at);
  }
  if (size_t slash = rest.find('/');
      slash != std::string_view::npos && LooksLikeDomain(rest.substr(0, slash))) {
    reference.domain = std::string(rest.substr(0, slash));
    if (!IsDomain(reference.domain))
      return Bad(text,
                 fmt::format("\"{}\" is not a host name with an optional port", reference.domain));
    rest = rest.substr(slash + 1);
  }
  if (size_t colon = rest.rfind(':'); colon != std::string_view::npos) {
    reference.tag = std::string(rest.substr(colon + 1));
    TRY(CheckTag(text, reference.tag));
    rest = rest.substr(0, colon);
  }
  if (rest.empty()) return Bad(text, "it has no name");
  TRY(CheckRepository(text, rest));
  reference.repository = std::string(rest);
  if (reference.domain.empty() || reference.domain == "index.docker.io")
    reference.domain = "docker.io";
  if (reference.domain == "docker.io" && reference.repository.find('/') == std::string::npos)
    reference.repository = "library/" + reference.repository;
  if (reference.Name().size() > kMaxNameLength)
    return Bad(text, fmt::format("the name is longer than {} characters", kMaxNameLength));
  bool hex_only = reference.domain == "docker.io" && reference.tag.empty() && text.size() == 64 &&
                  std::all_of(text.begin(), text.end(),
                              [](char c) { return IsNumber(c) || (c >= 'a' && c <= 'f'); });
  if (hex_only) return Bad(text, "64 hex digits are an image id, which has no registry");
  if (reference.tag.empty() && reference.digest.empty()) reference.tag = "latest";
  return reference;
}

std::string Reference::ToString() const {
  std::string text = Name();
  if (!tag.empty()) text += ":" + tag;
  if (!digest.empty()) text += "@" + digest;
  return text;
}

std::string Reference::FamiliarName() const {
  if (domain != "docker.io") return Name();
  return repository.starts_with("library/") ? repository.substr(8) : repository;
}

std::string Reference::RegistryHost() const {
  return domain == "docker.io" ? "registry-1.docker.io" : domain;
}

bool Reference::IsLocal() const { return IsLocalHost(domain); }

}  // namespace holt::image
