#include "tests/unit/state/model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/state/memory/memory_state.h"
#include "tests/fakes/hand_cranked_loop.h"
#include "tests/unit/state/charging.h"

namespace tokend::state {
namespace {

using model::Seen;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr int kRequestIds = 100;
constexpr config::Requests kOptions{.remember = seconds(20), .max_entries = 700};

Seen SeenIn(const Outcome& outcome) {
  if (const auto* answered = std::get_if<Answered>(&outcome)) {
    return {.kind = Seen::Kind::kAnswered, .answer = answered->intent};
  }
  return model::Failed(std::get<Failure>(outcome));
}
Seen SeenOf(const AdmitResult& claim) {
  if (const auto* fresh = std::get_if<Fresh>(&claim)) {
    return {.kind = Seen::Kind::kFresh, .spent = std::get<SpentHere>(fresh->spent)};
  }
  if (const auto* known = std::get_if<Known>(&claim)) return SeenIn(known->outcome);
  return model::Failed(std::get<Failure>(claim));
}
Seen SeenOf(const SpendResult& result) {
  if (std::holds_alternative<Spent>(result)) {
    return {.kind = Seen::Kind::kFresh, .spent = SpentHereIn(result)};
  }
  return model::Failed(std::get<Failure>(result));
}

// Does the same at random to MemoryState and to the reference, and holds what they say against each other.
class RandomRun {
 public:
  explicit RandomRun(unsigned seed) : random_(seed) {
    reference_.StartAt(Now());
    for (int caller = 0; caller < 8; ++caller) {
      digests_.push_back(DigestOf("caller-" + std::to_string(caller), "acme", "ios-app", {"sdk"}, ""));
    }
  }

  // How often each thing happened, for a look at whether the run was worth its name.
  std::map<std::string, std::uint64_t> seen;

  void Run(std::uint64_t operations) {
    for (std::uint64_t step = 0; step < operations; ++step) {
      if (step % 2000 == 0) crowded_ = Pick(3) == 0;
      Step();
      Compare();
      if (testing::Test::HasFailure()) {
        ADD_FAILURE() << "at operation " << step;
        return;
      }
    }
    seen["displaced"] = reference_.displaced;
  }

 private:
  enum class Phase { kWaits, kAdmitted };
  struct Tracked {
    model::Call call;
    Phase phase = Phase::kWaits;
    SpentHere spent;
  };

  int Pick(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }
  TimePoint Now() { return loop_.clock().Now(); }

  void Step() {
    const int what = Pick(crowded_ ? 80 : 45);
    if (what == 0 && Pick(2000) == 0) return Restart();
    if (what < 9) return LetTimePass();
    if (what < 20) return EndOne();
    if (what < 22) return SpendAgain();
    if (what < 24) return LeaveOne();
    if (what < 25) return GiveBackOne();
    if (what < 26) return AmendOne();
    if (what < 27) return CheckOne();
    if (what < 28) return CompareLevels();
    AdmitOne();
  }

  // Two windows of each caller, one of all of a grant, and two of each organization.
  Charges RandomCharges(int caller) {
    const bool acme = Pick(crowded_ ? 10 : 3) != 0;
    Charges charges{{},
                    {},
                    acme ? "acme" : "beta",
                    "caller-" + std::to_string(caller),
                    "grant-" + std::to_string(Pick(Pick(2) == 0 ? 1 : 4))};
    const auto add = [](std::vector<Charge>& to, const char* subject, const Rate& rate, int whose) {
      LimitKey key{};
      key[0] = static_cast<unsigned char>(subject[0]);
      key[1] = static_cast<unsigned char>(subject[2]);
      key[2] = static_cast<unsigned char>(whose);
      key[15] = static_cast<unsigned char>(whose);
      to.push_back({key, rate, subject});
    };
    if (Pick(8) >= (crowded_ ? 6 : 1)) {
      add(charges.own, "g/quick", kQuick, caller);
      add(charges.own, "g/slow", kSlow, caller);
    }
    if (Pick(3) == 0) add(charges.own, "s/shared", kShared, 100);
    if (Pick(8) != 0) {
      add(charges.organization, acme ? "a/quick" : "b/quick", kOrganizationQuick, 0);
      add(charges.organization, acme ? "a/slow" : "b/slow", kOrganizationSlow, 0);
    }
    return charges;
  }

  void AdmitOne() {
    const int caller = Pick(Pick(2) == 0 ? 2 : 8);
    Tracked tracked;
    tracked.call.number = ++last_call_;
    tracked.call.request_id = "id-" + std::to_string(Pick(Pick(4) != 0 && !crowded_ ? kRequestIds : 100000));
    tracked.call.digest = digests_[static_cast<std::size_t>(Pick(10) == 0 ? Pick(8) : 0)];
    tracked.call.charges = RandomCharges(caller);
    tracked.call.latest = Now() + milliseconds(Pick(crowded_ ? 600000 : 6000)) + nanoseconds(Pick(3));
    // Now and then the very moment of a turn, or one nanosecond before.
    if (Pick(8) == 0) tracked.call.latest = reference_.NextTurn().value_or(Now()) - nanoseconds(Pick(2));
    const model::Call& call = tracked.call;
    const auto [at, added] = calls_.emplace(call.number, tracked);
    ++seen["admit"];
    reference_.Admit(call);
    Admission admission{.request_id = call.request_id,
                        .digest = call.digest,
                        .caller = call.charges.caller,
                        .charges = call.charges,
                        .latest = call.latest};
    state_->Admit(std::move(admission), &at->second,
                  [this, number = call.number](const AdmitResult& claim) { End(number, SeenOf(claim)); });
  }

  void End(int number, Seen what) {
    if (!ended_.emplace(number, std::move(what)).second) ADD_FAILURE() << number << " was answered twice";
  }

  Tracked* PickIn(Phase phase) {
    std::vector<int>& numbers = phase == Phase::kAdmitted ? admitted_ : waiting_;
    while (!numbers.empty()) {
      const auto at = static_cast<std::size_t>(Pick(static_cast<int>(numbers.size())));
      const auto call = calls_.find(numbers[at]);
      if (call != calls_.end() && call->second.phase == phase) return &call->second;
      numbers[at] = numbers.back();
      numbers.pop_back();
    }
    return nullptr;
  }

  // Its id.
  std::string Forget(const Tracked& call) {
    const int number = call.call.number;
    std::string id = call.call.request_id;
    spends_again_.erase(number);
    reference_.Forget(number);
    calls_.erase(number);
    return id;
  }

  Outcome RandomOutcome() {
    const std::uint64_t intent = ++last_intent_;
    if (Pick(3) == 0) {
      return Failure{.reason = Reason::kOutcomeUnknown, .audit_sequence = intent};
    }
    return Answered{std::make_shared<const Token>(), intent};
  }

  // A call that was admitted comes to its end.
  void EndOne() {
    Tracked* ends = PickIn(Phase::kAdmitted);
    if (ends == nullptr) return;
    const std::string id = Forget(*ends);
    const int how = Pick(5);
    if (how == 0) {
      ++seen["abandon"];
      reference_.Abandon(id);
      state_->Abandon(id);
    } else if (how == 1) {
      ++seen["refuse"];
      const Failure failure{.reason = Reason::kUpstreamRejected};
      reference_.Refuse(id, model::Failed(failure));
      state_->Refuse(id, failure);
    } else {
      ++seen["settle"];
      const TimePoint intended_at = Now() - milliseconds(Pick(Pick(10) == 0 ? 25000 : 1000));
      const Outcome outcome = RandomOutcome();
      intents_[static_cast<std::size_t>(Pick(16))] = {id, intended_at};
      reference_.Settle(id, SeenIn(outcome), intended_at);
      state_->Settle(id, outcome, intended_at);
    }
  }

  void SpendAgain() {
    Tracked* again = PickIn(Phase::kAdmitted);
    if (again == nullptr) return;
    ++seen["spend again"];
    again->phase = Phase::kWaits;
    const TimePoint latest = Now() + milliseconds(Pick(6000));
    const int number = again->call.number;
    spends_again_.emplace(number, true);
    reference_.Spend(number, latest);
    state_->Spend(again->call.charges, latest, again,
                  [this, number](const SpendResult& result) { End(number, SeenOf(result)); });
  }

  void LeaveOne() {
    Tracked* leaver = PickIn(Phase::kWaits);
    if (leaver == nullptr) return;
    ++seen["leave"];
    const std::string id = leaver->call.request_id;
    reference_.Leave(leaver->call.number);
    state_->Leave(id, leaver);
    Forget(*leaver);
  }

  // Of a call that is then admitted no more.
  void GiveBackOne() {
    Tracked* given = PickIn(Phase::kAdmitted);
    if (given == nullptr) return;
    ++seen["give back"];
    reference_.GiveBack(given->call.number, given->spent);
    state_->GiveBack(given->call.charges, given->spent);
    const std::string id = Forget(*given);
    reference_.Abandon(id);
    state_->Abandon(id);
  }

  void AmendOne() {
    auto [id, intended_at] = intents_[static_cast<std::size_t>(Pick(16))];
    if (Pick(8) == 0) intended_at += nanoseconds(1);
    std::optional<Answered> answered;
    if (Pick(2) == 0) answered = Answered{std::make_shared<const Token>(), ++last_intent_};
    ++seen["amend"];
    std::optional<Seen> as_seen;
    if (answered) as_seen = SeenIn(*answered);
    reference_.Amend(id, as_seen, intended_at);
    state_->Amend(id, answered, intended_at);
  }

  void CheckOne() {
    const Charges charges = RandomCharges(Pick(8));
    const TimePoint latest = Now() + milliseconds(Pick(6000));
    const std::optional<Seen> expected = reference_.Check(charges, latest);
    state_->Check(charges, latest, [&expected](const std::optional<Failure>& refusal) {
      EXPECT_EQ(refusal.has_value(), expected.has_value());
      if (refusal && expected) {
        EXPECT_EQ(model::Failed(*refusal), *expected);
      }
    });
  }

  void CompareLevels() {
    const Charges charges = RandomCharges(Pick(8));
    for (const std::vector<Charge>& all : {charges.own, charges.organization}) {
      state_->Levels(all, [this, &all](const Result<std::vector<TimePoint>>& levels) {
        for (std::size_t i = 0; i < all.size(); ++i) {
          EXPECT_EQ(std::max((*levels)[i], Now()), reference_.FullAt(all[i])) << all[i].subject;
        }
      });
    }
  }

  void LetTimePass() {
    nanoseconds by(0);
    switch (Pick(6)) {
      case 0:
        by = nanoseconds(Pick(3));
        break;
      case 1:
        by = milliseconds(Pick(crowded_ ? 100 : 3000));
        break;
      case 2:
        // To the very moment of a turn, or one nanosecond before.
        if (const auto turn = reference_.NextTurn()) by = *turn - Now() - nanoseconds(Pick(2));
        break;
      default:
        by = nanoseconds(Pick(crowded_ ? 3'000'000 : 300'000'000));
    }
    by = std::max(by, nanoseconds(0));
    loop_.Advance(by);
    reference_.AdvanceTo(Now());
  }

  // The process ends. Its log names the ids whose calls had gone out, and of those that ran some had.
  void Restart() {
    ++seen["restart"];
    state_ = std::make_unique<MemoryState>(loop_, kOptions);
    std::map<std::string, model::Reference::Entry> restored;
    for (const auto& [id, entry] : reference_.entries()) {
      if (!entry.outcome && Pick(2) == 0) continue;
      const TimePoint intended_at = entry.outcome ? entry.expires_at - kOptions.remember : Now();
      const Failure unknown = BearerLost(++last_intent_);
      restored[id] = {entry.digest, 0, model::Failed(unknown), intended_at + kOptions.remember, {}};
      state_->Restore(id, entry.digest, {}, last_intent_, intended_at);
    }
    reference_.Restart(std::move(restored));
    calls_.clear();
    admitted_.clear();
    waiting_.clear();
    spends_again_.clear();
  }

  // Each operation ends the same calls in the same way in both.
  void Compare() {
    for (const auto& [number, expected] : reference_.ended) {
      const auto found = ended_.find(number);
      if (found == ended_.end()) {
        ADD_FAILURE() << "call " << number << " is not answered, but should be: " << expected;
        return;
      }
      EXPECT_EQ(found->second, expected) << "call " << number;
      ended_.erase(found);
      NoteEnd(number, expected);
    }
    for (const auto& [number, what] : ended_) {
      ADD_FAILURE() << "call " << number << " is answered, and should not be: " << what;
    }
    reference_.ended.clear();
    if (last_call_ > noted_call_) {
      noted_call_ = last_call_;
      const auto call = calls_.find(last_call_);
      if (call != calls_.end() && call->second.phase == Phase::kWaits) waiting_.push_back(last_call_);
    }
    most_waiting = std::max(most_waiting, reference_.waiting());
  }

  void NoteEnd(int number, const Seen& what) {
    const auto call = calls_.find(number);
    if (call == calls_.end()) return;
    const bool again = spends_again_.erase(number) > 0;
    if (what.kind == Seen::Kind::kFresh) {
      call->second.phase = Phase::kAdmitted;
      call->second.spent = what.spent;
      admitted_.push_back(number);
      ++seen[again                                       ? "spent again"
             : what.spent.own == what.spent.organization ? "let in at once"
                                                         : "had a turn"];
      return;
    }
    ++seen[what.kind == Seen::Kind::kAnswered ? "answered" : std::string(Name(what.reason))];
    if (again) {
      // Its claim stands: the call may try once more, or end.
      call->second.phase = Phase::kAdmitted;
      admitted_.push_back(number);
      return;
    }
    Forget(call->second);
  }

  static inline const Rate kQuick = RateOf(10, seconds(1), 3);
  static inline const Rate kSlow = RateOf(60, seconds(30), 20);
  static inline const Rate kShared = RateOf(50, seconds(3), 7);
  static inline const Rate kOrganizationQuick = RateOf(7, seconds(1), 2);
  static inline const Rate kOrganizationSlow = RateOf(100, seconds(20), 40);

  std::mt19937 random_;
  fakes::HandCrankedLoop loop_;
  std::unique_ptr<MemoryState> state_ = std::make_unique<MemoryState>(loop_, kOptions);
  model::Reference reference_{kOptions, kMaxWaitingForTurn};

  std::vector<RequestDigest> digests_;
  bool crowded_ = false;  // time goes so slowly that queues grow long
  int last_call_ = 0;
  int noted_call_ = 0;
  std::uint64_t last_intent_ = 0;
  std::map<int, Tracked> calls_;
  std::vector<int> admitted_;  // and some that are no more
  std::vector<int> waiting_;   // likewise
  std::map<int, bool> spends_again_;
  std::map<int, Seen> ended_;
  std::array<std::pair<std::string, TimePoint>, 16> intents_;

 public:
  std::size_t most_waiting = 0;
};

TEST(StateModel, DoesWhatAPlainReferenceDoes) {
  const char* chosen = std::getenv("TOKEND_SEED");
  const unsigned seed = chosen != nullptr ? static_cast<unsigned>(std::atoi(chosen)) : std::random_device()();
  std::cout << "TOKEND_SEED=" << seed << "\n";
  RandomRun run(seed);
#ifdef TOKEND_SANITIZED
  constexpr int kSteps = 200'000;  // sanitizers make a step ten times as long
#else
  constexpr int kSteps = 1'000'000;
#endif
  run.Run(std::getenv("TOKEND_LONG_TESTS") != nullptr ? 30'000'000 : kSteps);
  for (const auto& [what, times] : run.seen) std::cout << "  " << what << ": " << times << "\n";
  std::cout << "  most that waited: " << run.most_waiting << "\n";
}

}  // namespace
}  // namespace tokend::state
