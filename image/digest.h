#pragma once

#include <openssl/types.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace holt::image {

// "sha256:<hex>" or "sha512:<hex>", syntax checked, so that a value of this type is safe as a file
// name.
class Digest {
 public:
  Digest() = default;
  static base::Result<Digest> Parse(std::string_view text);

  bool empty() const { return text_.empty(); }
  const std::string& text() const { return text_; }
  std::string algorithm() const { return text_.substr(0, 6); }
  std::string hex() const { return text_.substr(7); }
  // As a file name: "sha256-<hex>".
  std::string FileName() const { return algorithm() + "-" + hex(); }
  // As people see it in tables: the first 12 hex digits.
  std::string Short() const { return text_.substr(7, 12); }

  friend bool operator==(const Digest&, const Digest&) = default;
  friend auto operator<=>(const Digest&, const Digest&) = default;

 private:
  explicit Digest(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// Hashes a stream by the algorithm of a digest.
class Hasher {
 public:
  explicit Hasher(std::string_view algorithm = "sha256");
  void Update(std::span<const std::byte> bytes);
  void Update(std::string_view bytes);
  // Once.
  Digest Finish();

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const;
  };
  std::string algorithm_;
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

Digest Sha256(std::string_view bytes);

// The chain id of a layer on top of `parent` (empty for the lowest), OCI image spec, "Layer
// ChainID".
Digest ChainId(const Digest& parent, const Digest& diff_id);

}  // namespace holt::image
