#include "shim/run/values.h"

#include <signal.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return tolower(c); });
  return out;
}

// The number that `text` begins with; moves `text` behind it. No sign, no exponent, no "inf".
bool TakeDecimal(std::string_view& text, double& out) {
  size_t length = std::min(text.find_first_not_of("0123456789."), text.size());
  if (length == 0 || text[0] == '.') return false;
  auto [end, error] = std::from_chars(text.data(), text.data() + length, out);
  if (error != std::errc() || end != text.data() + length) return false;
  text.remove_prefix(length);
  return true;
}

std::string Quoted(std::string_view text) {
  return fmt::format("\"{}\"", text.size() <= 80 ? text : text.substr(0, 80));
}

struct NamedSignal {
  std::string_view name;
  int number;
};
constexpr NamedSignal kSignals[] = {
    {"HUP", SIGHUP},   {"INT", SIGINT},       {"QUIT", SIGQUIT}, {"ILL", SIGILL},
    {"TRAP", SIGTRAP}, {"ABRT", SIGABRT},     {"BUS", SIGBUS},   {"FPE", SIGFPE},
    {"KILL", SIGKILL}, {"USR1", SIGUSR1},     {"SEGV", SIGSEGV}, {"USR2", SIGUSR2},
    {"PIPE", SIGPIPE}, {"ALRM", SIGALRM},     {"TERM", SIGTERM}, {"STKFLT", SIGSTKFLT},
    {"CHLD", SIGCHLD}, {"CONT", SIGCONT},     {"STOP", SIGSTOP}, {"TSTP", SIGTSTP},
    {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},     {"URG", SIGURG},   {"XCPU", SIGXCPU},
    {"XFSZ", SIGXFSZ}, {"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}, {"WINCH", SIGWINCH},
    {"IO", SIGIO},     {"PWR", SIGPWR},       {"SYS", SIGSYS},   {"IOT", SIGABRT},
    {"POLL", SIGIO},   {"CLD", SIGCHLD}};
// As the kernel and musl number them and as engines do: glibc keeps 32 and 33 to itself.
constexpr int kRealTimeMin = 34;
constexpr int kRealTimeMax = 64;

}  // namespace

base::Result<uint64_t> ParseBytes(std::string_view text) {
  auto invalid = [&](std::string_view why) {
    return MakeError(Code::kInvalidArgument, "{}: {}", Quoted(text), why);
  };
  std::string_view rest = text;
  double number = 0;
  if (!TakeDecimal(rest, number)) return invalid("not a size; write a number and b, k, m, g or t");
  std::string unit = Lower(rest);
  if (unit.size() == 3 && unit.ends_with("ib")) unit.resize(1);
  if (unit.size() == 2 && unit.ends_with("b")) unit.resize(1);
  size_t power = unit.empty() ? 0 : std::string_view("bkmgt").find(unit);
  if (unit.size() > 1 || power == std::string_view::npos)
    return invalid("not a size; write a number and b, k, m, g or t");
  double bytes = std::floor(std::ldexp(number, static_cast<int>(power) * 10));
  if (bytes >= std::ldexp(1.0, 62)) return invalid("is too large");
  return static_cast<uint64_t>(bytes);
}

std::string FormatBytes(uint64_t bytes) {
  const char* unit = "";
  for (const char* next : {"k", "m", "g"}) {
    if (bytes == 0 || bytes % 1024 != 0) break;
    bytes /= 1024;
    unit = next;
  }
  return fmt::format("{}{}", bytes, unit);
}

base::Result<uint32_t> ParseCpus(std::string_view text) {
  std::string_view rest = text;
  double number = 0;
  if (!TakeDecimal(rest, number) || !rest.empty())
    return MakeError(Code::kInvalidArgument, "{}: not a number of processors, like 1.5",
                     Quoted(text));
  if (number < 0.01 || number > 1024)
    return MakeError(Code::kInvalidArgument, "{}: must be within 0.01 and 1024", Quoted(text));
  return static_cast<uint32_t>(std::lround(number * 1000));
}

base::Result<int64_t> ParseInteger(std::string_view text, int64_t low, int64_t high) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || end != text.data() + text.size() || error == std::errc::invalid_argument)
    return MakeError(Code::kInvalidArgument, "{}: not a whole number", Quoted(text));
  if (error != std::errc() || value < low || value > high) {
    if (high == std::numeric_limits<int64_t>::max())
      return MakeError(Code::kInvalidArgument, "{}: must be at least {}", Quoted(text), low);
    return MakeError(Code::kInvalidArgument, "{}: must be within {} and {}", Quoted(text), low,
                     high);
  }
  return value;
}

base::Result<int> ParseSignal(std::string_view text) {
  auto unknown = [&] {
    return MakeError(Code::kInvalidArgument, "{}: no such signal", Quoted(text));
  };
  if (text.empty()) return unknown();
  if (text.find_first_not_of("0123456789") == std::string_view::npos) {
    auto number = ParseInteger(text, 1, kRealTimeMax);
    if (!number) return unknown();
    return static_cast<int>(*number);
  }
  std::string name = Lower(text);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return toupper(c); });
  if (name.starts_with("SIG")) name.erase(0, 3);
  for (const NamedSignal& signal : kSignals)
    if (signal.name == name) return signal.number;
  for (auto [prefix, from, sign] :
       {std::tuple("RTMIN", kRealTimeMin, 1), std::tuple("RTMAX", kRealTimeMax, -1)}) {
    if (!name.starts_with(prefix)) continue;
    std::string_view rest = std::string_view(name).substr(5);
    if (rest.empty()) return from;
    if (rest[0] != (sign > 0 ? '+' : '-')) return unknown();
    auto offset = ParseInteger(rest.substr(1), 0, kRealTimeMax - kRealTimeMin);
    if (!offset) return unknown();
    return from + sign * static_cast<int>(*offset);
  }
  return unknown();
}

std::string SignalName(int number) {
  for (const NamedSignal& signal : kSignals)
    if (signal.number == number) return "SIG" + std::string(signal.name);
  return fmt::format("{}", number);
}

base::Result<oci::Rlimit> ParseUlimit(std::string_view text) {
  auto [name, limits] = SplitKeyValue(text);
  if (name.empty() || limits.empty())
    return MakeError(Code::kInvalidArgument, "{}: write NAME=SOFT[:HARD], like nofile=1024:2048",
                     Quoted(text));
  oci::Rlimit rlimit;
  rlimit.type = "RLIMIT_";
  for (unsigned char c : name) rlimit.type += static_cast<char>(toupper(c));
  auto one = [&](std::string_view value) -> base::Result<uint64_t> {
    if (value == "unlimited" || value == "-1") return std::numeric_limits<uint64_t>::max();
    TRY_ASSIGN(int64_t number, ParseInteger(value, 0, std::numeric_limits<int64_t>::max()));
    return static_cast<uint64_t>(number);
  };
  size_t colon = limits.find(':');
  TRY_ASSIGN(rlimit.soft, one(std::string_view(limits).substr(0, colon)));
  rlimit.hard = rlimit.soft;
  if (colon != std::string::npos) {
    TRY_ASSIGN(rlimit.hard, one(std::string_view(limits).substr(colon + 1)));
  }
  return rlimit;
}

std::pair<std::string, std::string> SplitKeyValue(std::string_view text) {
  size_t equals = text.find('=');
  if (equals == std::string_view::npos) return {std::string(text), ""};
  return {std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

base::Result<int64_t> ParseDuration(std::string_view text) {
  auto invalid = [&] {
    return MakeError(Code::kInvalidArgument, "{}: not a length of time, like 5s or 1m30s",
                     Quoted(text));
  };
  struct Unit {
    std::string_view name;
    double seconds;
  };
  // The longer names first: "ms" begins with "m".
  constexpr Unit kUnits[] = {{"ms", 1e-3}, {"h", 3600}, {"m", 60}, {"s", 1}};
  double total = 0;
  std::string_view rest = text;
  if (rest.empty()) return invalid();
  while (!rest.empty()) {
    double number = 0;
    if (!TakeDecimal(rest, number)) return invalid();
    const Unit* unit = std::find_if(std::begin(kUnits), std::end(kUnits),
                                    [&](const Unit& one) { return rest.starts_with(one.name); });
    if (unit == std::end(kUnits)) return invalid();
    total += number * unit->seconds;
    rest.remove_prefix(unit->name.size());
  }
  if (total > 1e9) return invalid();
  return static_cast<int64_t>(total * 1e9);
}

base::Result<int64_t> ParseTime(std::string_view text, int64_t now_unix_nanos) {
  constexpr int64_t kSecond = 1'000'000'000;
  auto invalid = [&] {
    return MakeError(Code::kInvalidArgument,
                     "{}: not a time; write 2024-05-06T07:08:09Z, Unix seconds or 10m",
                     Quoted(text));
  };
  std::tm date{};
  std::string copy(text);
  const char* end = strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &date);
  if (end != nullptr) {
    if (*end == '.') end += 1 + std::string_view(end + 1).find_first_not_of("0123456789");
    if (std::string_view(end) != "Z" && *end != '\0') return invalid();
    return int64_t{timegm(&date)} * kSecond;
  }
  if (auto seconds = ParseInteger(text, 0, std::numeric_limits<int64_t>::max() / kSecond); seconds)
    return *seconds * kSecond;
  auto before = ParseDuration(text);
  if (!before) return invalid();
  return now_unix_nanos - *before;
}

}  // namespace holt::shim
