#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "image/registry/auth.h"

namespace {

void Require(bool ok) {
  if (!ok) std::abort();
}

// Fit for a terminal and for one line of a log.
void RequireTame(std::string_view text) {
  Require(std::none_of(text.begin(), text.end(),
                       [](unsigned char c) { return (c < ' ' && c != '\t') || c == 0x7f; }));
}

}  // namespace

// A file that somebody else may have written: whatever comes of it can be shown, and what is sent
// to the registry is one header's value that says the same to the other side.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holt::image;
  // SAFETY: chars view of the fuzzer's bytes, read only.
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const char* name : {"r.example:5000/team/x", "debian"}) {
    auto found = registry::ParseAuthFile(text, "auth.json", *Reference::Parse(name));
    if (!found) {
      RequireTame(found.error().message());
      continue;
    }
    RequireTame(found->helper);
    if (!found->credentials) continue;
    const registry::Credentials& login = *found->credentials;
    Require(!login.user.empty());
    const std::string pair = login.user + ":" + login.password;
    const std::string encoded = registry::EncodeBase64(pair);
    Require(std::all_of(encoded.begin(), encoded.end(), [](unsigned char c) {
      return isalnum(c) || c == '+' || c == '/' || c == '=';
    }));
    Require(registry::DecodeBase64(encoded) == pair);
  }
  if (auto plain = registry::DecodeBase64(text))
    Require(registry::DecodeBase64(registry::EncodeBase64(*plain)) == plain);
  return 0;
}
