#include "shim/state/layout.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/file.h"

namespace holt::shim {
namespace {

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

std::string DirectoryOf(const std::string& path) { return path.substr(0, path.find_last_of('/')); }

std::string FromEnvironment(const char* name) {
  const char* value = secure_getenv(name);
  return value != nullptr ? value : "";
}

}  // namespace

SandboxPaths PathsOf(const std::string& root, const std::string& id) {
  return SandboxPaths{root + "/" + id};
}

base::Status CheckId(std::string_view id, std::string_view what) {
  auto invalid = [&](std::string_view why) {
    return base::MakeError(base::Code::kInvalidArgument, "{} \"{}\": {}", what, id.substr(0, 64),
                           why);
  };
  if (id.empty()) return invalid("is empty");
  if (id.size() > 128) return invalid("is longer than 128 characters");
  if (!IsAlphanumeric(id[0])) return invalid("must begin with a letter or a digit");
  for (char c : id)
    if (!IsAlphanumeric(c) && c != '_' && c != '.' && c != '+' && c != '-')
      return invalid("only letters, digits and _ . + - are allowed");
  return {};
}

std::string NewId() {
  unsigned char bytes[6];
  HOLT_CHECK(getrandom(bytes, sizeof bytes, 0) == static_cast<ssize_t>(sizeof bytes));
  std::string id;
  for (unsigned char byte : bytes) id += fmt::format("{:02x}", byte);
  return id;
}

base::Result<Installation> FindInstallation() {
  Installation out;
  out.libexec = FromEnvironment("HOLT_LIBEXEC");
  out.share = FromEnvironment("HOLT_SHARE");
  if (!out.libexec.empty() && !out.share.empty()) return out;
  char path[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  if (length < 0 || length == static_cast<ssize_t>(sizeof path))
    return HOLT_ERRNO("read /proc/self/exe");
  std::string prefix = DirectoryOf(DirectoryOf(std::string(path, static_cast<size_t>(length))));
  if (out.libexec.empty()) out.libexec = prefix + "/libexec/holt";
  if (out.share.empty()) out.share = prefix + "/share/holt";
  return out;
}

base::Result<std::string> Installation::Kernel() const {
  for (const char* name : {"vmlinux", "bzImage"})
    if (base::PathExists(share + "/" + name)) return share + "/" + name;
  return base::MakeError(
      base::Code::kNotFound,
      "guest kernel: neither {0}/vmlinux nor {0}/bzImage exists; build it, or point "
      "HOLT_SHARE at a directory that has one",
      share);
}

base::Result<std::string> Installation::Initramfs() const {
  std::string path = share + "/initramfs.cpio";
  if (base::PathExists(path)) return path;
  return base::MakeError(base::Code::kNotFound, "guest initramfs: {} does not exist", path);
}

base::Result<std::string> Installation::Program(const std::string& name) const {
  std::string path = libexec + "/" + name;
  if (access(path.c_str(), X_OK) == 0) return path;
  return HOLT_ERRNO("{} (a part of holt)", path);
}

}  // namespace holt::shim
