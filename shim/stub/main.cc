// holt-stub: stands in on the host for one process of a container. See docs/processes/holt-stub.md.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "shim/stub/apparmor.h"
#include "shim/stub/connect.h"
#include "shim/stub/relay.h"
#include "shim/stub/view.h"

namespace holt::stub {
namespace {

using base::UniqueFd;

constexpr char kUsage[] =
    "usage: holt-stub --attach SOCKET --container ID [--exec ID] [--terminal] [--console-socket "
    "SOCKET]\n"
    "                 [--apparmor PROFILE] [--status-fd N] [--holder-fd N]\n"
    "                 [--join-mounts N | --monitor-mounts N "
    "--share DIR\n"
    "                 [--volumes PLACE DESTINATION ...]]\n"
    "Started by holt; not meant to be run by hand.\n";

// What a monitor that died leaves its processes with (as SIGKILL would).
constexpr int kLost = 128 + SIGKILL;

struct Arguments {
  Target target;
  bool terminal = false;
  const char* console_socket = nullptr;
  const char* apparmor = nullptr;
  UniqueFd status;
  UniqueFd holder;  // of the stdio, if that is not us
  View view;
  UniqueFd mounts;  // the view's namespace
};

int Descriptor(const char* text) {
  int fd = text != nullptr ? atoi(text) : -1;
  return fd < 3 ? -1 : fd;
}

bool Parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; ++i) {
    auto value = [&]() -> const char* { return i + 1 < argc ? argv[++i] : nullptr; };
    const char** target = nullptr;
    if (strcmp(argv[i], "--attach") == 0) {
      target = &arguments.target.socket;
    } else if (strcmp(argv[i], "--container") == 0) {
      target = &arguments.target.container;
    } else if (strcmp(argv[i], "--exec") == 0) {
      target = &arguments.target.exec;
    } else if (strcmp(argv[i], "--console-socket") == 0) {
      target = &arguments.console_socket;
    } else if (strcmp(argv[i], "--apparmor") == 0) {
      target = &arguments.apparmor;
    } else if (strcmp(argv[i], "--terminal") == 0) {
      arguments.terminal = true;
      continue;
    } else if (strcmp(argv[i], "--status-fd") == 0 || strcmp(argv[i], "--holder-fd") == 0) {
      UniqueFd& fd = argv[i][2] == 's' ? arguments.status : arguments.holder;
      fd = UniqueFd(Descriptor(value()));
      if (!fd) return false;
      continue;
    } else if (strcmp(argv[i], "--join-mounts") == 0 || strcmp(argv[i], "--monitor-mounts") == 0) {
      bool join = argv[i][2] == 'j';
      arguments.mounts = UniqueFd(Descriptor(value()));
      if (!arguments.mounts) return false;
      (join ? arguments.view.joined : arguments.view.monitor) = arguments.mounts.get();
      continue;
    } else if (strcmp(argv[i], "--share") == 0) {
      target = &arguments.view.share;
    } else if (strcmp(argv[i], "--volumes") == 0) {
      // The rest.
      arguments.view.volume = argv + i + 1;
      arguments.view.volumes = static_cast<size_t>(argc - i - 1) / 2;
      break;
    } else {
      return false;
    }
    *target = value();
    if (*target == nullptr) return false;
  }
  return arguments.target.socket != nullptr && arguments.target.container != nullptr &&
         (arguments.view.monitor < 0 || arguments.view.share != nullptr);
}

// All of them: an init gets no signal that it neither handles nor blocks. A fault of our own ends
// us all the same.
UniqueFd TakeSignals() {
  sigset_t set;
  sigfillset(&set);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return UniqueFd();
  return UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

class Stub {
 public:
  explicit Stub(Arguments arguments) : arguments_(static_cast<Arguments&&>(arguments)) {}

  // Attaches everything; false with the reason.
  bool Start(char* error, size_t error_size) {
    signals_ = TakeSignals();
    if (!signals_) {
      snprintf(error, error_size, "signals: %s", strerror(errno));
      return false;
    }
    const Target& target = arguments_.target;
    control_ = Attach(target, "control", error, error_size);
    if (!control_) return false;
    if (arguments_.console_socket != nullptr) {
      terminal_ = MakeTerminal(arguments_.console_socket, error, error_size);
      if (!terminal_) return false;
    }
    if (!arguments_.holder && !AttachStreams(error, error_size)) return false;
    UniqueFd profile;
    if (arguments_.apparmor != nullptr) {
      profile = OpenProfile(error, error_size);
      if (!profile) return false;
    }
    // From here on nothing of the host has a name.
    if (arguments_.mounts && !EnterView(arguments_.view, error, error_size)) return false;
    arguments_.mounts.Reset();
    // Last: profiles forbid mounts.
    if (profile && !EnterProfile(profile.get(), arguments_.apparmor, error, error_size))
      return false;
    char answer[16];
    if (!WriteAll(control_.get(), "stub\n", 5) ||
        !ReadLine(control_.get(), answer, sizeof answer)) {
      snprintf(error, error_size, "the monitor went away");
      return false;
    }
    // A process may have ended before its stub came: then this is the answer.
    TakeExit(answer);
    Resize();
    return true;
  }

  bool AttachStreams(char* error, size_t error_size) {
    out_ = Attach(arguments_.target, "stdout", error, error_size);
    if (!out_) return false;
    if (!arguments_.terminal) {
      err_ = Attach(arguments_.target, "stderr", error, error_size);
      if (!err_) return false;
    }
    // A process whose input is /dev/null has no such stream; ours is left alone then.
    char ignored[256];
    in_ = Attach(arguments_.target, "stdin", ignored, sizeof ignored);
    return true;
  }

  // Until the process has ended and its output is out. Returns its exit status.
  int Run() {
    bool terminal = static_cast<bool>(terminal_);
    Relay in(terminal ? terminal_.get() : 0, in_.get());
    Relay out(out_.get(), terminal ? terminal_.get() : 1);
    Relay err(err_.get(), 2);
    while (!ended_ || !out.done() || !err.done()) {
      // The input is of no use to a process that has ended.
      pollfd fds[] = {{signals_.get(), POLLIN, 0},
                      {ended_ ? -1 : control_.get(), POLLIN, 0},
                      ended_ ? pollfd{-1, 0, 0} : in.Wanted(),
                      out.Wanted(),
                      err.Wanted(),
                      {arguments_.holder.get(), 0, 0}};
      if (poll(fds, 6, -1) < 0) {
        if (errno == EINTR) continue;
        return kLost;
      }
      // Whoever had the stdio was killed; the monitor ends a process whose stub is gone.
      if (fds[5].revents != 0 && !ended_) return kLost;
      if (fds[0].revents != 0) TakeSignal();
      if (fds[1].revents != 0) TakeControl();
      in.OnReady(fds[2].revents);
      out.OnReady(fds[3].revents);
      err.OnReady(fds[4].revents);
      if (in.done() && in_) {
        shutdown(in_.get(), SHUT_WR);
        // With a terminal its end only detaches.
        if (in.target_gone()) in_.Reset();
      }
      // Nobody reads any more: the monitor drops this client, and the process goes on.
      if (out.target_gone()) out_.Reset();
      if (err.target_gone()) err_.Reset();
    }
    return status_;
  }

  void Tell(const char* text) {
    if (arguments_.status) WriteAll(arguments_.status.get(), text, strlen(text));
    arguments_.status.Reset();
  }

 private:
  void Say(const char* format, int a, int b = 0) {
    char line[64];
    int length = snprintf(line, sizeof line, format, a, b);
    WriteAll(control_.get(), line, static_cast<size_t>(length));
  }

  void Resize() {
    winsize size{};
    if (terminal_ && ioctl(terminal_.get(), TIOCGWINSZ, &size) == 0 && size.ws_row != 0)
      Say("resize %d %d\n", size.ws_row, size.ws_col);
  }

  void TakeSignal() {
    signalfd_siginfo info;
    while (read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      int signal = static_cast<int>(info.ssi_signo);
      if (signal == SIGWINCH) {
        Resize();
      } else if (signal != SIGCHLD && signal != SIGPIPE && !ended_) {
        Say("signal %d\n", signal);
      }
    }
  }

  void TakeControl() {
    char line[64];
    if (!ReadLine(control_.get(), line, sizeof line)) {
      ended_ = true;
      status_ = kLost;
      return;
    }
    TakeExit(line);
  }

  void TakeExit(const char* line) {
    if (strncmp(line, "exit ", 5) != 0) return;
    ended_ = true;
    status_ = atoi(line + 5) & 0xff;
  }

  Arguments arguments_;
  UniqueFd signals_;
  UniqueFd control_;
  UniqueFd terminal_;
  UniqueFd in_;
  UniqueFd out_;
  UniqueFd err_;
  bool ended_ = false;
  int status_ = 0;
};

// The end of a pid namespace's init kills the others in it: stubs of execs, which may have output
// and a status to deliver. Those that do not come to an end have a reader that does not read.
void WaitForOthers() {
  if (getpid() != 1) return;
  for (int i = 0; i < 100 && kill(-1, 0) == 0; ++i) usleep(10'000);
}

}  // namespace
}  // namespace holt::stub

int main(int argc, char** argv) {
  using namespace holt::stub;
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    printf("holt-stub %s\n", HOLT_VERSION);
    return 0;
  }
  Arguments arguments;
  if (!Parse(argc, argv, arguments)) {
    fputs(kUsage, stderr);
    return 2;
  }
  // Static: three buffers are no business of the stack's.
  static Stub stub(static_cast<Arguments&&>(arguments));
  char error[512] = "error ";
  if (!stub.Start(error + 6, sizeof error - 6)) {
    stub.Tell(error);
    return 1;
  }
  stub.Tell("ok");
  int status = stub.Run();
  WaitForOthers();
  return status;
}
