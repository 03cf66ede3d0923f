#include "shim/run/qemu_version.h"

#include <sys/mman.h>

#include <charconv>
#include <chrono>

#include "base/file.h"
#include "base/run_program.h"

namespace holt::shim {

using base::Code;
using base::MakeError;
using base::Result;

namespace {

constexpr auto kDeadline = std::chrono::seconds(10);
constexpr size_t kMaxBytes = 4096;

}  // namespace

Result<QemuVersion> ParseQemuVersion(std::string_view text) {
  constexpr std::string_view kBefore = "QEMU emulator version ";
  QemuVersion version;
  const char* const end = text.data() + text.size();
  if (text.starts_with(kBefore)) {
    const auto major = std::from_chars(text.data() + kBefore.size(), end, version.major);
    if (major.ec == std::errc() && major.ptr != end && *major.ptr == '.' &&
        std::from_chars(major.ptr + 1, end, version.minor).ec == std::errc())
      return version;
  }
  return MakeError(Code::kInvalidArgument, "its version is not to be understood");
}

Result<QemuVersion> QemuVersionOf(const std::string& qemu, uid_t uid) {
  base::UniqueFd output(memfd_create("version", MFD_CLOEXEC));
  if (!output) return HOLT_ERRNO("memfd_create");
  base::SpawnOptions options;
  options.argv = {qemu, "--version"};
  options.fds = {{output.get(), 1}};
  options.uid = uid;
  options.gid = uid;
  options.no_new_privileges = true;
  options.working_directory = "/";
  TRY_ASSIGN_CONTEXT(base::ProgramEnd end, base::RunProgram(std::move(options), "", kDeadline),
                     qemu);
  if (!end.ok())
    return MakeError(Code::kUnavailable, "{} --version: {} {}", qemu,
                     base::DescribeWaitStatus(end.wait_status), end.error_text);
  TRY_ASSIGN(const std::string text,
             base::ReadFile(fmt::format("/proc/self/fd/{}", output.get()), kMaxBytes));
  auto version = ParseQemuVersion(text);
  if (!version) return std::move(version).error().Wrap(qemu);
  return version;
}

}  // namespace holt::shim
