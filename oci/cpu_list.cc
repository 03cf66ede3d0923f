#include "oci/cpu_list.h"

#include <charconv>

namespace holt::oci {
namespace {

// One number from the front of `text`; false if there is none.
bool TakeNumber(std::string_view& text, uint32_t& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

bool TakeRange(std::string_view& text, CpuRange& range) {
  if (!TakeNumber(text, range.first)) return false;
  range.last = range.first;
  if (!text.starts_with('-')) return true;
  text.remove_prefix(1);
  return TakeNumber(text, range.last) && range.first <= range.last;
}

}  // namespace

base::Result<std::vector<CpuRange>> ParseCpuList(std::string_view text, const std::string& path) {
  std::string_view rest = text;
  std::vector<CpuRange> ranges;
  for (;;) {
    CpuRange range;
    bool good = TakeRange(rest, range) && (rest.empty() || rest.starts_with(','));
    if (!good)
      return base::MakeError(base::Code::kInvalidArgument,
                             "{}: \"{}\" is not a list of CPUs such as 0-3,7", path,
                             text.substr(0, 100));
    ranges.push_back(range);
    if (rest.empty()) return ranges;
    rest.remove_prefix(1);
  }
}

}  // namespace holt::oci
