#include "shim/cli/subcommands.h"

namespace holt::shim::cli {

const std::vector<Subcommand>& AllSubcommands() {
  static const std::vector<Subcommand> all = {
      RunCommand(),      ExecCommand(),       PsCommand(),      LogsCommand(),   AttachCommand(),
      StopCommand(),     WaitCommand(),       RmCommand(),      PullCommand(),   ImagesCommand(),
      InspectCommand(),  RmiCommand(),        ImportCommand(),  GcCommand(),     CreateCommand(),
      StartCommand(),    StateCommand(),      KillCommand(),    DeleteCommand(), ListCommand(),
      PauseCommand(),    ResumeCommand(),     UpdateCommand(),  EventsCommand(), SpecCommand(),
      FeaturesCommand(), CheckpointCommand(), RestoreCommand(), CheckCommand(),  VersionCommand()};
  return all;
}

std::string GeneralHelp() {
  std::string out =
      "usage: holt [FLAGS] COMMAND [ARGUMENTS]\n\n"
      "holt runs containers, each in a small virtual machine of its own.\n\n"
      "  holt run --rm -it debian:12 bash        a shell in a container of that image\n"
      "  holt check                              what this host has, and what is missing\n";
  for (auto [group, title] :
       {std::pair(Group::kRun, "Containers"), std::pair(Group::kImages, "Images"),
        std::pair(Group::kRuntime, "For container engines (runc's commands)"),
        std::pair(Group::kHost, "This host")}) {
    out += fmt::format("\n{}:\n", title);
    for (const Subcommand& command : AllSubcommands())
      if (command.group == group && !command.hidden)
        out += fmt::format("  {:<10} {}\n", command.name, command.summary);
  }
  out += "\n`holt COMMAND --help` tells the flags of a command.\n";
  return out;
}

}  // namespace holt::shim::cli
