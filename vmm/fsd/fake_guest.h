#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/fsd/server.h"
#include "vmm/virtio/fake_driver.h"

// The guest's side of FUSE, for tests: sends what it likes over a real ring, right or wrong.
namespace holt::fsd {

struct Reply {
  bool answered = false;  // false: nothing came back (yet)
  int error = 0;          // positive errno
  std::string body;

  bool ok() const { return answered && error == 0; }
  template <typename T>
  T As(size_t offset = 0) const {
    T value{};
    if (body.size() >= offset + sizeof value)
      __builtin_memcpy(&value, body.data() + offset, sizeof value);
    return value;
  }
};

template <typename T>
std::string Bytes(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

class FakeGuest : public Completer {
 public:
  explicit FakeGuest(Server* server) : server_(server) {}

  // Who asks, from here on.
  uint32_t uid = static_cast<uint32_t>(geteuid());
  uint32_t gid = static_cast<uint32_t>(getegid());

  // FUSE_INIT as Linux 6.12 sends it, with every feature.
  Reply Init(uint32_t major = 7, uint32_t minor = 39);
  // A whole request: header, `payload`, room for `room` bytes of reply body.
  Reply Send(uint32_t opcode, uint64_t nodeid, std::string_view payload, uint32_t room = 8192);
  // Bytes as they are, in place of a request.
  Reply SendRaw(std::string_view bytes, uint32_t room);
  // The answer to the request that Send() left unanswered, if it came since.
  Reply Late();
  uint64_t last_unique() const { return unique_; }

  // Shorthands; names get their NUL.
  Reply Lookup(uint64_t parent, std::string_view name) {
    return Send(FUSE_LOOKUP, parent, Named("", name));
  }
  // The inode's number, 0 if there is none.
  uint64_t Find(uint64_t parent, std::string_view name) {
    return Lookup(parent, name).As<fuse_entry_out>().nodeid;
  }
  Reply Open(uint64_t nodeid, uint32_t flags) {
    return Send(FUSE_OPEN, nodeid, Bytes(fuse_open_in{.flags = flags, .open_flags = 0}));
  }
  Reply Create(uint64_t parent, std::string_view name, uint32_t flags, uint32_t mode = 0644) {
    return Send(
        FUSE_CREATE, parent,
        Named(Bytes(fuse_create_in{.flags = flags, .mode = mode, .umask = 0, .open_flags = 0}),
              name));
  }
  static std::string Named(std::string_view head, std::string_view name) {
    std::string out(head);
    out.append(name);
    out.push_back('\0');
    return out;
  }

 private:
  void Complete(vmm::DescriptorChain chain, uint32_t written) override;
  Reply Take(uint32_t written) const;

  Server* server_;
  Credentials credentials_;
  Worker worker_{credentials_, this};
  std::shared_ptr<const vmm::GuestMemory> memory_ = vmm::MakeTestMemory(8 << 20);
  vmm::FakeDriver driver_{memory_, 16, 0x1000};
  vmm::Queue queue_{16};
  bool started_ = false;
  uint64_t unique_ = 0;
  std::vector<uint32_t> late_;
};

}  // namespace holt::fsd
