// holt-vmm: one virtual machine. See docs/processes/holt-vmm.md.
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <string_view>

#include "base/event_loop.h"
#include "base/file.h"
#include "base/log.h"
#include "vmm/control/service.h"
#include "vmm/jail/privileges.h"

namespace {

namespace log = holt::base::log;

constexpr char kUsage[] =
    "usage: holt-vmm --control-fd N [--log-level LEVEL]\n"
    "Started by holt with its descriptors open; not meant to be run by hand.\n";

struct Arguments {
  int control_fd = -1;
  log::Level level = log::Level::kInfo;
};

bool Parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 == argc) return false;
    const std::string_view value = argv[i + 1];
    if (name == "--control-fd") {
      auto [end, error] =
          std::from_chars(value.data(), value.data() + value.size(), arguments.control_fd);
      if (error != std::errc() || end != value.data() + value.size()) return false;
    } else if (name == "--log-level") {
      arguments.level = log::LevelFromName(value);
    } else {
      return false;
    }
  }
  return arguments.control_fd > 2;
}

holt::base::Status Run(const Arguments& arguments) {
  using namespace holt;
  TRY_CONTEXT(base::SetCloexec(arguments.control_fd, true), "control descriptor");
  TRY(vmm::DropPrivileges());
  TRY_ASSIGN(auto loop, base::EventLoop::Create());
  // Leaving by _exit: the machine ends with the process, and nothing outside depends on
  // destructors.
  auto gone = [] { _exit(0); };
  vmm::VmmService service(*loop);
  TRY(service.Serve(base::UniqueFd(arguments.control_fd), gone));
  loop->Run();
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::printf("holt-vmm %s\n", HOLT_VERSION);
    return 0;
  }
  if (!Parse(argc, argv, arguments)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  log::Init({.program = "holt-vmm", .level = arguments.level});
  // A host side of a stream that went away is an error of the write, not a signal.
  signal(SIGPIPE, SIG_IGN);
  if (auto status = Run(arguments); !status) {
    log::Error("{}", status.error().message());
    return 1;
  }
  return 0;
}
