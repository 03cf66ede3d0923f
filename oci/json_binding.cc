#include "oci/json_binding.h"

namespace holt::oci {
namespace {

// The deepest nesting of the text's brackets, those within strings not counted.
int Depth(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

base::Result<Json> ParseJsonText(std::string_view text, std::string_view what, size_t max_bytes,
                                 int max_depth) {
  if (text.size() > max_bytes)
    return base::MakeError(base::Code::kInvalidArgument, "{}: {} bytes, more than the {} allowed",
                           what, text.size(), max_bytes);
  if (Depth(text) > max_depth)
    return base::MakeError(base::Code::kInvalidArgument, "{}: nested deeper than {} levels", what,
                           max_depth);
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded())
    return base::MakeError(base::Code::kInvalidArgument, "{}: not valid JSON", what);
  return json;
}

std::string DumpJson(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace holt::oci
