#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "daemon/base/form.h"
#include "tests/unit/state/redis_world.h"

namespace tokend::state {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class RedisLimits : public RedisWorld {
 protected:
  RedisLimits() : a_(Start()), b_(Start()) {}

  Admission Call(const Charges& charges, const std::string& caller = "ci", milliseconds wait = seconds(30)) {
    Admission admission = AdmissionOf("id-" + std::to_string(++calls_), caller, charges);
    admission.latest = Clock() + wait;
    return admission;
  }
  std::size_t Waiting(const std::string& organization = "acme") const {
    return std::stoul(server_.Ask({"ZCARD", "{tokend}:q:" + organization}));
  }
  bool AwaitWaiting(std::size_t count) {
    return loop_.RunUntil([this, count] { return Waiting() == count; });
  }
  static Spent SpentIn(const Seen& seen) { return std::get<Fresh>(seen.value()).spent; }

  // When each of these was let in, by Redis's clock, in order.
  std::vector<TimePoint> Turns(const std::vector<const Seen*>& calls) {
    std::vector<TimePoint> turns;
    for (const Seen* seen : calls) {
      EXPECT_EQ(Outcome(*seen), "fresh");
      if (std::holds_alternative<Fresh>(seen->value())) turns.push_back(SpentIn(*seen).organization);
    }
    std::sort(turns.begin(), turns.end());
    return turns;
  }

  Replica& a_;
  Replica& b_;
  int calls_ = 0;
};

TEST_F(RedisLimits, OwnLimitIsOneForAllReplicas) {
  const Charges charges = Own(ChargeOf("own", 3, seconds(60)));
  EXPECT_EQ(Outcome(Admit(a_, Call(charges))), "fresh");
  EXPECT_EQ(Outcome(Admit(b_, Call(charges))), "fresh");
  EXPECT_EQ(Outcome(Admit(a_, Call(charges))), "fresh");
  const Seen& refused = Admit(b_, Call(charges));
  ASSERT_EQ(Outcome(refused), "RATE_LIMITED");
  ASSERT_EQ(FailureIn(refused).quotas.size(), 1U);
  EXPECT_EQ(FailureIn(refused).quotas[0].subject, "grant/own");
  EXPECT_GT(FailureIn(refused).retry_after.value(), seconds(50));
  EXPECT_LE(FailureIn(refused).retry_after.value(), seconds(60));
}

TEST_F(RedisLimits, ARefusedCallClaimsAndSpendsNothing) {
  const Charge open = ChargeOf("open", 5, seconds(60));
  const Charge spent = ChargeOf("spent", 1, seconds(60));
  Charges both{.own = {open, spent}, .organization = {}, .organization_name = "acme", .caller = {}};
  ASSERT_EQ(Outcome(Admit(a_, Call(both))), "fresh");
  const std::string level =
      server_.Ask({"MGET", "{tokend}:l:" + Hex({reinterpret_cast<const char*>(open.key.data()), 16})});
  const Admission refused = Call(both);
  EXPECT_EQ(Outcome(Admit(a_, refused)), "RATE_LIMITED");
  EXPECT_EQ(server_.Ask({"MGET", "{tokend}:l:" + Hex({reinterpret_cast<const char*>(open.key.data()), 16})}),
            level);
  EXPECT_EQ(Keys("r:"), 1U);
  EXPECT_EQ(Now(b_, refused.request_id), "fresh");
}

TEST_F(RedisLimits, NamesEachSpentLimit) {
  Charges charges{.own = {ChargeOf("one", 1, seconds(10)), ChargeOf("two", 1, seconds(99))},
                  .organization = {ChargeOf("org", 1, seconds(20))},
                  .organization_name = "acme",
                  .caller = {}};
  ASSERT_EQ(Outcome(Admit(a_, Call(charges))), "fresh");
  const Seen& refused = Admit(b_, Call(charges));
  ASSERT_EQ(Outcome(refused), "RATE_LIMITED");
  std::vector<std::string> subjects;
  for (const QuotaViolation& quota : FailureIn(refused).quotas) subjects.push_back(quota.subject);
  EXPECT_EQ(subjects, (std::vector<std::string>{"grant/one", "grant/two", "grant/org"}));
  EXPECT_GT(FailureIn(refused).retry_after.value(), seconds(90));
}

TEST_F(RedisLimits, AReplayAndAJoinSpendNothing) {
  const Charges charges = Own(ChargeOf("own", 1, seconds(60)));
  const Admission first = Call(charges);
  ASSERT_EQ(Outcome(Admit(a_, first)), "fresh");
  const Seen& joined = Admit(b_, first);
  loop_.RunFor(milliseconds(80));
  a_->Settle(first.request_id, AnswerOf("bearer"), Clock());
  EXPECT_EQ(Outcome(joined), "bearer");
  EXPECT_EQ(Outcome(Admit(a_, first)), "bearer");
}

TEST_F(RedisLimits, WhatIsGivenBackCanBeHadAgain) {
  const Charges charges = Own(ChargeOf("own", 1, seconds(60)));
  const Seen& first = Admit(a_, Call(charges));
  ASSERT_EQ(Outcome(first), "fresh");
  ASSERT_EQ(Outcome(Admit(b_, Call(charges))), "RATE_LIMITED");
  a_->GiveBack(charges, SpentIn(first));
  EXPECT_TRUE(loop_.RunUntil([&] { return Outcome(Admit(b_, Call(charges))) == "fresh"; }));
}

TEST_F(RedisLimits, WhatHasGrownBackIsNotGivenBackAgain) {
  const Charges charges = Own(ChargeOf("own", 1, seconds(1)));
  const Seen& first = Admit(a_, Call(charges));
  ASSERT_EQ(Outcome(first), "fresh");
  ASSERT_TRUE(loop_.RunUntil([&] { return Outcome(Admit(b_, Call(charges))) == "fresh"; }));
  a_->GiveBack(charges, SpentIn(first));
  EXPECT_EQ(Outcome(Admit(a_, Call(charges))), "RATE_LIMITED");
}

TEST_F(RedisLimits, CallsOfAllReplicasWaitForTheOrganizationsLimitAndNeverPassIt) {
  constexpr milliseconds kInterval{40};
  const Charges charges = Organization(ChargeOf("org", 2, kInterval));
  std::vector<const Seen*> calls;
  for (int i = 0; i < 30; ++i) calls.push_back(&Admit(i % 2 == 0 ? a_ : b_, Call(charges)));
  const std::vector<TimePoint> turns = Turns(calls);
  ASSERT_EQ(turns.size(), 30U);
  for (std::size_t i = 0; i + 2 < turns.size(); ++i) EXPECT_GE(turns[i + 2] - turns[i], kInterval) << i;
  // Nor do they wait much longer than they must.
  EXPECT_LT(turns.back() - turns.front(), 28 * kInterval + seconds(2));
}

TEST_F(RedisLimits, WhoseTurnCannotComeInTimeIsRefusedAtOnceWithTheTrueTime) {
  const Charges charges = Organization(ChargeOf("org", 1, seconds(10)));
  ASSERT_EQ(Outcome(Admit(a_, Call(charges))), "fresh");
  const Seen& waits = Admit(a_, Call(charges));
  ASSERT_TRUE(AwaitWaiting(1));
  const Seen& refused = Admit(b_, Call(charges, "ci", seconds(15)));
  ASSERT_EQ(Outcome(refused), "RATE_LIMITED");
  EXPECT_GT(FailureIn(refused).retry_after.value(), seconds(15));
  EXPECT_LE(FailureIn(refused).retry_after.value(), seconds(20));
  EXPECT_EQ(waits, std::nullopt);
}

TEST_F(RedisLimits, CallersTakeTurns) {
  const Charges charges = Organization(ChargeOf("org", 1, milliseconds(60)));
  // Nothing can be had until all are there.
  ASSERT_EQ(Outcome(Admit(a_, Call(Organization(ChargeOf("org", 1, seconds(2))), "first"))), "fresh");
  std::map<std::string, std::vector<const Seen*>> calls;
  for (int i = 0; i < 6; ++i) calls["greedy"].push_back(&Admit(a_, Call(charges, "greedy")));
  ASSERT_TRUE(AwaitWaiting(6));
  for (int i = 0; i < 2; ++i) calls["modest"].push_back(&Admit(b_, Call(charges, "modest")));
  ASSERT_TRUE(AwaitWaiting(8));
  const std::vector<TimePoint> greedy = Turns(calls["greedy"]);
  const std::vector<TimePoint> modest = Turns(calls["modest"]);
  const auto before = [&greedy](TimePoint turn) {
    return std::lower_bound(greedy.begin(), greedy.end(), turn) - greedy.begin();
  };
  EXPECT_EQ(before(modest[0]), 1);
  EXPECT_EQ(before(modest[1]), 2);
}

TEST_F(RedisLimits, OfWaitingCallsThereAre256OfAllReplicasAndTheGreedyGiveWay) {
  const Charge own = ChargeOf("own", 1000, seconds(3600));
  const Charges charges{.own = {own},
                        .organization = {ChargeOf("org", 1, seconds(60))},
                        .organization_name = "acme",
                        .caller = {}};
  ASSERT_EQ(Outcome(Admit(a_, Call(charges, "first", std::chrono::hours(10)))), "fresh");
  std::vector<const Seen*> waiting;
  for (int i = 0; i < 256; ++i)
    waiting.push_back(&Admit(i % 2 == 0 ? a_ : b_, Call(charges, "greedy", std::chrono::hours(10))));
  ASSERT_TRUE(AwaitWaiting(256));
  const Seen& one_more = Admit(a_, Call(charges, "greedy", std::chrono::hours(10)));
  EXPECT_EQ(Outcome(one_more), "RATE_LIMITED");
  const Seen& modest = Admit(b_, Call(charges, "modest", std::chrono::hours(10)));
  const auto refused = [&] {
    return std::count_if(waiting.begin(), waiting.end(), [](const Seen* seen) {
      return seen->has_value() && std::holds_alternative<Failure>(**seen);
    });
  };
  ASSERT_TRUE(loop_.RunUntil([&] { return refused() == 1; }));
  EXPECT_TRUE(!modest || std::holds_alternative<Fresh>(*modest));
  EXPECT_LE(Waiting(), 256U);
}

TEST_F(RedisLimits, WhoLeavesTheQueueMakesRoomAndGetsItsOwnLimitBack) {
  const Charge own = ChargeOf("own", 1, seconds(60));
  Charges both{.own = {own},
               .organization = {ChargeOf("org", 1, milliseconds(300))},
               .organization_name = "acme",
               .caller = {}};
  ASSERT_EQ(Outcome(Admit(a_, Call(Organization(both.organization[0])))), "fresh");
  const Admission leaving = Call(both);
  const Seen& left = Admit(a_, leaving);
  ASSERT_TRUE(AwaitWaiting(1));
  ASSERT_EQ(Outcome(Admit(b_, Call(Own(own)))), "RATE_LIMITED");
  a_->Leave(leaving.request_id, &left);
  ASSERT_TRUE(AwaitWaiting(0));
  EXPECT_EQ(Outcome(Admit(b_, Call(Own(own)))), "fresh");
  EXPECT_EQ(Now(b_, leaving.request_id), "fresh");
  EXPECT_EQ(left, std::nullopt);
}

TEST_F(RedisLimits, WhoCameBehindOneThatLeftTheQueueTakesItsPlace) {
  const Charges charges = Organization(ChargeOf("org", 1, milliseconds(300)));
  ASSERT_EQ(Outcome(Admit(a_, Call(charges))), "fresh");
  const Admission call = Call(charges);
  const Seen& left = Admit(a_, call);
  const Seen& heir = Admit(a_, call);
  ASSERT_TRUE(AwaitWaiting(1));
  a_->Leave(call.request_id, &left);
  EXPECT_EQ(Outcome(heir), "fresh");
  EXPECT_EQ(left, std::nullopt);
}

TEST_F(RedisLimits, WhoseTurnHasNotComeInTimeIsToldAndTheIdIsFree) {
  const Charges charges = Organization(ChargeOf("org", 1, milliseconds(400)));
  ASSERT_EQ(Outcome(Admit(a_, Call(charges, "first"))), "fresh");
  // Behind the first of its caller, it would have its turn after 800 ms; the other caller's comes between.
  const Seen& one = Admit(a_, Call(charges, "greedy"));
  ASSERT_TRUE(AwaitWaiting(1));
  const Admission call = Call(charges, "greedy", milliseconds(900));
  const Seen& overdue = Admit(a_, call);
  ASSERT_TRUE(AwaitWaiting(2));
  const Seen& modest = Admit(b_, Call(charges, "modest"));
  const TimePoint begin = Clock();
  EXPECT_EQ(Outcome(overdue), "RATE_LIMITED");
  EXPECT_LT(Clock() - begin, seconds(5));
  EXPECT_EQ(Outcome(one), "fresh");
  EXPECT_EQ(Outcome(modest), "fresh");
  EXPECT_EQ(Now(b_, call.request_id, "greedy"), "fresh");
}

TEST_F(RedisLimits, ADeadReplicasWaitingCallsStandInNobodysWay) {
  const Charges charges = Organization(ChargeOf("org", 1, milliseconds(100)));
  // Nothing can be had until the lease is over.
  const Charges slow = Organization(ChargeOf("org", 1, seconds(6)));
  ASSERT_EQ(Outcome(Admit(b_, Call(slow))), "fresh");
  const Admission dead = Call(charges, "dead");
  for (int i = 0; i < 5; ++i) Admit(a_, Call(charges, "dead"));
  Admit(a_, dead);
  ASSERT_TRUE(AwaitWaiting(6));
  const Seen& alive = Admit(b_, Call(charges, "dead"));
  ASSERT_TRUE(AwaitWaiting(7));
  Kill(a_);
  EXPECT_EQ(Outcome(alive), "fresh");
  EXPECT_EQ(Waiting(), 0U);
  // It was not sent, and its turn was not given to anybody.
  EXPECT_EQ(Now(b_, dead.request_id, "dead"), "fresh");
}

TEST_F(RedisLimits, SpendsAgainForAnotherAttempt) {
  const Charge org = ChargeOf("org", 1, milliseconds(200));
  const Charges charges = Organization(org);
  const Admission call = Call(charges);
  ASSERT_EQ(Outcome(Admit(a_, call)), "fresh");
  SeenSpend spent;
  a_->Spend(charges, Clock() + seconds(10), &spent,
            [&spent](SpendResult result) { spent = std::move(result); });
  ASSERT_TRUE(AwaitWaiting(1));
  ASSERT_TRUE(loop_.RunUntil([&] { return spent.has_value(); }));
  EXPECT_TRUE(std::holds_alternative<Spent>(*spent));
  SeenSpend refused;
  a_->Spend(charges, Clock(), &refused, [&refused](SpendResult result) { refused = std::move(result); });
  ASSERT_TRUE(loop_.RunUntil([&] { return refused.has_value(); }));
  EXPECT_EQ(std::get<Failure>(*refused).reason, Reason::kRateLimited);
  // Who leaves while it waits abandons its claim.
  SeenSpend left;
  a_->Spend(charges, Clock() + seconds(10), &left, [&left](SpendResult result) { left = std::move(result); });
  ASSERT_TRUE(AwaitWaiting(1));
  a_->Leave(call.request_id, &left);
  EXPECT_EQ(Now(b_, call.request_id), "fresh");
  EXPECT_EQ(Waiting(), 0U);
  EXPECT_EQ(left, std::nullopt);
}

TEST_F(RedisLimits, WhoLeavesBeforeItsSpendingIsAnsweredSpendsNothing) {
  const Charges charges = Own(ChargeOf("own", 1, seconds(60)));
  SeenSpend left;
  a_->Spend(charges, Clock() + seconds(10), &left, [&left](SpendResult result) { left = std::move(result); });
  a_->Leave("none", &left);
  EXPECT_TRUE(loop_.RunUntil([&] { return Outcome(Admit(a_, Call(charges))) == "fresh"; }));
  EXPECT_EQ(left, std::nullopt);
}

TEST_F(RedisLimits, ChecksWithoutSpending) {
  const Charges charges = Own(ChargeOf("own", 1, seconds(60)));
  const auto check = [&] {
    std::optional<std::optional<Failure>> seen;
    b_->Check(charges, Clock(), [&seen](std::optional<Failure> refusal) { seen = std::move(refusal); });
    EXPECT_TRUE(loop_.RunUntil([&] { return seen.has_value(); }));
    return seen.value_or(std::nullopt);
  };
  EXPECT_EQ(check(), std::nullopt);
  EXPECT_EQ(check(), std::nullopt);
  ASSERT_EQ(Outcome(Admit(a_, Call(charges))), "fresh");
  ASSERT_NE(check(), std::nullopt);
  EXPECT_EQ(check()->reason, Reason::kRateLimited);
}

TEST_F(RedisLimits, ChecksAsOneWouldSpendWhereADeadReplicasCallsWait) {
  const Charges charges = Organization(ChargeOf("org", 1, seconds(1)));
  ASSERT_EQ(Outcome(Admit(a_, Call(charges))), "fresh");
  Admit(a_, Call(charges));
  ASSERT_TRUE(AwaitWaiting(1));
  Kill(a_);
  std::istringstream leases(server_.Ask({"KEYS", "{tokend}:p:*"}));
  for (std::string lease; leases >> lease;) server_.Ask({"HSET", lease, "lease", "0"});
  loop_.RunFor(milliseconds(1100));
  std::optional<std::optional<Failure>> checked;
  b_->Check(charges, Clock() + milliseconds(500),
            [&](std::optional<Failure> refusal) { checked = std::move(refusal); });
  ASSERT_TRUE(loop_.RunUntil([&] { return checked.has_value(); }));
  EXPECT_EQ(*checked, std::nullopt);
}

TEST_F(RedisLimits, SaysHowFullBucketsAre) {
  const Charge spent = ChargeOf("spent", 4, seconds(60));
  const Charge full = ChargeOf("full", 4, seconds(60));
  ASSERT_EQ(Outcome(Admit(a_, Call(Own(spent)))), "fresh");
  std::optional<Result<std::vector<TimePoint>>> seen;
  b_->Levels({full, spent}, [&seen](Result<std::vector<TimePoint>> levels) { seen = std::move(levels); });
  ASSERT_TRUE(loop_.RunUntil([&] { return seen.has_value(); }));
  ASSERT_TRUE(seen->ok());
  EXPECT_EQ((**seen)[0], TimePoint());
  EXPECT_EQ(spent.rate.Remaining((**seen)[1], Clock()), 3);
}

TEST_F(RedisLimits, SaysHowFullAsManyBucketsAreAsACallerMayHave) {
  const std::vector<Charge> charges(10'000, ChargeOf("own", 3, seconds(10)));
  std::optional<Result<std::vector<TimePoint>>> levels;
  a_->Levels(charges, [&](Result<std::vector<TimePoint>> result) { levels = std::move(result); });
  ASSERT_TRUE(loop_.RunUntil([&] { return levels.has_value(); }));
  ASSERT_TRUE(levels->ok()) << levels->status();
  EXPECT_EQ((*levels)->size(), charges.size());
  EXPECT_TRUE(a_->reach().ok());
}

TEST_F(RedisLimits, AnOverlongBucketStaysExact) {
  // 71 years to fill.
  const Charges charges =
      Own({KeyOf({"huge"}),
           Rate({.name = "huge", .tokens = 1, .per = std::chrono::hours(720), .burst = 1000000000}),
           "grant/huge"});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Outcome(Admit(a_, Call(charges))), "fresh");
}

// The user's permissions, as deploy/redis.md has them.
std::vector<std::string> DocumentedUser() {
  std::ifstream file(std::string(TOKEND_SOURCE) + "/deploy/redis.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t begin = text.find("ACL SETUSER");
  std::istringstream words(text.substr(begin, text.find("```", begin) - begin));
  std::vector<std::string> command;
  for (std::string word; words >> word;) command.push_back(word == ">PASSWORD" ? ">secret" : word);
  return command;
}

TEST_F(RedisWorld, EverythingIsPermittedToTheUserThatTheDocsName) {
  ASSERT_EQ(server_.Ask(DocumentedUser()), "OK");
  server_.Ask({"DEL", "{tokend}:epoch"});
  username_ = "tokend";
  password_ = "secret";
  Replica& a = Start();
  const Charges charges{.own = {ChargeOf("own", 9, seconds(60))},
                        .organization = {ChargeOf("org", 1, milliseconds(300))},
                        .organization_name = "acme",
                        .caller = {}};
  const Seen& first = Admit(a, AdmissionOf("x", "ci", charges));
  ASSERT_EQ(Outcome(first), "fresh");
  const Seen& left = Admit(a, AdmissionOf("y", "ci", charges));
  const Seen& later = Admit(a, AdmissionOf("z", "ci", charges));
  ASSERT_TRUE(loop_.RunUntil([this] { return server_.Ask({"ZCARD", "{tokend}:q:acme"}) == "2"; }));
  a->Leave("y", &left);
  EXPECT_EQ(Outcome(later), "fresh");
  a->GiveBack(charges, std::get<Fresh>(*first).spent);
  a->Settle("x", AnswerOf("bearer"), Clock());
  EXPECT_EQ(Now(a, "x"), "bearer");
  a->Refuse("z", {.reason = Reason::kUpstreamRejected});
  EXPECT_EQ(Now(a, "z"), "fresh");
  std::optional<Result<std::vector<TimePoint>>> levels;
  a->Levels(charges.own, [&](Result<std::vector<TimePoint>> result) { levels = std::move(result); });
  ASSERT_TRUE(loop_.RunUntil([&] { return levels.has_value(); }));
  EXPECT_TRUE(levels->ok());
  loop_.RunFor(milliseconds(1200));  // a beat
  EXPECT_TRUE(a->reach().ok());
}

}  // namespace
}  // namespace tokend::state
