#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "vmm/devices/vsock_packet.h"
#include "vmm/virtio/device.h"

namespace holt::vmm {

// virtio-vsock in user space: the guest's streams are Unix sockets on the host.
//
// Host to guest: a client of the listening socket writes "CONNECT <port>\n"; when the guest accepts
// it reads "OK <host port>\n", and from there the guest's bytes (Firecracker's convention). A
// refusal is an end of file without the line. Guest to host, port P: the Unix socket "<name>_P" in
// the current directory of the process.
//
// Everything is bounded: streams, bytes waiting for a slow host side (the credit we give), answers
// waiting for the guest. Lives in one event loop.
class Vsock {
 public:
  struct Options {
    base::EventLoop* loop = nullptr;
    uint64_t guest_cid = 3;
    base::UniqueFd listener;  // may be invalid: no connections to the guest
    std::string name;         // empty: no connections from the guest
  };
  static base::Result<std::unique_ptr<Vsock>> Create(Options options);
  ~Vsock();
  Vsock(const Vsock&) = delete;
  Vsock& operator=(const Vsock&) = delete;

  static constexpr size_t kReceiveQueue = 0;   // host to guest
  static constexpr size_t kTransmitQueue = 1;  // guest to host
  static constexpr size_t kEventQueue = 2;
  static constexpr uint16_t kQueueSize = 256;

  // Credit given to each stream, hence the most that waits here for its host side.
  static constexpr uint32_t kBufferBytes = 128 << 10;
  static constexpr size_t kMaxStreams = 4096;
  static constexpr size_t kMaxHandshakes = 64;
  static constexpr size_t kMaxResets = 64;
  // Packets handled in one go, so that a busy guest leaves the loop to others.
  static constexpr size_t kBudget = 512;

  uint64_t guest_cid() const { return options_.guest_cid; }

  // The queue runs from now on; null: it stops, after what the driver had handed over.
  void SetQueue(size_t index, QueuePort* port);
  void OnKick(size_t index);
  // The driver went away: every stream ends, when its host side has taken what the guest sent.
  void EndStreams();

  size_t streams() const { return streams_.size(); }

 private:
  using Key = uint64_t;  // host port << 32 | guest port

  struct Stream {
    uint32_t host_port = 0;
    uint32_t guest_port = 0;
    base::UniqueFd fd;     // invalid once the host side is done with
    uint32_t watched = 0;  // epoll events asked for
    bool open = false;     // both sides agreed
    bool queued = false;   // in ready_
    base::EventLoop::TimerId timer = 0;

    // Guest to host.
    std::string waiting;  // from `waiting_sent` on: not taken by the host side yet
    size_t waiting_sent = 0;
    uint32_t forwarded = 0;
    uint32_t forwarded_told = 0;
    bool guest_sent_all = false;
    bool guest_reads_no_more = false;
    bool guest_gone = false;  // reset by the guest; only `waiting` is left to do

    // Host to guest.
    uint32_t sent = 0;
    uint32_t guest_buffer = 0;
    uint32_t guest_forwarded = 0;
    bool readable = false;
    bool host_sent_all = false;
    bool host_gone = false;

    // Packets to send.
    bool want_request = false;
    bool want_response = false;
    bool want_credit = false;
    bool want_reset = false;
    uint32_t want_shutdown = 0;

    size_t waiting_bytes() const { return waiting.size() - waiting_sent; }
    uint32_t credit() const;
    bool has_work() const;
  };
  struct ResetReply {
    uint32_t host_port;
    uint32_t guest_port;
  };
  struct Handshake {
    base::UniqueFd fd;
    std::string line;
    base::EventLoop::TimerId timer = 0;
  };

  explicit Vsock(Options options) : options_(std::move(options)) {}
  static Key MakeKey(uint32_t host_port, uint32_t guest_port) {
    return uint64_t{host_port} << 32 | guest_port;
  }

  // vsock.cc: packets.
  void ProcessTransmit();
  void PostAgain();
  void HandlePacket(const vsock::Header& header, ChainReader body);
  void HandleData(Stream& stream, const vsock::Header& header, ChainReader body);
  void HandleShutdown(Stream& stream, uint32_t flags);
  void HandleReset(Stream& stream);
  void QueueReset(const vsock::Header& cause);
  void PumpReceive();
  // False: the chain was not used.
  bool FillPacket(const DescriptorChain& chain, uint32_t& written);
  bool FillStreamPacket(Stream& stream, ChainWriter& body, vsock::Header& header);

  // vsock_stream.cc: one stream and its host side.
  Stream* AddStream(uint32_t host_port, uint32_t guest_port, base::UniqueFd fd);
  void Remove(Stream& stream);
  void DropStreams();
  void MarkReady(Stream& stream);
  void Reset(Stream& stream);
  void Watch(Stream& stream);
  void OnHostEvents(Key key, uint32_t events);
  uint32_t ReadHost(Stream& stream, ChainWriter& body);
  void Forward(Stream& stream, ChainReader& body);
  void FlushWaiting(Stream& stream);
  void HostStoppedReading(Stream& stream);
  void AfterForward(Stream& stream);

  // vsock_connect.cc: how streams begin.
  void OnListener();
  void OnHandshake(int fd);
  void EndHandshake(int fd);
  void ConnectToGuest(base::UniqueFd fd, uint32_t guest_port);
  void ConnectToHost(const vsock::Header& header);
  void Established(Stream& stream);

  Options options_;
  QueuePort* receive_ = nullptr;
  QueuePort* transmit_ = nullptr;
  std::map<Key, std::unique_ptr<Stream>> streams_;
  std::deque<Key> ready_;  // streams with something for the guest, served in turn
  std::deque<ResetReply> resets_;
  std::map<int, Handshake> handshakes_;
  // Firecracker starts there too: far from ports that people choose.
  uint32_t next_host_port_ = 1u << 30;
  bool posted_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// The same over virtio-mmio, in this process.
class VsockDevice : public VirtioDevice {
 public:
  explicit VsockDevice(std::unique_ptr<Vsock> vsock) : vsock_(std::move(vsock)) {}

  std::string_view Name() const override { return "vsock"; }
  uint32_t Type() const override { return kTypeVsock; }
  std::vector<uint16_t> QueueSizes() const override {
    return {Vsock::kQueueSize, Vsock::kQueueSize, 64};
  }
  void ReadConfig(uint32_t offset, std::span<std::byte> out) const override;
  base::Status Start(uint64_t features, std::span<QueuePort* const> ports) override;
  void Stop() override;
  void OnKick(size_t index) override { vsock_->OnKick(index); }

 private:
  std::unique_ptr<Vsock> vsock_;
};

}  // namespace holt::vmm
