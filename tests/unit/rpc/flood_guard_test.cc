#include "daemon/rpc/flood_guard.h"

#include <gtest/gtest.h>

namespace tokend::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Verdict = FloodGuard::Verdict;

constexpr FloodGuard::TimePoint kStart{seconds(1000)};

TEST(RateBudget, GivesItsBurstAtOnceAndItsRateAfterwards) {
  const bounds::Rate rate{10, 5};
  RateBudget budget(rate);
  EXPECT_TRUE(budget.Spend(10, kStart));
  EXPECT_FALSE(budget.Spend(1, kStart));
  EXPECT_FALSE(budget.Spend(1, kStart + milliseconds(100)));
  EXPECT_TRUE(budget.Spend(1, kStart + milliseconds(400)));
  EXPECT_FALSE(budget.IsFull(kStart + seconds(1)));
  EXPECT_TRUE(budget.IsFull(kStart + seconds(100)));
  EXPECT_FALSE(budget.Spend(11, kStart + seconds(200)));
}

TEST(RateBudget, RefillsHoweverOftenItIsAskedMeanwhile) {
  const bounds::Rate rate{1, 10};
  RateBudget budget(rate);
  EXPECT_TRUE(budget.Spend(1, kStart));
  int spent = 0;
  for (int ms = 1; ms <= 1000; ++ms) spent += budget.Spend(1, kStart + milliseconds(ms)) ? 1 : 0;
  EXPECT_GE(spent, 9);
}

TEST(FloodGuard, BoundsControlFrames) {
  FloodGuard guard;
  for (int i = 0; i < static_cast<int>(bounds::kControlFrames.burst); ++i) guard.SawControlFrame(kStart);
  EXPECT_EQ(guard.verdict(), Verdict::kFine);
  guard.SawControlFrame(kStart);
  EXPECT_EQ(guard.verdict(), Verdict::kControlFrames);
}

TEST(FloodGuard, LetsCallsEarnTheControlFramesThatGoWithThem) {
  FloodGuard guard;
  for (int call = 0; call < 100000; ++call) {
    guard.SawCall();
    for (int i = 0; i < 4; ++i) guard.SawControlFrame(kStart);
  }
  EXPECT_EQ(guard.verdict(), Verdict::kFine);
}

TEST(FloodGuard, CountsBytesThatAreFedAndNotSeen) {
  FloodGuard guard;
  guard.SawFrame(1000);
  guard.Fed(400, kStart);  // the frame is not whole yet
  guard.Fed(600 + static_cast<std::size_t>(bounds::kIgnoredBytes.burst), kStart);
  EXPECT_EQ(guard.verdict(), Verdict::kFine);
  guard.Fed(1, kStart);
  EXPECT_EQ(guard.verdict(), Verdict::kIgnoredBytes);
}

TEST(FloodGuard, CountsPaddingAsIgnored) {
  FloodGuard guard;
  for (int i = 0; i < 256; ++i) guard.SawPadding(256, kStart);
  EXPECT_EQ(guard.verdict(), Verdict::kFine);
  guard.SawPadding(256, kStart);
  EXPECT_EQ(guard.verdict(), Verdict::kIgnoredBytes);
}

TEST(FloodGuard, ForgivesWhatAClientHadSentBeforeItsStreamEnded) {
  FloodGuard guard;
  guard.Fed(static_cast<std::size_t>(bounds::kIgnoredBytes.burst), kStart);
  guard.Expect(2048);
  guard.Fed(2048, kStart);
  EXPECT_EQ(guard.verdict(), Verdict::kFine);
  guard.Fed(1, kStart);
  EXPECT_EQ(guard.verdict(), Verdict::kIgnoredBytes);
}

TEST(FloodGuard, BoundsResets) {
  FloodGuard guard;
  for (int i = 0; i < static_cast<int>(bounds::kResets.burst); ++i) guard.SawReset(kStart);
  EXPECT_FALSE(guard.resets_spent());
  guard.SawReset(kStart);
  EXPECT_TRUE(guard.resets_spent());
  EXPECT_EQ(guard.verdict(), Verdict::kFine);
}

}  // namespace
}  // namespace tokend::rpc
