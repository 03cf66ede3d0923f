#pragma once

#include "shim/cli/command.h"

// Each is defined in the file of its name.
namespace holt::shim::cli {

Subcommand RunCommand();
Subcommand ExecCommand();
Subcommand PsCommand();
Subcommand LogsCommand();
Subcommand AttachCommand();
Subcommand StopCommand();
Subcommand WaitCommand();
Subcommand RmCommand();

Subcommand PullCommand();
Subcommand ImagesCommand();
Subcommand InspectCommand();
Subcommand RmiCommand();
Subcommand ImportCommand();
Subcommand GcCommand();

Subcommand CreateCommand();
Subcommand StartCommand();
Subcommand StateCommand();
Subcommand KillCommand();
Subcommand DeleteCommand();
Subcommand ListCommand();
Subcommand PauseCommand();
Subcommand ResumeCommand();
Subcommand UpdateCommand();
Subcommand EventsCommand();
Subcommand SpecCommand();
Subcommand FeaturesCommand();
Subcommand CheckpointCommand();
Subcommand RestoreCommand();

Subcommand CheckCommand();
Subcommand VersionCommand();

}  // namespace holt::shim::cli
