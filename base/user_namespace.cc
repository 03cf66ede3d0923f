#include "base/user_namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "base/file.h"

namespace holt::base {
namespace {

// A process that does nothing but have a user namespace: its ids can only be set from outside.
class Holder {
 public:
  static Result<Holder> Start() {
    // SAFETY: without CLONE_VM this is a fork; the child calls nothing but the kernel.
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    if (pid < 0) return HOLT_ERRNO("user namespace");
    if (pid == 0)
      for (;;) pause();
    return Holder(static_cast<pid_t>(pid));
  }
  Holder(Holder&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Holder& operator=(Holder&&) = delete;
  ~Holder() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
  }
  std::string Proc(std::string_view file) const { return fmt::format("/proc/{}/{}", pid_, file); }

 private:
  explicit Holder(pid_t pid) : pid_(pid) {}
  pid_t pid_;
};

Status WriteMap(const std::string& path, const std::vector<IdRange>& ranges) {
  std::string lines;
  for (const IdRange& range : ranges)
    lines += fmt::format("{} {} {}\n", range.inside, range.outside, range.size);
  TRY_ASSIGN(UniqueFd file, Open(path, O_WRONLY));
  // The kernel takes the whole of it in one write(2), or nothing.
  return WriteFd(file.get(), lines);
}

}  // namespace

Result<UniqueFd> MakeUserNamespace(const std::vector<IdRange>& uids,
                                   const std::vector<IdRange>& gids) {
  TRY_ASSIGN(Holder holder, Holder::Start());
  TRY_CONTEXT(WriteMap(holder.Proc("uid_map"), uids), "uidMappings");
  TRY_CONTEXT(WriteMap(holder.Proc("gid_map"), gids), "gidMappings");
  return Open(holder.Proc("ns/user"), O_RDONLY);
}

}  // namespace holt::base
