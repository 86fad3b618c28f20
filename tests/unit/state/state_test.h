#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/function_ref.h"
#include "daemon/state/state.h"

namespace tokend::state {

// Calls of a State, and what they come to.
class StateTest : public testing::Test {
 protected:
  // The result of a call; empty while it waits.
  using Seen = std::optional<AdmitResult>;
  using SeenSpend = std::optional<SpendResult>;

  // Turns the loop until `done`. False if `limit` passes first: the test hangs.
  virtual bool RunUntil(absl::FunctionRef<bool()> done,
                        std::chrono::seconds limit = std::chrono::seconds(30)) = 0;
  virtual TimePoint Clock() = 0;

  static RequestDigest DigestFor(const std::string& caller) {
    return DigestOf(caller, "acme", "ios-app", {"sdk"}, "");
  }
  Admission AdmissionOf(const std::string& id, const std::string& caller = "ci", Charges charges = {},
                        std::chrono::milliseconds patience = std::chrono::seconds(30)) {
    charges.caller = caller;
    return {.request_id = id,
            .digest = DigestFor(caller),
            .caller = caller,
            .charges = std::move(charges),
            .latest = Clock() + patience};
  }

  Seen& Admit(State& state, Admission admission) {
    Seen& seen = seen_.emplace_back();
    state.Admit(std::move(admission), &seen, [&seen](AdmitResult result) {
      EXPECT_EQ(seen, std::nullopt) << "answered twice";
      seen = std::move(result);
    });
    return seen;
  }
  Seen& Admit(State& state, const std::string& id, const std::string& caller = "ci") {
    return Admit(state, AdmissionOf(id, caller));
  }
  SeenSpend& Spend(State& state, const Charges& charges, std::chrono::milliseconds patience) {
    SeenSpend& seen = seen_spend_.emplace_back();
    state.Spend(charges, Clock() + patience, &seen, [&seen](SpendResult result) {
      EXPECT_EQ(seen, std::nullopt) << "answered twice";
      seen = std::move(result);
    });
    return seen;
  }
  // What the call comes to: "fresh", a bearer, or a reason.
  std::string Outcome(const Seen& seen) {
    if (!RunUntil([&seen] { return seen.has_value(); })) return "nothing";
    return Words(*seen);
  }
  std::string Now(State& state, const std::string& id, const std::string& caller = "ci") {
    return Outcome(Admit(state, id, caller));
  }
  static std::string Words(const AdmitResult& result) {
    if (std::holds_alternative<Fresh>(result)) return "fresh";
    if (const Answered* answered = AnsweredIn(result)) return std::string(answered->token->bearer.Expose());
    return std::string(Name(FailureIn(result).reason));
  }
  // Null where the result holds no token.
  static const Answered* AnsweredIn(const AdmitResult& result) {
    const auto* known = std::get_if<Known>(&result);
    return known == nullptr ? nullptr : std::get_if<Answered>(&known->outcome);
  }
  static const Failure& FailureIn(const AdmitResult& result) {
    const auto* known = std::get_if<Known>(&result);
    return known == nullptr ? std::get<Failure>(result) : std::get<Failure>(known->outcome);
  }
  static const Failure& FailureIn(const Seen& seen) { return FailureIn(seen.value()); }
  static Spent SpentIn(const Seen& seen) { return std::get<Fresh>(seen.value()).spent; }

  static Answered AnswerOf(const std::string& bearer, std::uint64_t intent = 7) {
    auto token = std::make_shared<Token>();
    token->id = "0123456789abcdef01234567";
    token->scopes = {"sdk"};
    token->bearer = Bearer(bearer);
    return {std::move(token), intent};
  }

  // A bucket of so many tokens, one each interval.
  static Charge ChargeOf(const std::string& name, std::uint64_t burst, std::chrono::milliseconds interval) {
    return {KeyOf({name}), Rate({.name = name, .tokens = 1, .per = interval, .burst = burst}),
            "grant/" + name};
  }
  static Charges Own(const Charge& charge) {
    return {.own = {charge}, .organization = {}, .organization_name = "acme", .caller = {}};
  }
  static Charges Organization(const Charge& charge) {
    return {.own = {}, .organization = {charge}, .organization_name = "acme", .caller = {}};
  }
  static Charges Both(const Charge& own, const Charge& organization) {
    return {.own = {own}, .organization = {organization}, .organization_name = "acme", .caller = {}};
  }

  std::deque<Seen> seen_;
  std::deque<SeenSpend> seen_spend_;
};

}  // namespace tokend::state
