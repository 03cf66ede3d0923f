#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

namespace holt::image {

// Told what happens to each layer. Methods may be called from several threads at once.
class Progress {
 public:
  virtual ~Progress() = default;
  // A line of its own: "docker.io/library/debian:12: pulling".
  virtual void Message(const std::string& text) = 0;
  // `layer` is a short digest, `total` its bytes (0: unknown).
  virtual void Start(const std::string& layer, uint64_t total) = 0;
  virtual void Advance(const std::string& layer, uint64_t done) = 0;
  // "already here", "waiting for another pull", "retrying in 2 s: …", "done".
  virtual void State(const std::string& layer, const std::string& state, bool finished) = 0;
};

// Bars that redraw themselves if `stream` is a terminal, one plain line per event elsewhere.
std::unique_ptr<Progress> MakeProgress(std::FILE* stream);
// Says nothing.
std::unique_ptr<Progress> MakeQuietProgress();
// For tests: the two kinds by name.
std::unique_ptr<Progress> MakeTerminalProgress(std::FILE* stream, int columns);
std::unique_ptr<Progress> MakeLineProgress(std::FILE* stream);

}  // namespace holt::image
