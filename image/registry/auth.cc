#include "image/registry/auth.h"

#include <openssl/evp.h>
#include <unistd.h>

#include <cstdlib>

#include "base/file.h"
#include "base/log.h"
#include "oci/json_binding.h"

namespace holt::image::registry {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using oci::Json;

namespace {

constexpr size_t kMaxAuthFile = 1 << 20;

std::string Environment(const char* name) {
  const char* value = getenv(name);
  return value ? value : "";
}

// The keys under which a file may have the registry, best first.
std::vector<std::string> Keys(const Reference& reference) {
  std::vector<std::string> keys;
  std::string name = reference.Name();
  while (true) {
    keys.push_back(name);
    size_t slash = name.rfind('/');
    if (slash == std::string::npos) break;
    name.resize(slash);
  }
  for (const char* form :
       {"https://{}", "http://{}", "https://{}/", "https://{}/v1/", "https://{}/v2/"})
    keys.push_back(fmt::format(fmt::runtime(form), reference.domain));
  if (reference.domain == "docker.io")
    for (const char* old :
         {"https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io"})
      keys.emplace_back(old);
  return keys;
}

const Json* Member(const Json& object, const std::string& name) {
  if (!object.is_object()) return nullptr;
  auto it = object.find(name);
  return it == object.end() ? nullptr : &*it;
}

std::string Text(const Json& object, const std::string& name) {
  const Json* value = Member(object, name);
  return value && value->is_string() ? value->get<std::string>() : "";
}

Result<std::optional<Credentials>> ReadEntry(const Json& entry, const std::string& key,
                                             const std::string& path) {
  Credentials found{
      .user = Text(entry, "username"), .password = Text(entry, "password"), .file = path};
  if (!Text(entry, "identitytoken").empty())
    return MakeError(
        Code::kUnsupported,
        "{}: \"{}\" has an identity token, which holt cannot use; log in with a user name "
        "and a password (or access token)",
        path, base::log::Sanitize(key));
  if (std::string auth = Text(entry, "auth"); !auth.empty()) {
    auto plain = DecodeBase64(auth);
    size_t colon = plain ? plain->find(':') : std::string::npos;
    if (colon == std::string::npos)
      return MakeError(Code::kInvalidArgument,
                       "{}: \"auth\" of \"{}\" is not base64 of USER:PASSWORD; log in again", path,
                       base::log::Sanitize(key));
    found.user = plain->substr(0, colon);
    found.password = plain->substr(colon + 1);
    // Docker pads what it encodes with NULs.
    while (found.password.ends_with('\0')) found.password.pop_back();
  }
  if (found.user.empty()) return std::optional<Credentials>();
  return std::optional(std::move(found));
}

Status Search(const std::string& path, const Json& json, const std::vector<std::string>& keys,
              AuthLookup& lookup) {
  const Json* auths = Member(json, "auths");
  for (const std::string& key : keys) {
    const Json* entry = auths ? Member(*auths, key) : nullptr;
    if (entry) {
      TRY_ASSIGN(lookup.credentials, ReadEntry(*entry, key, path));
    }
    if (lookup.credentials) return {};
    const Json* helpers = Member(json, "credHelpers");
    std::string helper = helpers ? Text(*helpers, key) : "";
    if (helper.empty() && entry) helper = Text(json, "credsStore");
    if (!helper.empty() && lookup.helper.empty())
      lookup.helper = fmt::format("{} keeps the login with docker-credential-{}", path,
                                  base::log::Sanitize(helper.substr(0, 100)));
  }
  return {};
}

}  // namespace

AuthPlaces AuthPlaces::Usual(const std::string& auth_file) {
  std::string named = auth_file.empty() ? Environment("REGISTRY_AUTH_FILE") : auth_file;
  if (!named.empty()) return {.files = {named}, .must_exist = true};
  AuthPlaces places;
  std::string home = Environment("HOME");
  if (std::string runtime = Environment("XDG_RUNTIME_DIR"); !runtime.empty())
    places.files.push_back(runtime + "/containers/auth.json");
  else
    places.files.push_back(fmt::format("/run/containers/{}/auth.json", getuid()));
  std::string config = Environment("XDG_CONFIG_HOME");
  if (config.empty() && !home.empty()) config = home + "/.config";
  if (!config.empty()) places.files.push_back(config + "/containers/auth.json");
  std::string docker = Environment("DOCKER_CONFIG");
  if (docker.empty() && !home.empty()) docker = home + "/.docker";
  if (!docker.empty()) places.files.push_back(docker + "/config.json");
  return places;
}

Result<AuthLookup> ParseAuthFile(const std::string& text, const std::string& path,
                                 const Reference& reference) {
  AuthLookup lookup;
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return lookup;
  // The parser's message, which quotes the text, stays out.
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object())
    return MakeError(Code::kInvalidArgument, "{} is not a JSON object; log in again", path);
  TRY(Search(path, json, Keys(reference), lookup));
  return lookup;
}

Result<AuthLookup> FindCredentials(const AuthPlaces& places, const Reference& reference) {
  AuthLookup lookup;
  for (const std::string& path : places.files) {
    auto text = base::ReadFile(path, kMaxAuthFile);
    if (!text) {
      bool missing = text.error().err() == ENOENT || text.error().err() == ENOTDIR;
      if (missing && !places.must_exist) continue;
      return std::move(text).error().Wrap("credentials");
    }
    TRY_ASSIGN_CONTEXT(AuthLookup found, ParseAuthFile(*text, path, reference), "credentials");
    if (lookup.helper.empty()) lookup.helper = std::move(found.helper);
    lookup.credentials = std::move(found.credentials);
    if (lookup.credentials) return lookup;
  }
  return lookup;
}

std::optional<std::string> DecodeBase64(std::string_view text) {
  if (text.size() % 4 != 0 || text.size() > kMaxAuthFile) return std::nullopt;
  if (text.empty()) return "";
  std::string out(text.size() / 4 * 3, '\0');
  // SAFETY: characters seen as bytes, for the call, which writes three for every four.
  int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                               reinterpret_cast<const unsigned char*>(text.data()),
                               static_cast<int>(text.size()));
  size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  if (length < 0 || static_cast<size_t>(length) < padding) return std::nullopt;
  out.resize(static_cast<size_t>(length) - padding);
  return out;
}

std::string EncodeBase64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  // SAFETY: as above; EVP_EncodeBlock adds a NUL.
  int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                               reinterpret_cast<const unsigned char*>(bytes.data()),
                               static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(length));
  return out;
}

}  // namespace holt::image::registry
