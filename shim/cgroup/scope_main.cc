// holt-scope: asks systemd for a scope, over D-Bus.
//
//   holt-scope start UNIT NAME=VALUE...   makes the scope UNIT, and waits until it has started
//   holt-scope set UNIT NAME=VALUE...     changes its properties, until it ends
//
// Values are in GVariant's text format. Exit status: 0, or 1 with the cause on stderr. The
// interface is org.freedesktop.systemd1(5).

#include <systemd/sd-bus.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "shim/cgroup/variant.h"

namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr char kService[] = "org.freedesktop.systemd1";
constexpr char kPath[] = "/org/freedesktop/systemd1";
constexpr char kManager[] = "org.freedesktop.systemd1.Manager";
constexpr char kUnitExists[] = "org.freedesktop.systemd1.UnitExists";
// systemd's own, where there is no D-Bus daemon; systemctl uses it too.
constexpr char kPrivateBus[] = "unix:path=/run/systemd/private";

constexpr auto kJobDeadline = 30s;
// A scope that is just going: until systemd has forgotten it.
constexpr int kExistsTries = 20;
constexpr useconds_t kExistsPauseUs = 50'000;

struct Property {
  std::string name;
  Variant value;
};

struct BusDeleter {
  void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
};
struct MessageDeleter {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using Bus = std::unique_ptr<sd_bus, BusDeleter>;
using Message = std::unique_ptr<sd_bus_message, MessageDeleter>;

class BusError {
 public:
  BusError() = default;
  BusError(const BusError&) = delete;
  BusError& operator=(const BusError&) = delete;
  ~BusError() { sd_bus_error_free(&error_); }
  sd_bus_error* get() { return &error_; }
  bool Is(const char* name) const { return sd_bus_error_has_name(&error_, name) != 0; }
  std::string Text(int result) const {
    return error_.message != nullptr ? error_.message : strerror(-result);
  }

 private:
  sd_bus_error error_ = SD_BUS_ERROR_NULL;
};

// How a call that returned less than 0 failed.
base::Error Failed(std::string_view what, int result) { return base::ErrnoError(-result, what); }

Result<std::vector<Property>> ParseProperties(char** begin, char** end) {
  std::vector<Property> out;
  for (char** word = begin; word != end; ++word) {
    std::string_view text = *word;
    size_t equals = text.find('=');
    if (equals == std::string_view::npos)
      return MakeError(Code::kInvalidArgument, "\"{}\" is no NAME=VALUE", text);
    std::string name(text.substr(0, equals));
    TRY_ASSIGN_CONTEXT(Variant value, ParseVariant(text.substr(equals + 1)), name);
    out.push_back({std::move(name), std::move(value)});
  }
  return out;
}

// On a bus of its own there is no daemon that knows who is who.
struct Connection {
  Bus bus;
  bool direct = false;
};

Result<Connection> Connect() {
  sd_bus* bus = nullptr;
  int by_daemon = sd_bus_open_system(&bus);
  if (by_daemon >= 0) return Connection{Bus(bus), false};
  if (sd_bus_new(&bus) < 0) return Failed("D-Bus", by_daemon);
  Connection out{Bus(bus), true};
  if (sd_bus_set_address(bus, kPrivateBus) < 0 || sd_bus_start(bus) < 0)
    return Failed("cannot be reached over D-Bus", by_daemon);
  return out;
}

template <typename Number>
int AppendNumber(sd_bus_message* message, char type, const std::string& text) {
  // Checked by ParseVariant().
  Number value = text.starts_with('-')
                     ? static_cast<Number>(std::strtoll(text.c_str(), nullptr, 10))
                     : static_cast<Number>(std::strtoull(text.c_str(), nullptr, 10));
  return sd_bus_message_append_basic(message, type, &value);
}

int Append(sd_bus_message* message, const Variant& value);

int AppendItems(sd_bus_message* message, char kind, const std::string& contents,
                const std::vector<Variant>& items) {
  int result = sd_bus_message_open_container(message, kind, contents.c_str());
  for (size_t i = 0; result >= 0 && i < items.size(); ++i) result = Append(message, items[i]);
  return result < 0 ? result : sd_bus_message_close_container(message);
}

int Append(sd_bus_message* message, const Variant& value) {
  const std::string& type = value.type;
  switch (type[0]) {
    case 'b': {
      int truth = value.text == "true" ? 1 : 0;
      return sd_bus_message_append_basic(message, 'b', &truth);
    }
    case 'y':
      return AppendNumber<uint8_t>(message, 'y', value.text);
    case 'n':
      return AppendNumber<int16_t>(message, 'n', value.text);
    case 'q':
      return AppendNumber<uint16_t>(message, 'q', value.text);
    case 'i':
      return AppendNumber<int32_t>(message, 'i', value.text);
    case 'u':
      return AppendNumber<uint32_t>(message, 'u', value.text);
    case 'x':
      return AppendNumber<int64_t>(message, 'x', value.text);
    case 't':
      return AppendNumber<uint64_t>(message, 't', value.text);
    case 'd': {
      double number = std::strtod(value.text.c_str(), nullptr);
      return sd_bus_message_append_basic(message, 'd', &number);
    }
    case 'a':
      return AppendItems(message, 'a', type.substr(1), value.items);
    case '(':
      return AppendItems(message, 'r', type.substr(1, type.size() - 2), value.items);
    case 'v':
      return AppendItems(message, 'v', value.items[0].type, value.items);
    default:
      return sd_bus_message_append_basic(message, type[0], value.text.c_str());
  }
}

Status AppendProperties(sd_bus_message* message, const std::vector<Property>& properties) {
  int result = sd_bus_message_open_container(message, 'a', "(sv)");
  for (const Property& property : properties) {
    if (result >= 0) result = sd_bus_message_open_container(message, 'r', "sv");
    if (result >= 0) result = sd_bus_message_append_basic(message, 's', property.name.c_str());
    if (result >= 0) result = AppendItems(message, 'v', property.value.type, {property.value});
    if (result >= 0) result = sd_bus_message_close_container(message);
    if (result < 0) return Failed(property.name, result);
  }
  if (result >= 0) result = sd_bus_message_close_container(message);
  return result < 0 ? Status(Failed("D-Bus message", result)) : Status();
}

Result<Message> NewCall(sd_bus* bus, const char* method) {
  sd_bus_message* message = nullptr;
  int result = sd_bus_message_new_method_call(bus, &message, kService, kPath, kManager, method);
  if (result < 0) return Failed(method, result);
  return Message(message);
}

// Jobs that have ended, by their object paths, with their results.
using Ended = std::vector<std::pair<std::string, std::string>>;

int OnJobRemoved(sd_bus_message* message, void* data, sd_bus_error* /*error*/) {
  uint32_t id = 0;
  const char* path = nullptr;
  const char* unit = nullptr;
  const char* result = nullptr;
  if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) >= 0)
    static_cast<Ended*>(data)->emplace_back(path, result);
  return 0;
}

Status AwaitJob(sd_bus* bus, const std::string& job, const Ended& ended) {
  auto deadline = Clock::now() + kJobDeadline;
  while (true) {
    for (const auto& [path, result] : ended) {
      if (path != job) continue;
      if (result == "done") return {};
      return MakeError(Code::kUnavailable, "its job ended with \"{}\"", result);
    }
    int result = sd_bus_process(bus, nullptr);
    if (result < 0) return Failed("D-Bus", result);
    if (result > 0) continue;
    auto left = std::chrono::duration_cast<std::chrono::microseconds>(deadline - Clock::now());
    if (left <= 0us) return MakeError(Code::kDeadlineExceeded, "its job does not end");
    result = sd_bus_wait(bus, static_cast<uint64_t>(left.count()));
    if (result < 0 && result != -EINTR) return Failed("D-Bus", result);
  }
}

// Returns the job's object path.
Result<std::string> StartOnce(sd_bus* bus, const char* unit,
                              const std::vector<Property>& properties) {
  TRY_ASSIGN(Message call, NewCall(bus, "StartTransientUnit"));
  int result = sd_bus_message_append(call.get(), "ss", unit, "fail");
  if (result < 0) return Failed("D-Bus message", result);
  TRY(AppendProperties(call.get(), properties));
  result = sd_bus_message_append(call.get(), "a(sa(sv))", 0);
  if (result < 0) return Failed("D-Bus message", result);
  BusError error;
  sd_bus_message* reply = nullptr;
  result = sd_bus_call(bus, call.get(), 0, error.get(), &reply);
  Message owned(reply);
  if (result < 0)
    return base::Error(error.Is(kUnitExists) ? Code::kAlreadyExists : Code::kUnavailable,
                       error.Text(result));
  const char* job = nullptr;
  result = sd_bus_message_read(reply, "o", &job);
  if (result < 0) return Failed("D-Bus reply", result);
  return std::string(job);
}

Status Start(const char* unit, const std::vector<Property>& properties) {
  TRY_ASSIGN(Connection connection, Connect());
  sd_bus* bus = connection.bus.get();
  Ended ended;
  int result = sd_bus_match_signal(bus, nullptr, connection.direct ? nullptr : kService, kPath,
                                   kManager, "JobRemoved", OnJobRemoved, &ended);
  if (result < 0) return Failed("D-Bus", result);
  auto job = StartOnce(bus, unit, properties);
  for (int i = 0; !job && job.error().code() == Code::kAlreadyExists && i < kExistsTries; ++i) {
    // One that failed stays, with its name, until somebody has looked. One that runs stays itself.
    (void)sd_bus_call_method(bus, kService, kPath, kManager, "ResetFailedUnit", nullptr, nullptr,
                             "s", unit);
    usleep(kExistsPauseUs);
    job = StartOnce(bus, unit, properties);
  }
  if (!job) return std::move(job).error();
  return AwaitJob(bus, *job, ended);
}

Status Set(const char* unit, const std::vector<Property>& properties) {
  TRY_ASSIGN(Connection connection, Connect());
  TRY_ASSIGN(Message call, NewCall(connection.bus.get(), "SetUnitProperties"));
  int result = sd_bus_message_append(call.get(), "sb", unit, 1);
  if (result < 0) return Failed("D-Bus message", result);
  TRY(AppendProperties(call.get(), properties));
  BusError error;
  result = sd_bus_call(connection.bus.get(), call.get(), 0, error.get(), nullptr);
  if (result < 0) return base::Error(Code::kUnavailable, error.Text(result));
  return {};
}

Status Run(int argc, char** argv) {
  std::string_view what = argc >= 3 ? argv[1] : "";
  if (what != "start" && what != "set")
    return base::Error(Code::kInvalidArgument, "usage: holt-scope start|set UNIT NAME=VALUE...");
  TRY_ASSIGN(std::vector<Property> properties, ParseProperties(argv + 3, argv + argc));
  return what == "start" ? Start(argv[2], properties) : Set(argv[2], properties);
}

}  // namespace
}  // namespace holt::shim

int main(int argc, char** argv) {
  auto done = holt::shim::Run(argc, argv);
  if (done) return 0;
  (void)fprintf(stderr, "%s\n", done.error().message().c_str());
  return 1;
}
