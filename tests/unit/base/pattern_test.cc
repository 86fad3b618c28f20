#include "daemon/base/pattern.h"

#include <gtest/gtest.h>

#include <string>

namespace tokend {
namespace {

bool Matches(std::string_view pattern, std::string_view name) {
  return Pattern::Parse(pattern).value().Matches(name);
}

TEST(Pattern, LiteralMatchesItselfAlone) {
  EXPECT_TRUE(Matches("unix:checkout", "unix:checkout"));
  EXPECT_FALSE(Matches("unix:checkout", "unix:checkout2"));
  EXPECT_FALSE(Matches("unix:checkout", "unix:checkou"));
  EXPECT_FALSE(Matches("unix:checkout", "unix:Checkout"));
}

TEST(Pattern, OneStarStaysWithinASegment) {
  EXPECT_TRUE(Matches("system:serviceaccount:ci:*", "system:serviceaccount:ci:builder"));
  EXPECT_FALSE(Matches("system:serviceaccount:ci:*", "system:serviceaccount:ci:a:b"));
  EXPECT_FALSE(Matches("spiffe://prod/*/ci", "spiffe://prod/a/b/ci"));
  EXPECT_TRUE(Matches("spiffe://prod/*/ci", "spiffe://prod/a/ci"));
}

TEST(Pattern, StarsNeedAtLeastOneCharacter) {
  EXPECT_FALSE(Matches("android-*", "android-"));
  EXPECT_TRUE(Matches("android-*", "android-x"));
  EXPECT_FALSE(Matches("spiffe://prod/**", "spiffe://prod/"));
}

TEST(Pattern, TwoStarsCrossSegments) {
  EXPECT_TRUE(Matches("spiffe://prod/**", "spiffe://prod/ns/shop/sa/checkout"));
  EXPECT_TRUE(Matches("**b*c", "xb/ybzc"));
  EXPECT_FALSE(Matches("**b*c", "xb/yc"));
}

TEST(Pattern, HostilePatternAndNameEndSoon) {
  std::string pattern = "a";
  for (int i = 0; i < 100; ++i) pattern += "**a";
  EXPECT_FALSE(Matches(pattern, std::string(2000, 'a') + "b"));
}

TEST(Pattern, RefusesWhatWouldMatchNearlyEveryName) {
  for (const char* text : {"", "*", "**", "*:*", "**/*", "a***b"}) {
    EXPECT_EQ(Pattern::Parse(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(PatternSet, LoneStarIsAnyName) {
  EXPECT_TRUE(PatternSet({"*"}).Matches("anything"));
  EXPECT_FALSE(PatternSet({}).Matches("anything"));
  EXPECT_TRUE(PatternSet({"ios-app", "android-*"}).Matches("android-beta"));
  EXPECT_FALSE(PatternSet({"ios-app", "android-*"}).Matches("ios-app2"));
}

}  // namespace
}  // namespace tokend
