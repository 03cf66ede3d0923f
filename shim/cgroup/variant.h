#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holt::shim {

// A value as D-Bus has it, with its type: what a property of a systemd unit is set to.
struct Variant {
  std::string type;            // a D-Bus signature of one complete type: "t", "as", "(st)"
  std::string text;            // of a basic type: "true", "18446744073709551615", the string itself
  std::vector<Variant> items;  // of an array, a tuple, or (one) a variant
  bool operator==(const Variant&) const = default;
};

// GVariant's text format (docs.gtk.org/glib/gvariant-text-format.html), which engines write
// properties in, without maybe types, dictionaries and byte strings: true, 5, uint64 5, 0x10, 1.5,
// 'text', "text", ['a', 'b'], @as [], ('a', uint64 5), <'a'>. A number without a type is an int32
// or, with a point, a double; the first item of an array decides about the others.
base::Result<Variant> ParseVariant(std::string_view text);

// A string in that format.
std::string QuoteVariant(std::string_view text);

}  // namespace holt::shim
