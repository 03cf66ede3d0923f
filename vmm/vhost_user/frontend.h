#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/vhost_user/protocol.h"
#include "vmm/virtio/device.h"

namespace holt::vmm::vhost_user {

// The front end: the side that has the guest, and lets another process serve a device of it. Each
// call sends requests and waits for their answers, at most kDeadline; afterwards the connection is
// of no more use. The back end is trusted no further than that.
class Frontend {
 public:
  // Agrees on features over a connected stream socket. An error names what the back end lacks.
  static base::Result<std::unique_ptr<Frontend>> Connect(base::UniqueFd socket);

  // Virtio features that the back end offers.
  uint64_t features() const { return features_; }
  unsigned queue_count() const { return queue_count_; }
  int socket() const { return socket_.get(); }

  // Hands over features, memory (`memory_fd` is the file that all of its regions are from) and
  // queues, and lets them run.
  base::Status Start(uint64_t features, const GuestMemory& memory, int memory_fd,
                     std::span<const ExternalQueue> queues);
  // Stops the queues, says in each where it was, and makes the device forget the driver.
  base::Status Stop(std::span<ExternalQueue> queues);

  // To be called when the socket is readable between requests: nothing may come then, so this is
  // always an error, that the connection ended in most cases.
  base::Error Unexpected();

  static constexpr std::chrono::seconds kDeadline{5};
  static constexpr unsigned kMaxQueues = 64;

 private:
  explicit Frontend(base::UniqueFd socket) : socket_(std::move(socket)), reader_(socket_.get()) {}
  base::Status Negotiate();
  // Sends a request; its acknowledgement is read by CollectAcks().
  base::Status Send(Request request, std::string_view payload, std::span<const int> fds = {});
  base::Status CollectAcks();
  base::Status SendMemory(const GuestMemory& memory, int memory_fd);
  base::Status SendQueue(const GuestMemory& memory, const ExternalQueue& queue);
  base::Result<Message> Receive(Request request);
  // A request whose answer is a number.
  base::Result<uint64_t> Ask(Request request);

  base::UniqueFd socket_;
  MessageReader reader_;
  uint64_t features_ = 0;
  uint64_t protocol_features_ = 0;
  unsigned queue_count_ = 1;
  std::vector<Request> unacknowledged_;
};

}  // namespace holt::vmm::vhost_user
