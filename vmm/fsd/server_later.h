#pragma once

#include <cerrno>
#include <span>
#include <string>

#include "vmm/fsd/server.h"

namespace holt::fsd {

// `work(payload)` returns 0 or a positive errno, and may leave a reply in `payload`.
template <typename Work>
Server::Outcome Server::Later(Worker& worker, Request& request, Work work) {
  if (slow_ == nullptr) {
    std::string payload;
    if (int err = work(payload); err != 0) return request.Error(err);
    return request.OkBytes(std::as_bytes(std::span(payload)));
  }
  const uint64_t unique = request.header().unique;
  slow_->Add([chain = request.TakeChain(), unique, completer = worker.completer, work]() mutable {
    std::string payload;
    int err = work(payload);
    uint32_t written = WriteLateReply(chain, unique, err, std::as_bytes(std::span(payload)));
    completer->Complete(std::move(chain), written);
  });
  return std::nullopt;
}

}  // namespace holt::fsd
