// holt-mkinitramfs AGENT OUT: packs the guest's agent into the initramfs that every sandbox boots.
// A build tool, not installed.

#include <fmt/format.h>

#include <cstdio>

#include "base/file.h"
#include "guest-agent/initramfs.h"

namespace {

holt::base::Status Run(const std::string& agent_path, const std::string& out_path) {
  TRY_ASSIGN(const std::string agent, holt::base::ReadFile(agent_path));
  if (!agent.starts_with("\x7f"
                         "ELF")) {
    return holt::base::MakeError(holt::base::Code::kInvalidArgument, "{} is not an ELF program",
                                 agent_path);
  }
  return holt::base::WriteFileAtomic(out_path, holt::guest_agent::BuildGuestInitramfs(agent));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: holt-mkinitramfs AGENT OUT\n");
    return 2;
  }
  if (const auto status = Run(argv[1], argv[2]); !status) {
    fmt::print(stderr, "holt-mkinitramfs: {}\n", status.error().message());
    return 1;
  }
  return 0;
}
