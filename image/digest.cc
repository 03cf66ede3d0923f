#include "image/digest.h"

#include <openssl/evp.h>

#include "oci/image_spec.h"

namespace holt::image {

base::Result<Digest> Digest::Parse(std::string_view text) {
  if (!oci::IsDigest(text))
    return base::MakeError(base::Code::kInvalidArgument,
                           "\"{}\" is not a digest (sha256: and 64 hex digits)",
                           text.substr(0, 150));
  return Digest(std::string(text));
}

void Hasher::Free::operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }

Hasher::Hasher(std::string_view algorithm) : algorithm_(algorithm), context_(EVP_MD_CTX_new()) {
  HOLT_CHECK(context_ != nullptr);
  HOLT_CHECK(EVP_DigestInit_ex(context_.get(), algorithm == "sha512" ? EVP_sha512() : EVP_sha256(),
                               nullptr) == 1);
}

void Hasher::Update(std::span<const std::byte> bytes) {
  HOLT_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

void Hasher::Update(std::string_view bytes) { Update(std::as_bytes(std::span(bytes))); }

Digest Hasher::Finish() {
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  HOLT_CHECK(EVP_DigestFinal_ex(context_.get(), raw, &length) == 1);
  std::string text = algorithm_ + ":";
  for (unsigned i = 0; i < length; ++i) text += fmt::format("{:02x}", raw[i]);
  auto digest = Digest::Parse(text);
  HOLT_CHECK(digest.ok());
  return *digest;
}

Digest Sha256(std::string_view bytes) {
  Hasher hasher;
  hasher.Update(bytes);
  return hasher.Finish();
}

Digest ChainId(const Digest& parent, const Digest& diff_id) {
  return parent.empty() ? diff_id : Sha256(parent.text() + " " + diff_id.text());
}

}  // namespace holt::image
