#include "daemon/state/limit_table.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <string>

#include "tests/fakes/counted_memory.h"
#include "tests/unit/state/charging.h"

namespace tokend::state {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const TimePoint kStart = TimePoint() + hours(1);

Charge MinuteOf(const std::string& caller) { return ChargeOf("minute/" + caller, 10, minutes(1), 5); }

TEST(LimitKey, TellsEveryPartApart) {
  const std::set<LimitKey> keys = {KeyOf({"caller", "grant", "minute", "ci"}),
                                   KeyOf({"caller", "grant", "minutec", "i"}),
                                   KeyOf({"caller", "grant", "minute", "ci", ""}),
                                   KeyOf({"caller", "grant", "minute"}),
                                   KeyOf({"4:ci", "x"}),
                                   KeyOf({"4:ci1:x"})};
  EXPECT_EQ(keys.size(), 6U);
  EXPECT_EQ(KeyOf({"a", "b"}), KeyOf({"a", "b"}));
}

TEST(LimitTable, KeepsABucketForEachKey) {
  LimitTable table;
  table.Spend(MinuteOf("a"), kStart);
  table.Spend(MinuteOf("a"), kStart);
  table.Spend(MinuteOf("b"), kStart);
  EXPECT_EQ(table.FullAt(MinuteOf("a").key), kStart + seconds(12));
  EXPECT_EQ(table.FullAt(MinuteOf("b").key), kStart + seconds(6));
  EXPECT_EQ(table.FullAt(MinuteOf("c").key), TimePoint());
  EXPECT_EQ(table.size(), 2U);
}

TEST(LimitTable, ABucketThatIsGivenBackAsAWholeIsGone) {
  LimitTable table;
  table.Spend(MinuteOf("a"), kStart);
  table.GiveBack(MinuteOf("a"), kStart, kStart);
  EXPECT_EQ(table.size(), 0U);
  table.GiveBack(MinuteOf("a"), kStart, kStart);
  EXPECT_EQ(table.FullAt(MinuteOf("a").key), TimePoint());
}

TEST(LimitTable, NeverForgetsADebt) {
  std::mt19937 random(11);
  LimitTable table;
  std::map<int, TimePoint> owed;  // by definition, nothing forgotten
  TimePoint now = kStart;
  for (int step = 0; step < 100000; ++step) {
    now += milliseconds(random() % 3);
    const int caller = static_cast<int>(random() % 50000);
    const Charge charge = MinuteOf(std::to_string(caller));
    TimePoint& full_at = owed[caller];
    if (full_at > now) {
      ASSERT_EQ(table.FullAt(charge.key), full_at) << caller;
    }
    table.Spend(charge, now);
    full_at = std::max(full_at, now) + seconds(6);
  }
  std::size_t in_debt = 0;
  for (const auto& [caller, full_at] : owed) {
    if (full_at <= now) continue;
    ++in_debt;
    ASSERT_EQ(table.FullAt(MinuteOf(std::to_string(caller)).key), full_at) << caller;
  }
  EXPECT_GE(table.size(), in_debt);
  EXPECT_LT(table.size(), owed.size()) << "nothing was forgotten";
}

TEST(LimitTable, ForgetsFullBucketsAsNewOnesCome) {
  LimitTable table;
  for (int caller = 0; caller < 100000; ++caller) table.Spend(MinuteOf(std::to_string(caller)), kStart);
  EXPECT_EQ(table.size(), 100000U);
  // All of the old ones are looked at while a sixth as many come.
  for (int caller = 0; caller < 64 * 256; ++caller) {
    table.Spend(MinuteOf("new-" + std::to_string(caller)), kStart + minutes(1));
  }
  EXPECT_EQ(table.size(), 64U * 256);
}

TEST(LimitTable, GivesMemoryBackWithTheBuckets) {
  LimitTable table;
  const std::int64_t before = fakes::CountedBytes();
  for (int caller = 0; caller < 200000; ++caller) table.Spend(MinuteOf(std::to_string(caller)), kStart);
  const std::int64_t at_most = fakes::CountedBytes() - before;
  for (int caller = 0; caller < 64 * 256; ++caller) {
    table.Spend(MinuteOf("new-" + std::to_string(caller)), kStart + minutes(1));
  }
  EXPECT_LT(fakes::CountedBytes() - before, at_most / 4);
}

TEST(LimitTable, LooksForRoomWhereThereIsNone) {
  LimitTable table(1000);
  for (int caller = 0; caller < 1000; ++caller) table.Spend(MinuteOf(std::to_string(caller)), kStart);
  EXPECT_FALSE(table.HasRoom());
  table.MakeRoom(kStart + seconds(5));
  EXPECT_FALSE(table.HasRoom()) << "none is full";
  table.MakeRoom(kStart + seconds(6));
  EXPECT_TRUE(table.HasRoom());
}

TEST(LimitTable, LooksForRoomAHundredTimesASecondAtMost) {
  constexpr int kBuckets = 6400;
  LimitTable table(kBuckets);
  for (int caller = 0; caller < kBuckets; ++caller) table.Spend(MinuteOf(std::to_string(caller)), kStart);
  const TimePoint later = kStart + minutes(1);
  table.MakeRoom(later);
  for (int caller = 0; table.HasRoom(); ++caller)
    table.Spend(MinuteOf("new-" + std::to_string(caller)), later);
  table.MakeRoom(later + milliseconds(9));
  EXPECT_FALSE(table.HasRoom());
  table.MakeRoom(later + milliseconds(10));
  EXPECT_TRUE(table.HasRoom());
}

TEST(LimitTable, AMillionCallersWithTwoLimitsEachFitIn128MiB) {
  std::mt19937_64 random(13);
  const auto spend_one_of_another = [&random](LimitTable& table, const Rate& rate) {
    const std::array<std::uint64_t, 2> bytes{random(), random()};
    Charge charge{{}, rate, {}};
    std::memcpy(charge.key.data(), bytes.data(), charge.key.size());
    table.Spend(charge, kStart);
  };
  const Rate minute = RateOf(10, minutes(1), 5);
  const Rate day = RateOf(200, hours(24), 200);
  const std::int64_t before = fakes::CountedBytes();
  fakes::ForgetMostCountedBytes();
  LimitTable table;
  for (int caller = 0; caller < 1'000'000; ++caller) {
    spend_one_of_another(table, minute);
    spend_one_of_another(table, day);
  }
  ASSERT_EQ(table.size(), 2'000'000U);
  const std::int64_t most = fakes::MostCountedBytes() - before;
  std::cout << "a million callers with two limits each: " << (most >> 20) << " MiB at most\n";
  EXPECT_LT(most, std::int64_t{128} << 20);
  EXPECT_GT(most, std::int64_t{40} << 20) << "less than the buckets are: not counted";
}

}  // namespace
}  // namespace tokend::state
