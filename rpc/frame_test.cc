#include "rpc/frame.h"

#include <gtest/gtest.h>

namespace holt::rpc {
namespace {

TEST(FrameTest, HeaderIsBigEndian) {
  std::string out;
  AppendFrame(out, {.stream_id = 0x01020305, .type = FrameType::kRequest, .flags = 0}, "abc");
  EXPECT_EQ(out, std::string("\x00\x00\x00\x03\x01\x02\x03\x05\x01\x00"
                             "abc",
                             13));
}

TEST(FrameTest, CutsFramesWhereverTheBytesBreak) {
  std::string wire;
  AppendFrame(wire, {.stream_id = 1}, "first");
  AppendFrame(wire, {.stream_id = 3, .type = FrameType::kResponse}, "");
  AppendFrame(wire, {.stream_id = 5}, std::string(100000, 'x'));
  for (size_t step : {size_t{1}, size_t{7}, wire.size()}) {
    FrameReader reader;
    std::vector<FrameReader::Frame> frames;
    for (size_t i = 0; i < wire.size(); i += step) {
      reader.Append(std::string_view(wire).substr(i, step));
      while (auto frame = reader.Next()) frames.push_back(std::move(*frame));
    }
    ASSERT_EQ(frames.size(), 3u);
    EXPECT_EQ(frames[0].data, "first");
    EXPECT_EQ(frames[1].header.type, FrameType::kResponse);
    EXPECT_EQ(frames[2].data.size(), 100000u);
  }
}

TEST(FrameTest, OversizeIsDiscardedAndTheNextFrameIsRead) {
  std::string wire;
  AppendFrame(wire, {.stream_id = 1}, std::string(kMaxFrameBytes + 1, 'x'));
  AppendFrame(wire, {.stream_id = 3}, "next");
  FrameReader reader;
  std::vector<FrameReader::Frame> frames;
  for (size_t i = 0; i < wire.size(); i += 65536) {
    reader.Append(std::string_view(wire).substr(i, 65536));
    while (auto frame = reader.Next()) frames.push_back(std::move(*frame));
  }
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_TRUE(frames[0].oversize);
  EXPECT_EQ(frames[0].header.stream_id, 1u);
  EXPECT_EQ(frames[1].data, "next");
}

}  // namespace
}  // namespace holt::rpc
