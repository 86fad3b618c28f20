#include "daemon/state/memory_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tests/fakes/hand_cranked_loop.h"
#include "tests/unit/state/charging.h"

namespace tokend::state {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::ElementsAre;

class InMemory : public testing::Test {
 protected:
  struct Call {
    std::string id;
    Charges charges;
    std::optional<Claim> claim;

    bool waits() const { return !claim; }
    bool fresh() const { return claim && std::holds_alternative<Fresh>(*claim); }
    const Answered& answered() const { return std::get<Answered>(claim.value()); }
    const Failure& failure() const { return std::get<Failure>(claim.value()); }
  };

  static std::vector<Charge> Own() { return {ChargeOf("grant/minute", 10, minutes(1), 5)}; }
  static std::vector<Charge> Organization() { return {ChargeOf("acme/second", 1, seconds(1), 1)}; }
  static Charges Both(const std::string& caller = "ci") { return {Own(), Organization(), "acme", caller}; }

  Call& Ask(const std::string& id, const Charges& charges = Both(), nanoseconds patience = hours(1),
            const std::string& caller = "ci") {
    Call& call = calls_.emplace_back(Call{id, charges, std::nullopt});
    Admission admission{.request_id = id,
                        .digest = DigestOf(caller, "acme", "ios-app", {"sdk"}, ""),
                        .caller = caller,
                        .charges = charges,
                        .latest = Now() + patience};
    state_->Admit(std::move(admission), &call, [&call](Claim claim) {
      ASSERT_TRUE(call.waits()) << "answered twice";
      call.claim = std::move(claim);
    });
    return call;
  }
  void SettleAs(const std::string& id, const std::string& bearer) {
    auto token = std::make_shared<Token>();
    token->bearer = Bearer(bearer);
    state_->Settle(id, Answered{std::move(token), 7}, Now());
  }
  static std::string BearerIn(const Call& call) {
    return std::string(call.answered().token->bearer.Expose());
  }

  // When the buckets will be full.
  std::vector<TimePoint> Levels(std::vector<Charge> charges) {
    std::vector<TimePoint> levels;
    state_->Levels(std::move(charges),
                   [&levels](Result<std::vector<TimePoint>> full_at) { levels = *full_at; });
    return levels;
  }
  TimePoint Now() { return loop_.clock().Now(); }

  fakes::HandCrankedLoop loop_;
  std::deque<Call> calls_;
  std::unique_ptr<MemoryState> state_ =
      std::make_unique<MemoryState>(loop_, config::Requests{.remember = minutes(10), .max_entries = 4});
};

TEST_F(InMemory, ClaimsAndSpends) {
  const Call& call = Ask("a");
  ASSERT_TRUE(call.fresh());
  EXPECT_EQ(std::get<Fresh>(*call.claim).spent.own, Now());
  EXPECT_THAT(Levels(Own()), ElementsAre(Now() + seconds(6)));
  EXPECT_THAT(Levels(Organization()), ElementsAre(Now() + seconds(1)));
}

TEST_F(InMemory, ClaimsNothingWhereALimitIsSpent) {
  for (const char* id : {"a", "b", "c"}) {
    Ask(id, {Own(), {}, "acme", "ci"});
    state_->Refuse(id, {.reason = Reason::kUpstreamRejected});
  }
  Ask("a", {Own(), {}, "acme", "ci"});
  Ask("b", {Own(), {}, "acme", "ci"});
  EXPECT_EQ(Ask("c").failure().reason, Reason::kRateLimited);
  EXPECT_EQ(Ask("c", Both(), hours(1), "another caller").failure().reason, Reason::kRateLimited)
      << "the id is nobody's";
  loop_.Advance(seconds(6));
  EXPECT_TRUE(Ask("c").fresh());
}

TEST_F(InMemory, SpendsNothingForReplaysAndJoins) {
  Ask("a");
  const std::vector<TimePoint> own = Levels(Own());
  const std::vector<TimePoint> organization = Levels(Organization());
  const Call& joined = Ask("a");
  EXPECT_TRUE(joined.waits());
  SettleAs("a", "bearer-a");
  EXPECT_EQ(BearerIn(joined), "bearer-a");
  EXPECT_EQ(BearerIn(Ask("a")), "bearer-a");
  EXPECT_EQ(Ask("a", Both(), hours(1), "another caller").failure().reason, Reason::kRequestIdReused);
  EXPECT_EQ(Levels(Own()), own);
  EXPECT_EQ(Levels(Organization()), organization);
}

TEST_F(InMemory, SpendsNothingWhereTheLedgerIsFull) {
  for (const char* id : {"a", "b", "c", "d"}) Ask(id, {});
  EXPECT_EQ(Ask("e").failure().reason, Reason::kOverloaded);
  EXPECT_THAT(Levels(Own()), ElementsAre(TimePoint()));
}

TEST_F(InMemory, AnIdIsClaimedWhileItsCallWaitsForItsTurn) {
  Ask("other");
  Call& waiting = Ask("a");
  Call& joined = Ask("a");
  EXPECT_TRUE(waiting.waits());
  EXPECT_EQ(Ask("a", Both(), hours(1), "another caller").failure().reason, Reason::kRequestIdReused);
  loop_.Advance(seconds(1));
  EXPECT_TRUE(waiting.fresh());
  EXPECT_TRUE(joined.waits());
  SettleAs("a", "bearer-a");
  EXPECT_EQ(BearerIn(joined), "bearer-a");
}

TEST_F(InMemory, WhoJoinedACallThatItsTurnDoesNotReachFailsLikewiseAndTheIdMayTryAgain) {
  Ask("first", {{}, Organization(), "acme", "others"});
  Ask("second", {{}, Organization(), "acme", "z"});
  Call& passed = Ask("a", Both("z"), seconds(2));
  Call& joined = Ask("a", Both("z"));
  Ask("b", {{}, Organization(), "acme", "y"});
  loop_.Advance(seconds(2));
  ASSERT_FALSE(passed.waits());
  EXPECT_EQ(passed.failure().reason, Reason::kRateLimited);
  EXPECT_EQ(joined.failure().reason, Reason::kRateLimited);
  EXPECT_TRUE(Ask("a", Both("z")).waits());
  loop_.Advance(seconds(1));
  EXPECT_TRUE(calls_.back().fresh());
}

TEST_F(InMemory, WhoJoinedTakesThePlaceOfAClaimantThatLeavesTheQueueAndPaysForItself) {
  Ask("other", {{}, Organization(), "acme", "others"});
  Call& leaver = Ask("a", Both("ci"));
  Call& heir = Ask("a", Both("ci"));
  Call& joined = Ask("a", Both("ci"));
  state_->Leave("a", &leaver);
  EXPECT_THAT(Levels(Own()), ElementsAre(Now() + seconds(6))) << "one gave back, one spent";
  loop_.Advance(seconds(1));
  EXPECT_TRUE(leaver.waits()) << "it is not called";
  EXPECT_TRUE(heir.fresh());
  EXPECT_TRUE(joined.waits());
  SettleAs("a", "bearer-a");
  EXPECT_EQ(BearerIn(joined), "bearer-a");
}

TEST_F(InMemory, WhoJoinedTakesThePlaceOfAClaimantThatIsAbandonedAndPaysForItself) {
  Ask("a", {Own(), {}, "acme", "ci"});
  Call& heir = Ask("a", {Own(), {}, "acme", "ci"});
  state_->Abandon("a");
  EXPECT_TRUE(heir.fresh());
  EXPECT_THAT(Levels(Own()), ElementsAre(Now() + seconds(12)));
}

TEST_F(InMemory, AHeirWhoseLimitIsSpentEndsTheClaim) {
  for (const char* id : {"b", "c", "d", "e"}) {
    Ask(id, {Own(), {}, "acme", "ci"});
    state_->Abandon(id);
  }
  Ask("a", {Own(), {}, "acme", "ci"});
  Call& heir = Ask("a", {Own(), {}, "acme", "ci"});
  Call& joined = Ask("a", {Own(), {}, "acme", "ci"});
  state_->Abandon("a");
  EXPECT_EQ(heir.failure().reason, Reason::kRateLimited);
  EXPECT_EQ(joined.failure().reason, Reason::kRateLimited);
  loop_.Advance(seconds(6));
  EXPECT_TRUE(Ask("a", {Own(), {}, "acme", "ci"}).fresh());
}

TEST_F(InMemory, WhoJoinedAndLeftIsNotCalled) {
  Ask("a");
  Call& leaver = Ask("a");
  state_->Leave("a", &leaver);
  SettleAs("a", "bearer-a");
  EXPECT_TRUE(leaver.waits());
}

TEST_F(InMemory, LeavingWhileItWaitsForAnotherAttemptAbandonsTheClaim) {
  const Call& claimant = Ask("a");
  Call& heir = Ask("a", {});
  state_->Spend(Both(), Now() + hours(1), &claimant, [](const SpendResult&) { FAIL() << "it has left"; });
  state_->Leave("a", &claimant);
  EXPECT_TRUE(heir.fresh());
  loop_.Advance(minutes(1));
}

TEST_F(InMemory, SpendsAgainForAnotherAttempt) {
  const Call& claimant = Ask("a");
  std::optional<SpendResult> again;
  state_->Spend(Both(), Now() + hours(1), &claimant,
                [&again](SpendResult result) { again = std::move(result); });
  EXPECT_EQ(again, std::nullopt);
  loop_.Advance(seconds(1));
  ASSERT_TRUE(again);
  EXPECT_TRUE(std::holds_alternative<Spent>(*again));
  EXPECT_THAT(Levels(Own()), ElementsAre(Now() + seconds(11)));
}

TEST_F(InMemory, GivesBackWhatWasNotUsed) {
  const Call& call = Ask("a");
  state_->GiveBack(call.charges, std::get<Fresh>(*call.claim).spent);
  EXPECT_THAT(Levels(Own()), ElementsAre(TimePoint()));
  EXPECT_THAT(Levels(Organization()), ElementsAre(TimePoint()));
}

TEST_F(InMemory, ChecksWithoutSpendingOrClaiming) {
  std::optional<Failure> refusal;
  const auto check = [&] {
    refusal.reset();
    state_->Check(Both(), Now(),
                  [&refusal](std::optional<Failure> failure) { refusal = std::move(failure); });
  };
  check();
  EXPECT_EQ(refusal, std::nullopt);
  EXPECT_THAT(Levels(Own()), ElementsAre(TimePoint()));
  Ask("a");
  check();
  ASSERT_TRUE(refusal);
  EXPECT_THAT(SubjectsIn(*refusal), ElementsAre("acme/second"));
}

TEST_F(InMemory, RestoredIdsAreKnownAndLimitsStartFull) {
  state_->Restore("a", DigestOf("ci", "acme", "ios-app", {"sdk"}, ""),
                  {.reason = Reason::kOutcomeUnknown, .audit_sequence = 3}, Now() - minutes(4));
  EXPECT_EQ(Ask("a").failure().audit_sequence, 3U);
  EXPECT_THAT(Levels(Own()), ElementsAre(TimePoint()));
}

TEST_F(InMemory, ADestroyedOneCallsNobody) {
  Ask("other");
  Call& waiting = Ask("a");
  Call& joined = Ask("a");
  state_.reset();
  loop_.Advance(hours(2));
  EXPECT_TRUE(waiting.waits());
  EXPECT_TRUE(joined.waits());
  EXPECT_EQ(loop_.timers(), 0U);
}

}  // namespace
}  // namespace tokend::state
