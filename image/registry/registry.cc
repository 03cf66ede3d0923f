#include "image/registry/registry.h"

#include <time.h>

#include <algorithm>

#include "base/log.h"
#include "oci/json_binding.h"

namespace holt::image::registry {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

constexpr int kMostRedirects = 5;
constexpr size_t kMaxPing = 64 << 10;

bool IsRedirect(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// "Content-Range: bytes 100-199/200": does it begin at `offset`, in a whole of `size`?
bool FitsRange(std::string_view value, uint64_t offset, uint64_t size) {
  return value == fmt::format("bytes {}-{}/{}", offset, size - 1, size) ||
         value == fmt::format("bytes {}-{}/*", offset, size - 1);
}

}  // namespace

// A client for the length of a request; its connection stays for the next one.
class Registry::Lease {
 public:
  explicit Lease(Registry& registry) : registry_(registry), client_(registry.TakeClient()) {}
  ~Lease() { registry_.GiveClient(std::move(client_)); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  HttpClient& operator*() { return *client_; }

 private:
  Registry& registry_;
  std::unique_ptr<HttpClient> client_;
};

std::unique_ptr<HttpClient> Registry::TakeClient() {
  std::lock_guard lock(mutex_);
  if (idle_.empty()) return std::make_unique<HttpClient>(options_.timeouts, options_.tls_verify);
  auto client = std::move(idle_.back());
  idle_.pop_back();
  return client;
}

void Registry::GiveClient(std::unique_ptr<HttpClient> client) {
  std::lock_guard lock(mutex_);
  idle_.push_back(std::move(client));
}

Result<std::unique_ptr<Registry>> Registry::Open(const Reference& reference,
                                                 const PullOptions& options) {
  std::unique_ptr<Registry> self(new Registry(reference, options));
  TRY_ASSIGN(self->login_, FindCredentials(AuthPlaces::Usual(options.auth_file), reference));
  TRY(self->FindScheme());
  return self;
}

Status Registry::FindScheme() {
  TRY_ASSIGN(origin_, Url::Parse("https://" + reference_.RegistryHost()));
  if (!insecure_ && !reference_.IsLocal()) return {};
  // Encrypted if it can be; anything but "that is no TLS" is found again, and explained, later.
  HttpRequest request{.url = origin_.text + "v2/", .max_bytes = kMaxPing};
  Lease client(*this);
  auto answer = (*client).Get(request);
  if (!answer && answer.error().err() == kNotTls) {
    TRY_ASSIGN(origin_, Url::Parse("http://" + reference_.RegistryHost()));
  }
  return {};
}

std::string Registry::Path(const std::string& rest) const {
  return fmt::format("{}v2/{}/{}", origin_.text, reference_.repository, rest);
}

Result<HttpResponse> Registry::SendTo(HttpClient& client, HttpRequest& request, const Url& url) {
  request.url = url.text;
  std::string used;
  // Credentials are for the registry itself, never for where it points to.
  bool own = url.SameOrigin(origin_);
  for (int attempt = 0;; ++attempt) {
    if (own) {
      std::lock_guard lock(mutex_);
      used = authorization_;
    }
    HttpRequest now = request;
    if (!used.empty()) now.headers.push_back("Authorization: " + used);
    TRY_ASSIGN(HttpResponse response, client.Get(now));
    reached_ = true;
    // Twice: a token that was there may have run out just before the new one is asked for.
    if (response.status != 401 || !own || attempt == 2) return response;
    TRY_ASSIGN(bool again, Authorize(client, response, used));
    if (!again) return response;
  }
}

Result<HttpResponse> Registry::Send(HttpClient& client, HttpRequest request) {
  TRY_ASSIGN(Url url, Url::Parse(request.url));
  for (int redirects = 0;; ++redirects) {
    TRY_ASSIGN(HttpResponse response, SendTo(client, request, url));
    if (!IsRedirect(response.status)) return response;
    if (redirects == kMostRedirects)
      return MakeError(Code::kFailedPrecondition, "{} redirects more than {} times", origin_.host,
                       kMostRedirects);
    TRY_ASSIGN(url, FollowRedirect(url, response.Header("location"), insecure_));
  }
}

Result<HttpResponse> Registry::SendAgain(HttpRequest request, const std::string& what) {
  Retry retry(options_.retry, request.cancelled, [&](const std::string& text) {
    if (options_.progress)
      options_.progress->Message(fmt::format("{}: {}", reference_.ToString(), text));
  });
  while (true) {
    Lease client(*this);
    auto response = Send(*client, request);
    if (response && response->status >= 200 && response->status < 300) return response;
    TRY(retry.Wait(response ? Explain(*response, what) : Explain(std::move(response).error())));
  }
}

Result<Registry::Manifest> Registry::FetchManifest(const std::string& key) {
  HttpRequest request{.url = Path("manifests/" + key), .max_bytes = oci::kMaxManifestBytes};
  request.headers.push_back(fmt::format("Accept: {}, {}, {}, {}", oci::kOciIndex, oci::kDockerIndex,
                                        oci::kOciManifest, oci::kDockerManifest));
  auto response = SendAgain(std::move(request), "manifest");
  if (!response) return std::move(response).error();
  Manifest manifest{.text = std::move(response->body),
                    .media_type = response->Header("content-type")};
  manifest.media_type = manifest.media_type.substr(0, manifest.media_type.find_first_of("; \t"));
  if (auto digest = Digest::Parse(key)) {
    Hasher hasher(digest->algorithm());
    hasher.Update(manifest.text);
    if (Digest real = hasher.Finish(); real != *digest)
      return MakeError(Code::kDataLoss, "manifest: wrong digest: the registry sent {}, not {}",
                       real.text(), digest->text());
  }
  return manifest;
}

Result<std::string> Registry::FetchBlob(const oci::Descriptor& descriptor, size_t most) {
  TRY_ASSIGN(Digest digest, Digest::Parse(descriptor.digest));
  auto size = static_cast<uint64_t>(descriptor.size);
  if (size > most)
    return MakeError(Code::kResourceExhausted, "{} has {} bytes, at most {} are allowed",
                     digest.text(), size, most);
  HttpRequest request{.url = Path("blobs/" + digest.text()), .max_bytes = size};
  TRY_ASSIGN(HttpResponse response, SendAgain(std::move(request), "blob " + digest.Short()));
  Hasher hasher(digest.algorithm());
  hasher.Update(response.body);
  if (Digest real = hasher.Finish(); real != digest)
    return MakeError(Code::kDataLoss, "wrong digest: the registry sent {}, not {}", real.text(),
                     digest.text());
  return std::move(response.body);
}

std::optional<Failure> Registry::Download(const Digest& digest, uint64_t offset, uint64_t size,
                                          const Sink& sink, const Cancelled& cancelled) {
  uint64_t skip = 0;
  uint64_t left = size - offset;
  HttpRequest request{
      .url = Path("blobs/" + digest.text()), .range_from = offset, .cancelled = cancelled};
  request.begin = [&](const HttpResponse& response) -> Status {
    if (response.status == 206) {
      if (!FitsRange(response.Header("content-range"), offset, size))
        return MakeError(Code::kFailedPrecondition,
                         "the registry sent another part than the one asked for ({})",
                         base::log::Sanitize(response.Header("content-range").substr(0, 100)));
      return {};
    }
    // The whole again: what is there already passes by.
    skip = offset;
    return {};
  };
  request.sink = [&](std::string_view bytes) -> Status {
    size_t passed = static_cast<size_t>(std::min<uint64_t>(skip, bytes.size()));
    skip -= passed;
    bytes.remove_prefix(passed);
    if (bytes.size() > left)
      return MakeError(Code::kFailedPrecondition,
                       "the registry sends more than the {} bytes that the manifest says", size);
    left -= bytes.size();
    return bytes.empty() ? Status() : sink(bytes);
  };
  Lease client(*this);
  auto response = Send(*client, std::move(request));
  if (!response) return Explain(std::move(response).error());
  if (response->status < 200 || response->status >= 300)
    return Explain(*response, "blob " + digest.Short());
  if (left > 0)
    return Failure{MakeError(Code::kUnavailable, "the connection ended {} bytes early", left),
                   true};
  return std::nullopt;
}

}  // namespace holt::image::registry
