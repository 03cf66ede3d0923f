#include "oci/run_hooks.h"

#include "base/log.h"
#include "base/run_program.h"

namespace holt::oci {
namespace {

using base::Code;
using base::MakeError;
using base::Status;

// Its last lines as one, for a message.
std::string Printed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  for (char& c : text)
    if (c == '\n') c = ' ';
  return text.empty() ? "" : ": " + base::log::Sanitize(text);
}

Status RunHook(const Hook& hook, const std::string& state_json, base::SpawnOptions options) {
  options.program = hook.path;
  options.argv = hook.args.empty() ? Strings{hook.path} : hook.args;
  options.environment = hook.env;
  std::optional<std::chrono::milliseconds> timeout;
  if (hook.timeout) timeout = std::chrono::seconds(*hook.timeout);
  TRY_ASSIGN(base::ProgramEnd end, base::RunProgram(std::move(options), state_json, timeout));
  if (end.timed_out)
    return MakeError(Code::kDeadlineExceeded, "ran longer than its timeout of {} s{}",
                     *hook.timeout, Printed(std::move(end.error_text)));
  if (!end.ok())
    return MakeError(Code::kFailedPrecondition, "{}{}", base::DescribeWaitStatus(end.wait_status),
                     Printed(std::move(end.error_text)));
  return {};
}

Status RunHook(const std::vector<Hook>& hooks, size_t i, const std::string& name,
               const std::string& state_json, const base::SpawnOptions& where) {
  TRY_CONTEXT(RunHook(hooks[i], state_json, where),
              fmt::format("{}[{}]: {}", name, i, hooks[i].path));
  return {};
}

}  // namespace

Status RunHooks(const std::vector<Hook>& hooks, const std::string& name,
                const std::string& state_json, const base::SpawnOptions& where) {
  for (size_t i = 0; i < hooks.size(); ++i) TRY(RunHook(hooks, i, name, state_json, where));
  return {};
}

void RunHooksAll(const std::vector<Hook>& hooks, const std::string& name,
                 const std::string& state_json, const base::SpawnOptions& where,
                 const std::function<void(const std::string&)>& warn) {
  for (size_t i = 0; i < hooks.size(); ++i)
    if (auto status = RunHook(hooks, i, name, state_json, where); !status)
      warn(status.error().message());
}

}  // namespace holt::oci
