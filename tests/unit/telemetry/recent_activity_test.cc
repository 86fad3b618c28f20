#include "daemon/telemetry/recent_activity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace tokend::telemetry {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const WallTime kNoon = std::chrono::sys_days(std::chrono::year(2026) / 11 / 30) + 12h;

EndedCall Served(std::string_view caller, std::chrono::nanoseconds duration = 10ms) {
  return {.end = CallEnd::kServed,
          .listener = "pod",
          .caller = caller,
          .peer = "ipv4:10.0.0.1",
          .duration = duration};
}

EndedCall RefusedCall(std::string_view caller, std::string_view peer = "ipv4:10.0.0.1") {
  return {.end = CallEnd::kRefused,
          .listener = "pod",
          .caller = caller,
          .peer = peer,
          .reason = "NOT_PERMITTED",
          .detail = "no grant names the caller"};
}

TEST(RecentActivity, CountsCallsByTheMinuteInWhichTheyEnded) {
  RecentActivity recent(kNoon);
  recent.CallEnded(Served("ci"), kNoon);
  recent.CallEnded(RefusedCall("ci"), kNoon + 59s);
  recent.CallEnded({.end = CallEnd::kFailed, .caller = "ci"}, kNoon + 60s);
  recent.CallEnded({.end = CallEnd::kCancelled, .caller = "ci"}, kNoon + 61s);
  const auto minutes = recent.Get(kNoon + 2min).minutes;
  ASSERT_THAT(minutes, SizeIs(2));
  EXPECT_EQ(minutes[0].begin, kNoon);
  EXPECT_EQ(minutes[0].served, 1U);
  EXPECT_EQ(minutes[0].refused, 1U);
  EXPECT_TRUE(minutes[0].latency);
  EXPECT_EQ(minutes[1].begin, kNoon + 1min);
  EXPECT_EQ(minutes[1].failed, 1U);
  EXPECT_EQ(minutes[1].cancelled, 1U);
  EXPECT_FALSE(minutes[1].latency);
}

TEST(RecentActivity, ForgetsMinutesAfterAnHour) {
  RecentActivity recent(kNoon);
  for (int minute = 0; minute < 90; ++minute)
    recent.CallEnded(Served("ci"), kNoon + std::chrono::minutes(minute));
  const auto minutes = recent.Get(kNoon + 89min).minutes;
  ASSERT_THAT(minutes, SizeIs(RecentActivity::kMinutes));
  EXPECT_EQ(minutes.front().begin, kNoon + 30min);
  EXPECT_EQ(minutes.front().served, 1U);
  EXPECT_THAT(recent.Get(kNoon + 48h).minutes, IsEmpty());
}

TEST(RecentActivity, ShowsNoMinuteThatIsAheadOfAClockThatWasSetBack) {
  RecentActivity recent(kNoon);
  recent.CallEnded(Served("ci"), kNoon + 30min);
  recent.CallEnded(Served("ci"), kNoon);
  const auto minutes = recent.Get(kNoon).minutes;
  ASSERT_THAT(minutes, SizeIs(1));
  EXPECT_EQ(minutes[0].begin, kNoon);
}

TEST(RecentActivity, GivesMedianAndHighPercentileWithinABucket) {
  RecentActivity recent(kNoon);
  for (int i = 0; i < 98; ++i) recent.CallEnded(Served("ci", 10ms), kNoon);
  recent.CallEnded(Served("ci", 300ms), kNoon);
  recent.CallEnded(Served("ci", 900ms), kNoon);
  const auto latency = recent.Get(kNoon).minutes[0].latency;
  ASSERT_TRUE(latency);
  EXPECT_GE(latency->median, 10ms);
  EXPECT_LE(latency->median, 12600us);
  EXPECT_GE(latency->percentile_99, 300ms);
  EXPECT_LE(latency->percentile_99, 378ms);
  EXPECT_EQ(latency->longest, 900ms);
}

TEST(RecentActivity, TakesTheLongestAndTheShortestLatencies) {
  RecentActivity recent(kNoon);
  recent.CallEnded(Served("ci", 1ns), kNoon);
  EXPECT_EQ(recent.Get(kNoon).minutes[0].latency->median, 1us);
  recent.CallEnded(Served("ci", 24h), kNoon + 1min);
  EXPECT_EQ(recent.Get(kNoon + 1min).minutes[1].latency->longest, 24h);
}

TEST(RecentActivity, GathersAlikeRefusals) {
  RecentActivity recent(kNoon);
  recent.CallEnded(RefusedCall("ci"), kNoon);
  recent.CallEnded(RefusedCall("cd"), kNoon + 1s);
  recent.CallEnded(RefusedCall("ci"), kNoon + 2s);
  const auto refusals = recent.Get(kNoon + 2s).refusals;
  ASSERT_THAT(refusals, SizeIs(2));
  EXPECT_EQ(refusals[0].caller, "ci");
  EXPECT_EQ(refusals[0].count, 2U);
  EXPECT_EQ(refusals[0].first, kNoon);
  EXPECT_EQ(refusals[0].last, kNoon + 2s);
  EXPECT_EQ(refusals[0].peer, "ipv4:10.0.0.1");
  EXPECT_EQ(refusals[0].reason, "NOT_PERMITTED");
  EXPECT_EQ(refusals[1].caller, "cd");
}

TEST(RecentActivity, TellsUnknownCallersApartByTheirAddressAndKnownOnesByTheirName) {
  RecentActivity recent(kNoon);
  recent.CallEnded(RefusedCall("", "ipv4:10.0.0.1"), kNoon);
  recent.CallEnded(RefusedCall("", "ipv4:10.0.0.2"), kNoon);
  EXPECT_THAT(recent.Get(kNoon).refusals, SizeIs(2));
  recent.CallEnded(RefusedCall("ci", "ipv4:10.0.0.1"), kNoon);
  recent.CallEnded(RefusedCall("ci", "ipv4:10.0.0.2"), kNoon);
  const auto refusals = recent.Get(kNoon).refusals;
  ASSERT_THAT(refusals, SizeIs(3));
  EXPECT_EQ(refusals[0].peer, "");
  EXPECT_EQ(refusals[0].count, 2U);
}

TEST(RecentActivity, KeepsTheLatestRefusalsAlone) {
  RecentActivity recent(kNoon);
  for (int i = 0; i < 10000; ++i) recent.CallEnded(RefusedCall("caller " + std::to_string(i)), kNoon);
  const auto refusals = recent.Get(kNoon).refusals;
  ASSERT_THAT(refusals, SizeIs(RecentActivity::kMaxRefusals));
  EXPECT_EQ(refusals.front().caller, "caller 9999");
}

TEST(RecentActivity, ShowsTheBusiestCallersFirstOfTenThousand) {
  RecentActivity recent(kNoon);
  for (int round = 0; round < 300; ++round) {
    for (int i = 0; i < 100; ++i)
      recent.CallEnded(Served("caller " + std::to_string((round * 100 + i) % 10000)), kNoon);
    for (int i = 0; i < 10; ++i) recent.CallEnded(Served("busy"), kNoon);
    for (int i = 0; i < 5; ++i) recent.CallEnded(RefusedCall("busy too"), kNoon);
  }
  const auto report = recent.Get(kNoon);
  ASSERT_THAT(report.callers, SizeIs(RecentActivity::kMaxBusyCallers));
  EXPECT_EQ(report.callers[0].name, "busy");
  EXPECT_LE(report.callers[0].counts.calls, 3000U);
  EXPECT_GE(report.callers[0].counts.calls + report.callers_missed, 3000U);
  EXPECT_EQ(report.callers[1].name, "busy too");
  EXPECT_EQ(report.callers[1].counts.refused, report.callers[1].counts.calls);
}

TEST(RecentActivity, CountsFewCallersExactlyAndForgetsThemAfterAnHour) {
  RecentActivity recent(kNoon);
  for (int i = 0; i < 7; ++i) recent.CallEnded(Served("ci"), kNoon);
  recent.CallEnded(Served("ci"), kNoon + 30min);
  auto report = recent.Get(kNoon + 30min);
  EXPECT_EQ(report.callers[0].counts.calls, 8U);
  EXPECT_EQ(report.callers_missed, 0U);
  EXPECT_EQ(report.callers_since, kNoon);
  recent.CallEnded(Served("ci"), kNoon + 60min);
  report = recent.Get(kNoon + 60min);
  EXPECT_EQ(report.callers[0].counts.calls, 2U);
  EXPECT_EQ(report.callers_since, kNoon + 30min);
}

TEST(RecentActivity, CountsNoCallerThatIsUnknown) {
  RecentActivity recent(kNoon);
  recent.CallEnded(RefusedCall(""), kNoon);
  EXPECT_THAT(recent.Get(kNoon).callers, IsEmpty());
}

TEST(RecentActivity, ListsTheLatestUnaccountedTokensAndCountsAll) {
  RecentActivity recent(kNoon);
  for (int i = 0; i < 150; ++i) {
    recent.TokenUnaccounted({TokenOutcome::kWithheld, "id " + std::to_string(i), "ci", "acme", "app"}, kNoon);
  }
  const auto report = recent.Get(kNoon);
  EXPECT_EQ(report.unaccounted_count, 150U);
  ASSERT_THAT(report.unaccounted, SizeIs(RecentActivity::kMaxUnaccounted));
  EXPECT_EQ(report.unaccounted.front().token.request_id, "id 149");
}

TEST(RecentActivity, RemembersTheLastBlockOfEachKind) {
  RecentActivity recent(kNoon);
  recent.BlockChanged("acme", Block::kBreakerOpen, false, "", kNoon);
  EXPECT_THAT(recent.Get(kNoon).blocks, IsEmpty());
  recent.BlockChanged("acme", Block::kBreakerOpen, true, "no connection", kNoon);
  recent.BlockChanged("acme", Block::kPaused, true, "", kNoon + 1s);
  recent.BlockChanged("acme", Block::kBreakerOpen, false, "", kNoon + 2s);
  recent.BlockChanged("acme", Block::kPaused, true, "", kNoon + 3s);
  const auto blocks = recent.Get(kNoon).blocks.at("acme");
  ASSERT_THAT(blocks, SizeIs(2));
  EXPECT_EQ(blocks[0].block, Block::kPaused);
  EXPECT_EQ(blocks[0].began, kNoon + 3s);
  EXPECT_FALSE(blocks[0].ended);
  EXPECT_EQ(blocks[1].cause, "no connection");
  EXPECT_EQ(blocks[1].ended, kNoon + 2s);
}

TEST(RecentActivity, TellsSinceWhenTheCentreIsOutOfReachAndWhyItLastWas) {
  RecentActivity recent(kNoon);
  EXPECT_FALSE(recent.Get(kNoon).centre);
  recent.CentreReached(false, "no connection", kNoon);
  recent.CentreReached(false, "time-out", kNoon + 1s);
  EXPECT_EQ(recent.Get(kNoon).centre->since, kNoon);
  EXPECT_EQ(recent.Get(kNoon).centre->cause, "time-out");
  recent.CentreReached(true, {}, kNoon + 2s);
  EXPECT_TRUE(recent.Get(kNoon).centre->reachable);
  EXPECT_EQ(recent.Get(kNoon).centre->since, kNoon + 2s);
  EXPECT_EQ(recent.Get(kNoon).centre->cause, "time-out");
}

TEST(RecentActivity, TakesReportsFromManyThreads) {
  RecentActivity recent(kNoon);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&recent, name = "caller " + std::to_string(i)] {
      for (int call = 0; call < 1000; ++call)
        recent.CallEnded(call % 2 == 0 ? Served(name) : RefusedCall(name), kNoon);
    });
  }
  for (int i = 0; i < 100; ++i) recent.Get(kNoon);
  for (std::thread& thread : threads) thread.join();
  const auto report = recent.Get(kNoon);
  EXPECT_EQ(report.minutes[0].served, 2000U);
  EXPECT_EQ(report.minutes[0].refused, 2000U);
  EXPECT_THAT(report.callers, SizeIs(4));
}

}  // namespace
}  // namespace tokend::telemetry
