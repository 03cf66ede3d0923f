#include "image/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "image/overlay.h"
#include "image/store_json.h"

namespace holt::image {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

constexpr int kFormatVersion = 1;

// store.json.
struct StoreRecord {
  int64_t version = 0;
  std::string driver;
};

template <typename A>
void Describe(A& a, StoreRecord& x) {
  a("version", x.version);
  a("driver", x.driver);
}

base::Error ExplainOpen(base::Error error, const std::string& path) {
  std::string mend;
  if (error.err() == EACCES || error.err() == EPERM)
    mend = "; run holt as root, or choose a directory you own with --store";
  else if (error.err() == EROFS)
    mend = "; choose a writable directory with --store";
  return base::Error(error.code(), fmt::format("image store {}: {}{}", path, error.message(), mend),
                     error.err());
}

Result<StoreRecord> ReadStoreRecord(const std::string& path) {
  TRY_ASSIGN(std::string text, base::ReadFile(path + "/store.json", kMaxRecordBytes));
  TRY_ASSIGN(StoreRecord record, ParseRecord<StoreRecord>(text, "store.json"));
  if (record.version != kFormatVersion)
    return MakeError(
        Code::kUnsupported,
        "its format is version {}, this holt reads version {}; use the holt that made it, "
        "or another directory with --store",
        record.version, kFormatVersion);
  if (record.driver != "overlay" && record.driver != "native")
    return MakeError(Code::kUnsupported, "store.json: driver \"{}\" is unknown", record.driver);
  return record;
}

Status CreateStore(const std::string& path) {
  TRY_ASSIGN(FileLock lock, FileLock::Acquire(path + "/lock", LockMode::kExclusive, kLockForever));
  if (base::PathExists(path + "/store.json")) return {};
  for (const char* name :
       {"blobs/sha256", "blobs/sha512", "layers", "images", "containers", "ingest", "tmp", "locks"})
    TRY(base::MakeDirs(path + "/" + name, 0700));
  std::string why;
  StoreRecord record{kFormatVersion, std::string(DriverName(ProbeDriver(path + "/tmp", &why)))};
  if (!why.empty())
    base::log::Warning(
        "image store {}: overlayfs cannot be used on its file system ({}); every container's root "
        "will "
        "be a full copy of its image",
        path, why);
  return WriteAside(path, path + "/store.json", WriteRecord(record));
}

}  // namespace

std::string_view DriverName(Driver driver) {
  return driver == Driver::kOverlay ? "overlay" : "native";
}

Status WriteAside(const std::string& store, const std::string& path, std::string_view content) {
  std::string temporary = store + "/tmp/write.XXXXXX";
  UniqueFd fd(mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return HOLT_ERRNO("create {}", temporary);
  auto write = [&]() -> Status {
    TRY_CONTEXT(base::WriteFd(fd.get(), content), path);
    if (fchmod(fd.get(), 0600) != 0) return HOLT_ERRNO("chmod {}", temporary);
    if (fsync(fd.get()) != 0) return HOLT_ERRNO("fsync {}", temporary);
    if (rename(temporary.c_str(), path.c_str()) != 0) return HOLT_ERRNO("rename to {}", path);
    return {};
  };
  if (Status status = write(); !status) {
    unlink(temporary.c_str());
    return status;
  }
  std::string parent = path.substr(0, path.find_last_of('/'));
  TRY_ASSIGN(UniqueFd directory, base::Open(parent, O_RDONLY | O_DIRECTORY));
  if (fsync(directory.get()) != 0) return HOLT_ERRNO("fsync {}", parent);
  return {};
}

Result<std::vector<std::string>> ListNames(const std::string& directory) {
  std::vector<std::string> names;
  DIR* dir = opendir(directory.c_str());
  if (!dir) {
    if (errno == ENOENT) return names;
    return HOLT_ERRNO("read {}", directory);
  }
  while (const dirent* entry = readdir(dir)) {
    std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

std::string BootId() {
  auto text = base::ReadFile("/proc/sys/kernel/random/boot_id", 4096);
  if (!text) return "";
  while (text->ends_with('\n')) text->pop_back();
  return *text;
}

bool IsFull(const base::Error& error) { return error.err() == ENOSPC || error.err() == EDQUOT; }

base::Error ExplainSpace(base::Error error, const std::string& store) {
  if (!IsFull(error)) return error;
  return base::Error(
      error.code(),
      fmt::format(
          "{}; make room on the file system of {}, or free what no image uses with: holt gc",
          error.message(), store),
      error.err());
}

Result<std::unique_ptr<Store>> Store::Open(const std::string& given) {
  std::string path = given;
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  if (path.empty()) return MakeError(Code::kInvalidArgument, "image store: the path is empty");
  if (!path.starts_with('/')) {
    char* cwd = get_current_dir_name();
    if (!cwd) return HOLT_ERRNO("image store {}: current directory", path);
    path = std::string(cwd) + "/" + path;
    free(cwd);
  }
  if (!base::PathExists(path + "/store.json")) {
    if (Status made = base::MakeDirs(path, 0711); !made)
      return ExplainOpen(std::move(made).error(), path);
    if (Status made = CreateStore(path); !made) return ExplainOpen(std::move(made).error(), path);
  }
  auto record = ReadStoreRecord(path);
  if (!record) return ExplainOpen(std::move(record).error(), path);
  Driver driver = record->driver == "overlay" ? Driver::kOverlay : Driver::kNative;
  return std::unique_ptr<Store>(new Store(path, driver));
}

Result<FileLock> Store::LockShared() {
  return FileLock::Acquire(path_ + "/lock", LockMode::kShared, kLockForever);
}

Result<FileLock> Store::LockExclusive(std::chrono::milliseconds deadline) {
  auto lock = FileLock::Acquire(path_ + "/lock", LockMode::kExclusive, deadline);
  if (!lock && lock.error().code() == Code::kDeadlineExceeded)
    return MakeError(
        Code::kDeadlineExceeded,
        "image store {}: in use by another holt process (a pull or import still runs); "
        "try again when it has ended",
        path_);
  return lock;
}

void Store::RemoveStaleTemporaries() {
  auto names = ListNames(path_ + "/tmp");
  if (!names || names->empty()) return;
  // Nobody who writes under tmp/ is without the shared lock: what is there now has no owner.
  auto lock = LockExclusive(std::chrono::milliseconds(0));
  if (!lock) return;
  names = ListNames(path_ + "/tmp");
  if (!names) return;
  for (const std::string& name : *names) {
    std::string stale = path_ + "/tmp/" + name;
    if (Status removed = base::RemoveTree(stale); !removed)
      base::log::Warning("image store: {}", removed.error().message());
  }
}

Result<std::string> Store::NewTemporary(std::string_view prefix) {
  std::string directory = fmt::format("{}/tmp/{}.XXXXXX", path_, prefix);
  if (!mkdtemp(directory.data())) return HOLT_ERRNO("make {}", directory);
  return directory;
}

}  // namespace holt::image
