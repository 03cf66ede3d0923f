#include <time.h>

#include <algorithm>

#include "base/log.h"
#include "image/commands/commands.h"
#include "image/commands/table.h"
#include "image/reference.h"
#include "oci/json_binding.h"

namespace holt::image::commands {

using base::Code;
using base::MakeError;
using base::Result;
using base::Status;

namespace {

struct Row {
  std::string repository = "<none>";
  std::string tag = "<none>";
  StoredImage image;
};

Row MakeRow(const StoredImage& image) {
  Row row;
  row.image = image;
  auto reference = Reference::Parse(image.name);
  if (!reference) return row;
  row.repository = reference->FamiliarName();
  if (!reference->tag.empty()) row.tag = reference->tag;
  return row;
}

// "debian" means every tag of it, "debian:12" that one.
Result<std::vector<Row>> Choose(const std::vector<StoredImage>& images, const std::string& name) {
  std::vector<Row> rows;
  Reference wanted;
  bool tagged = false;
  if (!name.empty()) {
    TRY_ASSIGN(wanted, Reference::Parse(name));
    size_t slash = name.find_last_of('/');
    tagged = name.find_first_of(":@", slash == std::string::npos ? 0 : slash) != std::string::npos;
  }
  for (const StoredImage& image : images) {
    if (!name.empty()) {
      auto reference = Reference::Parse(image.name);
      if (!reference) continue;
      std::string local = "localhost/" + name;
      bool match = tagged ? image.name == wanted.ToString() : reference->Name() == wanted.Name();
      match = match || reference->Name() == local || image.name == local;
      if (!match) continue;
    }
    rows.push_back(MakeRow(image));
  }
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return std::tie(a.repository, a.tag, a.image.id) < std::tie(b.repository, b.tag, b.image.id);
  });
  return rows;
}

void PrintJson(std::FILE* out, const std::vector<Row>& rows) {
  oci::Json list = oci::Json::array();
  for (const Row& row : rows)
    list.push_back({{"repository", row.repository},
                    {"tag", row.tag},
                    {"name", row.image.name},
                    {"id", row.image.id},
                    {"digest", row.image.digest},
                    {"platform", row.image.platform},
                    {"created", row.image.created},
                    {"size", row.image.size}});
  fmt::print(out, "{}\n", oci::DumpJson(list, 2));
}

}  // namespace

Status RunImages(const ImagesCommand& command, const Io& io) {
  if (command.format != "table" && command.format != "json")
    return MakeError(Code::kInvalidArgument, "--format {}: there is table and json",
                     command.format);
  TRY_ASSIGN(auto store, Store::Open(command.common.store));
  TRY_ASSIGN(auto images, store->ListImages());
  TRY_ASSIGN(auto rows, Choose(images, command.name));
  auto id_of = [&](const Row& row) {
    return command.no_trunc ? row.image.id : row.image.id.substr(7, 12);
  };
  if (command.quiet) {
    std::string last;
    for (const Row& row : rows) fmt::print(io.out, "{}\n", id_of(row));
    return {};
  }
  if (command.format == "json") {
    PrintJson(io.out, rows);
    return {};
  }
  std::vector<std::string> heading = {"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"};
  if (command.digests) heading.insert(heading.begin() + 2, "DIGEST");
  std::vector<std::vector<std::string>> table = {heading};
  for (const Row& row : rows) {
    std::vector<std::string> line = {row.repository, row.tag, id_of(row),
                                     AgoText(row.image.created, time(nullptr)),
                                     SizeText(row.image.size)};
    if (command.digests) line.insert(line.begin() + 2, row.image.digest);
    for (std::string& cell : line) cell = base::log::Sanitize(cell);
    table.push_back(std::move(line));
  }
  PrintTable(io.out, table);
  return {};
}

}  // namespace holt::image::commands
