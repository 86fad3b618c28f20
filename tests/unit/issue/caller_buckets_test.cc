#include "daemon/issue/caller_buckets.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace tokend::issue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const state::TimePoint kStart{std::chrono::hours(1)};

// How many checks or replays the caller has left.
int ChecksOf(CallerBuckets& buckets, const std::string& caller, state::TimePoint now) {
  int checks = 0;
  while (!buckets.TakeCheck(caller, now)) ++checks;
  return checks;
}
int ReplaysOf(CallerBuckets& buckets, const std::string& caller, state::TimePoint now) {
  int replays = 0;
  while (!buckets.TakeReplay(caller, now)) ++replays;
  return replays;
}

TEST(CallerBuckets, ACallerHasTwoHundredChecksAtOnceAndTenASecond) {
  CallerBuckets buckets;
  EXPECT_EQ(ChecksOf(buckets, "a", kStart), 200);
  EXPECT_EQ(ChecksOf(buckets, "b", kStart), 200);
  EXPECT_EQ(ChecksOf(buckets, "a", kStart + seconds(3)), 30);
  EXPECT_EQ(ChecksOf(buckets, "a", kStart + seconds(1000)), 200);
}

TEST(CallerBuckets, WhatIsOverIsRateLimitedWithTheLimitAndTheTrueEarliestTime) {
  CallerBuckets buckets;
  EXPECT_EQ(ChecksOf(buckets, "a", kStart), 200);
  EXPECT_EQ(ReplaysOf(buckets, "a", kStart), 10);
  const auto check = buckets.TakeCheck("a", kStart + milliseconds(30));
  const auto replay = buckets.TakeReplay("a", kStart + milliseconds(30));
  ASSERT_TRUE(check && replay);
  for (const Failure& failure : {*check, *replay}) {
    EXPECT_EQ(failure.reason, Reason::kRateLimited);
    EXPECT_EQ(failure.retry_after, milliseconds(70));
    ASSERT_EQ(failure.quotas.size(), 1U);
  }
  EXPECT_EQ(check->quotas[0].subject, "caller/checks");
  EXPECT_EQ(replay->quotas[0].subject, "caller/replays");
}

TEST(CallerBuckets, EachTokenIssuedToACallerAddsTwoReplaysOfAThousandTogether) {
  CallerBuckets buckets;
  buckets.AddReplays("a");
  buckets.AddReplays("a");
  EXPECT_EQ(ReplaysOf(buckets, "a", kStart), 10 + 4);
  EXPECT_EQ(ReplaysOf(buckets, "b", kStart), 10);
  for (int i = 0; i < 10'000; ++i) buckets.AddReplays("a");
  EXPECT_EQ(ReplaysOf(buckets, "a", kStart + seconds(1)), 10 + 1000);
}

TEST(CallerBuckets, KeepReplaysOfManyCallersInBoundedMemory) {
  CallerBuckets buckets;
  constexpr std::size_t kOthers = CallerBuckets::kMaxCallers / 2;
  buckets.AddReplays("a");
  for (std::size_t i = 0; i < kOthers; ++i) buckets.AddReplays(std::to_string(i));
  EXPECT_EQ(ReplaysOf(buckets, "a", kStart), 10 + 2) << "as many other callers have had a token since";
  for (std::size_t i = 0; i < 2 * kOthers; ++i) buckets.AddReplays(std::to_string(i));
  buckets.AddReplays("b");
  EXPECT_EQ(ReplaysOf(buckets, "b", kStart), 10 + 2);
}

}  // namespace
}  // namespace tokend::issue
