// holt update: runc's, other limits for a container that exists.
#include "base/file.h"
#include "shim/cli/container.h"
#include "shim/cli/subcommands.h"
#include "shim/run/values.h"

namespace holt::shim::cli {
namespace {

constexpr int64_t kMax = INT64_MAX;

struct UpdateFlags {
  std::string file;
  oci::Resources resources;
  std::vector<std::string> operands;

  oci::MemoryResources& memory() {
    return resources.memory ? *resources.memory : resources.memory.emplace();
  }
  oci::CpuResources& cpu() { return resources.cpu ? *resources.cpu : resources.cpu.emplace(); }
};

base::Result<std::string> ReadResources(const UpdateFlags& flags) {
  if (flags.file.empty()) return oci::SerializeResources(flags.resources);
  auto text = flags.file == "-" ? base::ReadFd(0, oci::kMaxConfigBytes)
                                : base::ReadFile(flags.file, oci::kMaxConfigBytes);
  if (!text) return std::move(text).error().Wrap("--resources");
  auto resources = oci::ParseResources(*text);
  if (!resources)
    return std::move(resources).error().Wrap("--resources" +
                                             (flags.file == "-" ? "" : " " + flags.file));
  return *std::move(text);
}

base::Result<int> Update(const UpdateFlags& flags, const Global& global) {
  TRY_ASSIGN(Sandbox sandbox, global.registry().Find(flags.operands.front()));
  monitor::v1::UpdateRequest request;
  request.set_container_id(sandbox.record.id);
  TRY_ASSIGN(*request.mutable_oci_resources(), ReadResources(flags));
  auto updated = CallRunning<monitor::v1::Empty>(sandbox, "Update", request);
  if (!updated) return std::move(updated).error();
  return 0;
}

// An empty value is none, as runc has it.
Flags::Setter IfGiven(std::function<base::Status(const std::string&)> set) {
  return [set = std::move(set)](const std::string& value) -> base::Status {
    return value.empty() ? base::Status() : set(value);
  };
}

void DefineMemory(Flags& flags, UpdateFlags& out) {
  auto size = [&](const char* name, auto member, const char* help) {
    flags.Value(name, "SIZE", help,
                IfGiven([&out, member](const std::string& value) -> base::Status {
                  if (value == "-1") {
                    out.memory().*member = -1;
                    return {};
                  }
                  TRY_ASSIGN(uint64_t bytes, ParseBytes(value));
                  out.memory().*member = static_cast<int64_t>(bytes);
                  return {};
                }));
  };
  size("--memory", &oci::MemoryResources::limit, "limit; -1 is none");
  size("--memory-reservation", &oci::MemoryResources::reservation,
       "what it keeps when memory gets scarce");
  size("--memory-swap", &oci::MemoryResources::swap,
       "limit of memory and swap together; -1 is none");
  for (const char* name : {"--kernel-memory", "--kernel-memory-tcp"})
    flags.Unsupported(name, true, "cgroup v2 has no such limit");
}

void DefineCpu(Flags& flags, UpdateFlags& out) {
  auto number = [&](const char* name, auto member, int64_t low, int64_t high, const char* help) {
    flags.Value(name, "NUMBER", help,
                IfGiven([&out, member, low, high](const std::string& value) -> base::Status {
                  TRY_ASSIGN(int64_t parsed, ParseInteger(value, low, high));
                  auto& target = out.cpu().*member;
                  target.emplace();
                  *target = static_cast<std::decay_t<decltype(*target)>>(parsed);
                  return {};
                }));
  };
  number("--cpu-quota", &oci::CpuResources::quota, -1, kMax,
         "microseconds of processor time in each period; -1 is no limit");
  number("--cpu-period", &oci::CpuResources::period, 0, kMax, "microseconds");
  number("--cpu-burst", &oci::CpuResources::burst, 0, kMax,
         "microseconds that may be saved up for later");
  number("--cpu-share", &oci::CpuResources::shares, 0, kMax, "weight beside other containers");
  number("--cpu-shares", &oci::CpuResources::shares, 0, kMax, "the same");
  number("--cpu-idle", &oci::CpuResources::idle, 0, 1, "1: only what no other wants");
  flags.Value("--cpuset-cpus", "LIST", "processors of this host, 0-3,7",
              IfGiven([&out](const std::string& value) -> base::Status {
                out.cpu().cpus = value;
                return {};
              }));
  flags.Value("--cpuset-mems", "LIST", "memory nodes of this host",
              IfGiven([&out](const std::string& value) -> base::Status {
                out.cpu().mems = value;
                return {};
              }));
  for (const char* name : {"--cpu-rt-period", "--cpu-rt-runtime"})
    flags.Unsupported(name, true, "cgroup v2 has no such limit");
}

void DefineOthers(Flags& flags, UpdateFlags& out) {
  flags.String("-r, --resources", out.file, "FILE",
               "linux.resources as JSON, - for standard input; the other flags count for nothing "
               "then");
  flags.Value("--pids-limit", "NUMBER", "processes and threads; -1 is no limit",
              IfGiven([&out](const std::string& value) -> base::Status {
                TRY_ASSIGN(int64_t limit, ParseInteger(value, -1, INT32_MAX));
                // runc's 0 is "not given".
                if (limit != 0) out.resources.pids = oci::PidsResources{.limit = limit};
                return {};
              }));
  flags.Value("--blkio-weight", "NUMBER", "10 to 1000, beside other containers",
              IfGiven([&out](const std::string& value) -> base::Status {
                TRY_ASSIGN(int64_t weight, ParseInteger(value, 0, 1000));
                if (weight == 0) return {};
                out.resources.block_io.emplace().weight = static_cast<uint16_t>(weight);
                return {};
              }));
  for (const char* name : {"--l3-cache-schema", "--mem-bw-schema"})
    flags.Unsupported(name, true, "linux.intelRdt is not there yet");
}

}  // namespace

Subcommand UpdateCommand() {
  return {
      .name = "update",
      .group = Group::kRuntime,
      .summary = "Change the limits of a container.",
      .define = [](Flags& flags) -> Body {
        auto update = std::make_shared<UpdateFlags>();
        DefineOthers(flags, *update);
        DefineMemory(flags, *update);
        DefineCpu(flags, *update);
        flags.Operands("ID", 1, 1, update->operands);
        return [update](const Global& global) { return Update(*update, global); };
      },
      .notes =
          "What is not named stays. The container's machine does not grow: a limit beyond it is "
          "an error.",
  };
}

}  // namespace holt::shim::cli
