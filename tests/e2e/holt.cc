#include "tests/e2e/holt.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/spawn.h"

namespace holt {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

std::string Environment(const char* name, const std::string& otherwise) {
  const char* value = getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

std::vector<std::string> FullEnvironment(const RunOptions& options) {
  std::vector<std::string> out;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    std::string_view text = *variable;
    bool replaced = std::any_of(options.environment.begin(), options.environment.end(),
                                [&](const std::string& other) {
                                  return text.starts_with(other.substr(0, other.find('=') + 1));
                                });
    if (!replaced) out.emplace_back(text);
  }
  out.insert(out.end(), options.environment.begin(), options.environment.end());
  return out;
}

// The host's cgroups (v2) of sandboxes below `root`.
std::vector<std::string> MarkedCgroups(const std::string& root) {
  std::vector<std::string> out;
  struct statfs fs {};
  if (statfs("/sys/fs/cgroup", &fs) != 0 || fs.f_type != CGROUP2_SUPER_MAGIC) return out;
  std::error_code error;
  std::filesystem::recursive_directory_iterator it("/sys/fs/cgroup", error), end;
  for (; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (!it->is_directory(ignored)) continue;
    char owner[4096];
    ssize_t n = getxattr(it->path().c_str(), "trusted.holt.sandbox", owner, sizeof owner);
    if (n > 0 && std::string_view(owner, static_cast<size_t>(n)).starts_with(root + "/"))
      out.push_back(it->path().string());
  }
  return out;
}

int Left(Clock::time_point end) {
  auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
  return static_cast<int>(std::clamp<long>(left, 0, 1000));
}

}  // namespace

std::unique_ptr<Program> Program::Start(const std::vector<std::string>& argv,
                                        const RunOptions& options) {
  auto program = std::make_unique<Program>();
  int in[2], out[2], err[2];
  for (int* fds : {in, out, err})
    if (pipe2(fds, O_CLOEXEC) != 0) return nullptr;
  base::SpawnOptions spawn;
  spawn.argv = argv;
  spawn.environment = FullEnvironment(options);
  spawn.fds = {{in[0], 0}, {out[1], 1}, {err[1], 2}};
  spawn.new_session = true;
  spawn.working_directory = options.directory;
  auto pid = base::Spawn(spawn);
  for (int fd : {in[0], out[1], err[1]}) close(fd);
  program->in_ = base::UniqueFd(in[1]);
  program->out_ = base::UniqueFd(out[0]);
  program->err_ = base::UniqueFd(err[0]);
  if (!pid) {
    ADD_FAILURE() << pid.error().message();
    return nullptr;
  }
  program->pid_ = *pid;
  program->input_ = options.input;
  fcntl(in[1], F_SETFL, O_NONBLOCK);
  return program;
}

std::unique_ptr<Program> Program::StartOnTerminal(const std::vector<std::string>& argv,
                                                  const RunOptions& options) {
  auto program = std::make_unique<Program>();
  winsize size{24, 80, 0, 0};
  int master = -1;
  std::vector<std::string> environment = FullEnvironment(options);
  std::vector<char*> arguments, variables;
  for (const std::string& arg : argv) arguments.push_back(const_cast<char*>(arg.c_str()));
  for (const std::string& one : environment) variables.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  variables.push_back(nullptr);
  pid_t pid = forkpty(&master, nullptr, nullptr, &size);
  if (pid < 0) return nullptr;
  if (pid == 0) {
    execve(arguments[0], arguments.data(), variables.data());
    _exit(99);
  }
  fcntl(master, F_SETFD, FD_CLOEXEC);
  program->pid_ = pid;
  program->terminal_ = true;
  program->out_ = base::UniqueFd(master);
  return program;
}

Program::~Program() {
  if (pid_ < 0 || exited_) return;
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Program::Type(const std::string& text) {
  if (terminal_) {
    (void)base::WriteFd(out_.get(), text);
  } else {
    input_ += text;
  }
}

void Program::Resize(unsigned short rows, unsigned short columns) {
  winsize size{rows, columns, 0, 0};
  ioctl(out_.get(), TIOCSWINSZ, &size);
}

void Program::Signal(int number) { kill(pid_, number); }

bool Program::ReadSome(int timeout_ms) {
  pollfd fds[3] = {{out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}, {-1, POLLOUT, 0}};
  if (in_ && input_.empty()) in_.Reset();
  if (in_) fds[2].fd = in_.get();
  if (poll(fds, 3, timeout_ms) <= 0) return out_ || err_;
  auto take = [](base::UniqueFd& fd, short events, std::string& to) {
    if (!fd || events == 0) return;
    char buffer[65536];
    ssize_t n = read(fd.get(), buffer, sizeof buffer);
    if (n > 0) {
      to.append(buffer, static_cast<size_t>(n));
    } else {
      fd.Reset();
    }
  };
  take(out_, fds[0].revents, finished_.out);
  take(err_, fds[1].revents, finished_.err);
  if (in_ && fds[2].revents != 0) {
    ssize_t n = write(in_.get(), input_.data(), input_.size());
    if (n > 0) {
      input_.erase(0, static_cast<size_t>(n));
    } else if (errno != EAGAIN) {
      in_.Reset();
    }
  }
  return out_ || err_;
}

bool Program::WaitFor(const std::string& text, std::chrono::seconds deadline) {
  auto end = Clock::now() + deadline;
  while (finished_.out.find(text) == std::string::npos) {
    if (Clock::now() > end || !ReadSome(Left(end)))
      return finished_.out.find(text) != std::string::npos;
  }
  return true;
}

Finished Program::Finish(std::chrono::seconds deadline) {
  auto end = Clock::now() + deadline;
  while (ReadSome(Left(end)) && Clock::now() < end) {
  }
  int status = 0;
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    if (Clock::now() > end) {
      kill(-pid_, SIGKILL);
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
      exited_ = true;
      finished_.status = -1;
      return finished_;
    }
    usleep(2000);
  }
  exited_ = true;
  finished_.status = base::ExitCodeFromWaitStatus(status);
  return finished_;
}

std::string* HoltTest::store_ = nullptr;

std::string HoltTest::Accel() { return Environment("HOLT_TEST_ACCEL", "software"); }
std::string HoltTest::BuildDirectory() {
  return Environment("HOLT_BUILD_DIR", HOLT_SOURCE_DIR "/build/dev");
}

void HoltTest::SetUpTestSuite() {
  signal(SIGPIPE, SIG_IGN);
  store_ = new std::string(Environment("TMPDIR", "/tmp") + "/store-" + std::to_string(getpid()));
  std::string images = Environment("HOLT_TEST_IMAGES", "");
  ASSERT_NE(images, "") << "HOLT_TEST_IMAGES is not set: tests/images/build.sh prints it";
  auto import = Program::Start(
      {BuildDirectory() + "/bin/holt", "--store", *store_, "import", images + "/demo.tar", "demo"},
      {});
  ASSERT_NE(import, nullptr);
  Finished finished = import->Finish();
  ASSERT_EQ(finished.status, 0) << finished.err;
}

void HoltTest::TearDownTestSuite() {
  if (store_ == nullptr) return;
  EXPECT_TRUE(base::RemoveTree(*store_).ok());
  delete store_;
  store_ = nullptr;
}

void HoltTest::SetUp() {
  scratch_ = Environment("TMPDIR", "/tmp") + "/holt-XXXXXX";
  ASSERT_NE(mkdtemp(scratch_.data()), nullptr);
  root_ = scratch_ + "/run";
}

void HoltTest::TearDown() {
  Finished list = Holt({"ps", "-aq"});
  std::vector<std::string> remove = {"rm", "-f"};
  for (size_t at = 0; at < list.out.size();) {
    size_t end = std::min(list.out.find('\n', at), list.out.size());
    remove.push_back(list.out.substr(at, end - at));
    at = end + 1;
  }
  if (remove.size() > 2) {
    // One with --rm may vanish by itself meanwhile; what counts is what is left.
    Holt(remove);
  }
  for (const std::string& left : Leftovers()) ADD_FAILURE() << "left behind: " << left;
  auto removed = base::RemoveTree(scratch_);
  EXPECT_TRUE(removed.ok()) << removed.error().message();
}

std::vector<std::string> HoltTest::Command(const std::vector<std::string>& args) const {
  std::vector<std::string> argv = {BuildDirectory() + "/bin/holt", "--root", root_, "--store",
                                   *store_};
  argv.insert(argv.end(), args.begin(), args.end());
  return argv;
}

Finished HoltTest::Holt(const std::vector<std::string>& args, const RunOptions& options) const {
  auto program = Program::Start(Command(args), options);
  return program ? program->Finish(options.deadline) : Finished{};
}

std::vector<std::string> HoltTest::RunCommand(const std::vector<std::string>& args) const {
  std::vector<std::string> all = {"run", "--accel", Accel()};
  // Who tests a network says so.
  const bool says = std::ranges::any_of(
      args, [](const std::string& arg) { return arg == "--network" || arg == "-p"; });
  if (!says) all.insert(all.end(), {"--network", "none"});
  all.insert(all.end(), args.begin(), args.end());
  return Command(all);
}

Finished HoltTest::Run(const std::vector<std::string>& args, const RunOptions& options) const {
  auto program = Program::Start(RunCommand(args), options);
  return program ? program->Finish(options.deadline) : Finished{};
}

std::string HoltTest::RunDetached(std::vector<std::string> args) const {
  args.insert(args.begin(), "-d");
  Finished finished = Run(args);
  EXPECT_EQ(finished.status, 0) << finished.err;
  if (!finished.out.empty() && finished.out.back() == '\n') finished.out.pop_back();
  return finished.out;
}

std::string HoltTest::ErrorOf(const Finished& finished) {
  const std::string prefix = "holt: error: ";
  size_t at = finished.err.find(prefix);
  if (at == std::string::npos) {
    ADD_FAILURE() << "no error line, status " << finished.status << ": " << finished.err;
    return "";
  }
  EXPECT_EQ(finished.err.find(prefix, at + 1), std::string::npos) << finished.err;
  size_t end = finished.err.find('\n', at);
  return finished.err.substr(at + prefix.size(), end - at - prefix.size());
}

std::vector<std::string> HoltTest::Leftovers() const {
  std::vector<std::string> out;
  // A process that was just killed may take a moment to vanish.
  for (int attempt = 0; attempt < 50; ++attempt) {
    out.clear();
    std::unique_ptr<DIR, int (*)(DIR*)> proc(opendir("/proc"), closedir);
    while (const dirent* entry = readdir(proc.get())) {
      if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
      auto text = base::ReadFile(std::string("/proc/") + entry->d_name + "/cmdline", 1 << 20);
      if (!text || text->find(root_) == std::string::npos) continue;
      std::replace(text->begin(), text->end(), '\0', ' ');
      out.push_back("process " + std::string(entry->d_name) + ": " + *text);
    }
    if (out.empty()) break;
    usleep(20'000);
  }
  auto mounts = base::ReadFile("/proc/self/mountinfo", 4 << 20);
  if (mounts && mounts->find(scratch_) != std::string::npos)
    out.push_back("a mount below " + scratch_);
  std::unique_ptr<DIR, int (*)(DIR*)> root(opendir(root_.c_str()), closedir);
  while (const dirent* entry = root ? readdir(root.get()) : nullptr) {
    std::string name = entry->d_name;
    if (name != "." && name != ".." && name != ".names" && name != ".kvm")
      out.push_back("file " + root_ + "/" + name);
  }
  for (const std::string& cgroup : MarkedCgroups(root_)) out.push_back("cgroup " + cgroup);
  std::unique_ptr<DIR, int (*)(DIR*)> containers(opendir((*store_ + "/containers").c_str()),
                                                 closedir);
  while (const dirent* entry = containers ? readdir(containers.get()) : nullptr)
    if (entry->d_name[0] != '.') out.push_back("root file system of " + std::string(entry->d_name));
  return out;
}

}  // namespace holt
