#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

// Where things are: a sandbox's state directory and holt's own installation.
namespace holt::shim {

inline constexpr char kDefaultRoot[] = "/run/holt";

// The files of one sandbox, `<root>/<id>/`. docs/processes/monitor.md lists who writes which.
struct SandboxPaths {
  std::string directory;

  std::string State() const { return directory + "/state.json"; }
  std::string Request() const { return directory + "/request.json"; }
  std::string Config() const { return directory + "/config.json"; }
  std::string Lock() const { return directory + "/lock"; }
  std::string MonitorSocket() const { return directory + "/monitor.sock"; }
  std::string AttachSocket() const { return directory + "/attach.sock"; }
  std::string Log() const { return directory + "/container.log"; }
  std::string Console() const { return directory + "/console.log"; }
  std::string MonitorLog() const { return directory + "/monitor.log"; }
  std::string Share() const { return directory + "/share"; }
  std::string Vsock() const { return directory + "/vsock"; }
};

SandboxPaths PathsOf(const std::string& root, const std::string& id);

// Ids and names: [a-zA-Z0-9][a-zA-Z0-9_.+-]*, at most 128 characters, so that neither is ever a
// path.
base::Status CheckId(std::string_view id, std::string_view what = "container id");

// 12 random hex digits.
std::string NewId();

// holt's own files, relative to the running binary unless HOLT_LIBEXEC and HOLT_SHARE say
// otherwise.
struct Installation {
  std::string libexec;  // holt-monitor, holt-vmm, holt-fsd, holt-stub
  std::string share;    // vmlinux, bzImage, initramfs.cpio

  // The kernel to boot: `file` is vmlinux (PVH), or bzImage where only that is there.
  base::Result<std::string> Kernel() const;
  base::Result<std::string> Initramfs() const;
  base::Result<std::string> Program(const std::string& name) const;
};
base::Result<Installation> FindInstallation();

}  // namespace holt::shim
