#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "shim/state/layout.h"
#include "shim/state/record.h"

// The sandboxes under one root directory. Who lives is told by a lock alone: `<id>/lock` is held
// by the CLI that makes the sandbox and then by its monitor, and the kernel drops it with
// them.
namespace holt::shim {

// A sandbox that is being made. Its directory appears under its id only when Publish() is called,
// with the lock held already, so that nobody ever sees one without an owner.
class NewSandbox {
 public:
  NewSandbox() = default;
  NewSandbox(NewSandbox&& other) noexcept;
  NewSandbox& operator=(NewSandbox&&) = delete;
  // Removes what was not published.
  ~NewSandbox();

  const std::string& directory() const { return directory_; }
  int lock_fd() const { return lock_.get(); }
  // The lock, for whom the sandbox is handed to.
  base::UniqueFd TakeLock() { return std::move(lock_); }
  // Of a published sandbox.
  const std::string& id() const { return id_; }
  const std::string& root() const { return root_; }
  // Renames the directory to `<root>/<id>`; an id or a name that is in use is kAlreadyExists.
  // directory() is the final one from here on.
  base::Result<SandboxPaths> Publish();

 private:
  friend class Registry;
  std::string root_;
  std::string id_;
  std::string name_;
  std::string directory_;
  base::UniqueFd lock_;
  bool published_ = false;
};

struct Sandbox {
  SandboxPaths paths;
  Record record;
  bool alive = false;  // a monitor (or a CLI that makes it) holds the lock
  // Dead, and it never came as far as "created": nobody has seen it as theirs.
  bool cut_off = false;
};

class Registry {
 public:
  explicit Registry(std::string root) : root_(std::move(root)) {}

  const std::string& root() const { return root_; }

  // Makes `<root>` where it is missing.
  base::Result<NewSandbox> Begin(const std::string& id, const std::string& name);

  // By id, by name, or by an unambiguous beginning of an id. kNotFound says "container "x" does not
  // exist", which engines look for.
  base::Result<Sandbox> Find(const std::string& id_or_name) const;
  // All, oldest first. Directories that cannot be read are left out.
  std::vector<Sandbox> List() const;

  // Waits until nobody holds the lock; kDeadlineExceeded when somebody still does. A sandbox that
  // is gone is free.
  static base::Status WaitUntilDead(const SandboxPaths& paths, std::chrono::milliseconds deadline);

  // Takes the lock of a sandbox whose monitor is dead, so that one caller at a time cleans up.
  // kFailedPrecondition when it is alive, kNotFound when it is gone.
  static base::Result<base::UniqueFd> LockDead(const SandboxPaths& paths);

  // Directories of Begin() whose maker died.
  std::vector<std::string> StaleDirectories() const;

 private:
  base::Result<Sandbox> Load(const std::string& id) const;
  std::string root_;
};

}  // namespace holt::shim
