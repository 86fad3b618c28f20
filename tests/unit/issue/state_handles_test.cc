#include "daemon/issue/state_handles.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace tokend::issue {
namespace {

using Calls = std::vector<std::string>;

// Writes down what it is told.
class RecordingState final : public state::State {
 public:
  void Admit(state::Admission, const void*, AdmitDone) override {}
  void Spend(state::Charges, state::TimePoint, const void*, SpendDone) override {}
  void Leave(const std::string& request_id, const void*) override { calls.push_back("leave " + request_id); }
  void GiveBack(const state::Charges& charges, state::Spent) override {
    calls.push_back("give back " + charges.caller);
  }
  void Check(state::Charges, state::TimePoint, CheckDone) override {}
  void Levels(std::vector<state::Charge>, LevelsDone) override {}
  void Settle(const std::string& request_id, state::Outcome outcome, state::Intent of) override {
    const bool known = std::holds_alternative<state::Answered>(outcome);
    calls.push_back((known ? "settle " : "settle as unknown ") + request_id);
    intent = of;
  }
  void Refuse(const std::string& request_id, const Failure&) override {
    calls.push_back("refuse " + request_id);
  }
  void Amend(const std::string& request_id, std::optional<state::Answered> answered,
             state::Intent of) override {
    calls.push_back((answered ? "amend " : "amend to none ") + request_id);
    intent = of;
  }
  void Abandon(const std::string& request_id) override { calls.push_back("abandon " + request_id); }
  void Restore(const std::string&, const std::optional<state::RequestDigest>&, state::Target, std::uint64_t,
               state::Intent) override {}
  Status health() const override { return absl::OkStatus(); }
  Status quarantine() const override { return absl::OkStatus(); }

  Calls calls;
  state::Intent intent;
};

const Failure kUnknown{.reason = Reason::kOutcomeUnknown};
const Failure kRefused{.reason = Reason::kUpstreamRejected};
constexpr state::TimePoint kIntendedAt{std::chrono::hours(7)};

class ClaimHandleTest : public testing::Test {
 protected:
  ClaimHandle Claim() { return {state_, id_}; }
  std::optional<ClaimHandle> Kept() {
    std::optional<ClaimHandle> claim = Claim();
    claim->Keep(kIntendedAt);
    return claim;
  }

  const std::string id_ = "id";
  RecordingState state_;
};

TEST_F(ClaimHandleTest, AbandonsItsClaimWhenItIsDropped) {
  { const ClaimHandle claim = Claim(); }
  EXPECT_EQ(state_.calls, Calls{"abandon id"});
}

TEST_F(ClaimHandleTest, AbandonsAClaimThatWasMovedOnce) {
  ClaimHandle first = Claim();
  ClaimHandle second(std::move(first));
  first = {};
  EXPECT_TRUE(state_.calls.empty());
  second = {};
  EXPECT_EQ(state_.calls, Calls{"abandon id"});
}

TEST_F(ClaimHandleTest, AbandonsItsClaimWhenAnotherTakesItsPlace) {
  const std::string other = "other";
  ClaimHandle claim = Claim();
  claim = ClaimHandle(state_, other);
  EXPECT_EQ(state_.calls, Calls{"abandon id"});
}

TEST_F(ClaimHandleTest, LeavesAClaimAsItIsOnceATokenMayExist) {
  auto claim = Kept();
  claim.reset();
  EXPECT_TRUE(state_.calls.empty());
}

TEST_F(ClaimHandleTest, AbandonsItsClaimAgainAfterAnAttemptThatCreatedNothing) {
  auto claim = Kept();
  claim->MayAbandon();
  claim.reset();
  EXPECT_EQ(state_.calls, Calls{"abandon id"});
}

TEST_F(ClaimHandleTest, SettlesOrRefusesItsClaimAndThenHoldsNone) {
  auto issued = Kept();
  EXPECT_TRUE(issued->is_open());
  issued->Settle({});
  EXPECT_FALSE(issued->is_open());
  EXPECT_EQ(state_.intent.at, kIntendedAt);
  issued.reset();
  auto refused = Kept();
  refused->Refuse(kRefused);
  refused->Refuse(kRefused);
  refused.reset();
  auto unsent = std::optional(Claim());
  unsent->Refuse(kRefused);
  unsent.reset();
  EXPECT_EQ(state_.calls, (Calls{"settle id", "refuse id", "refuse id"}));
}

TEST_F(ClaimHandleTest, AmendsWhatItHasSettledAsUnknown) {
  auto issued = Kept();
  issued->SettleAsUnknown(kUnknown, 5);
  EXPECT_TRUE(issued->is_unknown());
  issued->Settle({});
  auto refused = Kept();
  refused->SettleAsUnknown(kUnknown, 5);
  refused->Refuse(kRefused);
  EXPECT_EQ(state_.calls,
            (Calls{"settle as unknown id", "amend id", "settle as unknown id", "amend to none id"}));
  EXPECT_EQ(state_.intent.at, kIntendedAt);
}

TEST_F(ClaimHandleTest, TellsTheFirstIntentOfARequestIdThatItAsksAgain) {
  auto first = Kept();
  first->SettleAsUnknown(kUnknown, 5);
  EXPECT_EQ(state_.intent.sequence, 5U);
  ClaimHandle again(state_, id_, state::Intent{kIntendedAt, 5});
  again.Keep(kIntendedAt + std::chrono::minutes(1));
  again.SettleAsUnknown(kUnknown, 9);
  EXPECT_EQ(state_.intent.at, kIntendedAt);
  EXPECT_EQ(state_.intent.sequence, 5U);
  again.Settle({});
  EXPECT_EQ(state_.intent.at, kIntendedAt);
}

TEST_F(ClaimHandleTest, SettlesAsUnknownOnce) {
  auto claim = Kept();
  claim->SettleAsUnknown(kUnknown, 5);
  claim->SettleAsUnknown(kUnknown, 5);
  claim.reset();
  EXPECT_EQ(state_.calls, Calls{"settle as unknown id"});
}

TEST_F(ClaimHandleTest, LeavesAClaimToTheStateThatItWasHandedTo) {
  ClaimHandle claim = Claim();
  claim.HandToState();
  claim = {};
  EXPECT_TRUE(state_.calls.empty());
}

class SpentChargesTest : public testing::Test {
 protected:
  SpentCharges Spent() { return {state_, charges_, {}}; }

  const state::Charges charges_{{}, {}, "acme", "ci"};
  RecordingState state_;
};

TEST_F(SpentChargesTest, AreGivenBackWhenTheyAreDropped) {
  { const SpentCharges spent = Spent(); }
  EXPECT_EQ(state_.calls, Calls{"give back ci"});
}

TEST_F(SpentChargesTest, AreGivenBackOnce) {
  {
    SpentCharges first = Spent();
    SpentCharges second(std::move(first));
    first.GiveBack();
    EXPECT_TRUE(state_.calls.empty());
    second.GiveBack();
    second.GiveBack();
  }
  EXPECT_EQ(state_.calls, Calls{"give back ci"});
}

TEST_F(SpentChargesTest, StaySpentOnceTheyAreKept) {
  {
    SpentCharges first = Spent();
    first.Keep();
    const SpentCharges second(std::move(first));
  }
  EXPECT_TRUE(state_.calls.empty());
}

TEST_F(SpentChargesTest, AreGivenBackWhereNoIntentCameOfThem) {
  SpentCharges spent = Spent();
  spent.Keep();
  spent.GiveBack();
  EXPECT_EQ(state_.calls, Calls{"give back ci"});
}

class StateWaitTest : public testing::Test {
 protected:
  StateWait Wait() { return {state_, id_, this}; }

  const std::string id_ = "id";
  RecordingState state_;
};

TEST_F(StateWaitTest, LeavesWhenItIsDropped) {
  StateWait wait = Wait();
  StateWait moved = std::move(wait);
  wait = {};
  EXPECT_TRUE(state_.calls.empty());
  moved = {};
  EXPECT_EQ(state_.calls, Calls{"leave id"});
}

TEST_F(StateWaitTest, DoesNotLeaveOnceItIsOver) {
  StateWait wait = Wait();
  wait.Over();
  wait = {};
  EXPECT_TRUE(state_.calls.empty());
}

}  // namespace
}  // namespace tokend::issue
