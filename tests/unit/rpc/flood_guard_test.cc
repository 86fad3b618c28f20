#include "daemon/rpc/flood_guard.h"

#include <gtest/gtest.h>

namespace tokend::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Verdict = FloodGuard::Verdict;

constexpr FloodGuard::TimePoint kStart{seconds(1000)};

TEST(TokenBucket, GivesItsBurstAtOnceAndItsRateAfterwards) {
  const bounds::Rate rate{10, 5};
  TokenBucket budget(rate);
  EXPECT_TRUE(budget.TryTake(10, kStart));
  EXPECT_FALSE(budget.TryTake(1, kStart));
  EXPECT_FALSE(budget.TryTake(1, kStart + milliseconds(100)));
  EXPECT_TRUE(budget.TryTake(1, kStart + milliseconds(400)));
  EXPECT_FALSE(budget.IsFull(kStart + seconds(1)));
  EXPECT_TRUE(budget.IsFull(kStart + seconds(100)));
  EXPECT_FALSE(budget.TryTake(11, kStart + seconds(200)));
}

TEST(TokenBucket, RefillsHoweverOftenItIsAskedMeanwhile) {
  const bounds::Rate rate{1, 10};
  TokenBucket budget(rate);
  EXPECT_TRUE(budget.TryTake(1, kStart));
  int spent = 0;
  for (int ms = 1; ms <= 1000; ++ms) spent += budget.TryTake(1, kStart + milliseconds(ms)) ? 1 : 0;
  EXPECT_GE(spent, 9);
}

TEST(FloodGuard, BoundsControlFrames) {
  FloodGuard guard;
  for (int i = 0; i < static_cast<int>(bounds::kControlFrames.burst); ++i) guard.CountControlFrame(kStart);
  EXPECT_EQ(guard.verdict(), Verdict::kFine);
  guard.CountControlFrame(kStart);
  EXPECT_EQ(guard.verdict(), Verdict::kControlFrames);
}

TEST(FloodGuard, LetsCallsEarnTheControlFramesThatGoWithThem) {
  FloodGuard guard;
  for (int call = 0; call < 100000; ++call) {
    guard.CountCallFrame();
    for (int i = 0; i < 4; ++i) guard.CountControlFrame(kStart);
  }
  EXPECT_EQ(guard.verdict(), Verdict::kFine);
}

TEST(FloodGuard, CountsBytesThatAreFedAndNotSeen) {
  FloodGuard guard;
  guard.CountFrame(1000);
  guard.CountInput(400, kStart);  // the frame is not whole yet
  guard.CountInput(600 + static_cast<std::size_t>(bounds::kIgnoredBytes.burst), kStart);
  EXPECT_EQ(guard.verdict(), Verdict::kFine);
  guard.CountInput(1, kStart);
  EXPECT_EQ(guard.verdict(), Verdict::kIgnoredBytes);
}

TEST(FloodGuard, CountsPaddingAsIgnored) {
  FloodGuard guard;
  for (int i = 0; i < 256; ++i) guard.CountPadding(256, kStart);
  EXPECT_EQ(guard.verdict(), Verdict::kFine);
  guard.CountPadding(256, kStart);
  EXPECT_EQ(guard.verdict(), Verdict::kIgnoredBytes);
}

TEST(FloodGuard, ForgivesWhatAClientHadSentBeforeItsStreamEnded) {
  FloodGuard guard;
  guard.CountInput(static_cast<std::size_t>(bounds::kIgnoredBytes.burst), kStart);
  guard.AllowIgnored(2048);
  guard.CountInput(2048, kStart);
  EXPECT_EQ(guard.verdict(), Verdict::kFine);
  guard.CountInput(1, kStart);
  EXPECT_EQ(guard.verdict(), Verdict::kIgnoredBytes);
}

TEST(FloodGuard, BoundsResets) {
  FloodGuard guard;
  for (int i = 0; i < static_cast<int>(bounds::kResets.burst); ++i) guard.CountReset(kStart);
  EXPECT_FALSE(guard.resets_exceeded());
  guard.CountReset(kStart);
  EXPECT_TRUE(guard.resets_exceeded());
  EXPECT_EQ(guard.verdict(), Verdict::kFine);
}

}  // namespace
}  // namespace tokend::rpc
