#include "image/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <vector>

#include "base/log.h"

namespace holt::image {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr auto kLineEvery = std::chrono::seconds(10);
constexpr int kBarWidth = 24;

std::string Bytes(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  for (const char* unit : {"kB", "MB", "GB"}) {
    value /= 1000;
    if (value < 999.5 || unit[0] == 'G')
      return fmt::format("{:.{}f} {}", value, value < 9.95 ? 1 : 0, unit);
  }
  return "";
}

struct Layer {
  uint64_t total = 0;
  uint64_t done = 0;
  std::string state;
  bool finished = false;
  Clock::time_point said;
};

// Bars below each other that are drawn over; text of others goes above them.
class TerminalProgress : public Progress {
 public:
  TerminalProgress(std::FILE* stream, int columns)
      : stream_(stream), columns_(std::max(columns, 20)) {}
  ~TerminalProgress() override { Draw(true); }

  void Message(const std::string& text) override {
    std::lock_guard lock(mutex_);
    Erase();
    fmt::print(stream_, "{}\n", base::log::Sanitize(text));
    Draw(true);
  }
  void Start(const std::string& layer, uint64_t total) override {
    std::lock_guard lock(mutex_);
    Layer& mine = Get(layer);
    mine.total = total;
    mine.done = 0;
    mine.state.clear();
    Draw(false);
  }
  void Advance(const std::string& layer, uint64_t done) override {
    std::lock_guard lock(mutex_);
    Get(layer).done = done;
    Draw(false);
  }
  void State(const std::string& layer, const std::string& state, bool finished) override {
    std::lock_guard lock(mutex_);
    Layer& mine = Get(layer);
    mine.state = state;
    mine.finished = finished;
    Draw(true);
  }

 private:
  Layer& Get(const std::string& name) {
    if (!layers_.count(name)) order_.push_back(name);
    return layers_[name];
  }

  std::string Line(const std::string& name, const Layer& layer) const {
    if (!layer.state.empty()) return fmt::format("{}  {}", name, layer.state);
    if (layer.total == 0) return fmt::format("{}  {}", name, Bytes(layer.done));
    double part = std::min(1.0, static_cast<double>(layer.done) / static_cast<double>(layer.total));
    int filled = static_cast<int>(part * kBarWidth);
    return fmt::format("{}  [{}{}] {:>3}%  {} of {}", name,
                       std::string(static_cast<size_t>(filled), '='),
                       std::string(static_cast<size_t>(kBarWidth - filled), ' '),
                       static_cast<int>(part * 100), Bytes(layer.done), Bytes(layer.total));
  }

  void Erase() {
    if (drawn_ > 0) fmt::print(stream_, "\x1b[{}A\x1b[J", drawn_);
    drawn_ = 0;
  }

  void Draw(bool now) {
    if (!now && Clock::now() - last_ < kRedraw) return;
    last_ = Clock::now();
    Erase();
    for (const std::string& name : order_) {
      std::string line = base::log::Sanitize(Line(name, layers_[name]));
      // A line that wraps would be two to go up.
      if (line.size() >= static_cast<size_t>(columns_))
        line.resize(static_cast<size_t>(columns_) - 1);
      fmt::print(stream_, "{}\n", line);
      ++drawn_;
    }
    std::fflush(stream_);
  }

  std::FILE* stream_;
  int columns_;
  std::mutex mutex_;
  std::map<std::string, Layer> layers_;
  std::vector<std::string> order_;
  int drawn_ = 0;
  Clock::time_point last_;
};

class LineProgress : public Progress {
 public:
  explicit LineProgress(std::FILE* stream) : stream_(stream) {}

  void Message(const std::string& text) override {
    std::lock_guard lock(mutex_);
    Say(text);
  }
  void Start(const std::string& layer, uint64_t total) override {
    std::lock_guard lock(mutex_);
    layers_[layer] = Layer{.total = total, .said = Clock::now()};
    Say(total ? fmt::format("{}: {}", layer, Bytes(total)) : layer + ": unpacking");
  }
  void Advance(const std::string& layer, uint64_t done) override {
    std::lock_guard lock(mutex_);
    Layer& mine = layers_[layer];
    mine.done = done;
    if (Clock::now() - mine.said < kLineEvery) return;
    mine.said = Clock::now();
    Say(mine.total ? fmt::format("{}: {} of {}", layer, Bytes(done), Bytes(mine.total))
                   : fmt::format("{}: {}", layer, Bytes(done)));
  }
  void State(const std::string& layer, const std::string& state, bool) override {
    std::lock_guard lock(mutex_);
    Say(layer + ": " + state);
  }

 private:
  void Say(const std::string& text) {
    fmt::print(stream_, "{}\n", base::log::Sanitize(text));
    std::fflush(stream_);
  }
  std::FILE* stream_;
  std::mutex mutex_;
  std::map<std::string, Layer> layers_;
};

class QuietProgress : public Progress {
  void Message(const std::string&) override {}
  void Start(const std::string&, uint64_t) override {}
  void Advance(const std::string&, uint64_t) override {}
  void State(const std::string&, const std::string&, bool) override {}
};

}  // namespace

std::unique_ptr<Progress> MakeTerminalProgress(std::FILE* stream, int columns) {
  return std::make_unique<TerminalProgress>(stream, columns);
}

std::unique_ptr<Progress> MakeLineProgress(std::FILE* stream) {
  return std::make_unique<LineProgress>(stream);
}

std::unique_ptr<Progress> MakeQuietProgress() { return std::make_unique<QuietProgress>(); }

std::unique_ptr<Progress> MakeProgress(std::FILE* stream) {
  int fd = fileno(stream);
  winsize size{};
  if (fd >= 0 && isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0)
    return MakeTerminalProgress(stream, size.ws_col ? size.ws_col : 80);
  return MakeLineProgress(stream);
}

}  // namespace holt::image
