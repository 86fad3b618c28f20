#include "daemon/state/gcra.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>
#include <vector>

#include "tests/unit/state/charging.h"

namespace tokend::state {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

// A bucket that nobody has ever spent from, and a moment long after the clock began.
constexpr TimePoint kNever{};
const TimePoint kBegin = TimePoint() + hours(1);

// Spends as often as it can be done at one moment, but at most `most` times.
int SpendAll(const Rate& rate, TimePoint& full_at, TimePoint now, int most = 1000) {
  int spent = 0;
  for (; spent < most && rate.Allows(full_at, now); ++spent) full_at = rate.Spend(full_at, now);
  return spent;
}

TEST(Rate, GrantsTheBurstAtOnceAndThenOneAnInterval) {
  const Rate rate = RateOf(10, minutes(1), 5);
  TimePoint full_at = kNever;
  EXPECT_EQ(SpendAll(rate, full_at, kBegin), 5);
  EXPECT_EQ(SpendAll(rate, full_at, kBegin + seconds(6) - nanoseconds(1)), 0);
  EXPECT_EQ(SpendAll(rate, full_at, kBegin + seconds(6)), 1);
  EXPECT_EQ(SpendAll(rate, full_at, kBegin + seconds(18)), 2);
  EXPECT_EQ(SpendAll(rate, full_at, kBegin + hours(9)), 5);
}

TEST(Rate, GrantsInNoWindowMoreThanTheLimitSays) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const auto tokens = static_cast<std::int64_t>(1 + random() % 20);
    const nanoseconds per = milliseconds(1000 + random() % 5000);
    const auto burst = static_cast<std::int64_t>(1 + random() % 10);
    const Rate rate =
        RateOf(static_cast<std::uint64_t>(tokens), std::chrono::duration_cast<milliseconds>(per),
               static_cast<std::uint64_t>(burst));
    TimePoint full_at = kNever;
    TimePoint now = kBegin;
    std::vector<TimePoint> granted;
    for (int step = 0; step < 300; ++step) {
      now += nanoseconds(static_cast<std::int64_t>(random()) % (2 * per.count() / tokens));
      if (!rate.Allows(full_at, now)) continue;
      full_at = rate.Spend(full_at, now);
      granted.push_back(now);
    }
    for (std::size_t first = 0; first < granted.size(); ++first) {
      for (std::size_t last = first; last < granted.size(); ++last) {
        const auto used = static_cast<std::int64_t>(last - first + 1);
        ASSERT_LE((used - burst) * per, (granted[last] - granted[first]) * tokens)
            << tokens << " per " << per.count() << " ns, burst " << burst;
      }
    }
  }
}

TEST(Rate, NamesTheEarliestTimeToTheNanosecond) {
  std::mt19937 random(8);
  for (int round = 0; round < 1000; ++round) {
    const Rate rate = RateOf(1 + random() % 1000, milliseconds(1000 + random() % 100000), 1 + random() % 10);
    TimePoint full_at = kNever;
    SpendAll(rate, full_at, kBegin, static_cast<int>(random() % 12));
    const TimePoint now = kBegin + nanoseconds(random() % 3'000'000'000);
    const TimePoint earliest = rate.Earliest(full_at, now);
    EXPECT_TRUE(rate.Allows(full_at, earliest));
    EXPECT_GE(earliest, now);
    if (earliest > now) {
      EXPECT_FALSE(rate.Allows(full_at, earliest - nanoseconds(1)));
    }
  }
}

TEST(Rate, CountsThoseAhead) {
  const Rate rate = RateOf(3, seconds(1), 4);
  for (int spent = 0; spent <= 4; ++spent) {
    TimePoint full_at = kNever;
    SpendAll(rate, full_at, kBegin, spent);
    TimePoint now = kBegin;
    for (int ahead = 0; ahead < 20; ++ahead) {
      TimePoint told = kNever;
      SpendAll(rate, told, kBegin, spent);
      told = rate.Earliest(told, kBegin, ahead);
      now = rate.Earliest(full_at, now);
      EXPECT_EQ(told, now) << ahead << " ahead, " << spent << " spent";
      full_at = rate.Spend(full_at, now);
    }
  }
}

TEST(Rate, SaysHowManyRemain) {
  std::mt19937 random(9);
  const Rate rate = RateOf(7, seconds(3), 6);
  TimePoint full_at = kNever;
  TimePoint now = kBegin;
  for (int step = 0; step < 1000; ++step) {
    now += nanoseconds(random() % 1'000'000'000);
    const std::int64_t remaining = rate.Remaining(full_at, now);
    TimePoint tried = full_at;
    EXPECT_EQ(SpendAll(rate, tried, now), remaining);
    SpendAll(rate, full_at, now, static_cast<int>(random() % 4));
  }
}

TEST(Rate, GivesBackAWholeTokenAtOnce) {
  const Rate rate = RateOf(10, minutes(1), 5);
  TimePoint full_at = kNever;
  ASSERT_EQ(SpendAll(rate, full_at, kBegin), 5);
  full_at = rate.GiveBack(full_at, kBegin, kBegin);
  EXPECT_EQ(SpendAll(rate, full_at, kBegin), 1);
}

TEST(Rate, GivesBackOnlyWhatHasNotGrownBack) {
  const Rate rate = RateOf(1, seconds(10), 1);
  TimePoint full_at = kNever;
  ASSERT_EQ(SpendAll(rate, full_at, kBegin), 1);
  // Full again, and spent again: the first is worth nothing any more.
  const TimePoint later = kBegin + seconds(10);
  ASSERT_EQ(SpendAll(rate, full_at, later), 1);
  full_at = rate.GiveBack(full_at, kBegin, later);
  EXPECT_FALSE(rate.Allows(full_at, later));
  EXPECT_EQ(rate.Earliest(full_at, later), later + seconds(10));
  // The second is worth what is left of it.
  full_at = rate.GiveBack(full_at, later, later + seconds(4));
  EXPECT_EQ(full_at, later + seconds(4));
}

// However tokens are given back: those that were kept are what the limit allows.
TEST(Rate, GivingBackNeverLetsMoreBeUsedThanTheLimitSays) {
  std::mt19937 random(10);
  for (int round = 0; round < 500; ++round) {
    const std::int64_t burst = 1 + static_cast<std::int64_t>(random() % 4);
    const Rate rate = RateOf(1, seconds(1), static_cast<std::uint64_t>(burst));
    TimePoint full_at = kNever;
    TimePoint now = kBegin;
    std::vector<TimePoint> kept;
    for (int step = 0; step < 200; ++step) {
      now += milliseconds(random() % 700);
      if (random() % 2 == 0 && !kept.empty()) {
        const auto given = kept.begin() + static_cast<std::ptrdiff_t>(random() % kept.size());
        if (now - *given > seconds(5)) continue;
        full_at = std::max(rate.GiveBack(full_at, *given, now), kNever);
        kept.erase(given);
      } else if (rate.Allows(full_at, now)) {
        full_at = rate.Spend(full_at, now);
        kept.push_back(now);
      }
    }
    for (std::size_t first = 0; first < kept.size(); ++first) {
      for (std::size_t last = first; last < kept.size(); ++last) {
        const auto used = static_cast<std::int64_t>(last - first + 1);
        ASSERT_LE((used - burst) * seconds(1), kept[last] - kept[first]);
      }
    }
  }
}

TEST(Rate, CountsRightAtTheEndsOfWhatTheConfigurationAllows) {
  constexpr std::uint64_t kMost = 1'000'000'000;
  for (const std::uint64_t tokens : {std::uint64_t{1}, kMost}) {
    for (const milliseconds per : {milliseconds(seconds(1)), milliseconds(hours(720))}) {
      for (const std::uint64_t burst : {std::uint64_t{1}, kMost}) {
        const Rate rate = RateOf(tokens, per, burst);
        TimePoint full_at = kNever;
        for (int spent = 0; spent < 2000 && rate.Allows(full_at, kBegin); ++spent) {
          full_at = rate.Spend(full_at, kBegin);
        }
        // Rounded up by less than a nanosecond.
        EXPECT_GE(rate.interval().count() * static_cast<std::int64_t>(tokens), nanoseconds(per).count());
        EXPECT_LT((rate.interval().count() - 1) * static_cast<std::int64_t>(tokens),
                  nanoseconds(per).count());
        const TimePoint now = kBegin + seconds(1);
        EXPECT_GE(rate.Earliest(full_at, now, 256), now);
        EXPECT_LE(rate.Remaining(full_at, now), rate.burst());
        EXPECT_GE(rate.Remaining(full_at, now), 0);
        EXPECT_EQ(rate.Allows(full_at, now), rate.Earliest(full_at, now) == now);
        EXPECT_EQ(rate.GiveBack(rate.Spend(full_at, now), now, now), std::max(full_at, now));
        EXPECT_TRUE(rate.Allows(kNever, now));
      }
    }
  }
}

}  // namespace
}  // namespace tokend::state
