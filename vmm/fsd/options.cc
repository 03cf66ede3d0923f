#include "vmm/fsd/options.h"

#include <charconv>
#include <limits>

namespace holt::fsd {

using base::Code;
using base::MakeError;
using base::Result;

namespace {

template <typename T>
Result<T> ParseNumber(const std::string& name, const std::string& text, T low, T high) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high)
    return MakeError(Code::kInvalidArgument, "{}: '{}' is not a number from {} to {}", name, text,
                     low, high);
  return value;
}

Result<Cache> ParseCache(const std::string& text) {
  if (text == "none") return Cache::kNone;
  if (text == "metadata") return Cache::kMetadata;
  if (text == "auto") return Cache::kAuto;
  if (text == "always") return Cache::kAlways;
  return MakeError(Code::kInvalidArgument, "--cache: '{}' is none of auto, always, metadata, none",
                   text);
}

Result<Locks> ParseLocks(const std::string& text) {
  if (text == "guest") return Locks::kGuest;
  if (text == "host") return Locks::kHost;
  return MakeError(Code::kInvalidArgument, "--locks: '{}' is neither guest nor host", text);
}

base::Status Apply(Options& options, const std::string& name, const std::string& value) {
  if (name == "--socket-fd") {
    TRY_ASSIGN(options.socket_fd,
               ParseNumber<int>(name, value, 0, std::numeric_limits<int>::max()));
  } else if (name == "--socket-path") {
    options.socket_path = value;
  } else if (name == "--shared-dir-fd") {
    TRY_ASSIGN(options.shared_dir_fd,
               ParseNumber<int>(name, value, 0, std::numeric_limits<int>::max()));
  } else if (name == "--shared-dir") {
    options.shared_dir = value;
  } else if (name == "--cache") {
    TRY_ASSIGN(options.server.cache, ParseCache(value));
  } else if (name == "--locks") {
    TRY_ASSIGN(options.server.locks, ParseLocks(value));
  } else if (name == "--queues") {
    TRY_ASSIGN(options.queues, ParseNumber<unsigned>(name, value, 1, 32));
  } else if (name == "--watch") {
    options.watched.push_back(value);
    options.server.replays = true;
  } else if (name == "--changes-fd") {
    TRY_ASSIGN(options.changes_fd,
               ParseNumber<int>(name, value, 0, std::numeric_limits<int>::max()));
  } else if (name == "--changes-uid") {
    TRY_ASSIGN(options.changes_uid, ParseNumber<uint32_t>(name, value, 0, UINT32_MAX - 1));
  } else if (name == "--max-inode-fds") {
    TRY_ASSIGN(options.server.max_inode_fds, ParseNumber<size_t>(name, value, 16, 1 << 20));
  } else if (name == "--log-level") {
    options.log_level = base::log::LevelFromName(value);
  } else {
    return MakeError(Code::kInvalidArgument, "unknown option {} (holt-fsd --help lists them)",
                     name);
  }
  return {};
}

bool ApplyFlag(Options& options, const std::string& name) {
  if (name == "--readonly") {
    options.server.read_only = true;
  } else if (name == "--writeback") {
    options.server.writeback = true;
  } else if (name == "--no-posix-acl") {
    options.server.posix_acl = false;
  } else if (name == "--help") {
    options.help = true;
  } else if (name == "--version") {
    options.version = true;
  } else {
    return false;
  }
  return true;
}

}  // namespace

Result<Options> ParseOptions(const std::vector<std::string>& arguments) {
  Options options;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (ApplyFlag(options, argument)) continue;
    const size_t equals = argument.find('=');
    if (equals != std::string::npos) {
      TRY(Apply(options, argument.substr(0, equals), argument.substr(equals + 1)));
    } else if (i + 1 < arguments.size()) {
      TRY(Apply(options, argument, arguments[++i]));
    } else {
      // Unknown, or known and without its value: Apply() tells which.
      if (auto status = Apply(options, argument, "");
          !status && status.error().message().starts_with("unknown option"))
        return std::move(status).error();
      return MakeError(Code::kInvalidArgument, "{} needs a value", argument);
    }
  }
  if (options.help || options.version) return options;
  if ((options.socket_fd >= 0) == !options.socket_path.empty())
    return MakeError(Code::kInvalidArgument, "give one of --socket-fd and --socket-path");
  if ((options.shared_dir_fd >= 0) == !options.shared_dir.empty())
    return MakeError(Code::kInvalidArgument, "give one of --shared-dir and --shared-dir-fd");
  if (options.watched.empty() != (options.changes_fd < 0))
    return MakeError(Code::kInvalidArgument, "--watch and --changes-fd go together");
  if (options.changes_fd >= 0 && options.queues > 1)
    return MakeError(Code::kInvalidArgument, "--changes-fd needs --queues 1");
  return options;
}

std::string Usage() {
  return "usage: holt-fsd (--socket-fd N | --socket-path PATH) (--shared-dir DIR | --shared-dir-fd "
         "N) [option...]\n"
         "Serves DIR to one virtual machine as a virtio-fs device over vhost-user.\n"
         "\n"
         "  --socket-fd N        connected vhost-user socket\n"
         "  --socket-path PATH   listen there and serve the first connection\n"
         "  --shared-dir DIR     the directory to share\n"
         "  --shared-dir-fd N    the same, as an open directory\n"
         "  --readonly           refuse every change\n"
         "  --cache MODE         auto (default), always, metadata, none\n"
         "  --locks WHERE        guest (default): kept by the guest's kernel; host: taken on the "
         "host too\n"
         "  --writeback          the guest may hold back what it writes (only it may use the "
         "files)\n"
         "  --queues N           request queues, 1 to 32 (default 1)\n"
         "  --watch PATH         tell of changes that the host makes to what is mounted at PATH of "
         "the share; may be there several times\n"
         "  --changes-fd N       a stream that gets them (rpc/change.h)\n"
         "  --changes-uid UID    whose inotify limits they count against (default 0)\n"
         "  --max-inode-fds N    inodes kept open before they are put away as file handles "
         "(default 16384)\n"
         "  --no-posix-acl       the guest does not enforce access control lists\n"
         "  --log-level LEVEL    debug, info, warning, error\n";
}

}  // namespace holt::fsd
