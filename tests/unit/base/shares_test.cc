#include "daemon/base/shares.h"

#include <gtest/gtest.h>

#include <string>

namespace tokend {
namespace {

std::size_t TakeAll(Shares& shares, const std::string& holder) {
  std::size_t taken = 0;
  while (shares.Take(holder)) ++taken;
  return taken;
}

TEST(Shares, GivesEveryoneWhatTheyAskForWhileAQuarterIsFree) {
  Shares shares(100);
  for (int i = 0; i < 75; ++i) EXPECT_TRUE(shares.Take("a")) << i;
}

TEST(Shares, KeepsTheLastQuarterForHoldersOfLessThanAQuarter) {
  Shares shares(100);
  EXPECT_EQ(TakeAll(shares, "greedy"), 75U);
  EXPECT_EQ(TakeAll(shares, "second"), 25U);
  EXPECT_FALSE(shares.HasPlaceFor("third"));
  shares.GiveBack("greedy");
  EXPECT_FALSE(shares.HasPlaceFor("greedy"));
  EXPECT_FALSE(shares.HasPlaceFor("second"));
  EXPECT_TRUE(shares.HasPlaceFor("third"));
}

TEST(Shares, HasNoneInAPoolOfLessThanFourPlaces) {
  for (const std::size_t places : {1U, 2U, 3U}) {
    Shares shares(places);
    EXPECT_EQ(TakeAll(shares, "a"), places);
  }
}

TEST(Shares, GivesAllToTheOneHolderThatTheConfigurationNames) {
  Shares shares(100, Shares::Policy::kOneHolder);
  EXPECT_EQ(TakeAll(shares, "a"), 100U);
}

TEST(Shares, CountsWhatWasGivenBack) {
  Shares shares(4);
  EXPECT_TRUE(shares.Take("a"));
  EXPECT_EQ(shares.HeldBy("a"), 1U);
  shares.GiveBack("a");
  shares.GiveBack("a");
  shares.GiveBack("nobody");
  EXPECT_EQ(shares.HeldBy("a"), 0U);
  EXPECT_EQ(shares.taken(), 0U);
}

TEST(Shares, CountsWhatWasTakenByAnotherRule) {
  Shares shares(8);
  for (int i = 0; i < 8; ++i) shares.TakeAnyway("greedy");
  EXPECT_EQ(shares.HeldBy("greedy"), 8U);
  EXPECT_FALSE(shares.HasPlaceFor("other"));
  shares.GiveBack("greedy");
  EXPECT_EQ(shares.taken(), 7U);
}

TEST(Shares, KnowsTheLargestHolder) {
  Shares shares(100);
  EXPECT_EQ(shares.LargestHolder(), "");
  shares.Take("a");
  shares.Take("b");
  shares.Take("b");
  EXPECT_EQ(shares.LargestHolder(), "b");
}

TEST(Shares, KeepsWhatIsHeldWhenThePoolShrinks) {
  Shares shares(10);
  EXPECT_EQ(TakeAll(shares, "a"), 8U);
  shares.Resize(4, Shares::Policy::kShared);
  EXPECT_FALSE(shares.HasPlaceFor("b"));
  for (int i = 0; i < 5; ++i) shares.GiveBack("a");
  EXPECT_TRUE(shares.HasPlaceFor("b"));
}

}  // namespace
}  // namespace tokend
