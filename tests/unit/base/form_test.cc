#include "daemon/base/form.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace tokend {
namespace {

TEST(Form, ResourceNameIsAnObjectIdOrASlug) {
  EXPECT_TRUE(IsResourceName("0123456789abcdefABCDEF01"));
  EXPECT_TRUE(IsResourceName("ios"));
  EXPECT_TRUE(IsResourceName(std::string(128, 'a')));
  EXPECT_FALSE(IsResourceName("io"));
  EXPECT_FALSE(IsResourceName(std::string(129, 'a')));
  for (const char* hostile : {"a\\b", "a/b", "a.b", "a b", "a%2f", "../..", "ab\xC3\xA9"}) {
    EXPECT_FALSE(IsResourceName(hostile)) << hostile;
  }
  EXPECT_FALSE(IsResourceName(std::string_view("ab\0c", 4)));
}

TEST(Form, ScopeHasOneTo64OfItsAlphabet) {
  EXPECT_TRUE(IsScope("sdk"));
  EXPECT_TRUE(IsScope("a.b_c:d-E9"));
  EXPECT_TRUE(IsScope(std::string(64, 's')));
  EXPECT_FALSE(IsScope(""));
  EXPECT_FALSE(IsScope(std::string(65, 's')));
  EXPECT_FALSE(IsScope("sdk,app"));
}

TEST(Form, UuidIsAnsweredInLowerCase) {
  EXPECT_EQ(ParseUuid("018F3B2A-0000-7000-8000-0123456789AB"), "018f3b2a-0000-7000-8000-0123456789ab");
  EXPECT_EQ(ParseUuid("018f3b2a00007000800001234567890ab"), std::nullopt);
  EXPECT_EQ(ParseUuid("{18f3b2a-0000-7000-8000-0123456789ab"), std::nullopt);
  EXPECT_EQ(ParseUuid("018f3b2a-0000-7000-8000-0123456789a"), std::nullopt);
  EXPECT_EQ(ParseUuid("018f3b2a-0000-7000-8000-0123456789ag"), std::nullopt);
}

TEST(Form, MadeUuidsAreVersion4AndDistinct) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string uuid = MakeUuid();
    EXPECT_EQ(ParseUuid(uuid), uuid);
    EXPECT_EQ(uuid[14], '4');
    EXPECT_NE(std::string("89ab").find(uuid[19]), std::string::npos);
    EXPECT_TRUE(seen.insert(uuid).second);
  }
}

TEST(Form, DescriptionIsCountedInUtf16Units) {
  EXPECT_EQ(Utf16Length(""), 0U);
  EXPECT_EQ(Utf16Length("abc"), 3U);
  EXPECT_EQ(Utf16Length("\xC3\xA9"), 1U);
  EXPECT_EQ(Utf16Length("\xE2\x82\xAC"), 1U);
  EXPECT_EQ(Utf16Length("\xF0\x9F\x98\x80"), 2U);
}

TEST(Form, IllFormedUtf8HasNoLength) {
  for (const char* text : {"\x80", "\xC0\x80", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                           "\xF0\x9F\x98", "\xFF", "a\xE2\x82"}) {
    EXPECT_EQ(Utf16Length(text), std::nullopt);
  }
}

TEST(Form, ControlCharactersAreThoseThatHideOrReorderText) {
  const auto utf8 = [](unsigned code) {
    std::string text;
    if (code < 0x80) return text + static_cast<char>(code);
    if (code >= 0x800) text += static_cast<char>(0xE0U | (code >> 12U));
    text += code >= 0x800 ? static_cast<char>(0x80U | ((code >> 6U) & 0x3FU))
                          : static_cast<char>(0xC0U | (code >> 6U));
    return text + static_cast<char>(0x80U | (code & 0x3FU));
  };
  for (unsigned code = 0; code < 0x10000; ++code) {
    if (code >= 0xD800 && code <= 0xDFFF) continue;
    const bool control = code < 0x20 || (code >= 0x7F && code <= 0x9F) ||
                         (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
    ASSERT_EQ(HasControlCharacters("a" + utf8(code) + "b"), control) << std::hex << code;
    ASSERT_EQ(HasControlCharacters(utf8(code)), control) << std::hex << code;
  }
  EXPECT_FALSE(HasControlCharacters(""));
  EXPECT_FALSE(HasControlCharacters("nightly \xF0\x9F\x98\x80 \xD7\xA9"));
}

TEST(Form, CutNeverSplitsACharacter) {
  EXPECT_EQ(CutUtf8("abc", 3), "abc");
  EXPECT_EQ(CutUtf8("abc", 2), "ab");
  EXPECT_EQ(CutUtf8("a\xE2\x82\xAC", 3), "a");
  EXPECT_EQ(CutUtf8("a\xE2\x82\xAC", 4), "a\xE2\x82\xAC");
  EXPECT_EQ(CutUtf8("\xF0\x9F\x98\x80", 3), "");
}

}  // namespace
}  // namespace tokend
