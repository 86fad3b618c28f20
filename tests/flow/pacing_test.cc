#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/fakes/scripted_upstream.h"
#include "tests/flow/world.h"

// What delays or refuses requests: limits, turns, calls in flight, and earlier answers of the upstream.
namespace tokend::flow {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;

config::Limit LimitOf(const std::string& name, std::uint64_t tokens, milliseconds per, std::uint64_t burst) {
  return {name, tokens, per, burst};
}

class Pacing : public testing::Test {
 protected:
  void Build(World::Options options) {
    world_ = std::make_unique<World>(upstream_, loop_, std::move(options));
  }
  World& world() {
    if (!world_) Build({});
    return *world_;
  }

  CallSeen& Ask(const std::string& caller = "ci", const fakes::Request& request = {},
                std::chrono::nanoseconds patience = seconds(30)) {
    CallSeen& seen = world().Ask(request, caller, patience);
    loop_.RunPending();
    return seen;
  }

  void Mint() {
    upstream_.AnswerMinted();
    loop_.RunPending();
  }
  void MintAll() {
    while (!upstream_.waiting().empty()) Mint();
  }

  // The upstream refuses, with this HTTP status; 0: without an answer.
  void Refuse(Reason reason, int status, std::optional<milliseconds> retry_after = std::nullopt) {
    upstream_.Answer({Refused{{.reason = reason, .detail = "said no", .retry_after = retry_after}},
                      {.http_status = status, .key_generation = generation_}});
    loop_.RunPending();
  }
  void NoConnection() { Refuse(Reason::kUpstreamUnavailable, 0); }
  void Fail500() {
    upstream_.Answer(
        {Indeterminate{{.reason = Reason::kOutcomeUnknown, .detail = "upstream answered 500"}, nullptr},
         {.http_status = 500, .key_generation = generation_}});
    loop_.RunPending();
  }
  void FailForEach(const std::vector<std::string>& applications) {
    for (const std::string& application : applications) {
      Ask("ci", {.application = application});
      Fail500();
    }
  }

  // A call that has no time for another attempt.
  CallSeen& AskOnce(const std::string& caller = "ci") { return Ask(caller, {}, milliseconds(40)); }

  void BreakTheBreaker() {
    for (int i = 0; i < 5; ++i) {
      Ask();
      Fail500();
    }
  }

  static Reason ReasonOf(const CallSeen& call) { return call.failure().reason; }

  fakes::HandCrankedLoop loop_;
  fakes::ScriptedUpstream upstream_{loop_};
  std::uint64_t generation_ = 1;
  std::unique_ptr<World> world_;
};

TEST_F(Pacing, ASpentLimitOfTheCallerRefusesAtOnceAndSaysWhenToRetry) {
  config::Grant grant = EveryonesGrant();
  grant.limits = {LimitOf("minute", 2, minutes(1), 2)};
  Build({.grant = grant});
  Ask();
  Ask();
  const CallSeen& third = Ask();
  ASSERT_EQ(ReasonOf(third), Reason::kRateLimited);
  EXPECT_EQ(third.failure().retry_after, seconds(30));
  ASSERT_EQ(third.failure().quotas.size(), 1U);
  EXPECT_EQ(third.failure().quotas[0].subject, "everyone/minute");
  EXPECT_EQ(world().audit.durable().back().event(), "request.limited");
  EXPECT_FALSE(Ask("ci2").reply) << "another caller has its own";
  EXPECT_THAT(world().metrics.Text(), HasSubstr("tokend_limit_refusals_total{limit=\"everyone/minute\"} 1"));

  loop_.Advance(seconds(30) - milliseconds(1));
  EXPECT_TRUE(Ask().reply);
  loop_.Advance(milliseconds(1));
  EXPECT_FALSE(Ask().reply);
}

TEST_F(Pacing, ASpentSharedLimitRefusesAllCallers) {
  config::Grant grant = EveryonesGrant();
  grant.shared_limits = {LimitOf("together", 1, minutes(1), 1)};
  Build({.grant = grant});
  Ask("ci1");
  EXPECT_EQ(ReasonOf(Ask("ci2")), Reason::kRateLimited);
}

TEST_F(Pacing, EachSpentLimitIsAViolation) {
  config::Grant grant = EveryonesGrant();
  grant.limits = {LimitOf("minute", 1, minutes(1), 1), LimitOf("hour", 60, minutes(60), 60)};
  grant.shared_limits = {LimitOf("together", 1, minutes(2), 1)};
  Build({.grant = grant, .organization_limits = {LimitOf("upstream", 1, minutes(3), 1)}});
  Ask();
  const CallSeen& second = Ask();
  std::vector<std::string> subjects;
  for (const QuotaViolation& quota : second.failure().quotas) subjects.push_back(quota.subject);
  EXPECT_THAT(subjects, testing::ElementsAre("everyone/minute", "everyone/together", "acme/upstream"));
  EXPECT_EQ(second.failure().retry_after, minutes(3));
}

TEST_F(Pacing, AReplayAndAJoinSpendNothing) {
  config::Grant grant = EveryonesGrant();
  grant.limits = {LimitOf("minute", 1, minutes(1), 1)};
  Build({.grant = grant});
  CallSeen& first = Ask("ci", {.request_id = kRequestId});
  CallSeen& joined = Ask("ci", {.request_id = kRequestId});
  Mint();
  EXPECT_TRUE(first.released());
  EXPECT_TRUE(joined.released());
  EXPECT_TRUE(Ask("ci", {.request_id = kRequestId}).released());
}

TEST_F(Pacing, ACallThatIsLimitedClaimsNothing) {
  config::Grant grant = EveryonesGrant();
  grant.limits = {LimitOf("minute", 1, minutes(1), 1)};
  Build({.grant = grant});
  Ask();
  EXPECT_EQ(ReasonOf(Ask("ci", {.request_id = kRequestId})), Reason::kRateLimited);
  loop_.Advance(minutes(1));
  EXPECT_FALSE(Ask("ci", {.request_id = kRequestId}).reply);
}

TEST_F(Pacing, ValidateOnlyIsHeldToLimitsAndSpendsNone) {
  config::Grant grant = EveryonesGrant();
  grant.limits = {LimitOf("minute", 1, minutes(1), 1)};
  Build({.grant = grant});
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(std::holds_alternative<issue::Validated>(*Ask("ci", {.validate_only = true}).reply));
  }
  EXPECT_FALSE(Ask().reply);
  EXPECT_EQ(ReasonOf(Ask("ci", {.validate_only = true})), Reason::kRateLimited);
}

TEST_F(Pacing, ValidateOnlyIsHeldToTheGrantsMaxInFlightAndTakesNoPlace) {
  config::Grant grant = EveryonesGrant();
  grant.max_in_flight = 1;
  Build({.grant = grant});
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(std::holds_alternative<issue::Validated>(*Ask("ci", {.validate_only = true}).reply));
  }
  EXPECT_FALSE(Ask().reply);
  EXPECT_EQ(ReasonOf(Ask("ci", {.validate_only = true})), Reason::kOverloaded);
  Mint();
  EXPECT_TRUE(std::holds_alternative<issue::Validated>(*Ask("ci", {.validate_only = true}).reply));
}

TEST_F(Pacing, ACallerHasTwoHundredChecksAtOnceAndTenASecond) {
  const auto validated = [this] {
    return std::ranges::count(world().audit.events(), audit::event::kRequestValidated.name);
  };
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(std::holds_alternative<issue::Validated>(*Ask("ci", {.validate_only = true}).reply));
    EXPECT_TRUE(std::holds_alternative<issue::Entitlement>(world().Show("ci")));
  }
  const auto expect_spent = [](const Failure& failure) {
    EXPECT_EQ(failure.reason, Reason::kRateLimited);
    EXPECT_EQ(failure.quotas.at(0).subject, "caller/checks");
    EXPECT_EQ(failure.retry_after, milliseconds(100));
  };
  for (int i = 0; i < 1000; ++i) expect_spent(Ask("ci", {.validate_only = true}).failure());
  expect_spent(std::get<Failure>(world().Show("ci")));
  EXPECT_EQ(validated(), 100);
  EXPECT_TRUE(std::holds_alternative<issue::Validated>(*Ask("ci2", {.validate_only = true}).reply));
  EXPECT_FALSE(Ask("ci").reply) << "a request for a token is no check";
  loop_.Advance(milliseconds(100));
  EXPECT_TRUE(std::holds_alternative<issue::Validated>(*Ask("ci", {.validate_only = true}).reply));
  expect_spent(Ask("ci", {.validate_only = true}).failure());
}

TEST_F(Pacing, ACallerHasTwoReplaysOfEachTokenItWasIssuedAndTenASecond) {
  Ask("ci", {.request_id = kRequestId});
  Mint();
  const auto replay = [this]() -> CallSeen& { return Ask("ci", {.request_id = kRequestId}); };
  for (int i = 0; i < 12; ++i) EXPECT_TRUE(replay().released());
  for (int i = 0; i < 1000; ++i) {
    const Failure& failure = replay().failure();
    EXPECT_EQ(failure.reason, Reason::kRateLimited);
    EXPECT_EQ(failure.quotas.at(0).subject, "caller/replays");
    EXPECT_EQ(failure.retry_after, milliseconds(100));
  }
  EXPECT_EQ(std::ranges::count(world().audit.events(), audit::event::kTokenReplayed.name), 12);
  loop_.Advance(milliseconds(100));
  EXPECT_TRUE(replay().released());
  EXPECT_FALSE(replay().released());
  Ask("ci");
  Mint();
  EXPECT_TRUE(replay().released());
  EXPECT_TRUE(replay().released());
  EXPECT_FALSE(replay().released());
}

TEST_F(Pacing, ReplaysThatWereEarnedAreAThousandAtMost) {
  constexpr int kEarned = 1000;
  Ask("ci", {.request_id = kRequestId});
  for (int i = 0; i < kEarned; ++i) Ask("ci", {}, minutes(10));
  MintAll();
  int replays = 0;
  while (Ask("ci", {.request_id = kRequestId}).released()) ++replays;
  EXPECT_EQ(replays, kEarned + 10);
}

TEST_F(Pacing, CallsThatJoinSpendNoReplays) {
  Ask("ci", {.request_id = kRequestId});
  std::vector<CallSeen*> joined;
  for (int i = 0; i < 100; ++i) joined.push_back(&Ask("ci", {.request_id = kRequestId}));
  Mint();
  for (const CallSeen* call : joined) EXPECT_TRUE(call->released());
  for (int i = 0; i < 12; ++i) EXPECT_TRUE(Ask("ci", {.request_id = kRequestId}).released());
  EXPECT_FALSE(Ask("ci", {.request_id = kRequestId}).released());
}

TEST_F(Pacing, TheOrganizationsSpentLimitIsWaitedFor) {
  Build({.organization_limits = {LimitOf("upstream", 1, seconds(1), 1)}});
  Ask();
  CallSeen& second = Ask();
  EXPECT_EQ(upstream_.posts(), 1);
  EXPECT_FALSE(second.reply);
  loop_.Advance(seconds(1));
  EXPECT_EQ(upstream_.posts(), 2);
  MintAll();
  EXPECT_TRUE(second.released());
  EXPECT_THAT(world().metrics.Text(), Not(HasSubstr("tokend_limit_refusals_total{")));
}

TEST_F(Pacing, ATurnThatComesAfterTheDeadlineIsRefusedAtOnce) {
  Build({.organization_limits = {LimitOf("upstream", 1, seconds(10), 1)}});
  Ask();
  const CallSeen& second = Ask("ci", {}, seconds(5));
  ASSERT_EQ(ReasonOf(second), Reason::kRateLimited);
  EXPECT_EQ(second.failure().quotas.at(0).subject, "acme/upstream");
  EXPECT_EQ(second.failure().retry_after, seconds(10));
}

TEST_F(Pacing, NobodyWaitsWhoCouldNoLongerFinish) {
  Build({.organization_limits = {LimitOf("upstream", 1, seconds(10), 1)}});
  for (int i = 0; i < 60; ++i) {  // the mean comes close to the upstream's four seconds
    Ask("ci", {}, seconds(60));
    loop_.Advance(seconds(4));
    MintAll();
    loop_.Advance(seconds(6));
  }
  Ask();
  loop_.Advance(seconds(2));
  EXPECT_EQ(ReasonOf(Ask("ci", {}, seconds(11))), Reason::kRateLimited)
      << "its turn is in 8 s, its answer in 12";
  EXPECT_FALSE(Ask("ci", {}, seconds(13)).reply);
}

TEST_F(Pacing, AGreedyCallerDelaysOthersByNoMoreThanATurn) {
  Build({.slots = 1000, .organization_limits = {LimitOf("upstream", 10, seconds(1), 1)}});
  Ask("ci-greedy");
  for (int i = 0; i < 200; ++i) Ask("ci-greedy");
  CallSeen& modest = Ask("ci-modest");
  loop_.Advance(milliseconds(200));
  EXPECT_EQ(upstream_.posts(), 3);
  MintAll();
  EXPECT_TRUE(modest.released());
}

TEST_F(Pacing, WhoeverLeavesTheQueueSpendsNothing) {
  config::Grant grant = EveryonesGrant();
  grant.limits = {LimitOf("minute", 2, minutes(1), 2)};
  Build({.grant = grant, .organization_limits = {LimitOf("upstream", 1, seconds(1), 1)}});
  Ask();
  CallSeen& second = Ask();
  second.call->Cancel();
  loop_.RunPending();
  EXPECT_TRUE(second.abandoned());
  loop_.Advance(seconds(1));
  EXPECT_EQ(upstream_.posts(), 1);
  EXPECT_FALSE(Ask().reply);
  EXPECT_EQ(upstream_.posts(), 2);
}

TEST_F(Pacing, CallsInFlightAreHeldToTheGrantsMaximumForEachCaller) {
  config::Grant grant = EveryonesGrant();
  grant.max_in_flight = 2;
  Build({.grant = grant});
  Ask();
  Ask();
  const CallSeen& third = Ask();
  EXPECT_EQ(ReasonOf(third), Reason::kOverloaded);
  EXPECT_EQ(world().audit.durable().back().event(), "request.limited");
  EXPECT_FALSE(Ask("ci2").reply);
  Mint();
  EXPECT_FALSE(Ask().reply);
}

TEST_F(Pacing, WhoTakesOverAClaimTakesItsPlaceInFlight) {
  config::Grant grant = EveryonesGrant();
  grant.max_in_flight = 1;
  Build({.grant = grant, .organization_limits = {LimitOf("upstream", 1, seconds(1), 1)}});
  Ask("ci2");
  CallSeen& first = Ask("ci", {.request_id = kRequestId});
  CallSeen& second = Ask("ci", {.request_id = kRequestId});
  first.call->Cancel();
  loop_.RunPending();
  EXPECT_TRUE(first.abandoned());
  ASSERT_FALSE(second.reply);
  loop_.Advance(seconds(1));
  MintAll();
  EXPECT_TRUE(second.released());
  EXPECT_FALSE(Ask("ci", {}, seconds(5)).reply) << "and gives it up at its end";
}

TEST_F(Pacing, WhoTakesOverAClaimIsJudgedByWhatStandsInTheWayThen) {
  Build({.organization_limits = {LimitOf("upstream", 1, seconds(10), 5)}});
  for (int i = 0; i < 5; ++i) Ask();
  CallSeen& first = Ask("ci", {.request_id = kRequestId});
  for (int i = 0; i < 5; ++i) Fail500();
  CallSeen& second = Ask("ci", {.request_id = kRequestId});
  loop_.Advance(seconds(2));  // the breaker is half-open
  first.call->Cancel();
  loop_.RunPending();
  ASSERT_FALSE(second.reply);
  loop_.Advance(seconds(8));
  EXPECT_EQ(upstream_.posts(), 6) << "it spends what it did not when it came";
  Mint();
  EXPECT_TRUE(second.released());
  EXPECT_FALSE(Ask().reply);
  EXPECT_EQ(upstream_.posts(), 6);
}

TEST_F(Pacing, StoppingFailsWhoWaitsForATurn) {
  Build({.organization_limits = {LimitOf("upstream", 1, seconds(1), 1)}});
  Ask();
  const CallSeen& waiting = Ask();
  world().live.Stop();
  loop_.RunPending();
  EXPECT_EQ(ReasonOf(waiting), Reason::kShuttingDown);
  loop_.Advance(seconds(5));
  EXPECT_EQ(upstream_.posts(), 1);
}

TEST_F(Pacing, WhoComesAfterTheStopWaitsForNothing) {
  Build({.organization_limits = {LimitOf("upstream", 1, seconds(1), 1)}});
  Ask("ci", {.request_id = kRequestId});
  world().live.Stop();
  EXPECT_EQ(ReasonOf(Ask()), Reason::kShuttingDown);
  EXPECT_EQ(ReasonOf(Ask("ci", {.request_id = kRequestId})), Reason::kShuttingDown);
}

TEST_F(Pacing, WhoseUpstreamSlotLeavesNoTimeForAnAnswerIsRefused) {
  Build({.slots = 1});
  for (int i = 0; i < 100; ++i) {  // the mean comes close to a second
    Ask();
    loop_.Advance(seconds(1));
    Mint();
  }
  Ask();
  const CallSeen& waiting = Ask("ci", {}, seconds(3));
  loop_.Advance(milliseconds(1990));
  EXPECT_FALSE(waiting.reply);
  loop_.Advance(milliseconds(20));
  EXPECT_EQ(ReasonOf(waiting), Reason::kOverloaded);
}

TEST_F(Pacing, ACallerWithoutADeadlineWaitsAMinuteForAnUpstreamSlot) {
  Build({.slots = 1});
  Ask();
  const CallSeen& waiting = Ask("ci", {}, std::chrono::hours(1));
  loop_.Advance(minutes(1) - milliseconds(1));
  EXPECT_FALSE(waiting.reply);
  loop_.Advance(milliseconds(1));
  EXPECT_EQ(ReasonOf(waiting), Reason::kOverloaded);
  Mint();
  EXPECT_EQ(upstream_.posts(), 1);
  EXPECT_TRUE(world().live.WaitNone({}));
}

TEST_F(Pacing, WhatWasSpentComesBackWhereNoIntentCameOfIt) {
  using AuditDisk = fakes::MemoryAuditLog::Disk;
  config::Grant grant = EveryonesGrant();
  grant.limits = {LimitOf("minute", 1, minutes(10), 1)};
  Build({.grant = grant});
  world().audit.SetDisk(AuditDisk::kFails);
  EXPECT_EQ(ReasonOf(Ask()), Reason::kAuditUnavailable);
  world().audit.SetDisk(AuditDisk::kHangs);
  EXPECT_FALSE(Ask().reply);
  loop_.Advance(seconds(2));
  world().audit.SetDisk(AuditDisk::kFails);
  world().audit.SetDisk(AuditDisk::kHangs);
  loop_.Advance(seconds(4));  // the limit may grow back as long as the charges were spent
  CallSeen& late = Ask();
  EXPECT_FALSE(late.reply);
  loop_.Advance(seconds(2));
  EXPECT_EQ(ReasonOf(late), Reason::kAuditUnavailable);
  world().audit.SetDisk(AuditDisk::kWorks);
  EXPECT_EQ(ReasonOf(Ask()), Reason::kRateLimited) << "an intent came of it, late as it was";
  EXPECT_EQ(upstream_.posts(), 0);
}

TEST_F(Pacing, ARefusedConnectionIsTriedAgainAndEachAttemptIsAnIntentOfItsOwn) {
  CallSeen& call = Ask("ci", {.request_id = kRequestId});
  NoConnection();
  EXPECT_FALSE(call.reply);
  loop_.Advance(milliseconds(100));
  ASSERT_EQ(upstream_.posts(), 2);
  Mint();
  EXPECT_TRUE(call.released());
  EXPECT_EQ(world().audit.events(),
            (std::vector<std::string>{"token.intended", "token.refused", "token.intended", "token.issued"}));
  EXPECT_EQ(world().audit.durable().back().intent(), 3U);
  EXPECT_THAT(world().metrics.Text(), HasSubstr("tokend_upstream_retries_total 1"));
}

TEST_F(Pacing, ARequestMakesThreeAttemptsAtMost) {
  CallSeen& call = Ask();
  for (int i = 0; i < 3; ++i) {
    NoConnection();
    loop_.Advance(seconds(1));
  }
  EXPECT_EQ(ReasonOf(call), Reason::kUpstreamUnavailable);
  EXPECT_EQ(upstream_.posts(), 3);
}

TEST_F(Pacing, ARetrySpendsTheLimitsAgain) {
  config::Grant grant = EveryonesGrant();
  grant.limits = {LimitOf("minute", 1, minutes(1), 1)};
  Build({.grant = grant});
  CallSeen& call = Ask();
  NoConnection();
  loop_.Advance(milliseconds(100));
  EXPECT_EQ(ReasonOf(call), Reason::kRateLimited);
  EXPECT_EQ(upstream_.posts(), 1);
  EXPECT_THAT(world().metrics.Text(), HasSubstr("tokend_upstream_retries_total 0")) << "it came to none";
}

TEST_F(Pacing, WhatMayHaveCreatedATokenIsNotTriedAgain) {
  CallSeen& call = Ask();
  Fail500();
  loop_.Advance(seconds(5));
  EXPECT_EQ(ReasonOf(call), Reason::kOutcomeUnknown);
  EXPECT_EQ(upstream_.posts(), 1);
}

TEST_F(Pacing, ACallerThatLeavesWhileItsRequestPausesEndsIt) {
  CallSeen& call = Ask("ci", {.request_id = kRequestId});
  NoConnection();
  call.call->Cancel();
  loop_.RunPending();
  EXPECT_TRUE(call.abandoned());
  loop_.Advance(seconds(1));
  EXPECT_EQ(upstream_.posts(), 1);
  EXPECT_TRUE(world().live.WaitNone({}));
  EXPECT_THAT(world().metrics.Text(), HasSubstr("tokend_tokens_total{outcome=\"refused\"} 1"));
}

TEST_F(Pacing, ARetryThatFindsTheBreakerOpenAtItsTurnEndsTheRequestAsRefused) {
  Build({.slots = 1});
  CallSeen& call = Ask();
  std::vector<CallSeen*> others;
  for (int i = 0; i < 5; ++i) others.push_back(&Ask("ci2"));
  NoConnection();  // the first call's, which pauses before its retry
  Fail500();
  Fail500();
  Fail500();
  loop_.Advance(milliseconds(100));  // the retry waits for a slot
  Fail500();
  EXPECT_EQ(ReasonOf(call), Reason::kUpstreamUnavailable);
  EXPECT_EQ(upstream_.posts(), 5);
  EXPECT_THAT(world().metrics.Text(), HasSubstr("tokend_tokens_total{outcome=\"refused\"} 1"));
  EXPECT_THAT(world().metrics.Text(), HasSubstr("tokend_upstream_retries_total 0"));
}

TEST_F(Pacing, TheRetryBudgetIsShownFromAnOrganizationsFirstRequestOn) {
  Ask();
  Mint();
  EXPECT_THAT(world().metrics.Text(), HasSubstr("tokend_upstream_retry_budget{organization=\"acme\"} 10"));
}

TEST_F(Pacing, RetriesAreHeldToATenthOfTheRequestsAndTenMore) {
  int retries = 0;
  constexpr int kRequests = 100;
  for (int i = 0; i < kRequests; ++i) {
    const int before = upstream_.posts();
    Ask();
    NoConnection();
    loop_.Advance(milliseconds(100));
    if (upstream_.posts() == before + 2) {
      ++retries;
      Mint();
    } else {
      Ask();  // a success keeps the breaker closed
      Mint();
    }
  }
  EXPECT_GE(retries, 10);
  EXPECT_LE(retries, 10 + 2 * kRequests / 10);
}

TEST_F(Pacing, TheBreakerOpensAfterFiveFailuresInARowAndOneCallProbes) {
  BreakTheBreaker();
  const int posts = upstream_.posts();
  const CallSeen& refused = Ask();
  ASSERT_EQ(ReasonOf(refused), Reason::kUpstreamUnavailable);
  EXPECT_EQ(refused.failure().retry_after, seconds(1));
  EXPECT_EQ(upstream_.posts(), posts);

  loop_.Advance(seconds(1));
  CallSeen& probe = Ask();
  EXPECT_EQ(upstream_.posts(), posts + 1);
  EXPECT_EQ(ReasonOf(Ask()), Reason::kUpstreamUnavailable) << "one probes, no more";
  Mint();
  EXPECT_TRUE(probe.released());
  Ask();
  Ask();
  EXPECT_EQ(upstream_.posts(), posts + 3);
}

TEST_F(Pacing, OneFailingApplicationLeavesTheOthersOfItsOrganizationAlone) {
  FailForEach({"broken-app", "broken-app", "broken-app", "broken-app", "broken-app"});
  const CallSeen& refused = Ask("ci2", {.application = "broken-app"});
  ASSERT_EQ(ReasonOf(refused), Reason::kUpstreamUnavailable);
  EXPECT_EQ(refused.failure().detail,
            "the circuit breaker of this application is open; its last failure: upstream answered 500");
  EXPECT_EQ(refused.failure().retry_after, seconds(1));
  EXPECT_THAT(world().availability.Troubles(),
              testing::ElementsAre("organization acme: upstream fails for an application: its circuit "
                                   "breaker is open: broken-app: upstream answered 500"));
  CallSeen& other = Ask("ci", {.application = "other-app"});
  Mint();
  EXPECT_TRUE(other.released());
  loop_.Advance(seconds(1));
  Ask("ci2", {.application = "broken-app"});
  EXPECT_TRUE(upstream_.waiting().back().request.is_probe);
  Mint();
  EXPECT_TRUE(world().availability.Troubles().empty());
}

TEST_F(Pacing, FiveFailuresOfThreeApplicationsOpenTheBreakerOfTheOrganization) {
  FailForEach({"app-a", "app-b", "app-a", "app-b", "app-a", "app-b", "app-a", "app-b"});
  EXPECT_FALSE(Ask("ci", {.application = "app-d"}).reply) << "only two applications fail";
  Mint();
  FailForEach({"app-d", "app-e", "app-f", "app-d", "app-e"});
  const CallSeen& refused = Ask("ci", {.application = "app-g"});
  ASSERT_EQ(ReasonOf(refused), Reason::kUpstreamUnavailable);
  EXPECT_EQ(refused.failure().detail, "the circuit breaker is open; its last failure: upstream answered 500");
  EXPECT_THAT(world().availability.Troubles(),
              testing::ElementsAre("organization acme: upstream fails: the circuit breaker is open: upstream "
                                   "answered 500"));
}

TEST_F(Pacing, WhereNoConnectionCanBeMadeTheBreakerOfTheOrganizationOpens) {
  for (int i = 0; i < 5; ++i) {
    AskOnce();
    NoConnection();
  }
  EXPECT_EQ(ReasonOf(Ask("ci", {.application = "other-app"})), Reason::kUpstreamUnavailable);
  EXPECT_THAT(
      world().availability.Troubles(),
      testing::ElementsAre("organization acme: upstream fails: the circuit breaker is open: said no"));
  loop_.Advance(seconds(1));
  Ask("ci", {.application = "other-app"});
  Mint();
  EXPECT_FALSE(Ask().reply) << "the failures were not the application's";
}

TEST_F(Pacing, ACallerWhoseProbeFailedLeavesTheNextProbeToAnotherThatCalls) {
  BreakTheBreaker();
  loop_.Advance(seconds(1));
  Ask("ci");
  Fail500();
  loop_.Advance(milliseconds(1500));
  EXPECT_EQ(AskOnce("ci2").failure().retry_after, milliseconds(500));
  loop_.Advance(milliseconds(500));
  const CallSeen& again = AskOnce("ci");
  ASSERT_EQ(ReasonOf(again), Reason::kUpstreamUnavailable);
  EXPECT_EQ(again.failure().retry_after, milliseconds(500));
  CallSeen& probe = Ask("ci2");
  Mint();
  EXPECT_TRUE(probe.released());
}

TEST_F(Pacing, TheBreakersProbeSaysThatItIsOne) {
  Ask();
  EXPECT_FALSE(upstream_.waiting().back().request.is_probe);
  Mint();
  BreakTheBreaker();
  loop_.Advance(seconds(1));
  Ask();
  EXPECT_TRUE(upstream_.waiting().back().request.is_probe);
  Mint();
  Ask();
  EXPECT_FALSE(upstream_.waiting().back().request.is_probe);
}

TEST_F(Pacing, TheEndOfACallFromBeforeTheBreakerOpenedIsNotItsProbes) {
  for (int i = 0; i < 7; ++i) Ask();
  for (int i = 0; i < 5; ++i) Fail500();
  loop_.Advance(seconds(1));
  CallSeen& probe = Ask();
  ASSERT_EQ(upstream_.posts(), 8);
  Fail500();
  loop_.Advance(seconds(5));
  EXPECT_EQ(ReasonOf(AskOnce()), Reason::kUpstreamUnavailable) << "the probe still runs";
  Mint();
  EXPECT_EQ(ReasonOf(AskOnce()), Reason::kUpstreamUnavailable) << "the probe still runs";
  Fail500();
  EXPECT_TRUE(probe.reply);
  EXPECT_EQ(AskOnce().failure().retry_after, seconds(2));
}

TEST_F(Pacing, AProbeThatIsDroppedFreesWhatItProbedAlone) {
  Ask("ci", {.application = "forbidden-app"});
  Refuse(Reason::kUpstreamForbidden, 403);
  for (int i = 0; i < 5; ++i) Ask();
  loop_.Advance(seconds(1));
  world().audit.SetDisk(fakes::MemoryAuditLog::Disk::kHangs);
  const CallSeen& of_application = Ask("ci", {.application = "forbidden-app"});
  for (int i = 0; i < 5; ++i) Fail500();
  loop_.Advance(seconds(1));
  const CallSeen& of_breaker = Ask("ci");
  EXPECT_FALSE(of_breaker.reply);
  loop_.Advance(seconds(1));
  EXPECT_EQ(ReasonOf(of_application), Reason::kAuditUnavailable);
  EXPECT_EQ(ReasonOf(AskOnce("ci")), Reason::kUpstreamUnavailable) << "the breaker's probe still runs";
}

TEST_F(Pacing, AnAnswerThatBreaksOffIsAFailure) {
  for (int i = 0; i < 5; ++i) {
    Ask();
    upstream_.Answer({Indeterminate{{.reason = Reason::kOutcomeUnknown}, nullptr},
                      {.http_status = 200, .key_generation = generation_}});
    loop_.RunPending();
  }
  EXPECT_EQ(ReasonOf(AskOnce()), Reason::kUpstreamUnavailable);
}

TEST_F(Pacing, TheBreakersTimeDoublesToThirtySeconds) {
  BreakTheBreaker();
  for (const seconds wait :
       {seconds(1), seconds(2), seconds(4), seconds(8), seconds(16), seconds(30), seconds(30)}) {
    EXPECT_EQ(AskOnce().failure().retry_after, wait);
    loop_.Advance(wait);
    Ask();
    Fail500();
  }
}

TEST_F(Pacing, AnAnswerBetweenFailuresKeepsTheBreakerClosed) {
  for (int i = 0; i < 10; ++i) {
    Ask();
    Fail500();
    if (i % 4 == 3) {
      Ask();
      Refuse(Reason::kApplicationNotFound, 404);
    }
  }
  EXPECT_FALSE(Ask().reply);
}

TEST_F(Pacing, AnAnswerThatBreaksOffIsAFailureAndAnInvalidOneIsNone) {
  const auto unclear = [this](Reason reason) {
    Ask();
    upstream_.Answer({Indeterminate{{.reason = reason}, nullptr}, {.http_status = 200, .key_generation = 1}});
    loop_.RunPending();
  };
  for (int i = 0; i < 6; ++i) unclear(Reason::kUpstreamInvalidResponse);
  for (int i = 0; i < 5; ++i) unclear(Reason::kOutcomeUnknown);
  EXPECT_EQ(ReasonOf(Ask()), Reason::kUpstreamUnavailable);
}

TEST_F(Pacing, AnOpenBreakerSpendsNoLimitAndStillAnswersWhatIsKnown) {
  config::Grant grant = EveryonesGrant();
  grant.limits = {LimitOf("minute", 7, minutes(1), 7)};
  Build({.grant = grant});
  Ask("ci", {.request_id = kRequestId});
  Mint();
  BreakTheBreaker();
  EXPECT_TRUE(Ask("ci", {.request_id = kRequestId}).released());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ReasonOf(AskOnce()), Reason::kUpstreamUnavailable);
  loop_.Advance(seconds(1));
  EXPECT_FALSE(Ask().reply) << "the seventh token is left";
}

TEST_F(Pacing, AProbeThatIsCalledOffLeavesTheProbeToAnother) {
  world_.reset();
  Build({.slots = 1});
  BreakTheBreaker();
  loop_.Advance(seconds(1));
  world().audit.SetDisk(fakes::MemoryAuditLog::Disk::kHangs);
  AskOnce();
  loop_.Advance(seconds(2));  // its intent was lost
  world().audit.SetDisk(fakes::MemoryAuditLog::Disk::kWorks);
  loop_.RunPending();
  const int posts = upstream_.posts();
  EXPECT_FALSE(Ask().reply);
  EXPECT_EQ(upstream_.posts(), posts + 1);
}

TEST_F(Pacing, ARejectedKeyCoolsItsOrganizationUntilItChanges) {
  Ask();
  Refuse(Reason::kUpstreamKeyRejected, 401);
  EXPECT_EQ(ReasonOf(Ask()), Reason::kUpstreamKeyRejected);
  EXPECT_EQ(upstream_.posts(), 1);
  EXPECT_THAT(world().availability.Troubles(),
              testing::ElementsAre("organization acme: upstream rejects the API key: replace it"));

  world().availability.UseKeys({{"acme", {nullptr, config::KeyFile{}, 2}}});
  generation_ = 2;
  EXPECT_TRUE(world().availability.Troubles().empty());
  Ask();
  Mint();
  EXPECT_EQ(upstream_.posts(), 2);
}

TEST_F(Pacing, ARejectedKeyIsTriedAgainAfterATimeThatDoublesToAMinute) {
  Ask();
  Refuse(Reason::kUpstreamKeyRejected, 401);
  int posts = 1;
  for (const seconds wait :
       {seconds(1), seconds(2), seconds(4), seconds(8), seconds(16), seconds(32), seconds(60), seconds(60)}) {
    loop_.Advance(wait - milliseconds(1));
    EXPECT_EQ(ReasonOf(Ask()), Reason::kUpstreamKeyRejected);
    ASSERT_EQ(upstream_.posts(), posts);
    loop_.Advance(milliseconds(1));
    Ask();
    ASSERT_EQ(upstream_.posts(), ++posts);
    Refuse(Reason::kUpstreamKeyRejected, 401);
  }
}

TEST_F(Pacing, ALateRejectionOfAnOldKeyDoesNotCoolTheNewOne) {
  Ask();
  world().availability.UseKeys({{"acme", {nullptr, config::KeyFile{}, 2}}});
  Refuse(Reason::kUpstreamKeyRejected, 401);
  EXPECT_FALSE(Ask().reply);
}

TEST_F(Pacing, ALate403OfAnOldKeyDoesNotCoolTheApplicationForTheNewOne) {
  Ask();
  world().availability.UseKeys({{"acme", {nullptr, config::KeyFile{}, 2}}});
  Refuse(Reason::kUpstreamForbidden, 403);
  EXPECT_FALSE(Ask().reply);
}

TEST_F(Pacing, NoNumberOfForbiddenApplicationsKeepsAnotherFromCooling) {
  for (int i = 0; i < 1100; ++i) {
    Ask("ci", {.application = "app-" + std::to_string(i)});
    Refuse(Reason::kUpstreamForbidden, 403);
    loop_.Advance(milliseconds(10));
  }
  EXPECT_EQ(ReasonOf(Ask("ci", {.application = "app-1099"})), Reason::kUpstreamForbidden);
  EXPECT_EQ(upstream_.posts(), 1100);
}

TEST_F(Pacing, A403CoolsThatApplicationAlone) {
  Ask("ci", {.application = "ios-app"});
  Refuse(Reason::kUpstreamForbidden, 403);
  EXPECT_EQ(ReasonOf(Ask("ci", {.application = "ios-app"})), Reason::kUpstreamForbidden);
  EXPECT_FALSE(Ask("ci", {.application = "android-app"}).reply);
  Mint();
  loop_.Advance(seconds(1));
  EXPECT_FALSE(Ask("ci", {.application = "ios-app"}).reply);
}

TEST_F(Pacing, A429WithRetryAfterPausesTheOrganizationForAll) {
  AskOnce();
  Refuse(Reason::kUpstreamRateLimited, 429, seconds(9));
  loop_.Advance(seconds(2));
  const CallSeen& other = Ask("ci2");
  ASSERT_EQ(ReasonOf(other), Reason::kUpstreamRateLimited);
  EXPECT_EQ(other.failure().retry_after, seconds(7));
  loop_.Advance(seconds(7));
  EXPECT_FALSE(Ask("ci2").reply);
  EXPECT_TRUE(world().availability.Troubles().empty());
}

TEST_F(Pacing, A429WithoutRetryAfterPausesForATimeThatDoublesToAMinuteWhile429sGoOn) {
  const auto limit = [this] {
    Ask();
    Refuse(Reason::kUpstreamRateLimited, 429);
  };
  for (const seconds wait :
       {seconds(1), seconds(2), seconds(4), seconds(8), seconds(16), seconds(32), seconds(60), seconds(60)}) {
    limit();
    const int posts = upstream_.posts();
    loop_.Advance(wait - milliseconds(1));
    const CallSeen& refused = Ask("ci2");
    EXPECT_EQ(ReasonOf(refused), Reason::kUpstreamRateLimited);
    EXPECT_EQ(refused.failure().retry_after, milliseconds(1));
    EXPECT_EQ(upstream_.posts(), posts);
    loop_.Advance(milliseconds(1));
  }
  Ask();
  Refuse(Reason::kApplicationNotFound, 404);
  limit();
  loop_.Advance(seconds(1));
  EXPECT_FALSE(Ask().reply) << "another answer has come between";
}

TEST_F(Pacing, Many429sOfCallsThatRanTogetherAreOnePause) {
  Build({.slots = 100});
  for (int i = 0; i < 100; ++i) Ask();
  for (int i = 0; i < 100; ++i) Refuse(Reason::kUpstreamRateLimited, 429);
  EXPECT_EQ(AskOnce().failure().retry_after, seconds(1));
  loop_.Advance(seconds(1));
  EXPECT_FALSE(Ask().reply);
}

TEST_F(Pacing, AShortPauseIsWaitedOutAndALongOneIsNot) {
  CallSeen& call = Ask();
  Refuse(Reason::kUpstreamRateLimited, 429, seconds(1));
  loop_.Advance(milliseconds(1100));
  Mint();
  EXPECT_TRUE(call.released());
  CallSeen& refused = Ask();
  Refuse(Reason::kUpstreamRateLimited, 429, seconds(9));
  EXPECT_EQ(ReasonOf(refused), Reason::kUpstreamRateLimited);
}

TEST_F(Pacing, TellsACallerHowMuchIsLeft) {
  config::Grant grant = EveryonesGrant();
  grant.limits = {LimitOf("minute", 2, minutes(1), 2)};
  grant.shared_limits = {LimitOf("together", 5, minutes(1), 5)};
  Build({.grant = grant});
  Ask();
  const auto level = [this](const std::string& caller) {
    const auto shown = std::get<issue::Entitlement>(world().Show(caller));
    EXPECT_EQ(shown.grants.at(0).limits.size(), 1U) << "what others spend is not shown";
    return shown.grants.at(0).limits.at(0);
  };
  EXPECT_EQ(level("ci").remaining, 1);
  EXPECT_EQ(level("ci").retry_after, seconds(0));
  EXPECT_EQ(level("ci2").remaining, 2);
  Ask();
  EXPECT_EQ(level("ci").remaining, 0);
  EXPECT_EQ(level("ci").retry_after, seconds(30));
}

}  // namespace
}  // namespace tokend::flow
