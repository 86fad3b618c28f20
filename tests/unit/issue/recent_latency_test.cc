#include "daemon/issue/recent_latency.h"

#include <gtest/gtest.h>

#include <chrono>

namespace tokend::issue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(RecentLatency, IsZeroBeforeTheFirstAttempt) { EXPECT_EQ(RecentLatency().get(), seconds(0)); }

TEST(RecentLatency, MovesAnEighthOfTheWayToEachAttempt) {
  RecentLatency latency;
  latency.Add(milliseconds(800));
  EXPECT_EQ(latency.get(), milliseconds(100));
  latency.Add(milliseconds(20));
  EXPECT_EQ(latency.get(), milliseconds(90));
}

TEST(RecentLatency, ComesCloseToASteadyLatency) {
  RecentLatency latency;
  for (int i = 0; i < 40; ++i) latency.Add(seconds(1));
  EXPECT_GT(latency.get(), milliseconds(990));
  EXPECT_LE(latency.get(), seconds(1));
}

TEST(RecentLatency, CountsNoAttemptAsLongerThanTenSeconds) {
  RecentLatency latency;
  latency.Add(std::chrono::hours(1));
  EXPECT_EQ(latency.get(), milliseconds(1250));
}

}  // namespace
}  // namespace tokend::issue
