#include "daemon/base/packed_texts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace tokend {
namespace {

std::vector<std::string> TextsIn(const PackedTexts& packed) {
  std::vector<std::string> texts;
  for (PackedTexts::Reader reader = packed.Read(); !reader.done();) texts.emplace_back(reader.Next());
  return texts;
}

TEST(PackedTexts, AreReadAsTheyWereInTheirOrder) {
  const std::string_view zero("a\0b", 3);
  const std::vector<std::string_view> texts = {"one", "", zero};
  const std::vector<std::string> more = {std::string(70'000, 'x'), ""};
  EXPECT_THAT(TextsIn(PackedTexts(texts, more)),
              testing::ElementsAre("one", "", std::string(zero), more[0], ""));
}

TEST(PackedTexts, MayBeNone) {
  EXPECT_THAT(TextsIn(PackedTexts()), testing::IsEmpty());
  EXPECT_THAT(TextsIn(PackedTexts(std::vector<std::string>(), std::vector<std::string>())),
              testing::IsEmpty());
}

}  // namespace
}  // namespace tokend
