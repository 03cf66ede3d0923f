#include "shim/cgroup/variant.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;
using base::Result;

constexpr size_t kMaxText = 64 << 10;
constexpr int kMaxDepth = 16;

struct Keyword {
  std::string_view name;
  std::string_view type;
};
constexpr std::array<Keyword, 12> kKeywords = {{{"boolean", "b"},
                                                {"byte", "y"},
                                                {"int16", "n"},
                                                {"uint16", "q"},
                                                {"int32", "i"},
                                                {"uint32", "u"},
                                                {"int64", "x"},
                                                {"uint64", "t"},
                                                {"double", "d"},
                                                {"string", "s"},
                                                {"objectpath", "o"},
                                                {"signature", "g"}}};

// The length of the complete type at the beginning of `types`; 0: there is none.
size_t TypeLength(std::string_view types, int depth = 0) {
  if (types.empty() || depth > kMaxDepth) return 0;
  if (std::string_view("bynqiuxtdsogv").find(types[0]) != std::string_view::npos) return 1;
  if (types[0] == 'a') {
    size_t item = TypeLength(types.substr(1), depth + 1);
    return item == 0 ? 0 : 1 + item;
  }
  if (types[0] != '(') return 0;
  size_t at = 1;
  while (at < types.size() && types[at] != ')') {
    size_t item = TypeLength(types.substr(at), depth + 1);
    if (item == 0) return 0;
    at += item;
  }
  return at > 1 && at < types.size() ? at + 1 : 0;
}

template <typename Number>
std::optional<std::string> Integer(std::string_view text) {
  bool negative = text.starts_with('-');
  std::string_view digits = text.substr(negative || text.starts_with('+') ? 1 : 0);
  int radix = 10;
  if (digits.starts_with("0x") || digits.starts_with("0X")) {
    digits.remove_prefix(2);
    radix = 16;
  }
  uint64_t magnitude = 0;
  auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), magnitude, radix);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<Number>::max());
  constexpr uint64_t kLeast = std::numeric_limits<Number>::is_signed ? kMost + 1 : 0;
  if (magnitude > (negative ? kLeast : kMost)) return std::nullopt;
  return (negative && magnitude != 0 ? "-" : "") + std::to_string(magnitude);
}

std::optional<std::string> Double(std::string_view text) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return std::nullopt;
  return fmt::format("{}", value);
}

std::optional<std::string> Number(std::string_view text, char type) {
  switch (type) {
    case 'y':
      return Integer<uint8_t>(text);
    case 'n':
      return Integer<int16_t>(text);
    case 'q':
      return Integer<uint16_t>(text);
    case 'i':
      return Integer<int32_t>(text);
    case 'u':
      return Integer<uint32_t>(text);
    case 'x':
      return Integer<int64_t>(text);
    case 't':
      return Integer<uint64_t>(text);
    case 'd':
      return Double(text);
    default:
      return std::nullopt;
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<Variant> Whole() {
    TRY_ASSIGN(Variant value, Value("", 0));
    Skip();
    if (at_ != text_.size()) return Wrong("something follows the value");
    return value;
  }

 private:
  base::Error Wrong(std::string_view what) const {
    return MakeError(Code::kInvalidArgument, "at character {}: {}", at_ + 1, what);
  }
  void Skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n'))
      ++at_;
  }
  char Peek() {
    Skip();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool Take(char c) {
    if (Peek() != c) return false;
    ++at_;
    return true;
  }
  std::string_view Word() {
    Skip();
    size_t begin = at_;
    while (at_ < text_.size() && (isalnum(static_cast<unsigned char>(text_[at_])) != 0 ||
                                  text_[at_] == '.' || text_[at_] == '+' || text_[at_] == '-'))
      ++at_;
    return text_.substr(begin, at_ - begin);
  }

  // `type` is what it has to be; empty: whatever it is.
  Result<Variant> Value(std::string_view type, int depth) {
    if (depth > kMaxDepth) return Wrong("nested too deeply");
    switch (Peek()) {
      case '@':
        return Typed(type, depth);
      case '[':
        return Array(type, depth);
      case '(':
        return Tuple(type, depth);
      case '<':
        return Boxed(type, depth);
      case '\'':
      case '"':
        return String(type);
      default:
        return Plain(type, depth);
    }
  }

  Result<Variant> Typed(std::string_view type, int depth) {
    ++at_;
    std::string_view rest = text_.substr(at_);
    std::string_view given = rest.substr(0, TypeLength(rest));
    if (given.empty()) return Wrong("no type follows the @");
    if (!type.empty() && given != type) return Wrong(fmt::format("must be of type {}", type));
    at_ += given.size();
    return Value(given, depth + 1);
  }

  Result<Variant> Array(std::string_view type, int depth) {
    if (!type.empty() && type[0] != 'a') return Wrong(fmt::format("must be of type {}", type));
    ++at_;
    Variant out;
    std::string item_type(type.empty() ? "" : type.substr(1));
    while (!Take(']')) {
      if (!out.items.empty() && !Take(',')) return Wrong("a comma or ] is missing");
      TRY_ASSIGN(Variant item, Value(item_type, depth + 1));
      item_type = item.type;
      out.items.push_back(std::move(item));
    }
    if (item_type.empty()) return Wrong("an empty array needs a type, as in @as []");
    out.type = "a" + item_type;
    return out;
  }

  Result<Variant> Tuple(std::string_view type, int depth) {
    if (!type.empty() && type[0] != '(') return Wrong(fmt::format("must be of type {}", type));
    ++at_;
    Variant out;
    std::string types;
    size_t next = 1;  // in `type`
    while (!Take(')')) {
      if (!out.items.empty()) {
        if (!Take(',')) return Wrong("a comma or ) is missing");
        if (Take(')')) break;
      }
      std::string_view wanted;
      if (!type.empty()) {
        wanted = type.substr(next, TypeLength(type.substr(next)));
        if (wanted.empty()) return Wrong(fmt::format("must be of type {}", type));
        next += wanted.size();
      }
      TRY_ASSIGN(Variant item, Value(wanted, depth + 1));
      types += item.type;
      out.items.push_back(std::move(item));
    }
    out.type = "(" + types + ")";
    if (out.items.empty()) return Wrong("a tuple of nothing");
    if (!type.empty() && out.type != type) return Wrong(fmt::format("must be of type {}", type));
    return out;
  }

  Result<Variant> Boxed(std::string_view type, int depth) {
    if (!type.empty() && type != "v") return Wrong(fmt::format("must be of type {}", type));
    ++at_;
    Variant out{.type = "v", .text = "", .items = {}};
    TRY_ASSIGN(Variant inner, Value("", depth + 1));
    out.items.push_back(std::move(inner));
    if (!Take('>')) return Wrong("> is missing");
    return out;
  }

  Result<Variant> String(std::string_view type) {
    if (!type.empty() && type != "s" && type != "o" && type != "g")
      return Wrong(fmt::format("must be of type {}", type));
    char quote = text_[at_++];
    Variant out{.type = type.empty() ? "s" : std::string(type), .text = "", .items = {}};
    for (; at_ < text_.size(); ++at_) {
      char c = text_[at_];
      if (c == quote) {
        ++at_;
        return out;
      }
      if (c == '\\') {
        constexpr std::string_view kEscapes = "abfnrtv";
        constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v";
        if (++at_ == text_.size()) break;
        c = text_[at_];
        if (c == 'u' || c == 'U') return Wrong("\\u is not supported: write the character");
        if (size_t which = kEscapes.find(c); which != std::string_view::npos) c = kMeanings[which];
      }
      if (c == '\0') return Wrong("a string has no NUL");
      out.text += c;
    }
    return Wrong("the string does not end");
  }

  Result<Variant> Plain(std::string_view type, int depth) {
    size_t begin = at_;
    std::string_view word = Word();
    auto wrong = [&](std::string_view what) {
      at_ = begin;
      return Wrong(what);
    };
    for (const Keyword& keyword : kKeywords) {
      if (word != keyword.name) continue;
      if (!type.empty() && type != keyword.type)
        return wrong(fmt::format("must be of type {}", type));
      return Value(keyword.type, depth + 1);
    }
    if (word == "true" || word == "false") {
      if (!type.empty() && type != "b") return wrong(fmt::format("must be of type {}", type));
      return Variant{.type = "b", .text = std::string(word), .items = {}};
    }
    if (word.empty() || word.find_first_of("0123456789") == std::string_view::npos)
      return wrong("neither a number nor true, false or a string in quotes");
    bool real = word.find('.') != std::string_view::npos;
    char wanted = type.empty() ? (real ? 'd' : 'i') : type[0];
    auto number = type.size() > 1 ? std::nullopt : Number(word, wanted);
    if (!number)
      return wrong(fmt::format("\"{}\" is no value of type {}", word.substr(0, 40),
                               type.empty() ? std::string_view(&wanted, 1) : type));
    return Variant{.type = std::string(1, wanted), .text = std::move(*number), .items = {}};
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

base::Result<Variant> ParseVariant(std::string_view text) {
  if (text.size() > kMaxText)
    return MakeError(Code::kInvalidArgument, "longer than {} characters", kMaxText);
  return Parser(text).Whole();
}

std::string QuoteVariant(std::string_view text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\\' || c == '\'') out += '\\';
    out += c;
  }
  return out + "'";
}

}  // namespace holt::shim
