#pragma once

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Makes tar archives entry by entry, byte by byte: tools refuse to write what an attacker would.
namespace holt {

struct TarOptions {
  unsigned mode = 0644;
  uint64_t uid = 0;
  uint64_t gid = 0;
  int64_t mtime = 1'000'000'000;
  std::vector<std::pair<std::string, std::string>> pax = {};  // records before the entry
  unsigned major = 0;
  unsigned minor = 0;
  uint64_t claimed_size = 0;  // what the header says instead of the content's size; 0: the truth
};

class TarMaker {
 public:
  using Options = TarOptions;

  TarMaker& File(std::string_view name, std::string_view content = "",
                 const Options& options = {}) {
    return Entry('0', name, "", content, options);
  }
  TarMaker& Directory(std::string_view name) { return Directory(name, DirectoryOptions()); }
  TarMaker& Directory(std::string_view name, const Options& options) {
    return Entry('5', name, "", "", options);
  }
  TarMaker& Symlink(std::string_view name, std::string_view target, const Options& options = {}) {
    return Entry('2', name, target, "", options);
  }
  TarMaker& HardLink(std::string_view name, std::string_view target) {
    return Entry('1', name, target, "", {});
  }
  TarMaker& Character(std::string_view name, unsigned major, unsigned minor) {
    return Entry('3', name, "", "", {.major = major, .minor = minor});
  }
  TarMaker& Block(std::string_view name, unsigned major, unsigned minor) {
    return Entry('4', name, "", "", {.major = major, .minor = minor});
  }
  TarMaker& Fifo(std::string_view name) { return Entry('6', name, "", "", {}); }

  // Any type letter. Names that do not fit a header go into a pax record.
  TarMaker& Entry(char type, std::string_view name, std::string_view link, std::string_view content,
                  const Options& options) {
    auto records = options.pax;
    if (name.size() > 100) records.emplace_back("path", name);
    if (link.size() > 100) records.emplace_back("linkpath", link);
    if (options.uid > 07777777) records.emplace_back("uid", std::to_string(options.uid));
    if (options.gid > 07777777) records.emplace_back("gid", std::to_string(options.gid));
    if (!records.empty()) Pax(records);
    uint64_t size = options.claimed_size ? options.claimed_size : content.size();
    Header(type, name, link, size, options);
    Content(content);
    return *this;
  }

  // Bytes as they are, for what is no tar at all.
  TarMaker& Raw(std::string_view bytes) {
    tar_ += bytes;
    return *this;
  }

  // The archive with its end mark.
  std::string Finish() const { return tar_ + std::string(1024, '\0'); }
  const std::string& unfinished() const { return tar_; }

  static Options DirectoryOptions() { return {.mode = 0755}; }

 private:
  void Pax(const std::vector<std::pair<std::string, std::string>>& records) {
    std::string body;
    for (const auto& [key, value] : records) body += PaxRecord(key, value);
    Header('x', "pax", "", body.size(), {});
    Content(body);
  }

  // "LENGTH key=value\n", the length counting itself.
  static std::string PaxRecord(const std::string& key, const std::string& value) {
    size_t rest = key.size() + value.size() + 3;
    size_t length = rest + std::to_string(rest).size();
    length = rest + std::to_string(length).size();
    return fmt::format("{} {}=", length, key) + value + "\n";
  }

  void Content(std::string_view content) {
    tar_ += content;
    tar_.append((512 - content.size() % 512) % 512, '\0');
  }

  void Header(char type, std::string_view name, std::string_view link, uint64_t size,
              const Options& options) {
    std::array<char, 512> header{};
    auto text = [&](size_t at, size_t room, std::string_view value) {
      memcpy(header.data() + at, value.data(), std::min(room, value.size()));
    };
    auto number = [&](size_t at, size_t room, uint64_t value) {
      std::string octal = fmt::format("{:0{}o}", value, room - 1);
      if (octal.size() < room) return text(at, room, octal);
      // GNU's base 256, for what octal cannot say.
      header[at] = '\x80';
      for (size_t i = 0; i < 8; ++i)
        header[at + room - 1 - i] = static_cast<char>(value >> (8 * i) & 0xff);
    };
    text(0, 100, name);
    number(100, 8, options.mode);
    number(108, 8, options.uid > 07777777 ? 0 : options.uid);
    number(116, 8, options.gid > 07777777 ? 0 : options.gid);
    number(124, 12, size);
    number(136, 12, static_cast<uint64_t>(options.mtime));
    text(148, 8, "        ");
    header[156] = type;
    text(157, 100, link);
    text(257, 8, std::string_view("ustar\00000", 8));
    number(329, 8, options.major);
    number(337, 8, options.minor);
    unsigned sum = 0;
    for (char c : header) sum += static_cast<unsigned char>(c);
    text(148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
    tar_.append(header.data(), header.size());
  }

  std::string tar_;
};

}  // namespace holt
