// A guest that sends anything. Input: records of a 2-byte length and that many bytes, each one
// request as it comes from the ring (fuse_in_header first).
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "base/socket.h"
#include "vmm/fsd/fake_guest.h"

namespace {

// A share with one of each, made anew for every run of the process.
const std::string& Share() {
  static const std::string share = [] {
    std::string path = (std::filesystem::temp_directory_path() / "fsd-fuzz-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) std::abort();
    std::filesystem::create_directories(path + "/dir/sub");
    (void)holt::base::WriteFile(path + "/file", "content");
    std::filesystem::create_symlink("/", path + "/out");
    std::atexit([] { std::filesystem::remove_all(Share()); });
    return path;
  }();
  return share;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace fsd = holt::fsd;
  // The server watches by it until its end.
  auto loop = *holt::base::EventLoop::Create();
  auto root = holt::base::Open(Share(), O_PATH | O_DIRECTORY);
  auto server = fsd::Server::Create(
      {.read_only = true, .locks = fsd::Locks::kHost, .replays = true, .max_inode_fds = 16},
      std::move(*root), nullptr);
  auto changes = *holt::base::SocketPair();
  (void)(*server)->WatchVolumes(*loop,
                                holt::base::UniqueFd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
                                std::move(changes.second), {"."});
  fsd::FakeGuest guest(server->get());
  guest.Init();
  while (size >= 2) {
    const size_t length = std::min<size_t>(size - 2, data[0] | data[1] << 8);
    // SAFETY: bytes seen as characters.
    guest.SendRaw(std::string_view(reinterpret_cast<const char*>(data + 2), length), 4096);
    data += 2 + length;
    size -= 2 + length;
  }
  (*server)->Cancel(&guest);
  return 0;
}
