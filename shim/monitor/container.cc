#include "shim/monitor/container.h"

#include "base/log.h"
#include "base/relay.h"
#include "shim/state/layout.h"

namespace holt::shim {
namespace {

using base::Code;
using namespace std::chrono_literals;

// Long enough for a machine whose processor is emulated and whose host is busy.
constexpr auto kCreateTimeout = 60s;
// Processes of one container that holt knows of, so that ids cannot fill the monitor.
constexpr size_t kMaxExecs = 4096;

}  // namespace

// The connections of one process; an invalid one was not asked for.
struct Container::Streams {
  AgentLink::Stream in;
  AgentLink::Stream out;
  AgentLink::Stream err;
  AgentLink::Stream changes;
  std::vector<AgentLink::Stream> others;
  int missing = 0;
  bool failed = false;

  void Describe(agent::v1::Stdio& stdio) const {
    stdio.set_stdin_stream(in.id);
    stdio.set_stdout_stream(out.id);
    stdio.set_stderr_stream(err.id);
  }
  google::protobuf::RepeatedPtrField<agent::v1::Descriptor> Describe(
      const Descriptors* descriptors) const {
    if (descriptors == nullptr) return {};
    std::vector<uint64_t> ids;
    ids.reserve(others.size());
    for (const AgentLink::Stream& other : others) ids.push_back(other.id);
    return descriptors->Describe(ids);
  }
};

Container::Container(base::EventLoop& loop, AgentLink& link, Options options, ContainerLog* log)
    : loop_(loop), link_(link), options_(std::move(options)) {
  auto sink = [log](LogStream stream) -> OutputStream::Sink {
    if (log == nullptr) return nullptr;
    return [log, stream](std::string_view data) { log->Append(stream, data); };
  };
  init_ = std::make_unique<Process>(loop_, "", options_.terminal, options_.stdin_open,
                                    sink(LogStream::kStdout), sink(LogStream::kStderr));
}

Container::~Container() { alive_.reset(); }

void Container::OpenStreams(bool in, bool out, bool err, bool changes, Process& process,
                            std::function<void(base::Result<std::shared_ptr<Streams>>)> done) {
  auto streams = std::make_shared<Streams>();
  std::vector<AgentLink::Stream*> wanted;
  if (in) wanted.push_back(&streams->in);
  if (out) wanted.push_back(&streams->out);
  if (err) wanted.push_back(&streams->err);
  if (changes) wanted.push_back(&streams->changes);
  if (process.descriptors() != nullptr) streams->others.resize(process.descriptors()->streams());
  for (AgentLink::Stream& other : streams->others) wanted.push_back(&other);
  streams->missing = static_cast<int>(wanted.size());
  if (wanted.empty()) return done(streams);
  for (AgentLink::Stream* target : wanted) {
    link_.OpenStream([alive = std::weak_ptr<bool>(alive_), streams, target,
                      done](base::Result<AgentLink::Stream> stream) {
      if (alive.expired() || streams->failed) return;
      if (!stream) {
        streams->failed = true;
        return done(stream.error().Wrap("stream to the guest"));
      }
      *target = std::move(*stream);
      if (--streams->missing == 0) done(streams);
    });
  }
}

void Container::Connect(Process& process, Streams& streams) {
  if (streams.in.fd) process.input().SetTarget(std::move(streams.in.fd));
  if (streams.out.fd) process.output().SetSource(std::move(streams.out.fd));
  if (streams.err.fd) process.error_output().SetSource(std::move(streams.err.fd));
  if (process.descriptors() == nullptr) return;
  std::vector<base::UniqueFd> others;
  others.reserve(streams.others.size());
  for (AgentLink::Stream& other : streams.others) others.push_back(std::move(other.fd));
  process.descriptors()->Connect(std::move(others));
  process.descriptors()->OnArrival([this, id = process.exec_id()](Descriptors::Arrival arrival) {
    Deliver(id, std::move(arrival));
  });
}

void Container::Deliver(const std::string& exec_id, Descriptors::Arrival arrival) {
  auto arrived = std::make_shared<Descriptors::Arrival>(std::move(arrival));
  link_.OpenStream([this, alive = std::weak_ptr<bool>(alive_), exec_id,
                    arrived](base::Result<AgentLink::Stream> opened) {
    if (alive.expired() || !opened) return;
    auto stream = std::make_shared<AgentLink::Stream>(std::move(*opened));
    agent::v1::DeliverRequest request;
    request.set_container_id(options_.id);
    request.set_exec_id(exec_id);
    request.set_descriptor(static_cast<uint32_t>(arrived->index));
    request.set_stream(stream->id);
    CallDone("Deliver", request, kCallTimeout, [this, exec_id, arrived, stream](base::Status done) {
      Process* process = Find(exec_id);
      if (done && process != nullptr)
        return process->descriptors()->Join(std::move(*arrived), std::move(stream->fd));
      if (!done)
        base::log::Info("a connection for the container: {}",
                        base::log::Sanitize(done.error().message()));
    });
  });
}

base::Status Container::ConnectChanges(base::UniqueFd stream) {
  if (!stream) return {};
  TRY_CONTEXT(base::Relay::Start(loop_, std::move(changes_), std::move(stream)), "changes");
  return {};
}

void Container::Create(Done done) {
  OpenStreams(options_.stdin_open, true, !options_.terminal, changes_.valid(), *init_,
              [this, done = std::move(done)](base::Result<std::shared_ptr<Streams>> streams) {
                if (!streams) return done(streams.error());
                agent::v1::CreateContainerRequest request;
                request.set_container_id(options_.id);
                request.set_oci_config(options_.config_json);
                request.set_bundle(options_.bundle);
                *request.mutable_block_devices() = options_.block_devices;
                request.mutable_stdio()->set_terminal(options_.terminal);
                request.mutable_stdio()->set_rows(options_.rows);
                request.mutable_stdio()->set_columns(options_.columns);
                (*streams)->Describe(*request.mutable_stdio());
                *request.mutable_descriptors() = (*streams)->Describe(init_->descriptors());
                for (const auto& socket : options_.sockets) *request.add_sockets() = socket;
                request.set_changes_stream((*streams)->changes.id);
                Call<agent::v1::CreateContainerResponse>(
                    "CreateContainer", request, kCreateTimeout,
                    [this, streams = *streams,
                     done](base::Result<agent::v1::CreateContainerResponse> created) {
                      if (!created) return done(created.error());
                      Connect(*init_, *streams);
                      WaitFor("");
                      done(ConnectChanges(std::move(streams->changes.fd)));
                    });
              });
}

void Container::Start(Done done) {
  agent::v1::StartContainerRequest request;
  request.set_container_id(options_.id);
  Call<agent::v1::Empty>("StartContainer", request, kCreateTimeout,
                         [done = std::move(done)](base::Result<agent::v1::Empty> started) {
                           done(started ? base::Status() : base::Status(started.error()));
                         });
}

void Container::Exec(const ExecOptions& options, std::function<void(base::Result<int32_t>)> done) {
  auto fail = [&](base::Error error) {
    loop_.Post([done, error = std::move(error)] { done(error); });
  };
  if (auto status = CheckId(options.exec_id, "exec id"); !status) return fail(status.error());
  if (execs_.contains(options.exec_id))
    return fail(base::MakeError(Code::kAlreadyExists, "exec id \"{}\" is in use", options.exec_id));
  if (execs_.size() >= kMaxExecs)
    return fail(base::MakeError(Code::kResourceExhausted, "the container has {} exec processes",
                                kMaxExecs));
  auto& process = execs_[options.exec_id];
  process = std::make_unique<Process>(loop_, options.exec_id, options.terminal,
                                      options.attach_stdin, nullptr, nullptr);
  process->SetDescriptors(options.descriptors);
  if (options.attach_output) {
    process->output().HoldForClient();
    if (!options.terminal) process->error_output().HoldForClient();
  }
  link_.start_gate().Enter(
      [this, alive = std::weak_ptr<bool>(alive_), options, done](const StartGate::Place& place) {
        if (alive.expired()) return;
        // Whoever waits may have been ended meanwhile.
        if (Find(options.exec_id) == nullptr) return done(NoProcess(options.exec_id));
        StartExec(options, [place, done](base::Result<int32_t> guest_pid) { done(guest_pid); });
      });
}

void Container::StartExec(const ExecOptions& options,
                          std::function<void(base::Result<int32_t>)> done) {
  OpenStreams(options.attach_stdin, options.attach_output,
              options.attach_output && !options.terminal, false, *execs_.at(options.exec_id),
              [this, options, done](base::Result<std::shared_ptr<Streams>> streams) {
                if (!streams) {
                  Forget(options.exec_id);
                  return done(streams.error());
                }
                agent::v1::ExecRequest request;
                request.set_container_id(options_.id);
                request.set_exec_id(options.exec_id);
                request.set_oci_process(options.process_json);
                request.mutable_stdio()->set_terminal(options.terminal);
                request.mutable_stdio()->set_rows(options.rows);
                request.mutable_stdio()->set_columns(options.columns);
                (*streams)->Describe(*request.mutable_stdio());
                *request.mutable_descriptors() = (*streams)->Describe(options.descriptors.get());
                Call<agent::v1::ExecResponse>(
                    "Exec", request, kCreateTimeout,
                    [this, id = options.exec_id, streams = *streams,
                     done](base::Result<agent::v1::ExecResponse> started) {
                      Process* running = Find(id);
                      if (running == nullptr) return done(NoProcess(id));
                      if (!started) {
                        Forget(id);
                        return done(started.error());
                      }
                      Connect(*running, *streams);
                      WaitFor(id);
                      done(started->guest_pid());
                    });
              });
}

void Container::WaitFor(const std::string& exec_id) {
  agent::v1::WaitRequest request;
  request.set_container_id(options_.id);
  request.set_exec_id(exec_id);
  Call<agent::v1::WaitResponse>(
      "Wait", request, 0s, [this, exec_id](base::Result<agent::v1::WaitResponse> ended) {
        Process* process = Find(exec_id);
        if (process == nullptr) return;
        ProcessExit exit;
        if (ended) {
          exit.status = ended->exit_status();
          exit.oom_killed = ended->oom_killed();
        } else if (ended.error().code() == Code::kUnavailable ||
                   ended.error().code() == Code::kCancelled) {
          // The connection is gone: whoever finds out why calls EndAll.
          return;
        } else {
          exit.status = kFailedStatus;
          exit.error = base::log::Sanitize(ended.error().message());
        }
        if (!exec_id.empty()) {
          process->OnDrained([this, exec_id, alive = std::weak_ptr<bool>(alive_)] {
            // Not from within the process that is forgotten.
            loop_.Post([this, exec_id, alive] {
              if (!alive.expired()) Forget(exec_id);
            });
          });
        }
        process->SetExit(std::move(exit));
      });
}

void Container::Forget(const std::string& exec_id) {
  auto it = execs_.find(exec_id);
  if (it == execs_.end()) return;
  bool ended = it->second->exited();
  execs_.erase(it);
  if (ended && link_.client() != nullptr && link_.client()->open()) {
    agent::v1::ProcessRequest request;
    request.set_container_id(options_.id);
    request.set_exec_id(exec_id);
    Call<agent::v1::Empty>("DeleteProcess", request, kCallTimeout,
                           [exec_id](base::Result<agent::v1::Empty> deleted) {
                             if (!deleted)
                               base::log::Debug("exec {}: {}", exec_id, deleted.error().message());
                           });
  }
  CheckAllDrained();
}

Process* Container::Find(const std::string& exec_id) {
  if (exec_id.empty()) return init_.get();
  auto it = execs_.find(exec_id);
  return it == execs_.end() ? nullptr : it->second.get();
}

std::vector<pid_t> Container::ExecStubs() const {
  std::vector<pid_t> stubs;
  for (const auto& [id, process] : execs_)
    if (process->stub() != 0 && !process->exited()) stubs.push_back(process->stub());
  return stubs;
}

void Container::EndAll(const ProcessExit& exit, bool execs_only) {
  std::weak_ptr<bool> alive = alive_;
  std::vector<std::string> running;
  for (auto& [id, process] : execs_)
    if (!process->exited()) running.push_back(id);
  for (const std::string& id : running) {
    Process* process = Find(id);
    if (process == nullptr) continue;
    process->OnDrained([this, id, alive] {
      loop_.Post([this, id, alive] {
        if (!alive.expired()) Forget(id);
      });
    });
    process->SetExit(exit);
    if (alive.expired()) return;
  }
  if (!execs_only && !init_->exited()) init_->SetExit(exit);
}

void Container::OnAllDrained(std::function<void()> callback) {
  on_all_drained_ = std::move(callback);
  init_->OnDrained([this] {
    init_drained_ = true;
    CheckAllDrained();
  });
}

void Container::CheckAllDrained() {
  if (!init_drained_ || !execs_.empty() || !on_all_drained_) return;
  // Not from within a stream that its owner may now end.
  loop_.Post([callback = std::move(on_all_drained_), alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) callback();
  });
  on_all_drained_ = nullptr;
}

void Container::Abort() {
  std::weak_ptr<bool> alive = alive_;
  for (auto& [id, process] : execs_) process->Abort();
  init_->Abort();
}

}  // namespace holt::shim
