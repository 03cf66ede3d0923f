#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/digest.h"
#include "image/pull.h"
#include "image/registry/auth.h"
#include "image/registry/challenge.h"
#include "image/registry/http.h"
#include "image/registry/retry.h"
#include "image/registry/url.h"
#include "oci/image_spec.h"

namespace holt::image::registry {

// One repository of a registry (OCI distribution spec 1.1), for the time of a pull. Thread safe:
// each request takes a connection of its own. The registry is hostile until a digest says
// otherwise.
class Registry {
 public:
  using Cancelled = std::function<bool()>;

  // Looks the credentials up and finds out whether it speaks https, or http where that is allowed.
  // `options` must outlive it.
  static base::Result<std::unique_ptr<Registry>> Open(const Reference& reference,
                                                      const PullOptions& options);

  struct Manifest {
    std::string text;
    std::string media_type;  // as served, without parameters
  };
  // By tag or digest; a digest is checked.
  base::Result<Manifest> FetchManifest(const std::string& key);
  // A small blob whole, size and digest checked.
  base::Result<std::string> FetchBlob(const oci::Descriptor& descriptor, size_t most);

  // One attempt at the bytes of a blob from `offset` on. `sink` gets them in order, never more than
  // up to `size`. What was delivered counts even when the attempt failed.
  using Sink = std::function<base::Status(std::string_view)>;
  std::optional<Failure> Download(const Digest& digest, uint64_t offset, uint64_t size,
                                  const Sink& sink, const Cancelled& cancelled);

  const PullOptions& options() const { return options_; }

 private:
  struct Answer;
  class Lease;
  Registry(const Reference& reference, const PullOptions& options)
      : reference_(reference), options_(options), insecure_(!options.tls_verify) {}

  base::Status FindScheme();
  std::string Path(const std::string& rest) const;
  // Follows redirects and answers challenges; `request.url` is the first address.
  base::Result<HttpResponse> Send(HttpClient& client, HttpRequest request);
  base::Result<HttpResponse> SendTo(HttpClient& client, HttpRequest& request, const Url& url);
  // Makes the credentials that the registry asks for. False: it asks for none that are there.
  base::Result<bool> Authorize(HttpClient& client, const HttpResponse& refusal,
                               const std::string& used);
  base::Result<std::string> FetchToken(HttpClient& client, const Challenge& challenge);
  // Send until it works or retrying is over; only 2xx comes back.
  base::Result<HttpResponse> SendAgain(HttpRequest request, const std::string& what);
  Failure Explain(base::Error error) const;
  Failure Explain(const HttpResponse& response, const std::string& what) const;
  std::string LoginMend() const;

  std::unique_ptr<HttpClient> TakeClient();
  void GiveClient(std::unique_ptr<HttpClient> client);

  Reference reference_;
  const PullOptions& options_;
  bool insecure_;
  Url origin_;
  AuthLookup login_;
  std::atomic<bool> reached_{false};  // it answered once

  std::mutex mutex_;
  std::string authorization_;  // value of the header; empty: none yet
  std::vector<std::unique_ptr<HttpClient>> idle_;
};

}  // namespace holt::image::registry
