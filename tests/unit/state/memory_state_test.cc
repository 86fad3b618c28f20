#include "daemon/state/memory/memory_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "tests/fakes/counted_memory.h"
#include "tests/fakes/hand_cranked_loop.h"
#include "tests/unit/state/state_test.h"

// What memory alone has: time is exact. The rest is in state_contract_test.cc.
namespace tokend::state {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

class InMemory : public StateTest {
 protected:
  bool RunUntil(absl::FunctionRef<bool()> done, seconds /*limit*/) override {
    loop_.RunPending();
    return done();
  }
  TimePoint Clock() override { return loop_.clock().Now(); }
  Seen& Ask(const std::string& id) {
    return Admit(*state_, AdmissionOf(id, "ci", charges_, std::chrono::hours(1)));
  }

  fakes::HandCrankedLoop loop_;
  const Charges charges_ = Both(ChargeOf("own", 5, seconds(6)), ChargeOf("org", 1, seconds(1)));
  std::unique_ptr<MemoryState> state_ = std::make_unique<MemoryState>(
      loop_, config::Requests{.remember = std::chrono::minutes(10), .max_entries = 4});
};

TEST_F(InMemory, ClaimsAndSpends) {
  const Spent spent = SpentIn(Ask("a"));
  EXPECT_EQ(std::get<SpentHere>(spent).own, Clock());
  EXPECT_EQ(state_->entries(), 1U);
  std::vector<TimePoint> levels;
  state_->Levels({charges_.own[0], charges_.organization[0]},
                 [&levels](const Result<std::vector<TimePoint>>& full_at) { levels = *full_at; });
  EXPECT_EQ(levels, (std::vector<TimePoint>{Clock() + seconds(6), Clock() + seconds(1)}));
}

class ManyInMemory : public InMemory {
 protected:
  static constexpr std::int64_t kIds = 10'000;

  ManyInMemory() {
    state_ = std::make_unique<MemoryState>(
        loop_, config::Requests{.remember = std::chrono::minutes(10), .max_entries = 2 * kIds});
  }

  static std::string IdOf(std::int64_t number) {
    return LedgerId("ci", "", "00000000-0000-4000-8000-" + std::to_string(100'000'000'000 + number));
  }

  void AnswerAll() {
    for (std::int64_t i = 0; i < kIds; ++i) {
      const std::string id = IdOf(i);
      state_->Admit({.request_id = id, .target = {"acme", "ios-app", {"sdk"}, "nightly build"}}, &id,
                    [](const AdmitResult& result) { EXPECT_TRUE(std::holds_alternative<Fresh>(result)); });
      state_->Settle(id, Answered{token_, 1}, Clock());
    }
    EXPECT_EQ(state_->entries(), static_cast<std::size_t>(kIds));
  }

  const std::shared_ptr<const Token> token_ = std::make_shared<const Token>();
  const std::int64_t before_ = fakes::CountedBytes();
};

// Beside the token itself.
TEST_F(ManyInMemory, ARequestIdTakesAFewHundredBytes) {
  AnswerAll();
  EXPECT_LT((fakes::CountedBytes() - before_) / kIds, 450);
}

TEST_F(ManyInMemory, ARequestIdOfAnEarlierRunTakesNoMore) {
  for (std::int64_t i = 0; i < kIds; ++i) {
    state_->Restore(IdOf(i), DigestFor("ci"), {"acme", "ios-app", {"sdk"}, "nightly build"}, 1, Clock());
  }
  EXPECT_LT((fakes::CountedBytes() - before_) / kIds, 450);
}

TEST_F(ManyInMemory, NothingIsLeftOfWhatIsForgotten) {
  AnswerAll();
  loop_.Advance(minutes(11));
  EXPECT_EQ(state_->entries(), 0U);
  EXPECT_LT(fakes::CountedBytes() - before_, kIds);
}

TEST_F(InMemory, InQuarantineOnlyKnownRequestIdsOfCallersAreAnswered) {
  state_->BeginQuarantine(Clock() + minutes(5), "the log is gone");
  state_->Restore("known", DigestFor("ci"), {}, 1, Clock());
  EXPECT_EQ(Now(*state_, "known"), "OUTCOME_UNKNOWN");
  const Seen& refused = Ask("new");
  EXPECT_EQ(Outcome(refused), "LIMITS_UNAVAILABLE");
  EXPECT_EQ(FailureIn(refused).retry_after, minutes(5));
  EXPECT_THAT(FailureIn(refused).detail, HasSubstr("quarantine"));
  Admission own = AdmissionOf("own");
  own.age = seconds(0);
  EXPECT_EQ(Outcome(Admit(*state_, std::move(own))), "fresh") << "nobody can have had it before";
  loop_.Advance(minutes(5) - seconds(1));
  EXPECT_EQ(Now(*state_, "new"), "LIMITS_UNAVAILABLE");
  loop_.Advance(seconds(1));
  EXPECT_EQ(Now(*state_, "new"), "fresh");
}

TEST_F(InMemory, InQuarantineARequestIdThatIsYoungerThanItsCauseIsClaimed) {
  const auto admit = [this](const std::string& id, std::chrono::nanoseconds age) -> const Seen& {
    Admission admission = AdmissionOf(id);
    admission.age = age;
    return Admit(*state_, std::move(admission));
  };
  // Its cause lies four minutes back: the ledger knows all that was intended since.
  state_->BeginQuarantine(Clock() + minutes(6), "the log is gone");
  EXPECT_EQ(Outcome(admit("younger", minutes(4) - seconds(1))), "fresh");
  const Seen& older = admit("older", minutes(4));
  EXPECT_EQ(Outcome(older), "LIMITS_UNAVAILABLE");
  EXPECT_EQ(FailureIn(older).retry_after, minutes(6));
  loop_.Advance(minutes(1));
  EXPECT_EQ(Outcome(admit("older", minutes(5))), "LIMITS_UNAVAILABLE") << "it has aged as well";
  EXPECT_EQ(Outcome(admit("other", minutes(5) - seconds(1))), "fresh");
}

// Of a relay: its upstream knows request_ids too.
class AskedAgain : public InMemory {
 protected:
  AskedAgain() {
    state_ = std::make_unique<MemoryState>(loop_, config::Requests{.remember = minutes(10), .max_entries = 4},
                                           Observer(), MemoryState::OnUnknown::kAskAgain);
    EXPECT_EQ(Now(*state_, "a"), "fresh");
    state_->Settle("a", kUnknown, {first_at_, 7});
    loop_.Advance(minutes(1));
  }

  static const Earlier* EarlierIn(const Seen& seen) {
    const auto* fresh = std::get_if<Fresh>(&seen.value());
    return fresh != nullptr && fresh->earlier ? &*fresh->earlier : nullptr;
  }
  // Spends nothing.
  const Seen& Again(const std::string& id = "a") { return Admit(*state_, id); }
  // The next call asks again, and is told of the first intent.
  void ExpectAskedAgain() {
    const Seen& again = Again();
    ASSERT_TRUE(again.has_value());
    const Earlier* const earlier = EarlierIn(again);
    ASSERT_NE(earlier, nullptr) << Words(*again);
    EXPECT_EQ(earlier->intent.at, first_at_);
    EXPECT_EQ(earlier->intent.sequence, 7U);
  }

  const Failure kUnknown{.reason = Reason::kOutcomeUnknown};
  const TimePoint first_at_ = Clock();
};

TEST_F(AskedAgain, AnUnknownOutcomeGivesTheNextCallTheClaim) {
  ExpectAskedAgain();
  const Seen& joined = Again();
  EXPECT_EQ(joined, std::nullopt);
  state_->Settle("a", AnswerOf("bearer-a"), {first_at_, 7});
  EXPECT_EQ(Outcome(joined), "bearer-a");
  EXPECT_EQ(Now(*state_, "a"), "bearer-a");
  EXPECT_EQ(state_->entries(), 1U);
}

TEST_F(AskedAgain, ANewRequestIdIsNoOnesSecond) { EXPECT_EQ(EarlierIn(Again("b")), nullptr); }

TEST_F(AskedAgain, AnyOtherEndLeavesTheOutcomeUnknown) {
  ExpectAskedAgain();
  const Seen& joined = Again();
  state_->Refuse("a", {.reason = Reason::kOverloaded});
  EXPECT_EQ(Outcome(joined), "OVERLOADED") << "as it is";
  ExpectAskedAgain();
  state_->Abandon("a");
  ExpectAskedAgain();
  state_->Settle("a", Failure{.reason = Reason::kUpstreamInvalidResponse}, {first_at_, 7});
  ExpectAskedAgain();
  state_->Abandon("a");
  const Charges spent = Own(ChargeOf("spent", 1, minutes(9)));
  ASSERT_EQ(Outcome(Admit(*state_, AdmissionOf("b", "ci", spent))), "fresh");
  EXPECT_EQ(Outcome(Admit(*state_, AdmissionOf("a", "ci", spent))), "RATE_LIMITED");
  ExpectAskedAgain();
  EXPECT_EQ(state_->entries(), 2U);
}

TEST_F(AskedAgain, WhoJoinedAndTakesTheClaimOverAsksAgainToo) {
  ExpectAskedAgain();
  const Seen& heir = Again();
  state_->Abandon("a");
  ASSERT_NE(EarlierIn(heir), nullptr);
  EXPECT_EQ(EarlierIn(heir)->intent.sequence, 7U);
  state_->Abandon("a");
  ExpectAskedAgain();
}

TEST_F(AskedAgain, WhoLeavesTheQueueLeavesTheOutcomeUnknown) {
  ASSERT_EQ(Outcome(Ask("b")), "fresh");  // takes the organization's only token
  const Seen& waits = Ask("a");
  ASSERT_EQ(waits, std::nullopt);
  state_->Leave("a", &waits);
  loop_.Advance(seconds(2));
  ExpectAskedAgain();
}

TEST_F(AskedAgain, DoesNotProlongWhatIsRemembered) {
  loop_.Advance(minutes(8));
  ExpectAskedAgain();
  state_->Settle("a", kUnknown, {first_at_, 7});
  loop_.Advance(seconds(59));
  ExpectAskedAgain();
  loop_.Advance(minutes(1));
  EXPECT_EQ(state_->entries(), 1U) << "a call that runs is not forgotten";
  state_->Refuse("a", {.reason = Reason::kOverloaded});
  EXPECT_EQ(state_->entries(), 0U);
  EXPECT_EQ(EarlierIn(Again()), nullptr);
}

TEST_F(AskedAgain, ALateRefusalOfTheFirstCallDoesNotMakeItForgottenButALateTokenCounts) {
  ExpectAskedAgain();
  state_->Amend("a", std::nullopt, first_at_);
  state_->Settle("a", kUnknown, {first_at_, 7});
  state_->Amend("a", std::nullopt, first_at_);
  ExpectAskedAgain();
  state_->Settle("a", kUnknown, {first_at_, 7});
  state_->Amend("a", AnswerOf("bearer-a"), first_at_);
  EXPECT_EQ(Now(*state_, "a"), "bearer-a");
}

TEST_F(AskedAgain, ALateRefusalOfTheOnlyCallIsForgotten) {
  state_->Amend("a", std::nullopt, first_at_);
  EXPECT_EQ(EarlierIn(Again()), nullptr);
}

TEST_F(AskedAgain, WhatAnEarlierRunIntendedIsAskedForAgain) {
  const Target first{"acme", "ios-app", {"sdk"}, "nightly"};
  state_->Restore("r", DigestFor("ci"), first, 1, {first_at_, 3});
  Admission again = AdmissionOf("r");
  again.target = {"acme", "ios-app", {"beta"}, "of another template"};
  const Seen& seen = Admit(*state_, std::move(again));
  ASSERT_NE(EarlierIn(seen), nullptr);
  EXPECT_EQ(EarlierIn(seen)->first, first);
  EXPECT_EQ(EarlierIn(seen)->intent.sequence, 3U);
  EXPECT_EQ(Now(*state_, "r", "other"), "REQUEST_ID_REUSED");
}

// The default organization may have changed between two calls.
TEST_F(AskedAgain, ACallForAnotherOrganizationGetsTheOutcome) {
  Admission other = AdmissionOf("a");
  other.target.organization = "other";
  EXPECT_EQ(Outcome(Admit(*state_, std::move(other))), "OUTCOME_UNKNOWN");
}

TEST_F(InMemory, AQuarantineIsTold) {
  std::vector<seconds::rep> told;
  state_ =
      std::make_unique<MemoryState>(loop_, config::Requests{.remember = minutes(10), .max_entries = 4},
                                    Observer{.on_quarantine = [&told](seconds left, const std::string& why) {
                                      EXPECT_EQ(why, "the log is gone");
                                      told.push_back(left.count());
                                    }});
  EXPECT_TRUE(state_->quarantine().ok());
  state_->BeginQuarantine(Clock() + seconds(3), "the log is gone");
  EXPECT_THAT(std::string(state_->quarantine().message()),
              HasSubstr("quarantine for another 3 s: the log is gone"));
  loop_.Advance(seconds(10));
  EXPECT_THAT(told, ElementsAre(3, 2, 1, 0));
  EXPECT_TRUE(state_->quarantine().ok());
  EXPECT_EQ(loop_.timers(), 0U);
}

TEST_F(InMemory, AQuarantineThatIsOverIsNone) {
  state_->BeginQuarantine(Clock() - seconds(1), "the log was gone");
  EXPECT_TRUE(state_->quarantine().ok());
  EXPECT_EQ(Now(*state_, "new"), "fresh");
}

TEST_F(InMemory, ADestroyedOneCallsNobody) {
  Ask("other");
  const Seen& waiting = Ask("a");
  const Seen& joined = Ask("a");
  state_.reset();
  loop_.Advance(std::chrono::hours(2));
  EXPECT_EQ(waiting, std::nullopt);
  EXPECT_EQ(joined, std::nullopt);
  EXPECT_EQ(loop_.timers(), 0U);
}

}  // namespace
}  // namespace tokend::state
