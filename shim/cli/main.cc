// holt, the command: the flags in front of the subcommand, and the subcommand. docs/cli.md.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "image/store.h"
#include "shim/cli/command.h"
#include "shim/cli/report.h"
#include "shim/run/values.h"
#include "shim/state/layout.h"

namespace holt::shim::cli {
namespace {

constexpr int kBadUsage = 1;

void Print(const std::string& text) { (void)base::WriteFd(1, text); }

void DefineCgroup(Flags& flags, Global& global) {
  flags.Choice("--cgroup-manager", global.cgroup_manager, {"cgroupfs", "systemd", "disabled"},
               "who makes the host's cgroup of a container (cgroupfs)");
  flags.Bool("--systemd-cgroup", global.systemd_cgroup, "the same as --cgroup-manager systemd");
  flags.Value("--machine-overhead", "SIZE",
              "memory beside the machine's own in a container's limit on the host (256m)",
              [&global](const std::string& value) -> base::Status {
                TRY_ASSIGN(global.machine_overhead, ParseBytes(value));
                return {};
              });
}

void DefineGlobal(Flags& flags, Global& global, bool& version, std::string& ignored) {
  flags.Bool("-v, --version", version, "print the version and exit");
  flags.String("--root", global.root, "DIR", "where the state of containers is (/run/holt)");
  flags.String("--store", global.store, "DIR", "where images are (/var/lib/holt)");
  flags.String("--log", global.log, "FILE", "append errors to FILE, too");
  flags.Choice("--log-format", global.log_format, {"text", "json"}, "form of the log (text)");
  flags.Bool("--debug", global.debug, "let all parts say more in their logs");
  DefineCgroup(flags, global);
  flags.Value("--rootless", "auto|true|false", "as runc has it; holt runs as root (auto)",
              [](const std::string& value) -> base::Status {
                if (value == "auto" || value == "false") return {};
                if (value != "true")
                  return base::MakeError(base::Code::kInvalidArgument,
                                         "\"{}\": must be one of auto, true, false", value);
                return base::Error(base::Code::kUnsupported, "not supported: holt runs as root");
              });
  flags.String("--criu", ignored, "PATH", "without meaning: there is no checkpoint of a container");
}

const Subcommand* FindSubcommand(const std::string& name) {
  for (const Subcommand& command : AllSubcommands())
    if (command.name == name) return &command;
  return nullptr;
}

std::string CommandHelp(const Subcommand& command, const Flags& flags) {
  std::string usage = "usage: holt " + std::string(command.name);
  std::string table = flags.Help();
  if (!table.empty()) usage += " [FLAGS]";
  if (!flags.operand_usage().empty()) usage += " " + flags.operand_usage();
  std::string out = usage + "\n\n" + std::string(command.summary) + "\n";
  if (!table.empty()) out += "\n" + table;
  if (!command.notes.empty()) out += "\n" + std::string(command.notes) + "\n";
  return out;
}

// Paths of other processes later, so never relative to this one's directory.
std::string Absolute(const std::string& path) {
  std::error_code error;
  auto absolute = std::filesystem::absolute(path, error).lexically_normal().string();
  if (error) return path;
  while (absolute.size() > 1 && absolute.back() == '/') absolute.pop_back();
  return absolute;
}

int RunSubcommand(const Subcommand& command, const Global& global,
                  const std::vector<std::string>& args) {
  if (!command.refusal.empty()) {
    ReportError(fmt::format("{}: {}", command.name, command.refusal));
    return command.error_status;
  }
  Flags flags;
  Body body = command.define(flags);
  if (auto parsed = flags.Parse(args); !parsed) {
    ReportError(fmt::format("{}: {}; see holt {} --help", command.name, parsed.error().message(),
                            command.name));
    return command.error_status;
  }
  if (flags.help_wanted()) {
    Print(CommandHelp(command, flags));
    return 0;
  }
  auto status = body(global);
  if (status) return *status;
  ReportError(status.error().message());
  return command.error_status;
}

int Main(const std::vector<std::string>& args) {
  Global global{.root = kDefaultRoot, .store = image::kDefaultStorePath};
  for (auto [variable, target] :
       {std::pair("HOLT_ROOT", &global.root), std::pair("HOLT_STORE", &global.store)})
    if (const char* value = getenv(variable); value != nullptr && *value != '\0') *target = value;
  bool version = false;
  Flags flags;
  std::vector<std::string> rest;
  std::string ignored;
  DefineGlobal(flags, global, version, ignored);
  flags.Operands("COMMAND", 0, SIZE_MAX, rest);
  flags.StopAtFirstOperand();
  if (auto parsed = flags.Parse(args); !parsed) {
    // Whoever named a log before the mistake looks there.
    (void)StartReporting(global);
    ReportError(parsed.error().message() + "; see holt --help");
    return kBadUsage;
  }
  if (version) rest = {"version"};
  if (flags.help_wanted() || (rest.size() == 1 && rest[0] == "help")) {
    Print(GeneralHelp() + "\nFlags in front of the command:\n" + flags.Help());
    return 0;
  }
  if (rest.empty()) {
    (void)base::WriteFd(2, GeneralHelp());
    return kBadUsage;
  }
  if (rest[0] == "help") rest = {rest[1], "--help"};
  if (global.systemd_cgroup) global.cgroup_manager = "systemd";
  global.root = Absolute(global.root);
  global.store = Absolute(global.store);
  if (auto started = StartReporting(global); !started) {
    ReportError(started.error().message());
    return kBadUsage;
  }
  const Subcommand* command = FindSubcommand(rest[0]);
  if (command == nullptr) {
    ReportError(fmt::format("unknown command \"{}\"; see holt --help", rest[0]));
    return kBadUsage;
  }
  return RunSubcommand(*command, global, {rest.begin() + 1, rest.end()});
}

}  // namespace
}  // namespace holt::shim::cli

int main(int argc, char** argv) {
  // A caller that closed its stdio would have our sockets there.
  for (int fd = 0; fd <= 2; ++fd)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) return 1;
  // A reader that went away is the error of a write, said where it is known what it means.
  signal(SIGPIPE, SIG_IGN);
  return holt::shim::cli::Main({argv + 1, argv + argc});
}
