#pragma once

#include <cstddef>

// What the stub's pid shows of the file system: engines enter /proc/<pid>/ns/mnt and
// /proc/<pid>/root and must find the container's root file system there, never the host's.
namespace holt::stub {

struct View {
  // The mount namespace of another stub of the container, which is entered as it is; or -1.
  int joined = -1;
  // Otherwise the monitor's, in which the container's directory of the share is at `share`, with
  // `rootfs` and the volumes below it.
  int monitor = -1;
  const char* share = nullptr;
  // Pairs of a volume's place below `share` and its destination in the container; `volumes` of
  // them, later ones on top.
  char** volume = nullptr;
  size_t volumes = 0;
};

// Enters, or makes and enters, a mount namespace whose root is the container's: with its volumes, a
// /proc of the caller's pid namespace and an empty /dev, and without a way back. Nothing of it can
// be executed, and its device nodes cannot be opened; what is read-only in the share is so here. A
// volume whose destination is not there, or of another kind, is left out. False with the reason;
// the process is to end then.
bool EnterView(const View& view, char* error, size_t error_size);

}  // namespace holt::stub
