#include "shim/state/registry.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <thread>

#include "base/file.h"

namespace holt::shim {
namespace {

using base::Code;
using base::MakeError;
using base::UniqueFd;

constexpr std::string_view kTemporaryPrefix = ".new-";

std::vector<std::string> Entries(const std::string& directory) {
  std::vector<std::string> names;
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(directory.c_str()), closedir);
  if (!dir) return names;
  while (const dirent* entry = readdir(dir.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  return names;
}

// Locks of the open file description: a child that inherited the descriptor holds it too, and the
// question who holds it takes none, unlike flock(2)'s.
int LockCommand(int fd, int command, short type, struct flock* answer = nullptr) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  int result = fcntl(fd, command, &lock);
  if (answer != nullptr) *answer = lock;
  return result;
}

// Is the lock held by somebody? A missing lock file means that the sandbox is being removed.
bool IsHeld(const std::string& lock_path) {
  UniqueFd fd(open(lock_path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) return false;
  struct flock answer {};
  return LockCommand(fd.get(), F_OFD_GETLK, F_WRLCK, &answer) == 0 && answer.l_type != F_UNLCK;
}

base::Error NotFound(const std::string& id) {
  return MakeError(Code::kNotFound, "container \"{}\" does not exist", id);
}

}  // namespace

// A moved-from string may keep its text, and with it a claim on the directory.
NewSandbox::NewSandbox(NewSandbox&& other) noexcept
    : root_(std::move(other.root_)),
      id_(std::move(other.id_)),
      name_(std::move(other.name_)),
      directory_(std::exchange(other.directory_, std::string())),
      lock_(std::move(other.lock_)),
      published_(other.published_) {}

NewSandbox::~NewSandbox() {
  if (published_ || directory_.empty()) return;
  // Nothing better can be done about a failure here: `gc` finds what stays.
  (void)base::RemoveTree(directory_);
}

base::Result<SandboxPaths> NewSandbox::Publish() {
  // One at a time, so that two cannot take the same name.
  TRY_ASSIGN(UniqueFd names, base::Open(root_ + "/.names", O_RDWR | O_CREAT, 0600));
  while (LockCommand(names.get(), F_OFD_SETLKW, F_WRLCK) != 0)
    if (errno != EINTR) return HOLT_ERRNO("lock {}/.names", root_);
  for (const Sandbox& other : Registry(root_).List()) {
    if (other.record.id == id_ || other.record.name == id_)
      return MakeError(Code::kAlreadyExists, "container already exists: \"{}\"", id_);
    if (!name_.empty() && (other.record.name == name_ || other.record.id == name_))
      return MakeError(Code::kAlreadyExists, "the name \"{}\" is in use by container {}", name_,
                       other.record.id);
  }
  SandboxPaths paths = PathsOf(root_, id_);
  if (syscall(SYS_renameat2, AT_FDCWD, directory_.c_str(), AT_FDCWD, paths.directory.c_str(),
              RENAME_NOREPLACE) != 0) {
    int err = errno;
    if (err == EEXIST)
      return MakeError(Code::kAlreadyExists, "container already exists: \"{}\"", id_);
    return base::ErrnoError(err, "create " + paths.directory);
  }
  published_ = true;
  directory_ = paths.directory;
  return paths;
}

base::Result<NewSandbox> Registry::Begin(const std::string& id, const std::string& name) {
  TRY(CheckId(id));
  if (!name.empty()) TRY(CheckId(name, "container name"));
  TRY_CONTEXT(base::MakeDirs(root_, 0711), "state directory");
  NewSandbox sandbox;
  sandbox.root_ = root_;
  sandbox.id_ = id;
  sandbox.name_ = name;
  std::string directory = fmt::format("{}/{}XXXXXX", root_, kTemporaryPrefix);
  if (mkdtemp(directory.data()) == nullptr) return HOLT_ERRNO("create a directory in {}", root_);
  sandbox.directory_ = directory;
  TRY_ASSIGN(sandbox.lock_, base::Open(directory + "/lock", O_RDWR | O_CREAT, 0600));
  if (LockCommand(sandbox.lock_.get(), F_OFD_SETLK, F_WRLCK) != 0)
    return HOLT_ERRNO("lock {}", directory);
  return sandbox;
}

base::Result<Sandbox> Registry::Load(const std::string& id) const {
  Sandbox sandbox;
  sandbox.paths = PathsOf(root_, id);
  // The lock first: a monitor that ends in between has written its last state by then.
  sandbox.alive = IsHeld(sandbox.paths.Lock());
  auto text = base::ReadFile(sandbox.paths.State());
  if (!text) {
    if (!base::PathExists(sandbox.paths.directory)) return NotFound(id);
    // Its monitor has not written yet, or its maker died before there was one, or it is being
    // removed.
    auto request_text = base::ReadFile(sandbox.paths.Request());
    auto request =
        request_text ? ParseRequest(*request_text) : base::Result<Request>(request_text.error());
    if (request) sandbox.record = RecordOf(*request);
    sandbox.record.id = id;
  } else {
    TRY_ASSIGN(sandbox.record, ParseRecord(*text));
  }
  if (!sandbox.alive && sandbox.record.status != "stopped") {
    sandbox.cut_off = sandbox.record.status == "creating";
    sandbox.record.error = sandbox.record.status == "creating"
                               ? "the start was cut off: its monitor died"
                               : "its monitor died";
    sandbox.record.status = "stopped";
    sandbox.record.exit_status = 137;
    sandbox.record.pid = 0;
  }
  return sandbox;
}

std::vector<Sandbox> Registry::List() const {
  std::vector<Sandbox> out;
  for (const std::string& name : Entries(root_)) {
    if (name[0] == '.') continue;
    if (auto sandbox = Load(name); sandbox) out.push_back(std::move(*sandbox));
  }
  std::sort(out.begin(), out.end(), [](const Sandbox& a, const Sandbox& b) {
    return std::pair(a.record.created_unix_nanos, a.record.id) <
           std::pair(b.record.created_unix_nanos, b.record.id);
  });
  return out;
}

base::Result<Sandbox> Registry::Find(const std::string& id_or_name) const {
  TRY(CheckId(id_or_name));
  if (base::PathExists(PathsOf(root_, id_or_name).directory)) return Load(id_or_name);
  std::vector<Sandbox> matches;
  for (Sandbox& sandbox : List()) {
    if (sandbox.record.name == id_or_name) return std::move(sandbox);
    if (id_or_name.size() >= 4 && sandbox.record.id.starts_with(id_or_name))
      matches.push_back(std::move(sandbox));
  }
  if (matches.empty()) return NotFound(id_or_name);
  if (matches.size() > 1)
    return MakeError(Code::kInvalidArgument, "\"{}\" is the beginning of {} container ids",
                     id_or_name, matches.size());
  return std::move(matches[0]);
}

base::Status Registry::WaitUntilDead(const SandboxPaths& paths,
                                     std::chrono::milliseconds deadline) {
  auto end = std::chrono::steady_clock::now() + deadline;
  while (IsHeld(paths.Lock())) {
    if (std::chrono::steady_clock::now() >= end)
      return MakeError(Code::kDeadlineExceeded, "the monitor did not end within {} ms",
                       deadline.count());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return {};
}

base::Result<UniqueFd> Registry::LockDead(const SandboxPaths& paths) {
  TRY_ASSIGN(UniqueFd fd, base::Open(paths.Lock(), O_RDWR | O_CREAT, 0600));
  if (LockCommand(fd.get(), F_OFD_SETLK, F_WRLCK) != 0)
    return MakeError(Code::kFailedPrecondition, "its monitor is alive");
  // Whoever held the lock before may have removed it, and a new sandbox have taken the name.
  struct stat locked {};
  struct stat named {};
  if (fstat(fd.get(), &locked) != 0 || stat(paths.Lock().c_str(), &named) != 0 ||
      locked.st_ino != named.st_ino || locked.st_dev != named.st_dev)
    return MakeError(Code::kNotFound, "it was removed just now");
  return fd;
}

std::vector<std::string> Registry::StaleDirectories() const {
  std::vector<std::string> out;
  for (const std::string& name : Entries(root_)) {
    if (!name.starts_with(kTemporaryPrefix)) continue;
    std::string path = root_ + "/" + name;
    struct stat st {};
    // One that has no lock file yet may be a second old; its maker is about to lock it.
    bool young = stat(path.c_str(), &st) == 0 && time(nullptr) - st.st_mtime < 5;
    if (!base::PathExists(path + "/lock") && young) continue;
    if (!IsHeld(path + "/lock")) out.push_back(path);
  }
  return out;
}

}  // namespace holt::shim
