#include "shim/cgroup/variant.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holt::shim {
namespace {

using ::testing::HasSubstr;

// "t:5", "as:[s:a, s:b]", or the error.
std::string Text(const Variant& value) {
  std::string out = value.type + ":";
  if (value.items.empty()) return out + (value.type[0] == 'a' ? "[]" : value.text);
  std::string items;
  for (const Variant& item : value.items) items += (items.empty() ? "" : ", ") + Text(item);
  return out + "[" + items + "]";
}
std::string Parsed(std::string_view text) {
  auto value = ParseVariant(text);
  return value ? Text(*value) : "error: " + value.error().message();
}

TEST(VariantTest, BasicValues) {
  EXPECT_EQ(Parsed("true"), "b:true");
  EXPECT_EQ(Parsed(" boolean false "), "b:false");
  EXPECT_EQ(Parsed("5"), "i:5");
  EXPECT_EQ(Parsed("-5"), "i:-5");
  EXPECT_EQ(Parsed("0x10"), "i:16");
  EXPECT_EQ(Parsed("1.5"), "d:1.5");
  EXPECT_EQ(Parsed("double 3"), "d:3");
  EXPECT_EQ(Parsed("uint64 18446744073709551615"), "t:18446744073709551615");
  EXPECT_EQ(Parsed("@t 5"), "t:5");
  EXPECT_EQ(Parsed("int64 -9223372036854775808"), "x:-9223372036854775808");
  EXPECT_EQ(Parsed("byte 255"), "y:255");
  EXPECT_EQ(Parsed(R"('it\'s')"), "s:it's");
  EXPECT_EQ(Parsed(R"("a\tb")"), "s:a\tb");
  EXPECT_EQ(Parsed("objectpath '/a'"), "o:/a");
}

TEST(VariantTest, ArraysTuplesAndVariants) {
  EXPECT_EQ(Parsed("['a', 'b']"), "as:[s:a, s:b]");
  EXPECT_EQ(Parsed("@as []"), "as:[]");
  EXPECT_EQ(Parsed("[byte 1, 2]"), "ay:[y:1, y:2]") << "the first decides";
  EXPECT_EQ(Parsed("@ay [1,2]"), "ay:[y:1, y:2]");
  EXPECT_EQ(Parsed("[('/dev/vda', uint64 5)]"), "a(st):[(st):[s:/dev/vda, t:5]]");
  EXPECT_EQ(Parsed("@a(st) [('/dev/vda', 5)]"), "a(st):[(st):[s:/dev/vda, t:5]]");
  EXPECT_EQ(Parsed("(1,)"), "(i):[i:1]");
  EXPECT_EQ(Parsed("<'a'>"), "v:[s:a]");
}

TEST(VariantTest, WhatIsNoneSaysWhy) {
  for (auto [text, why] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"", "neither a number nor"},
           {"maybe", "neither a number nor"},
           {"1 2", "something follows"},
           {"int32 2147483648", "no value of type i"},
           {"uint64 -1", "no value of type t"},
           {"byte 256", "no value of type y"},
           {"12x", "no value of type i"},
           {"0x", "no value of type i"},
           {"uint64 'a'", "must be of type t"},
           {"string 5", "no value of type s"},
           {"'open", "does not end"},
           {"'open\\", "does not end"},
           {"[]", "needs a type"},
           {"[1, 'a']", "must be of type i"},
           {"[1", "a comma or ]"},
           {"(1", "a comma or )"},
           {"@", "no type follows"},
           {"@(st 1", "no type follows"},
           {"@as 5", "no value of type as"},
           {"@(st) ('a')", "must be of type (st)"},
           {"@(s) ('a', 'b')", "must be of type (s)"},
           {"<5", "> is missing"},
           {"()", "nothing"},
           {R"('\u0041')", "not supported"}})
    EXPECT_THAT(Parsed(text), ::testing::AllOf(HasSubstr("error: at character"), HasSubstr(why)))
        << text;
  EXPECT_THAT(Parsed(std::string(100, '[')), HasSubstr("nested too deeply"));
  EXPECT_THAT(Parsed("@" + std::string(100, 'a') + "s []"), HasSubstr("no type follows"));
  EXPECT_THAT(Parsed(std::string("'a\0b'", 5)), HasSubstr("no NUL"));
  EXPECT_THAT(Parsed("'" + std::string(70'000, 'a') + "'"), HasSubstr("longer than"));
}

TEST(VariantTest, WhatIsQuotedComesBack) {
  EXPECT_EQ(Parsed(QuoteVariant(R"(a\x2d'b")")), R"(s:a\x2d'b")");
}

}  // namespace
}  // namespace holt::shim
