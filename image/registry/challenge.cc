#include "image/registry/challenge.h"

namespace holt::image::registry {
namespace {

constexpr size_t kMostChallenges = 16;
constexpr size_t kMostValues = 32;

bool IsTokenCharacter(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  void Spaces() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\t')) rest_.remove_prefix(1);
  }
  bool Take(char c) {
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // Spaces and empty elements of a list.
  void Separators() {
    do {
      Spaces();
    } while (Take(','));
  }
  std::string Token() {
    size_t length = 0;
    while (length < rest_.size() && IsTokenCharacter(rest_[length])) ++length;
    std::string token(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return token;
  }
  bool Quoted(std::string& out) {
    if (!Take('"')) return false;
    while (!rest_.empty()) {
      char c = rest_[0];
      rest_.remove_prefix(1);
      if (c == '"') return true;
      if (c == '\\') {
        if (rest_.empty()) return false;
        c = rest_[0];
        rest_.remove_prefix(1);
      }
      out += c;
    }
    return false;
  }
  bool AtEnd() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

std::string Lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return text;
}

}  // namespace

std::vector<Challenge> ParseChallenges(std::string_view header) {
  std::vector<Challenge> challenges;
  Scanner scan(header);
  while (true) {
    scan.Separators();
    if (scan.AtEnd()) return challenges;
    std::string name = Lower(scan.Token());
    if (name.empty()) return challenges;
    scan.Spaces();
    if (!scan.Take('=')) {
      // A word without a value is the next scheme.
      if (challenges.size() == kMostChallenges) return challenges;
      challenges.push_back({.scheme = std::move(name), .values = {}});
      continue;
    }
    if (challenges.empty() || challenges.back().values.size() == kMostValues) return challenges;
    scan.Spaces();
    std::string value = scan.Token();
    if (value.empty() && !scan.Quoted(value)) return challenges;
    challenges.back().values.emplace(std::move(name), std::move(value));
  }
}

}  // namespace holt::image::registry
