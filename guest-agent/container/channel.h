#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

// The SOCK_SEQPACKET pair between the agent and a child that becomes a container's process. The
// child reports; the agent says "go" once. It is CLOEXEC: its end tells the agent that exec
// succeeded.
namespace holt::guest_agent {

enum class ChannelKind : uint32_t {
  kReady = 1,    // everything is set up, waiting for go
  kPty = 2,      // the pty's master is attached
  kWarning = 3,  // text
  kFailed = 4,   // code, err, text; the child exits
};

// Fixed size, no pointers: what one sendmsg carries.
struct ChannelMessage {
  ChannelKind kind;
  int32_t code;  // base::Code of kFailed
  int32_t err;
  char text[1012];

  static ChannelMessage Make(ChannelKind kind, std::string_view text = "");
  static ChannelMessage Failed(const base::Error& error);
  base::Error ToError() const;
};
static_assert(sizeof(ChannelMessage) == 1024);

struct Channel {
  base::UniqueFd agent;  // nonblocking
  base::UniqueFd child;
};
base::Result<Channel> MakeChannel();

// Child's side; blocking. `fd` is attached when it is not negative.
void SendMessage(int channel, const ChannelMessage& message, int fd = -1);
// Waits for the agent's go; false when the agent closed the channel instead.
bool AwaitGo(int channel);

// Agent's side. Go may be sent before the child is ready. An error when the child has ended: then
// the channel says why.
base::Status SendGo(int channel);
struct Received {
  bool closed = false;  // nothing more comes
  bool empty = false;   // nothing now
  ChannelMessage message{};
  base::UniqueFd fd;
};
Received Receive(int channel);

}  // namespace holt::guest_agent
