#include "shim/network/namespace.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>

#include <thread>

#include "base/file.h"

namespace holt::shim::network {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

Result<UniqueFd> NewNamespace() {
  Result<UniqueFd> made = MakeError(Code::kInternal, "not run");
  std::thread([&made] {
    if (unshare(CLONE_NEWNET) != 0) {
      made = HOLT_ERRNO("make a network namespace");
    } else {
      made = base::Open("/proc/thread-self/ns/net", O_RDONLY);
    }
  }).join();
  return made;
}

Result<UniqueFd> OpenNamespace(const std::string& path) {
  TRY_ASSIGN_CONTEXT(UniqueFd fd, base::Open(path, O_RDONLY | O_NONBLOCK), "network namespace");
  if (ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET)
    return MakeError(Code::kInvalidArgument, "{}: is no network namespace", path);
  return fd;
}

Status RunInNamespace(int network_namespace, const std::function<Status()>& work) {
  Status status;
  std::thread([&] {
    if (setns(network_namespace, CLONE_NEWNET) != 0) {
      status = HOLT_ERRNO("join the network namespace");
    } else {
      status = work();
    }
  }).join();
  return status;
}

}  // namespace holt::shim::network
