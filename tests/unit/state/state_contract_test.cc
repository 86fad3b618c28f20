#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tests/unit/state/charging.h"
#include "tests/unit/state/state_homes.h"
#include "tests/unit/state/state_test.h"

// What State promises, in each of its homes: in memory, in a simulated Redis and in a real one. In Redis, `a`
// and `b` are two replicas. Redis's clock is real: tests wait for milliseconds.
namespace tokend::state {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

enum class Home { kMemory, kSimulatedRedis, kRedis };

class StateContract : public StateTest, public testing::WithParamInterface<Home> {
 protected:
  explicit StateContract(
      const config::Requests& requests = {.remember = std::chrono::minutes(10), .max_entries = 1000},
      const BeforeFirstCall& before = [](State&, TimePoint) {}) {
    switch (GetParam()) {
      case Home::kMemory:
        home_ = std::make_unique<MemoryHome>(requests, before);
        break;
      case Home::kSimulatedRedis:
        home_ = std::make_unique<SimulatedRedisHome>(requests, before);
        break;
      case Home::kRedis:
        home_ = std::make_unique<RealRedisHome>(requests, before);
        break;
    }
  }

  State& a() { return home_->a(); }
  State& b() { return home_->b(); }
  bool RunUntil(absl::FunctionRef<bool()> done, seconds limit = seconds(30)) override {
    return home_->RunUntil(done, limit);
  }
  void RunFor(milliseconds duration) { home_->RunFor(duration); }
  TimePoint Clock() override { return home_->Clock(); }

  // With a request_id of its own.
  Admission Call(const Charges& charges, const std::string& caller = "ci",
                 milliseconds patience = seconds(30)) {
    return AdmissionOf("id-" + std::to_string(++calls_), caller, charges, patience);
  }
  bool AwaitWaiting(std::size_t count) {
    return RunUntil([this, count] { return home_->Waiting("acme") == count; });
  }
  bool Eventually(State& state, const Admission& call, const std::string& outcome) {
    return RunUntil([&] { return Outcome(Admit(state, call)) == outcome; });
  }

  // How many tokens each limit has.
  std::vector<std::int64_t> TokensIn(State& state, const std::vector<Charge>& charges) {
    std::optional<Result<std::vector<TimePoint>>> levels;
    state.Levels(charges, [&levels](Result<std::vector<TimePoint>> seen) { levels = std::move(seen); });
    EXPECT_TRUE(RunUntil([&levels] { return levels.has_value(); }));
    EXPECT_TRUE(levels->ok()) << levels->status();
    std::vector<std::int64_t> tokens;
    for (std::size_t i = 0; i < charges.size(); ++i) {
      tokens.push_back(charges[i].rate.Remaining((**levels)[i], Clock()));
    }
    return tokens;
  }
  std::optional<Failure> Checked(State& state, const Charges& charges, milliseconds patience) {
    std::optional<std::optional<Failure>> seen;
    state.Check(charges, Clock() + patience,
                [&seen](std::optional<Failure> refusal) { seen = std::move(refusal); });
    EXPECT_TRUE(RunUntil([&seen] { return seen.has_value(); }));
    return seen.value_or(std::nullopt);
  }

  // When each of these had its turn, by the clock of its home, in order.
  std::vector<microseconds> Turns(const std::vector<const Seen*>& calls) {
    std::vector<microseconds> turns;
    for (const Seen* seen : calls) {
      EXPECT_EQ(Outcome(*seen), "fresh");
      if (!std::holds_alternative<Fresh>(seen->value())) continue;
      turns.push_back(std::visit(
          [](const auto& spent) {
            return std::chrono::duration_cast<microseconds>(spent.organization.time_since_epoch());
          },
          SpentIn(*seen)));
    }
    std::sort(turns.begin(), turns.end());
    return turns;
  }

  std::unique_ptr<StateHome> home_;
  int calls_ = 0;
};

// The ledger of request_ids.

TEST_P(StateContract, GivesARequestIdToOneClaimantOfAllReplicas) {
  EXPECT_EQ(Now(a(), "x"), "fresh");
  const Seen& joined = Admit(b(), "x");
  RunFor(milliseconds(200));
  EXPECT_EQ(joined, std::nullopt);
  EXPECT_EQ(Now(b(), "y"), "fresh");
}

TEST_P(StateContract, AnswersTheSameRequestIdWithItsFirstOutcomeOnEachReplica) {
  ASSERT_EQ(Now(a(), "x"), "fresh");
  a().Settle("x", AnswerOf("bearer-x", 42), Clock());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Now(a(), "x"), "bearer-x");
    EXPECT_EQ(Now(b(), "x"), "bearer-x");
    EXPECT_EQ(AnsweredIn(seen_.back().value())->intent, 42U);
  }
}

TEST_P(StateContract, AnswersWhoJoinedARunningCallHereAndElsewhere) {
  ASSERT_EQ(Now(a(), "x"), "fresh");
  std::vector<Seen*> joined;
  for (int i = 0; i < 3; ++i) {
    joined.push_back(&Admit(a(), "x"));
    joined.push_back(&Admit(b(), "x"));
  }
  RunFor(milliseconds(120));
  a().Settle("x", AnswerOf("bearer-x"), Clock());
  for (Seen* seen : joined) EXPECT_EQ(Outcome(*seen), "bearer-x");
}

TEST_P(StateContract, TellsWhoJoinedARunningCallFromWhoAsksForItsTokenLater) {
  ASSERT_EQ(Now(a(), "x"), "fresh");
  const Seen& here = Admit(a(), "x");
  const Seen& elsewhere = Admit(b(), "x");
  RunFor(milliseconds(120));
  a().Settle("x", AnswerOf("bearer-x"), Clock());
  const auto joined = [this](const Seen& seen) {
    EXPECT_EQ(Outcome(seen), "bearer-x");
    return AnsweredIn(seen.value())->joined;
  };
  EXPECT_TRUE(joined(here));
  EXPECT_TRUE(joined(elsewhere));
  EXPECT_FALSE(joined(Admit(a(), "x")));
  EXPECT_FALSE(joined(Admit(b(), "x")));
}

TEST_P(StateContract, RefusesAnotherRequestUnderAKnownId) {
  ASSERT_EQ(Now(a(), "x", "ci"), "fresh");
  EXPECT_EQ(Now(a(), "x", "other"), "REQUEST_ID_REUSED");
  EXPECT_EQ(Now(b(), "x", "other"), "REQUEST_ID_REUSED");
  a().Settle("x", AnswerOf("bearer-x"), Clock());
  EXPECT_EQ(Now(a(), "x", "other"), "REQUEST_ID_REUSED");
  EXPECT_EQ(Now(b(), "x", "other"), "REQUEST_ID_REUSED");
}

TEST_P(StateContract, ForgetsARefusalAtOnce) {
  ASSERT_EQ(Now(a(), "x"), "fresh");
  const Seen& joined = Admit(a(), "x");
  a().Refuse("x", {.reason = Reason::kUpstreamRejected});
  EXPECT_EQ(Outcome(joined), "UPSTREAM_REJECTED");
  EXPECT_EQ(Now(a(), "x", "other"), "fresh");
}

TEST_P(StateContract, KeepsAnUnknownOutcomeWithItsSequence) {
  ASSERT_EQ(Now(a(), "x"), "fresh");
  a().Settle("x",
             Failure{.reason = Reason::kUpstreamInvalidResponse, .upstream_code = 0, .audit_sequence = 9},
             Clock());
  const Seen& again = Admit(b(), "x");
  EXPECT_EQ(Outcome(again), "UPSTREAM_INVALID_RESPONSE");
  EXPECT_EQ(FailureIn(again).audit_sequence, 9U);
  EXPECT_EQ(FailureIn(again).upstream_code, 0);
}

TEST_P(StateContract, AmendsAnUnknownOutcomeOnceItIsKnown) {
  const TimePoint intended_at = Clock();
  ASSERT_EQ(Now(a(), "x"), "fresh");
  ASSERT_EQ(Now(a(), "y"), "fresh");
  a().Settle("x", Failure{.reason = Reason::kOutcomeUnknown}, intended_at);
  a().Settle("y", Failure{.reason = Reason::kOutcomeUnknown}, intended_at);
  EXPECT_EQ(Now(b(), "x"), "OUTCOME_UNKNOWN");
  a().Amend("x", AnswerOf("bearer-x"), intended_at);
  a().Amend("y", std::nullopt, intended_at);
  EXPECT_EQ(Now(a(), "x"), "bearer-x");
  EXPECT_EQ(Now(b(), "x"), "bearer-x");
  EXPECT_EQ(Now(a(), "y"), "fresh");
}

TEST_P(StateContract, OneThatJoinedTakesTheAbandonersPlace) {
  ASSERT_EQ(Now(a(), "x"), "fresh");
  const Seen& heir = Admit(a(), "x");
  const Seen& joined = Admit(a(), "x");
  a().Abandon("x");
  EXPECT_EQ(Outcome(heir), "fresh");
  EXPECT_EQ(joined, std::nullopt);
  a().Settle("x", AnswerOf("bearer-x"), Clock());
  EXPECT_EQ(Outcome(joined), "bearer-x");
}

TEST_P(StateContract, OneThatJoinedOnAnotherReplicaTakesTheAbandonersPlace) {
  ASSERT_EQ(Now(a(), "x"), "fresh");
  const Seen& heir = Admit(b(), "x");
  RunFor(milliseconds(100));
  a().Abandon("x");
  EXPECT_EQ(Outcome(heir), "fresh");
}

TEST_P(StateContract, WhoLeftIsNotTold) {
  ASSERT_EQ(Now(a(), "x"), "fresh");
  const Seen& joined = Admit(a(), "x");
  const Seen& joined_elsewhere = Admit(b(), "x");
  RunFor(milliseconds(80));
  a().Leave("x", &joined);
  b().Leave("x", &joined_elsewhere);
  a().Settle("x", AnswerOf("bearer-x"), Clock());
  EXPECT_EQ(Now(b(), "x"), "bearer-x");
  EXPECT_EQ(joined, std::nullopt);
  EXPECT_EQ(joined_elsewhere, std::nullopt);
}

TEST_P(StateContract, OneThatIsToldMayLeaveAnotherOrEndTheState) {
  ASSERT_EQ(Now(a(), "x"), "fresh");
  bool first_told = false;
  bool second_told = false;
  bool third_told = false;
  a().Admit(AdmissionOf("x"), &first_told, [&](const AdmitResult&) {
    first_told = true;
    a().Leave("x", &second_told);
  });
  a().Admit(AdmissionOf("x"), &second_told, [&](const AdmitResult&) { second_told = true; });
  a().Admit(AdmissionOf("x"), &third_told, [&](const AdmitResult&) {
    third_told = true;
    home_->DestroyA();
  });
  bool fourth_told = false;
  a().Admit(AdmissionOf("x"), &fourth_told, [&](const AdmitResult&) { fourth_told = true; });
  a().Settle("x", AnswerOf("bearer-x"), Clock());
  EXPECT_TRUE(first_told);
  EXPECT_FALSE(second_told);
  EXPECT_TRUE(third_told);
  EXPECT_FALSE(fourth_told);
}

TEST_P(StateContract, ADestroyedOneCallsNobody) {
  const Charges charges = Organization(ChargeOf("org", 1, milliseconds(200)));
  ASSERT_EQ(Outcome(Admit(a(), Call(charges))), "fresh");
  const Admission call = Call(charges);
  const Seen& waiting = Admit(a(), call);
  const Seen& joined = Admit(a(), call);
  ASSERT_TRUE(AwaitWaiting(1));
  const SeenSpend& spends = Spend(a(), charges, seconds(10));
  home_->DestroyA();
  RunFor(milliseconds(500));
  EXPECT_EQ(waiting, std::nullopt);
  EXPECT_EQ(joined, std::nullopt);
  EXPECT_EQ(spends, std::nullopt);
}

// As a call's `done` is destroyed, what it holds may leave.
TEST_P(StateContract, WhatAWaitingCallHoldsMayLeaveAsTheStateEnds) {
  struct Leaver {
    ~Leaver() { state->Leave("x", this); }
    State* state;
  };
  ASSERT_EQ(Now(a(), "x"), "fresh");
  const Charges charges = Organization(ChargeOf("org", 1, seconds(60)));
  ASSERT_EQ(Outcome(Admit(a(), Call(charges))), "fresh");
  for (int i = 0; i < 3; ++i) {
    auto joins = std::make_shared<Leaver>(Leaver{&a()});
    const void* const joiner = joins.get();
    a().Admit(AdmissionOf("x"), joiner, [joins = std::move(joins)](const AdmitResult&) { FAIL(); });
    auto spends = std::make_shared<Leaver>(Leaver{&a()});
    const void* const spender = spends.get();
    a().Spend(charges, Clock() + std::chrono::hours(1), spender,
              [spends = std::move(spends)](const SpendResult&) { FAIL(); });
  }
  home_->DestroyA();
}

class ShortStateContract : public StateContract {
 protected:
  ShortStateContract() : StateContract({.remember = milliseconds(400), .max_entries = 3}) {}
};

TEST_P(ShortStateContract, ForgetsAnOutcomeOnceItsTimeIsOver) {
  ASSERT_EQ(Now(a(), "x"), "fresh");
  a().Settle("x", AnswerOf("bearer-x"), Clock());
  ASSERT_EQ(Now(b(), "x"), "bearer-x");
  EXPECT_TRUE(RunUntil([this] { return Now(b(), "x") == "fresh"; }, seconds(5)));
}

TEST_P(ShortStateContract, RemembersFromTheIntentOn) {
  ASSERT_EQ(Now(a(), "x"), "fresh");
  a().Settle("x", AnswerOf("bearer-x"), Clock() - milliseconds(390));
  EXPECT_TRUE(RunUntil([this] { return Now(a(), "x") == "fresh"; }, seconds(1)));
}

TEST_P(ShortStateContract, FullOfUnexpiredRefusesAndSaysUntilWhen) {
  for (const char* id : {"x", "y", "z"}) ASSERT_EQ(Now(a(), id), "fresh");
  a().Settle("y", AnswerOf("bearer"), Clock());
  const Seen& full = Admit(b(), "w");
  EXPECT_EQ(Outcome(full), "OVERLOADED");
  EXPECT_GT(FailureIn(full).retry_after.value(), milliseconds(0));
  EXPECT_LE(FailureIn(full).retry_after.value(), milliseconds(400));
  EXPECT_EQ(Now(b(), "y"), "bearer");
  EXPECT_TRUE(RunUntil([this] { return Now(b(), "w") == "fresh"; }, seconds(5)));
}

TEST_P(ShortStateContract, SpendsNothingWhereTheLedgerIsFull) {
  const Charge own = ChargeOf("own", 5, seconds(60));
  for (const char* id : {"x", "y", "z"}) ASSERT_EQ(Now(a(), id), "fresh");
  EXPECT_EQ(Outcome(Admit(b(), Call(Own(own)))), "OVERLOADED");
  EXPECT_THAT(TokensIn(b(), {own}), ElementsAre(5));
}

class SharedStateContract : public StateContract {
 protected:
  SharedStateContract() : StateContract({.remember = std::chrono::minutes(10), .max_entries = 16}) {}

  // How many request_ids the caller gets before it is refused.
  int TakeAll(const std::string& caller, bool one_caller = false) {
    for (int taken = 0;; ++taken) {
      Admission admission = AdmissionOf(LedgerId(caller, "", std::to_string(++calls_)), caller);
      admission.one_caller = one_caller;
      const std::string outcome = Outcome(Admit(taken % 2 == 0 ? a() : b(), std::move(admission)));
      if (outcome == "fresh") continue;
      EXPECT_EQ(outcome, "OVERLOADED");
      return taken;
    }
  }
};

TEST_P(SharedStateContract, TheLedgersLastQuarterIsForCallersThatHaveLessThanAQuarter) {
  EXPECT_EQ(TakeAll("greedy"), 12);
  EXPECT_EQ(TakeAll("modest"), 4);
  EXPECT_EQ(TakeAll("late"), 0);
}

TEST_P(SharedStateContract, ARelaysShareDoesNotGrowWithItsCallers) {
  const auto admit = [this](const std::string& on_behalf_of) {
    return Now(a(), LedgerId("relay", on_behalf_of, "same"), "relay");
  };
  for (int caller = 0; caller < 12; ++caller) ASSERT_EQ(admit("ci-" + std::to_string(caller)), "fresh");
  EXPECT_EQ(admit("ci-12"), "OVERLOADED");
  EXPECT_EQ(TakeAll("modest"), 4);
}

TEST_P(SharedStateContract, ACallerGetsAPlaceAgainOnceOneOfItsRequestIdsIsForgotten) {
  const std::string id = LedgerId("greedy", "", "first");
  ASSERT_EQ(Now(a(), id, "greedy"), "fresh");
  ASSERT_EQ(TakeAll("greedy"), 11);
  a().Refuse(id, {.reason = Reason::kUpstreamRejected});
  EXPECT_TRUE(
      RunUntil([&] { return Now(b(), LedgerId("greedy", "", "next"), "greedy") == "fresh"; }, seconds(5)));
}

TEST_P(SharedStateContract, TheOneCallerThatThePolicyNamesMayHaveTheWholeLedger) {
  EXPECT_EQ(TakeAll("only", true), 16);
}

TEST_P(StateContract, AnUnknownRequestIdIsClaimedOnlyIfItWouldBeRememberedNow) {
  const auto remember = std::chrono::minutes(10);
  const auto admit = [this](const std::string& id, std::chrono::nanoseconds age) -> const Seen& {
    Admission admission = AdmissionOf(id);
    admission.age = age;
    return Admit(b(), std::move(admission));
  };
  EXPECT_EQ(Outcome(admit("new", seconds(0))), "fresh");
  EXPECT_EQ(Outcome(admit("recent", remember - seconds(1))), "fresh");
  const Seen& old = admit("old", remember);
  EXPECT_EQ(Outcome(old), "LIMITS_UNAVAILABLE");
  EXPECT_EQ(FailureIn(old).retry_after, remember);
  EXPECT_EQ(Now(a(), "old"), "fresh") << "nothing was claimed, and of other callers nobody knows the age";
  a().Settle("old", AnswerOf("bearer-x"), Clock());
  EXPECT_EQ(Outcome(admit("old", std::chrono::hours(24))), "bearer-x") << "it is known";
}

TEST_P(StateContract, TellsARetryWhatTheFirstCallAskedFor) {
  const Target first{"acme", "ios-app", {"beta", "sdk"}};
  Admission asked = AdmissionOf("x");
  asked.target = first;
  ASSERT_EQ(Outcome(Admit(a(), std::move(asked))), "fresh");
  a().Settle("x", AnswerOf("bearer-x"), Clock());
  for (State* state : {&a(), &b()}) {
    const Seen& again = Admit(*state, "x");
    ASSERT_EQ(Outcome(again), "bearer-x");
    EXPECT_EQ(std::get<Known>(again.value()).first, first);
  }
}

class RestoredStateContract : public StateContract {
 protected:
  RestoredStateContract()
      : StateContract({.remember = std::chrono::minutes(10), .max_entries = 1000},
                      [](State& state, TimePoint now) {
                        const TimePoint intended_at = now - std::chrono::minutes(4);
                        state.Restore("x", DigestFor("ci"), {"acme", "ios-app", {"sdk"}}, 3, intended_at);
                        state.Restore("old", std::nullopt, {}, 1, intended_at);
                      }) {}
};

TEST_P(RestoredStateContract, RestoredIdsAreKnownAndLimitsStartFull) {
  for (State* state : {&a(), &b()}) {
    const Seen& again = Admit(*state, "x");
    EXPECT_EQ(Outcome(again), "OUTCOME_UNKNOWN");
    EXPECT_EQ(FailureIn(again).audit_sequence, 3U);
    EXPECT_EQ(std::get<Known>(again.value()).first, (Target{"acme", "ios-app", {"sdk"}}));
    EXPECT_EQ(Now(*state, "x", "other"), "REQUEST_ID_REUSED");
    EXPECT_EQ(Now(*state, "old", "other"), "OUTCOME_UNKNOWN") << "no digest: whatever the parameters";
  }
  const Charge own = ChargeOf("own", 5, seconds(60));
  EXPECT_THAT(TokensIn(a(), {own}), ElementsAre(5));
}

// The limits, and the ledger with them.

TEST_P(StateContract, ClaimsAndSpends) {
  const Charge own = ChargeOf("own", 5, seconds(60));
  const Charge organization = ChargeOf("org", 1, seconds(60));
  ASSERT_EQ(Outcome(Admit(a(), Call(Both(own, organization)))), "fresh");
  EXPECT_THAT(TokensIn(b(), {own, organization}), ElementsAre(4, 0));
}

TEST_P(StateContract, OwnLimitIsOneForAllReplicas) {
  const Charges charges = Own(ChargeOf("own", 3, seconds(60)));
  EXPECT_EQ(Outcome(Admit(a(), Call(charges))), "fresh");
  EXPECT_EQ(Outcome(Admit(b(), Call(charges))), "fresh");
  EXPECT_EQ(Outcome(Admit(a(), Call(charges))), "fresh");
  const Seen& refused = Admit(b(), Call(charges));
  ASSERT_EQ(Outcome(refused), "RATE_LIMITED");
  EXPECT_THAT(SubjectsIn(FailureIn(refused)), ElementsAre("grant/own"));
  EXPECT_GT(FailureIn(refused).retry_after.value(), seconds(50));
  EXPECT_LE(FailureIn(refused).retry_after.value(), seconds(60));
}

TEST_P(StateContract, ClaimsNothingWhereALimitIsSpent) {
  const Charges charges = Own(ChargeOf("own", 1, milliseconds(500)));
  ASSERT_EQ(Outcome(Admit(a(), Call(charges))), "fresh");
  const Admission call = Call(charges);
  EXPECT_EQ(Outcome(Admit(a(), call)), "RATE_LIMITED");
  EXPECT_EQ(Now(b(), call.request_id, "another caller"), "fresh") << "nobody has the request_id";
  b().Refuse(call.request_id, {.reason = Reason::kUpstreamRejected});
  EXPECT_TRUE(Eventually(a(), call, "fresh"));
}

TEST_P(StateContract, ARefusedCallClaimsAndSpendsNothing) {
  const Charge open = ChargeOf("open", 5, seconds(60));
  const Charge spent = ChargeOf("spent", 1, seconds(60));
  Charges both{.own = {open, spent}, .organization = {}, .organization_name = "acme", .caller = {}};
  ASSERT_EQ(Outcome(Admit(a(), Call(both))), "fresh");
  const Admission refused = Call(both);
  EXPECT_EQ(Outcome(Admit(a(), refused)), "RATE_LIMITED");
  EXPECT_THAT(TokensIn(a(), {open, spent}), ElementsAre(4, 0));
  EXPECT_EQ(Now(b(), refused.request_id), "fresh");
}

TEST_P(StateContract, NamesEachSpentLimit) {
  Charges charges{.own = {ChargeOf("one", 1, seconds(10)), ChargeOf("two", 1, seconds(99))},
                  .organization = {ChargeOf("org", 1, seconds(20))},
                  .organization_name = "acme",
                  .caller = {}};
  ASSERT_EQ(Outcome(Admit(a(), Call(charges))), "fresh");
  const Seen& refused = Admit(b(), Call(charges));
  ASSERT_EQ(Outcome(refused), "RATE_LIMITED");
  EXPECT_THAT(SubjectsIn(FailureIn(refused)), ElementsAre("grant/one", "grant/two", "grant/org"));
  EXPECT_GT(FailureIn(refused).retry_after.value(), seconds(90));
}

TEST_P(StateContract, AReplayAndAJoinSpendNothing) {
  const Charge own = ChargeOf("own", 5, seconds(60));
  const Charge organization = ChargeOf("org", 5, seconds(60));
  const Admission first = Call(Both(own, organization));
  ASSERT_EQ(Outcome(Admit(a(), first)), "fresh");
  const Seen& joined = Admit(b(), first);
  RunFor(milliseconds(80));
  EXPECT_EQ(joined, std::nullopt);
  a().Settle(first.request_id, AnswerOf("bearer"), Clock());
  EXPECT_EQ(Outcome(joined), "bearer");
  EXPECT_EQ(Outcome(Admit(a(), first)), "bearer");
  EXPECT_EQ(Now(a(), first.request_id, "another caller"), "REQUEST_ID_REUSED");
  EXPECT_THAT(TokensIn(a(), {own, organization}), ElementsAre(4, 4));
}

TEST_P(StateContract, WhatIsGivenBackCanBeHadAgain) {
  const Charges charges = Own(ChargeOf("own", 1, seconds(60)));
  const Seen& first = Admit(a(), Call(charges));
  ASSERT_EQ(Outcome(first), "fresh");
  ASSERT_EQ(Outcome(Admit(b(), Call(charges))), "RATE_LIMITED");
  a().GiveBack(charges, SpentIn(first));
  EXPECT_TRUE(RunUntil([&] { return Outcome(Admit(b(), Call(charges))) == "fresh"; }));
}

TEST_P(StateContract, GivesBackWhatWasNotUsed) {
  const Charge own = ChargeOf("own", 3, seconds(60));
  const Charge organization = ChargeOf("org", 2, seconds(60));
  const Charges charges = Both(own, organization);
  const Seen& call = Admit(a(), Call(charges));
  ASSERT_EQ(Outcome(call), "fresh");
  a().GiveBack(charges, SpentIn(call));
  EXPECT_TRUE(RunUntil([&] {
    return TokensIn(a(), {own, organization}) == std::vector<std::int64_t>{3, 2};
  }));
}

TEST_P(StateContract, WhatHasGrownBackIsNotGivenBackAgain) {
  const Charges charges = Own(ChargeOf("own", 1, seconds(1)));
  const Seen& first = Admit(a(), Call(charges));
  ASSERT_EQ(Outcome(first), "fresh");
  ASSERT_TRUE(RunUntil([&] { return Outcome(Admit(b(), Call(charges))) == "fresh"; }));
  a().GiveBack(charges, SpentIn(first));
  EXPECT_EQ(Outcome(Admit(a(), Call(charges))), "RATE_LIMITED");
}

TEST_P(StateContract, ChecksWithoutSpendingOrClaiming) {
  const Charge own = ChargeOf("own", 1, seconds(60));
  EXPECT_EQ(Checked(b(), Own(own), milliseconds(0)), std::nullopt);
  EXPECT_EQ(Checked(b(), Own(own), milliseconds(0)), std::nullopt);
  EXPECT_THAT(TokensIn(a(), {own}), ElementsAre(1));
  ASSERT_EQ(Outcome(Admit(a(), Call(Own(own)))), "fresh");
  const std::optional<Failure> refusal = Checked(b(), Own(own), milliseconds(0));
  ASSERT_NE(refusal, std::nullopt);
  EXPECT_EQ(refusal->reason, Reason::kRateLimited);
  EXPECT_THAT(SubjectsIn(*refusal), ElementsAre("grant/own"));
}

TEST_P(StateContract, SaysHowFullBucketsAre) {
  const Charge spent = ChargeOf("spent", 4, seconds(60));
  const Charge full = ChargeOf("full", 4, seconds(60));
  ASSERT_EQ(Outcome(Admit(a(), Call(Own(spent)))), "fresh");
  std::optional<Result<std::vector<TimePoint>>> seen;
  b().Levels({full, spent}, [&seen](Result<std::vector<TimePoint>> levels) { seen = std::move(levels); });
  ASSERT_TRUE(RunUntil([&] { return seen.has_value(); }));
  ASSERT_TRUE(seen->ok());
  EXPECT_EQ((**seen)[0], TimePoint());
  EXPECT_EQ(spent.rate.Remaining((**seen)[1], Clock()), 3);
}

TEST_P(StateContract, SaysHowFullAsManyBucketsAreAsACallerMayHave) {
  const std::vector<Charge> charges(10'000, ChargeOf("own", 3, seconds(10)));
  EXPECT_EQ(TokensIn(a(), charges), std::vector<std::int64_t>(10'000, 3));
  EXPECT_TRUE(a().health().ok());
}

TEST_P(StateContract, AnOverlongBucketStaysExact) {
  // 71 years to fill.
  const Charges charges =
      Own({KeyOf({"huge"}),
           Rate({.name = "huge", .tokens = 1, .per = std::chrono::hours(720), .burst = 1000000000}),
           "grant/huge"});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Outcome(Admit(a(), Call(charges))), "fresh");
}

// The queue for an organization's limits.

TEST_P(StateContract, CallsOfAllReplicasWaitForTheOrganizationsLimitAndNeverPassIt) {
  constexpr milliseconds kInterval{40};
  const Charges charges = Organization(ChargeOf("org", 2, kInterval));
  std::vector<const Seen*> calls;
  for (int i = 0; i < 30; ++i) calls.push_back(&Admit(i % 2 == 0 ? a() : b(), Call(charges)));
  const std::vector<microseconds> turns = Turns(calls);
  ASSERT_EQ(turns.size(), 30U);
  for (std::size_t i = 0; i + 2 < turns.size(); ++i) EXPECT_GE(turns[i + 2] - turns[i], kInterval) << i;
  // Nor do they wait much longer than they must.
  EXPECT_LT(turns.back() - turns.front(), 28 * kInterval + seconds(2));
}

TEST_P(StateContract, WhoseTurnCannotComeInTimeIsRefusedAtOnceWithTheTrueTime) {
  const Charges charges = Organization(ChargeOf("org", 1, seconds(10)));
  ASSERT_EQ(Outcome(Admit(a(), Call(charges))), "fresh");
  const Seen& waits = Admit(a(), Call(charges));
  ASSERT_TRUE(AwaitWaiting(1));
  const Seen& refused = Admit(b(), Call(charges, "ci", seconds(15)));
  ASSERT_EQ(Outcome(refused), "RATE_LIMITED");
  EXPECT_GT(FailureIn(refused).retry_after.value(), seconds(15));
  EXPECT_LE(FailureIn(refused).retry_after.value(), seconds(20));
  EXPECT_EQ(waits, std::nullopt);
}

TEST_P(StateContract, CallersTakeTurns) {
  const Charges charges = Organization(ChargeOf("org", 1, milliseconds(60)));
  // No token comes until all calls wait.
  ASSERT_EQ(Outcome(Admit(a(), Call(Organization(ChargeOf("org", 1, seconds(2))), "first"))), "fresh");
  std::map<std::string, std::vector<const Seen*>> calls;
  for (int i = 0; i < 6; ++i) calls["greedy"].push_back(&Admit(a(), Call(charges, "greedy")));
  ASSERT_TRUE(AwaitWaiting(6));
  for (int i = 0; i < 2; ++i) calls["modest"].push_back(&Admit(b(), Call(charges, "modest")));
  ASSERT_TRUE(AwaitWaiting(8));
  const std::vector<microseconds> greedy = Turns(calls["greedy"]);
  const std::vector<microseconds> modest = Turns(calls["modest"]);
  const auto before = [&greedy](microseconds turn) {
    return std::lower_bound(greedy.begin(), greedy.end(), turn) - greedy.begin();
  };
  EXPECT_EQ(before(modest[0]), 1);
  EXPECT_EQ(before(modest[1]), 2);
}

TEST_P(StateContract, OfWaitingCallsThereAre256OfAllReplicasAndTheGreedyGiveWay) {
  constexpr std::chrono::hours kPatience{10};
  const Charges charges = Both(ChargeOf("own", 1000, seconds(3600)), ChargeOf("org", 1, seconds(60)));
  ASSERT_EQ(Outcome(Admit(a(), Call(charges, "first", kPatience))), "fresh");
  std::vector<const Seen*> waiting;
  for (int i = 0; i < 256; ++i) {
    waiting.push_back(&Admit(i % 2 == 0 ? a() : b(), Call(charges, "greedy", kPatience)));
  }
  ASSERT_TRUE(AwaitWaiting(256));
  const Seen& one_more = Admit(a(), Call(charges, "greedy", kPatience));
  EXPECT_EQ(Outcome(one_more), "RATE_LIMITED");
  const Seen& modest = Admit(b(), Call(charges, "modest", kPatience));
  const auto refused = [&] {
    return std::count_if(waiting.begin(), waiting.end(), [](const Seen* seen) {
      return seen->has_value() && std::holds_alternative<Failure>(**seen);
    });
  };
  ASSERT_TRUE(RunUntil([&] { return refused() == 1; }));
  EXPECT_TRUE(!modest || std::holds_alternative<Fresh>(*modest));
  EXPECT_LE(home_->Waiting("acme"), 256U);
}

TEST_P(StateContract, ManyNamesUnderOneGrantGetOneGrantsShareOfTheTurns) {
  Charges charges = Organization(ChargeOf("org", 1, milliseconds(60)));
  // No token comes until all calls wait.
  ASSERT_EQ(Outcome(Admit(a(), Call(Organization(ChargeOf("org", 1, seconds(2))), "first"))), "fresh");
  std::vector<const Seen*> many;
  std::vector<const Seen*> one;
  charges.grant = "many";
  for (int i = 0; i < 12; ++i) many.push_back(&Admit(a(), Call(charges, "name-" + std::to_string(i))));
  ASSERT_TRUE(AwaitWaiting(12));
  charges.grant = "one";
  for (int i = 0; i < 3; ++i) one.push_back(&Admit(b(), Call(charges, "one")));
  ASSERT_TRUE(AwaitWaiting(15));
  const std::vector<microseconds> turns = Turns(many);
  const std::vector<microseconds> others = Turns(one);
  for (std::size_t i = 0; i < others.size(); ++i) {
    const auto before = std::lower_bound(turns.begin(), turns.end(), others[i]) - turns.begin();
    EXPECT_EQ(static_cast<std::size_t>(before), i + 1);
  }
}

TEST_P(StateContract, TheWaitingPlacesAreSharedByGrantAndWithinItByCaller) {
  constexpr std::chrono::hours kPatience{10};
  Charges charges = Organization(ChargeOf("org", 1, seconds(60)));
  ASSERT_EQ(Outcome(Admit(a(), Call(charges, "first", kPatience))), "fresh");
  std::vector<const Seen*> many;
  charges.grant = "many";
  for (int i = 0; i < 255; ++i)
    many.push_back(&Admit(a(), Call(charges, "name-" + std::to_string(i), kPatience)));
  many.push_back(&Admit(a(), Call(charges, "name-0", kPatience)));
  ASSERT_TRUE(AwaitWaiting(256));
  EXPECT_EQ(Outcome(Admit(b(), Call(charges, "name-0", kPatience))), "RATE_LIMITED");
  const Seen& new_name = Admit(b(), Call(charges, "new name", kPatience));
  EXPECT_EQ(Outcome(*many.back()), "RATE_LIMITED") << "name-0 had two";
  charges.grant = "one";
  std::vector<const Seen*> one;
  for (int i = 0; i < 100; ++i) one.push_back(&Admit(b(), Call(charges, "one", kPatience)));
  const auto refused = [](const std::vector<const Seen*>& calls) {
    return std::ranges::count_if(calls, [](const Seen* seen) { return seen->has_value(); });
  };
  EXPECT_TRUE(RunUntil([&] { return refused(many) + (new_name ? 1 : 0) == 101; }));
  EXPECT_EQ(refused(one), 0);
  EXPECT_EQ(home_->Waiting("acme"), 256U);
}

TEST_P(StateContract, AnIdIsClaimedWhileItsCallWaitsForItsTurn) {
  const Charges charges = Organization(ChargeOf("org", 1, milliseconds(400)));
  ASSERT_EQ(Outcome(Admit(a(), Call(charges))), "fresh");
  const Admission call = Call(charges);
  const Seen& waiting = Admit(a(), call);
  const Seen& joined = Admit(a(), call);
  ASSERT_TRUE(AwaitWaiting(1));
  EXPECT_EQ(waiting, std::nullopt);
  EXPECT_EQ(Now(b(), call.request_id, "another caller"), "REQUEST_ID_REUSED");
  EXPECT_EQ(Outcome(waiting), "fresh");
  EXPECT_EQ(joined, std::nullopt);
  a().Settle(call.request_id, AnswerOf("bearer"), Clock());
  EXPECT_EQ(Outcome(joined), "bearer");
}

TEST_P(StateContract, WhoLeavesTheQueueMakesRoomAndGetsItsOwnLimitBack) {
  const Charge own = ChargeOf("own", 1, seconds(60));
  const Charge organization = ChargeOf("org", 1, milliseconds(300));
  ASSERT_EQ(Outcome(Admit(a(), Call(Organization(organization)))), "fresh");
  const Admission leaving = Call(Both(own, organization));
  const Seen& left = Admit(a(), leaving);
  ASSERT_TRUE(AwaitWaiting(1));
  ASSERT_EQ(Outcome(Admit(b(), Call(Own(own)))), "RATE_LIMITED");
  a().Leave(leaving.request_id, &left);
  ASSERT_TRUE(AwaitWaiting(0));
  EXPECT_EQ(Outcome(Admit(b(), Call(Own(own)))), "fresh");
  EXPECT_EQ(Now(b(), leaving.request_id), "fresh");
  EXPECT_EQ(left, std::nullopt);
}

TEST_P(StateContract, WhoCameBehindOneThatLeftTheQueueTakesItsPlace) {
  const Charges charges = Organization(ChargeOf("org", 1, milliseconds(300)));
  ASSERT_EQ(Outcome(Admit(a(), Call(charges))), "fresh");
  const Admission call = Call(charges);
  const Seen& left = Admit(a(), call);
  const Seen& heir = Admit(a(), call);
  ASSERT_TRUE(AwaitWaiting(1));
  a().Leave(call.request_id, &left);
  EXPECT_EQ(Outcome(heir), "fresh");
  EXPECT_EQ(left, std::nullopt);
}

TEST_P(StateContract, WhoJoinedTakesThePlaceOfAClaimantThatLeavesTheQueueAndPaysForItself) {
  const Charge own = ChargeOf("own", 5, seconds(60));
  const Charge organization = ChargeOf("org", 1, milliseconds(300));
  ASSERT_EQ(Outcome(Admit(a(), Call(Organization(organization)))), "fresh");
  const Admission call = Call(Both(own, organization));
  const Seen& leaver = Admit(a(), call);
  const Seen& heir = Admit(a(), call);
  const Seen& joined = Admit(a(), call);
  ASSERT_TRUE(AwaitWaiting(1));
  a().Leave(call.request_id, &leaver);
  EXPECT_EQ(Outcome(heir), "fresh");
  EXPECT_THAT(TokensIn(a(), {own}), ElementsAre(4)) << "one gave back, one spent";
  EXPECT_EQ(leaver, std::nullopt) << "it is not called";
  EXPECT_EQ(joined, std::nullopt);
  a().Settle(call.request_id, AnswerOf("bearer"), Clock());
  EXPECT_EQ(Outcome(joined), "bearer");
}

TEST_P(StateContract, WhoJoinedTakesThePlaceOfAClaimantThatIsAbandonedAndPaysForItself) {
  const Charge own = ChargeOf("own", 5, seconds(60));
  const Admission call = Call(Own(own));
  ASSERT_EQ(Outcome(Admit(a(), call)), "fresh");
  const Seen& heir = Admit(a(), call);
  a().Abandon(call.request_id);
  EXPECT_EQ(Outcome(heir), "fresh");
  EXPECT_THAT(TokensIn(a(), {own}), ElementsAre(3));
}

TEST_P(StateContract, AHeirWhoseLimitIsSpentEndsTheClaim) {
  const Charges charges = Own(ChargeOf("own", 1, milliseconds(500)));
  const Admission call = Call(charges);
  ASSERT_EQ(Outcome(Admit(a(), call)), "fresh");
  const Seen& heir = Admit(a(), call);
  const Seen& joined = Admit(a(), call);
  a().Abandon(call.request_id);
  EXPECT_EQ(Outcome(heir), "RATE_LIMITED");
  EXPECT_EQ(Outcome(joined), "RATE_LIMITED");
  EXPECT_TRUE(Eventually(a(), call, "fresh"));
}

TEST_P(StateContract, WhoseTurnHasNotComeInTimeIsToldAndTheIdIsFree) {
  const Charges charges = Organization(ChargeOf("org", 1, milliseconds(400)));
  ASSERT_EQ(Outcome(Admit(a(), Call(charges, "first"))), "fresh");
  // Behind the first of its caller, it would have its turn after 800 ms; the other caller's comes between.
  const Seen& one = Admit(a(), Call(charges, "greedy"));
  ASSERT_TRUE(AwaitWaiting(1));
  const Admission call = Call(charges, "greedy", milliseconds(900));
  const Seen& overdue = Admit(a(), call);
  ASSERT_TRUE(AwaitWaiting(2));
  const Seen& modest = Admit(b(), Call(charges, "modest"));
  const TimePoint begin = Clock();
  EXPECT_EQ(Outcome(overdue), "RATE_LIMITED");
  EXPECT_LT(Clock() - begin, seconds(5));
  EXPECT_EQ(Outcome(one), "fresh");
  EXPECT_EQ(Outcome(modest), "fresh");
  EXPECT_EQ(Now(b(), call.request_id, "greedy"), "fresh");
}

TEST_P(StateContract, WhoJoinedACallThatItsTurnDoesNotReachFailsLikewiseAndTheIdMayTryAgain) {
  const Charges charges = Organization(ChargeOf("org", 1, milliseconds(400)));
  ASSERT_EQ(Outcome(Admit(a(), Call(charges, "first"))), "fresh");
  Admit(a(), Call(charges, "greedy"));
  ASSERT_TRUE(AwaitWaiting(1));
  const Admission call = Call(charges, "greedy", milliseconds(900));
  const Seen& passed = Admit(a(), call);
  const Seen& joined = Admit(a(), call);
  ASSERT_TRUE(AwaitWaiting(2));
  Admit(b(), Call(charges, "modest"));
  EXPECT_EQ(Outcome(passed), "RATE_LIMITED");
  EXPECT_EQ(Outcome(joined), "RATE_LIMITED");
  Admission again = call;
  again.latest = Clock() + seconds(10);
  EXPECT_EQ(Outcome(Admit(a(), again)), "fresh");
}

TEST_P(StateContract, SpendsAgainForAnotherAttempt) {
  const Charge own = ChargeOf("own", 5, seconds(60));
  const Charge organization = ChargeOf("org", 1, milliseconds(500));
  const Charges charges = Both(own, organization);
  const Admission call = Call(charges);
  ASSERT_EQ(Outcome(Admit(a(), call)), "fresh");
  const SeenSpend& spent = Spend(a(), charges, seconds(10));
  ASSERT_TRUE(AwaitWaiting(1));
  EXPECT_EQ(spent, std::nullopt);
  ASSERT_TRUE(RunUntil([&] { return spent.has_value(); }));
  EXPECT_TRUE(std::holds_alternative<Spent>(*spent));
  EXPECT_THAT(TokensIn(a(), {own}), ElementsAre(3));
  const SeenSpend& refused = Spend(a(), charges, milliseconds(0));
  ASSERT_TRUE(RunUntil([&] { return refused.has_value(); }));
  EXPECT_EQ(std::get<Failure>(*refused).reason, Reason::kRateLimited);
}

TEST_P(StateContract, LeavingWhileItWaitsForAnotherAttemptAbandonsTheClaim) {
  const Charges charges = Organization(ChargeOf("org", 1, milliseconds(300)));
  const Admission call = Call(charges);
  ASSERT_EQ(Outcome(Admit(a(), call)), "fresh");
  const Seen& heir = Admit(a(), AdmissionOf(call.request_id));
  const SeenSpend& left = Spend(a(), charges, seconds(10));
  ASSERT_TRUE(AwaitWaiting(1));
  a().Leave(call.request_id, &left);
  EXPECT_EQ(Outcome(heir), "fresh");
  ASSERT_TRUE(AwaitWaiting(0));
  RunFor(milliseconds(400));
  EXPECT_EQ(left, std::nullopt);
}

std::string NameOf(const testing::TestParamInfo<Home>& home) {
  switch (home.param) {
    case Home::kMemory:
      return "Memory";
    case Home::kSimulatedRedis:
      return "SimulatedRedis";
    case Home::kRedis:
      return "Redis";
  }
  return "";
}

constexpr auto kHomes = {Home::kMemory, Home::kSimulatedRedis, Home::kRedis};
INSTANTIATE_TEST_SUITE_P(In, StateContract, testing::ValuesIn(kHomes), NameOf);
INSTANTIATE_TEST_SUITE_P(In, SharedStateContract, testing::ValuesIn(kHomes), NameOf);
INSTANTIATE_TEST_SUITE_P(In, ShortStateContract, testing::ValuesIn(kHomes), NameOf);
INSTANTIATE_TEST_SUITE_P(In, RestoredStateContract, testing::ValuesIn(kHomes), NameOf);

}  // namespace
}  // namespace tokend::state
