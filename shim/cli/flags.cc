#include "shim/cli/flags.h"

#include <algorithm>

#include "shim/run/values.h"

namespace holt::shim::cli {
namespace {

using base::Code;
using base::MakeError;

constexpr size_t kHelpColumn = 34;
constexpr size_t kHelpWidth = 100;

base::Result<bool> ParseBool(const std::string& value) {
  if (value == "true" || value == "1") return true;
  if (value == "false" || value == "0") return false;
  return MakeError(Code::kInvalidArgument, "\"{}\": must be true or false", value);
}

// `text` in lines that begin at kHelpColumn.
std::string Wrapped(std::string_view text) {
  std::string out;
  size_t column = kHelpColumn;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find(' ', at), text.size());
    if (column + (end - at) > kHelpWidth && column > kHelpColumn) {
      out += "\n" + std::string(kHelpColumn, ' ');
      column = kHelpColumn;
    } else if (column > kHelpColumn) {
      out += ' ';
      ++column;
    }
    out += text.substr(at, end - at);
    column += end - at;
    at = end + 1;
  }
  return out;
}

}  // namespace

std::string Flags::Flag::Name() const {
  return long_name.empty() ? std::string("-") + short_name : "--" + long_name;
}

void Flags::Add(std::string_view names, std::string_view placeholder, std::string_view help,
                Setter setter) {
  Flag flag;
  if (names.size() >= 2 && names[0] == '-' && names[1] != '-') {
    flag.short_name = names[1];
    names.remove_prefix(std::min(names.size(), names.find("--") == std::string_view::npos
                                                   ? names.size()
                                                   : names.find("--")));
  }
  if (names.starts_with("--")) flag.long_name = names.substr(2);
  HOLT_CHECK(flag.short_name != 0 || !flag.long_name.empty());
  flag.placeholder = placeholder;
  flag.help = help;
  flag.setter = std::move(setter);
  flags_.push_back(std::move(flag));
}

void Flags::Bool(std::string_view names, bool& target, std::string_view help) {
  Add(names, "", help, [&target](const std::string& value) -> base::Status {
    TRY_ASSIGN(target, ParseBool(value));
    return {};
  });
}

void Flags::String(std::string_view names, std::string& target, std::string_view placeholder,
                   std::string_view help) {
  Add(names, placeholder, help, [&target](const std::string& value) -> base::Status {
    target = value;
    return {};
  });
}

void Flags::List(std::string_view names, std::vector<std::string>& target,
                 std::string_view placeholder, std::string_view help) {
  Add(names, placeholder, help, [&target](const std::string& value) -> base::Status {
    target.push_back(value);
    return {};
  });
}

void Flags::Integer(std::string_view names, int64_t& target, int64_t low, int64_t high,
                    std::string_view placeholder, std::string_view help) {
  Add(names, placeholder, help, [&target, low, high](const std::string& value) -> base::Status {
    TRY_ASSIGN(target, ParseInteger(value, low, high));
    return {};
  });
}

void Flags::Choice(std::string_view names, std::string& target, std::vector<std::string> words,
                   std::string_view help) {
  std::string placeholder = fmt::format("{}", fmt::join(words, "|"));
  Add(names, placeholder, help,
      [&target, words = std::move(words)](const std::string& value) -> base::Status {
        if (std::find(words.begin(), words.end(), value) == words.end())
          return MakeError(Code::kInvalidArgument, "\"{}\": must be one of {}", value,
                           fmt::join(words, ", "));
        target = value;
        return {};
      });
}

void Flags::Value(std::string_view names, std::string_view placeholder, std::string_view help,
                  Setter setter) {
  Add(names, placeholder, help, std::move(setter));
}

void Flags::Unsupported(std::string_view names, bool takes_value, std::string_view why) {
  Add(names, takes_value ? "VALUE" : "", "",
      [why = std::string(why)](const std::string& value) -> base::Status {
        if (value == "false") return {};
        return base::Error(Code::kUnsupported, "not supported: " + why);
      });
  flags_.back().hidden = true;
}

void Flags::Operands(std::string_view usage, size_t min, size_t max,
                     std::vector<std::string>& target) {
  operand_usage_ = usage;
  min_operands_ = min;
  max_operands_ = max;
  operands_ = &target;
}

base::Result<const Flags::Flag*> Flags::Find(std::string_view name) const {
  for (const Flag& flag : flags_)
    if (name == flag.long_name ||
        (name.size() == 1 && name[0] == flag.short_name && flag.short_name != 0))
      return &flag;
  return MakeError(Code::kInvalidArgument, "unknown flag: {}{}", name.size() == 1 ? "-" : "--",
                   name);
}

base::Status Flags::Set(const Flag& flag, const std::string& value) {
  TRY_CONTEXT(flag.setter(value), flag.Name());
  given_.push_back(flag.long_name.empty() ? std::string(1, flag.short_name) : flag.long_name);
  return {};
}

base::Status Flags::ParseLong(const std::vector<std::string>& args, size_t& at) {
  std::string name = args[at].substr(2);
  size_t equals = name.find('=');
  std::optional<std::string> value;
  if (equals != std::string::npos) {
    value = name.substr(equals + 1);
    name.resize(equals);
  }
  if (name == "help") {
    help_wanted_ = true;
    return {};
  }
  // A single letter is no long flag.
  if (name.size() < 2) return MakeError(Code::kInvalidArgument, "unknown flag: --{}", name);
  TRY_ASSIGN(const Flag* flag, Find(name));
  if (flag->placeholder.empty()) return Set(*flag, value.value_or("true"));
  if (!value) {
    if (++at == args.size())
      return MakeError(Code::kInvalidArgument, "--{}: needs a value ({})", name, flag->placeholder);
    value = args[at];
  }
  return Set(*flag, *value);
}

base::Status Flags::ParseShort(const std::vector<std::string>& args, size_t& at) {
  const std::string& arg = args[at];
  for (size_t i = 1; i < arg.size(); ++i) {
    std::string_view name(arg.data() + i, 1);
    auto flag = Find(name);
    if (!flag && name == "h") {
      help_wanted_ = true;
      return {};
    }
    if (!flag) return std::move(flag).error();
    if ((*flag)->placeholder.empty()) {
      TRY(Set(**flag, "true"));
      continue;
    }
    std::string value = arg.substr(i + 1);
    if (i + 1 == arg.size()) {
      if (++at == args.size())
        return MakeError(Code::kInvalidArgument, "-{}: needs a value ({})", name,
                         (*flag)->placeholder);
      value = args[at];
    } else if (value[0] == '=') {
      value.erase(0, 1);
    }
    return Set(**flag, value);
  }
  return {};
}

base::Status Flags::Parse(const std::vector<std::string>& args) {
  std::vector<std::string> operands;
  bool only_operands = false;
  for (size_t at = 0; at < args.size() && !help_wanted_; ++at) {
    const std::string& arg = args[at];
    if (only_operands || arg.size() < 2 || arg[0] != '-') {
      operands.push_back(arg);
      only_operands = only_operands || stop_at_operand_;
    } else if (arg == "--") {
      only_operands = true;
    } else if (arg[1] == '-') {
      TRY(ParseLong(args, at));
    } else {
      TRY(ParseShort(args, at));
    }
  }
  if (help_wanted_) return {};
  if (operands.size() < min_operands_)
    return MakeError(Code::kInvalidArgument, "missing argument: {}", operand_usage_);
  if (operands.size() > max_operands_)
    return MakeError(Code::kInvalidArgument, "unexpected argument: \"{}\"",
                     operands[max_operands_]);
  if (operands_ != nullptr) *operands_ = std::move(operands);
  return {};
}

std::string Flags::Help() const {
  std::string out;
  for (const Flag& flag : flags_) {
    if (flag.hidden) continue;
    std::string left = flag.short_name == 0 ? "      " : fmt::format("  -{}", flag.short_name);
    if (flag.short_name != 0 && !flag.long_name.empty()) left += ", ";
    if (!flag.long_name.empty()) left += "--" + flag.long_name;
    if (!flag.placeholder.empty()) left += " " + flag.placeholder;
    if (left.size() + 2 > kHelpColumn) {
      left += "\n" + std::string(kHelpColumn, ' ');
    } else {
      left.resize(kHelpColumn, ' ');
    }
    out += left + Wrapped(flag.help) + "\n";
  }
  return out;
}

}  // namespace holt::shim::cli
