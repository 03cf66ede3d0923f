#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "image/store.h"
#include "oci/runtime_spec.h"
#include "shim/monitor/start.h"
#include "shim/state/layout.h"
#include "shim/state/record.h"
#include "shim/state/registry.h"

namespace holt::shim {

// The image that a sandbox's root comes from. A sandbox of a bundle has none.
struct ImageRoot {
  image::Store* store = nullptr;  // borrowed
  image::StoredImage image;
};

// Fills in what is the same for every sandbox: holt's own files, the kernel, and the deadline of a
// start. Errors say which part of the installation is missing, or is not what it should be.
base::Status FillInstallation(Request& request);

struct Launched {
  SandboxPaths paths;
  StartedMonitor monitor;
};

// Makes the sandbox of `request` and starts its machine; returns when its container is created and
// waits for its start. On an error nothing of it is left. The caller holds the store's shared lock.
// `network`, `descriptors`: as StartMonitor has them.
base::Result<Launched> LaunchSandbox(const Registry& registry, const Request& request,
                                     const oci::Config& config,
                                     const std::optional<ImageRoot>& image, int network = -1,
                                     std::span<const int> descriptors = {});

// Is this file a kernel that holt can boot: an x86-64 ELF (vmlinux), or a bzImage?
base::Status CheckKernelFile(const std::string& path);

}  // namespace holt::shim
