#include "vmm/devices/blk_spares.h"

namespace holt::vmm {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

Result<BlkSpares::Place*> BlkSpares::Find(size_t place) {
  if (place >= places_.size())
    return MakeError(Code::kNotFound, "spare disk {}: there are {}", place, places_.size());
  return &places_[place];
}

Status BlkSpares::Plug(size_t place, BlkDisk disk) {
  TRY_ASSIGN(Place * found, Find(place));
  for (const Place& other : places_)
    if (other.blk != found->blk && other.blk->disk_id() == disk.id)
      return MakeError(Code::kAlreadyExists, "disk {} is in another place", disk.id);
  Status status;
  found->change([&] { status = found->blk->Plug(std::move(disk)); });
  if (!status) return std::move(status).error().Wrap(fmt::format("spare disk {}", place));
  return {};
}

Status BlkSpares::Unplug(size_t place, std::function<void()> done) {
  TRY_ASSIGN(Place * found, Find(place));
  Status status;
  found->change([&] { status = found->blk->Unplug(std::move(done)); });
  if (!status) return std::move(status).error().Wrap(fmt::format("spare disk {}", place));
  return {};
}

}  // namespace holt::vmm
