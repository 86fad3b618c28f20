#include "daemon/state/rate_limiter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tests/fakes/hand_cranked_loop.h"
#include "tests/unit/state/charging.h"

namespace tokend::state {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::ElementsAre;

class Limiter : public testing::Test {
 protected:
  struct Call {
    Charges charges;
    std::optional<SpendResult> result;
    TimePoint ended_at;

    bool waits() const { return !result; }
    bool spent() const { return result && std::holds_alternative<Spent>(*result); }
    bool refused() const { return result && std::holds_alternative<Failure>(*result); }
    const Failure& failure() const { return std::get<Failure>(result.value()); }
    milliseconds retry_after() const { return failure().retry_after.value(); }
  };

  // The organization allows one a second, two at once.
  static Charges Organization(std::string caller = "ci") {
    return {{}, {ChargeOf("acme/second", 60, minutes(1), 2)}, "acme", std::move(caller)};
  }
  // Each caller ten a minute, five at once, and forty a day.
  static Charges Own(const std::string& caller = "ci") {
    Charges charges{{ChargeOf("grant/minute", 10, minutes(1), 5), ChargeOf("grant/day", 40, hours(24), 40)},
                    {},
                    "acme",
                    caller};
    for (Charge& charge : charges.own) charge.key = KeyOf({charge.subject, caller});
    return charges;
  }
  static Charges Both(const std::string& caller = "ci") {
    Charges charges = Own(caller);
    charges.organization = Organization().organization;
    return charges;
  }

  Call& Ask(Charges charges, nanoseconds patience = hours(1)) {
    Call& call = calls_.emplace_back(Call{charges, std::nullopt, {}});
    limiter_->Spend(std::move(charges), Now() + patience, &call, [this, &call](SpendResult result) {
      ASSERT_TRUE(call.waits()) << "answered twice";
      call.result = std::move(result);
      call.ended_at = Now();
    });
    return call;
  }
  // Takes the two tokens that the organization has at once.
  void SpendOrganization() {
    ASSERT_TRUE(Ask(Organization("others")).spent());
    ASSERT_TRUE(Ask(Organization("others")).spent());
  }
  std::vector<TimePoint> FullAt(const std::vector<Charge>& charges) { return limiter_->FullAt(charges); }
  TimePoint Now() { return loop_.clock().Now(); }

  fakes::HandCrankedLoop loop_;
  std::map<std::string, std::size_t> waiting_;
  std::vector<nanoseconds> turns_;
  std::deque<Call> calls_;
  std::unique_ptr<RateLimiter> limiter_ = std::make_unique<RateLimiter>(
      loop_, Observer{.on_queue = [this](const std::string& organization,
                                         std::size_t waiting) { waiting_[organization] = waiting; },
                      .on_turn = [this](nanoseconds waited) { turns_.push_back(waited); }});
};

TEST_F(Limiter, SpendsNothingWhereThereIsNoLimit) {
  for (int call = 0; call < 1000; ++call) EXPECT_TRUE(Ask({{}, {}, "acme", "ci"}).spent());
  EXPECT_EQ(limiter_->buckets().size(), 0U);
}

TEST_F(Limiter, GrantsTheBurstAndThenRefusesAtOnce) {
  for (int call = 0; call < 5; ++call) EXPECT_TRUE(Ask(Own()).spent());
  const Call& refused = Ask(Own());
  ASSERT_TRUE(refused.refused());
  EXPECT_EQ(refused.failure().reason, Reason::kRateLimited);
  EXPECT_THAT(SubjectsIn(refused.failure()), ElementsAre("grant/minute"));
  EXPECT_TRUE(Ask(Own("another")).spent());
}

TEST_F(Limiter, SpendsOneOfEachWindowOrNone) {
  for (int call = 0; call < 5; ++call) Ask(Own());
  const std::vector<TimePoint> before = FullAt(Own().own);
  ASSERT_TRUE(Ask(Own()).refused());
  EXPECT_EQ(FullAt(Own().own), before) << "the day is not spent where the minute is";
  for (int call = 0; call < 35; ++call) {
    loop_.Advance(seconds(6));
    ASSERT_TRUE(Ask(Own()).spent());
  }
  loop_.Advance(minutes(1));
  EXPECT_THAT(SubjectsIn(Ask(Own()).failure()), ElementsAre("grant/day"));
  EXPECT_LT(FullAt(Own().own)[0], Now()) << "nor the minute where the day is";
}

TEST_F(Limiter, ACallersSpentLimitRefusesAtOnceWhereTheOrganizationsIsSpentToo) {
  for (int call = 0; call < 5; ++call) Ask(Own());
  SpendOrganization();
  const std::vector<TimePoint> before = FullAt(Both().own);
  const Call& refused = Ask(Both());
  ASSERT_TRUE(refused.refused());
  EXPECT_THAT(SubjectsIn(refused.failure()), ElementsAre("grant/minute", "acme/second"));
  EXPECT_EQ(refused.retry_after(), seconds(6)) << "when all have one";
  EXPECT_EQ(FullAt(Both().own), before);
}

TEST_F(Limiter, NamesOnlyTheLimitsThatAreSpent) {
  for (int call = 0; call < 5; ++call) Ask(Own());
  EXPECT_THAT(SubjectsIn(Ask(Both()).failure()), ElementsAre("grant/minute"));
}

TEST_F(Limiter, ACallersSpentLimitSpendsNothingOfTheOrganizations) {
  for (int call = 0; call < 5; ++call) Ask(Own());
  Ask(Both());
  EXPECT_TRUE(Ask(Organization()).spent());
  EXPECT_TRUE(Ask(Organization()).spent());
}

TEST_F(Limiter, WaitsForItsTurnWhereTheOrganizationsAloneIsSpent) {
  SpendOrganization();
  Call& first = Ask(Both());
  Call& second = Ask(Both());
  EXPECT_TRUE(first.waits());
  loop_.Advance(seconds(1) - nanoseconds(1));
  EXPECT_TRUE(first.waits());
  loop_.Advance(nanoseconds(1));
  EXPECT_TRUE(first.spent());
  EXPECT_TRUE(second.waits());
  loop_.Advance(seconds(1));
  EXPECT_TRUE(second.spent());
  EXPECT_THAT(turns_, ElementsAre(seconds(1), seconds(2)));
}

TEST_F(Limiter, SaysWhenWhatIsSpent) {
  const TimePoint came = Now();
  Call& at_once = Ask(Both());
  EXPECT_EQ(SpentHereIn(*at_once.result).own, came);
  EXPECT_EQ(SpentHereIn(*at_once.result).organization, came);
  Ask(Both());
  Call& waited = Ask(Both());
  loop_.Advance(seconds(1));
  EXPECT_EQ(SpentHereIn(waited.result.value()).own, came);
  EXPECT_EQ(SpentHereIn(*waited.result).organization, came + seconds(1));
}

TEST_F(Limiter, WhoComesWhileOthersWaitDoesNotPassThem) {
  SpendOrganization();
  Call& waiting = Ask(Organization("a"));
  // A token is there, but nobody has had the time to hand it out.
  loop_.fake_clock().Advance(seconds(1));
  Call& late = Ask(Organization("b"));
  EXPECT_TRUE(late.waits());
  loop_.Advance(nanoseconds(0));
  EXPECT_TRUE(waiting.spent());
  EXPECT_TRUE(late.waits());
}

TEST_F(Limiter, OneOrganizationsQueueDoesNotHoldUpAnother) {
  SpendOrganization();
  Ask(Organization());
  Charges other{{}, {ChargeOf("beta/second", 60, minutes(1), 2)}, "beta", "ci"};
  EXPECT_TRUE(Ask(other).spent());
}

TEST_F(Limiter, AGreedyCallersQueueDelaysAnotherByOneTurnAtMost) {
  SpendOrganization();
  for (int call = 0; call < 200; ++call) ASSERT_TRUE(Ask(Organization("greedy")).waits());
  loop_.Advance(milliseconds(3500));
  Call& modest = Ask(Organization("modest"));
  loop_.Advance(milliseconds(1500));
  EXPECT_TRUE(modest.spent());
}

TEST_F(Limiter, TwoHundredAndFiftySixMayWait) {
  SpendOrganization();
  for (int call = 0; call < 256; ++call) {
    ASSERT_TRUE(Ask(Organization(std::to_string(call))).waits()) << call;
  }
  EXPECT_EQ(waiting_["acme"], 256U);
  Call& refused = Ask(Organization("one more"));
  ASSERT_TRUE(refused.refused());
  EXPECT_THAT(SubjectsIn(refused.failure()), ElementsAre("acme/second"));
  EXPECT_EQ(refused.retry_after(), seconds(257)) << "after all who wait";
  loop_.Advance(seconds(1));
  EXPECT_TRUE(Ask(Organization("one more")).waits());
}

TEST_F(Limiter, WhoHasHadLessDisplacesTheLast) {
  SpendOrganization();
  for (int call = 0; call < 256; ++call) Ask(Both("greedy"));
  // Five wait, as many as its own limit let in at once.
  const std::vector<TimePoint> own_before = FullAt(Both("greedy").own);
  for (int call = 0; call < 251; ++call) Ask(Organization("others"));
  EXPECT_EQ(waiting_["acme"], 256U);
  Call& last = calls_.back();
  ASSERT_TRUE(last.waits());
  Call& modest = Ask(Organization("modest"));
  EXPECT_TRUE(modest.waits());
  ASSERT_TRUE(last.refused()) << "it had most before it";
  EXPECT_THAT(SubjectsIn(last.failure()), ElementsAre("acme/second"));
  EXPECT_EQ(last.retry_after(), seconds(257));
  EXPECT_EQ(waiting_["acme"], 256U);
  EXPECT_EQ(FullAt(Both("greedy").own), own_before);
  loop_.Advance(seconds(3));
  EXPECT_TRUE(modest.spent());
}

TEST_F(Limiter, ADisplacedCallGetsItsOwnTokensBack) {
  SpendOrganization();
  Call& displaced = Ask(Both("a"));
  Call& last = Ask(Both("a"));
  for (int call = 0; call < 254; ++call) Ask(Organization(std::to_string(call)));
  ASSERT_TRUE(Ask(Organization("modest")).waits());
  ASSERT_TRUE(last.refused());
  EXPECT_TRUE(displaced.waits());
  EXPECT_THAT(FullAt(Both("a").own), ElementsAre(Now() + seconds(6), Now() + minutes(36)));
}

TEST_F(Limiter, NeverWaitsPastLatest) {
  SpendOrganization();
  const Call& late = Ask(Organization(), seconds(1) - nanoseconds(1));
  ASSERT_TRUE(late.refused()) << "its turn cannot come";
  EXPECT_EQ(late.retry_after(), seconds(1));
  EXPECT_TRUE(Ask(Organization(), seconds(1)).waits());
}

TEST_F(Limiter, RefusesAtLatestWhomOthersHavePassed) {
  SpendOrganization();
  Ask(Organization("a"));
  Call& passed = Ask(Both("a"), seconds(2));
  Call& other = Ask(Organization("b"));
  loop_.Advance(seconds(2) - nanoseconds(1));
  EXPECT_TRUE(passed.waits());
  loop_.Advance(nanoseconds(1));
  EXPECT_TRUE(other.spent());
  ASSERT_TRUE(passed.refused());
  EXPECT_THAT(SubjectsIn(passed.failure()), ElementsAre("acme/second"));
  EXPECT_EQ(passed.retry_after(), seconds(1));
}

TEST_F(Limiter, ATurnThatComesAtLatestIsInTime) {
  SpendOrganization();
  Call& in_time = Ask(Organization(), seconds(1));
  loop_.Advance(seconds(1));
  EXPECT_TRUE(in_time.spent());
}

TEST_F(Limiter, ATurnThatIsHandedOutTooLateIsNotGiven) {
  SpendOrganization();
  Call& late = Ask(Both("a"), milliseconds(1500));
  Call& patient = Ask(Organization("b"));
  loop_.fake_clock().Advance(seconds(2));  // a loop that stood still
  loop_.Advance(nanoseconds(0));
  EXPECT_TRUE(late.refused());
  EXPECT_EQ(late.retry_after(), milliseconds(0));
  EXPECT_THAT(SubjectsIn(late.failure()), ElementsAre("acme/second"));
  EXPECT_TRUE(patient.spent()) << "the turn is the next one's";
  EXPECT_EQ(FullAt(Both("a").own), FullAt(Own("never seen").own));
}

TEST_F(Limiter, ACallWithoutADeadlineWaitsAsOthersDo) {
  SpendOrganization();
  Call& patient = calls_.emplace_back();
  limiter_->Spend(Organization(), TimePoint::max(), &patient,
                  [&patient](SpendResult result) { patient.result = std::move(result); });
  EXPECT_TRUE(patient.waits());
  loop_.Advance(seconds(1));
  EXPECT_TRUE(patient.spent());
}

TEST_F(Limiter, RetryInfoOfACallersLimitsIsExact) {
  for (int call = 0; call < 5; ++call) Ask(Own());
  loop_.Advance(milliseconds(123) + nanoseconds(1));
  const milliseconds told = Ask(Own()).retry_after();
  EXPECT_EQ(told, milliseconds(5877)) << "rounded up to a millisecond";
  loop_.Advance(told - milliseconds(1));
  EXPECT_EQ(Ask(Own()).retry_after(), milliseconds(1));
  loop_.Advance(milliseconds(1));
  EXPECT_TRUE(Ask(Own()).spent());
}

TEST_F(Limiter, RetryInfoIsWhenTheFairTurnWouldComeWhereOthersWait) {
  SpendOrganization();
  for (int call = 0; call < 5; ++call) Ask(Organization("others"));
  loop_.Advance(milliseconds(1200));
  for (const std::string caller : {"modest", "others"}) {
    const Call& refused = Ask(Organization(caller), milliseconds(100));
    const TimePoint told = Now() + refused.retry_after();
    Call& waits = Ask(Organization(caller));
    loop_.Advance(refused.retry_after() - milliseconds(1));
    EXPECT_TRUE(waits.waits()) << caller;
    loop_.Advance(milliseconds(1));
    ASSERT_TRUE(waits.spent()) << caller;
    EXPECT_EQ(waits.ended_at, told);
  }
}

TEST_F(Limiter, RetryInfoOfTheOrganizationsLimitIsExactWhereNobodyWaits) {
  SpendOrganization();
  const milliseconds told = Ask(Organization(), nanoseconds(0)).retry_after();
  loop_.Advance(told - milliseconds(1));
  EXPECT_TRUE(Ask(Organization(), nanoseconds(0)).refused());
  loop_.Advance(milliseconds(1));
  EXPECT_TRUE(Ask(Organization(), nanoseconds(0)).spent());
}

TEST_F(Limiter, RetryInfoIsWhenTheLastOfSeveralSpentLimitsHasOne) {
  Charges charges;
  charges.own = {ChargeOf("g/a", 1, seconds(5), 1), ChargeOf("g/b", 1, seconds(9), 1)};
  ASSERT_TRUE(Ask(charges).spent());
  const Call& refused = Ask(charges);
  EXPECT_THAT(SubjectsIn(refused.failure()), ElementsAre("g/a", "g/b"));
  EXPECT_EQ(refused.retry_after(), seconds(9));
  loop_.Advance(seconds(9) - milliseconds(1));
  EXPECT_THAT(SubjectsIn(Ask(charges).failure()), ElementsAre("g/b"));
  loop_.Advance(milliseconds(1));
  EXPECT_TRUE(Ask(charges).spent());
}

TEST_F(Limiter, WhoLeavesTheQueueGetsItsOwnTokensBackAndIsNotCalled) {
  SpendOrganization();
  Call& leaver = Ask(Both("a"));
  Call& next = Ask(Organization("b"));
  EXPECT_TRUE(limiter_->Leave(&leaver));
  EXPECT_FALSE(limiter_->Leave(&leaver));
  EXPECT_EQ(FullAt(Both("a").own), FullAt(Own("never seen").own));
  EXPECT_EQ(waiting_["acme"], 1U);
  loop_.Advance(seconds(1));
  EXPECT_TRUE(next.spent()) << "at the turn that would have been the leaver's";
  EXPECT_TRUE(leaver.waits());
  EXPECT_FALSE(limiter_->Leave(&next)) << "it does not wait any more";
}

TEST_F(Limiter, GivesBackToTheOrganizationForWhoWaits) {
  const Call& unused = Ask(Both("a"));
  ASSERT_TRUE(Ask(Organization("b")).spent());
  Call& waiting = Ask(Organization("c"));
  limiter_->GiveBack(unused.charges, SpentHereIn(*unused.result));
  EXPECT_EQ(FullAt(Both("a").own), FullAt(Own("never seen").own));
  loop_.Advance(nanoseconds(0));
  EXPECT_TRUE(waiting.spent());
}

TEST_F(Limiter, GivesBackNothingThatHasGrownBack) {
  Charges charges;
  charges.own = {ChargeOf("g/a", 1, seconds(10), 1)};
  const Call& old = Ask(charges);
  loop_.Advance(seconds(10));
  ASSERT_TRUE(Ask(charges).spent());
  limiter_->GiveBack(charges, SpentHereIn(*old.result));
  EXPECT_EQ(Ask(charges).retry_after(), seconds(10));
}

// The organization's limit by itself, at the times at which calls are let through.
TEST_F(Limiter, NeverLetsMoreThroughThanTheOrganizationsLimit) {
  for (int call = 0; call < 200; ++call) {
    Ask(Organization(std::to_string(call % 7)), milliseconds(100 * (call % 50)));
    loop_.Advance(milliseconds(100));
  }
  loop_.Advance(minutes(1));
  std::vector<TimePoint> let_through;
  for (const Call& call : calls_) {
    ASSERT_FALSE(call.waits());
    if (call.spent()) let_through.push_back(call.ended_at);
  }
  std::sort(let_through.begin(), let_through.end());
  ASSERT_GE(let_through.size(), 20U);
  for (std::size_t first = 0; first + 2 < let_through.size(); ++first) {
    for (std::size_t last = first + 2; last < let_through.size(); ++last) {
      ASSERT_GE(let_through[last] - let_through[first], seconds(last - first - 1));
    }
  }
}

TEST_F(Limiter, RefusalIsWhatSpendWouldRefuseAtOnceWith) {
  EXPECT_EQ(limiter_->Refusal(Both(), Now() + hours(1)), std::nullopt);
  EXPECT_EQ(limiter_->buckets().size(), 0U) << "and spends nothing";
  SpendOrganization();
  EXPECT_EQ(limiter_->Refusal(Both(), Now() + seconds(1)), std::nullopt) << "it would wait";
  const auto refusal = limiter_->Refusal(Both(), Now());
  ASSERT_TRUE(refusal);
  const Call& refused = Ask(Both(), nanoseconds(0));
  EXPECT_EQ(SubjectsIn(*refusal), SubjectsIn(refused.failure()));
  EXPECT_EQ(refusal->retry_after, refused.failure().retry_after);
}

TEST_F(Limiter, EveryRefusalNamesALimit) {
  SpendOrganization();
  Ask(Organization("a"));
  loop_.fake_clock().Advance(seconds(5));  // tokens have come, and nobody has had them yet
  const Call& refused = Ask(Organization("b"), -seconds(1));
  EXPECT_THAT(SubjectsIn(refused.failure()), ElementsAre("acme/second"));
}

TEST_F(Limiter, IsOverloadedWhereTooManyBucketsAreNotFull) {
  limiter_ = std::make_unique<RateLimiter>(loop_, Observer{}, 10);
  for (int caller = 0; caller < 5; ++caller) ASSERT_TRUE(Ask(Own(std::to_string(caller))).spent());
  const Call& refused = Ask(Own("one more"));
  ASSERT_TRUE(refused.refused());
  EXPECT_EQ(refused.failure().reason, Reason::kOverloaded);
  EXPECT_TRUE(Ask({{}, {}, "acme", "ci"}).spent()) << "what has no limits needs no bucket";
}

TEST_F(Limiter, ADestroyedOneCallsNobody) {
  SpendOrganization();
  Call& waiting = Ask(Organization());
  limiter_.reset();
  loop_.Advance(hours(2));
  EXPECT_TRUE(waiting.waits());
  EXPECT_EQ(loop_.timers(), 0U);
}

TEST_F(Limiter, WhoIsLetInMaySpendAndLeaveAndGiveBackAtOnce) {
  SpendOrganization();
  int first = 0;
  Call& second = calls_.emplace_back();
  Call& third = calls_.emplace_back();
  limiter_->Spend(Organization("a"), Now() + hours(1), &first, [&](SpendResult result) {
    limiter_->Leave(&second);
    limiter_->GiveBack(Organization("a"), SpentHereIn(result));
    limiter_->Spend(Organization("c"), Now() + hours(1), &third,
                    [&third](SpendResult spent) { third.result = std::move(spent); });
  });
  limiter_->Spend(Organization("b"), Now() + hours(1), &second,
                  [](const SpendResult&) { FAIL() << "it has left"; });
  loop_.Advance(seconds(1));
  EXPECT_TRUE(third.spent()) << "with the token that was given back";
  loop_.Advance(minutes(1));
}

TEST_F(Limiter, WhoIsLetInOrRefusedMayEndTheLimiter) {
  for (const nanoseconds patience : {nanoseconds(milliseconds(1500)), nanoseconds(hours(1))}) {
    limiter_ = std::make_unique<RateLimiter>(loop_);
    SpendOrganization();
    Ask(Organization("a"));
    int ended = 0;
    for (int call = 0; call < 3; ++call) {
      limiter_->Spend(Organization(std::to_string(call)), Now() + patience + seconds(2),
                      &calls_.emplace_back(), [&](const SpendResult&) {
                        ++ended;
                        limiter_.reset();
                      });
    }
    loop_.Advance(hours(2));
    EXPECT_EQ(ended, 1);
  }
}

// What a call holds ends with it, and may itself hold a place.
TEST_F(Limiter, WhatWhoWaitsHoldsMayLeaveAsTheLimiterEnds) {
  struct Leaver {
    ~Leaver() { limiter->Leave(this); }
    RateLimiter* limiter;
  };
  SpendOrganization();
  for (int call = 0; call < 3; ++call) {
    auto leaver = std::make_shared<Leaver>(Leaver{limiter_.get()});
    Leaver* const waiter = leaver.get();
    limiter_->Spend(Organization(), Now() + hours(1), waiter,
                    [leaver = std::move(leaver)](const SpendResult&) { FAIL(); });
  }
  limiter_.reset();
  EXPECT_EQ(loop_.timers(), 0U);
}

}  // namespace
}  // namespace tokend::state
