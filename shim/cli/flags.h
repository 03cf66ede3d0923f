#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// The command line of one subcommand: what it may be, and what it was. Written as GNU tools and
// Docker do: `-it`, `-eNAME`, `-e NAME`, `--env NAME`, `--env=NAME`, `--rm=false`, `--` ends the
// flags.
namespace holt::shim::cli {

class Flags {
 public:
  using Setter = std::function<base::Status(const std::string& value)>;

  // `names` is "-i, --interactive" or either alone. Targets are borrowed and keep their value when
  // the flag is not given; lists are appended to.
  void Bool(std::string_view names, bool& target, std::string_view help);
  void String(std::string_view names, std::string& target, std::string_view placeholder,
              std::string_view help);
  void List(std::string_view names, std::vector<std::string>& target, std::string_view placeholder,
            std::string_view help);
  void Integer(std::string_view names, int64_t& target, int64_t low, int64_t high,
               std::string_view placeholder, std::string_view help);
  // One of `words`.
  void Choice(std::string_view names, std::string& target, std::vector<std::string> words,
              std::string_view help);
  // Anything else. An error of `setter` gets the flag's name in front.
  void Value(std::string_view names, std::string_view placeholder, std::string_view help,
             Setter setter);
  // A flag of another runtime that holt does not have: using it is an error that says why.
  void Unsupported(std::string_view names, bool takes_value, std::string_view why);

  // What is no flag. `usage` is its text for people, "IMAGE [COMMAND [ARG...]]"; fewer than `min`
  // or more than `max` is an error.
  void Operands(std::string_view usage, size_t min, size_t max, std::vector<std::string>& target);
  // From the first operand on everything is one: the command line of somebody else.
  void StopAtFirstOperand() { stop_at_operand_ = true; }

  // Errors are kInvalidArgument.
  base::Status Parse(const std::vector<std::string>& args);
  // -h or --help was there; nothing behind it was looked at.
  bool help_wanted() const { return help_wanted_; }
  // The flags that were there, each as often as it was, by their long names without dashes.
  const std::vector<std::string>& given() const { return given_; }
  // How many of the arguments were read, where StopAtFirstOperand() made it stop.
  const std::string& operand_usage() const { return operand_usage_; }
  // A table of the flags, two spaces in front of each line.
  std::string Help() const;

 private:
  struct Flag {
    char short_name = 0;
    std::string long_name;
    std::string placeholder;  // empty: takes no value
    std::string help;
    bool hidden = false;
    Setter setter;
    std::string Name() const;
  };
  void Add(std::string_view names, std::string_view placeholder, std::string_view help,
           Setter setter);
  base::Result<const Flag*> Find(std::string_view name) const;
  base::Status ParseLong(const std::vector<std::string>& args, size_t& at);
  base::Status ParseShort(const std::vector<std::string>& args, size_t& at);
  base::Status Set(const Flag& flag, const std::string& value);

  std::vector<Flag> flags_;
  std::vector<std::string> given_;
  std::string operand_usage_;
  size_t min_operands_ = 0;
  size_t max_operands_ = 0;
  std::vector<std::string>* operands_ = nullptr;
  bool stop_at_operand_ = false;
  bool help_wanted_ = false;
};

}  // namespace holt::shim::cli
