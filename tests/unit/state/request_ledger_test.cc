#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "daemon/state/memory/memory_state.h"
#include "tests/fakes/hand_cranked_loop.h"

namespace tokend::state {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

RequestDigest DigestFor(const std::string& caller) {
  return DigestOf(caller, "acme", "ios-app", {"sdk"}, "");
}

Answered AnswerOf(const std::string& bearer) {
  auto token = std::make_shared<Token>();
  token->bearer = Bearer(bearer);
  return {std::move(token), 7};
}

class Ledger : public testing::Test {
 protected:
  // What the claim came to; empty while it is joined.
  using Seen = std::optional<AdmitResult>;

  Seen& ClaimFor(const std::string& id, const std::string& caller = "ci") {
    Seen& seen = seen_.emplace_back();
    ledger_.Admit({.request_id = id, .digest = DigestFor(caller)}, &seen,
                  [&seen](AdmitResult claim) { seen = std::move(claim); });
    return seen;
  }

  static bool IsFresh(const Seen& seen) { return seen && std::holds_alternative<Fresh>(*seen); }
  static std::string BearerIn(const Seen& seen) {
    const Outcome& outcome = std::get<Known>(seen.value()).outcome;
    return std::string(std::get<Answered>(outcome).token->bearer.Expose());
  }
  static const Failure& FailureIn(const Seen& seen) {
    const auto* known = std::get_if<Known>(&seen.value());
    return known == nullptr ? std::get<Failure>(*seen) : std::get<Failure>(known->outcome);
  }
  static Reason ReasonIn(const Seen& seen) { return FailureIn(seen).reason; }

  TimePoint Now() { return loop_.clock().Now(); }

  fakes::HandCrankedLoop loop_;
  std::deque<Seen> seen_;
  MemoryState ledger_{loop_, {.remember = minutes(10), .max_entries = 3}};
};

TEST_F(Ledger, GivesARequestIdToOneClaimant) {
  EXPECT_TRUE(IsFresh(ClaimFor("a")));
  EXPECT_EQ(ClaimFor("a"), std::nullopt);
  EXPECT_TRUE(IsFresh(ClaimFor("b")));
}

TEST_F(Ledger, AnswersTheSameRequestIdWithItsFirstOutcome) {
  ClaimFor("a");
  ledger_.Settle("a", AnswerOf("bearer-a"), Now());
  EXPECT_EQ(BearerIn(ClaimFor("a")), "bearer-a");
  EXPECT_EQ(BearerIn(ClaimFor("a")), "bearer-a");
}

TEST_F(Ledger, AnswersWhoJoinedARunningCall) {
  ClaimFor("a");
  Seen& joined = ClaimFor("a");
  Seen& joined_too = ClaimFor("a");
  ledger_.Settle("a", AnswerOf("bearer-a"), Now());
  EXPECT_EQ(BearerIn(joined), "bearer-a");
  EXPECT_EQ(BearerIn(joined_too), "bearer-a");
}

TEST_F(Ledger, RefusesAnotherRequestUnderAKnownId) {
  ClaimFor("a", "ci");
  EXPECT_EQ(ReasonIn(ClaimFor("a", "other")), Reason::kRequestIdReused);
  ledger_.Settle("a", AnswerOf("bearer-a"), Now());
  EXPECT_EQ(ReasonIn(ClaimFor("a", "other")), Reason::kRequestIdReused);
}

TEST_F(Ledger, ForgetsARefusalAtOnce) {
  ClaimFor("a");
  Seen& joined = ClaimFor("a");
  ledger_.Refuse("a", {.reason = Reason::kUpstreamRejected});
  EXPECT_EQ(ReasonIn(joined), Reason::kUpstreamRejected);
  EXPECT_TRUE(IsFresh(ClaimFor("a", "other")));
}

TEST_F(Ledger, KeepsAnUnknownOutcomeUnknown) {
  ClaimFor("a");
  ledger_.Settle("a", Failure{.reason = Reason::kOutcomeUnknown, .audit_sequence = 9}, Now());
  Seen& again = ClaimFor("a");
  EXPECT_EQ(ReasonIn(again), Reason::kOutcomeUnknown);
  EXPECT_EQ(FailureIn(again).audit_sequence, 9U);
}

TEST_F(Ledger, AmendsAnUnknownOutcomeOnceItIsKnown) {
  const auto intended_at = Now();
  ClaimFor("a");
  ledger_.Settle("a", Failure{.reason = Reason::kOutcomeUnknown}, intended_at);
  ledger_.Amend("a", AnswerOf("bearer-a"), intended_at);
  EXPECT_EQ(BearerIn(ClaimFor("a")), "bearer-a");
}

TEST_F(Ledger, AmendmentOfAForgottenOutcomeTouchesNoLaterClaim) {
  const auto intended_at = Now();
  ClaimFor("a");
  ledger_.Settle("a", Failure{.reason = Reason::kOutcomeUnknown}, intended_at);
  loop_.Advance(minutes(11));
  ASSERT_TRUE(IsFresh(ClaimFor("a")));
  ledger_.Amend("a", AnswerOf("bearer-old"), intended_at);
  ledger_.Settle("a", AnswerOf("bearer-new"), Now());
  ledger_.Amend("a", std::nullopt, intended_at);
  EXPECT_EQ(BearerIn(ClaimFor("a")), "bearer-new");
}

TEST_F(Ledger, FirstToJoinTakesTheAbandonersPlace) {
  ClaimFor("a");
  Seen& heir = ClaimFor("a");
  Seen& joined = ClaimFor("a");
  ledger_.Abandon("a");
  EXPECT_TRUE(IsFresh(heir));
  EXPECT_EQ(joined, std::nullopt);
  ledger_.Settle("a", AnswerOf("bearer-a"), Now());
  EXPECT_EQ(BearerIn(joined), "bearer-a");
}

TEST_F(Ledger, KeepsNothingOfAJoinerThatLeft) {
  ClaimFor("a");
  auto held = std::make_shared<int>(0);
  const std::weak_ptr<int> watched = held;
  int called = 0;
  ledger_.Admit({.request_id = "a", .digest = DigestFor("ci")}, &called,
                [&called, held = std::move(held)](const AdmitResult&) { ++called; });
  Seen& stays = ClaimFor("a");
  ledger_.Leave("a", &called);
  EXPECT_TRUE(watched.expired());
  ledger_.Settle("a", AnswerOf("bearer-a"), Now());
  EXPECT_EQ(called, 0);
  EXPECT_EQ(BearerIn(stays), "bearer-a");
}

TEST_F(Ledger, WhoIsToldOfAnOutcomeMayEndAnotherThatWaitsForIt) {
  for (const bool settles : {true, false}) {
    ClaimFor("a");
    int left = 0;
    ledger_.Admit({.request_id = "a", .digest = DigestFor("ci")}, this,
                  [&](const AdmitResult&) { ledger_.Leave("a", &left); });
    ledger_.Admit({.request_id = "a", .digest = DigestFor("ci")}, &left,
                  [&left](const AdmitResult&) { ++left; });
    Seen& stays = ClaimFor("a");
    if (settles) {
      ledger_.Settle("a", AnswerOf("bearer-a"), Now() - minutes(10));
    } else {
      ledger_.Refuse("a", {.reason = Reason::kUpstreamRejected});
    }
    EXPECT_EQ(left, 0);
    EXPECT_TRUE(stays);
  }
}

TEST_F(Ledger, WhoIsToldOfARefusalMayTryAgainAtOnce) {
  ClaimFor("a");
  std::optional<AdmitResult> again;
  ledger_.Admit({.request_id = "a", .digest = DigestFor("ci")}, this, [&](const AdmitResult&) {
    ledger_.Admit({.request_id = "a", .digest = DigestFor("ci")}, &again,
                  [&again](AdmitResult claim) { again = std::move(claim); });
  });
  Seen& joined = ClaimFor("a");
  ledger_.Refuse("a", {.reason = Reason::kUpstreamRejected});
  EXPECT_TRUE(IsFresh(again));
  EXPECT_EQ(ReasonIn(joined), Reason::kUpstreamRejected);
  EXPECT_EQ(ClaimFor("a"), std::nullopt) << "it is joined to the new one";
}

TEST(EndedLedger, CallsNobodyThoughItEndsWhileItTells) {
  fakes::HandCrankedLoop loop;
  auto ledger =
      std::make_unique<MemoryState>(loop, config::Requests{.remember = minutes(10), .max_entries = 4});
  int told = 0;
  for (int joiner = 0; joiner < 4; ++joiner) {
    ledger->Admit({.request_id = "a", .digest = DigestFor("ci")}, &joiner, [&](const AdmitResult&) {
      if (std::exchange(told, told + 1) == 1) ledger.reset();  // the first is the claimant
    });
  }
  ledger->Settle("a", AnswerOf("bearer-a"), loop.clock().Now());
  EXPECT_EQ(told, 2);
}

TEST_F(Ledger, OutcomesAreForgottenOnTimeInWhateverOrderTheyCome) {
  ledger_.Restore("late", DigestFor("ci"), {}, 1, Now());
  ledger_.Restore("early", DigestFor("ci"), {}, 1, Now() - minutes(5));
  loop_.Advance(minutes(5) + milliseconds(100));
  EXPECT_EQ(ledger_.entries(), 1U);
}

TEST_F(Ledger, AnIdThatIsSettledAnewIsKeptToItsNewExpiry) {
  ledger_.Restore("a", DigestFor("ci"), {}, 1, Now() - minutes(9));
  ledger_.Restore("a", DigestFor("ci"), {}, 5, Now());
  ledger_.Settle("a", Failure{.reason = Reason::kOutcomeUnknown, .audit_sequence = 6}, Now() + minutes(1));
  loop_.Advance(minutes(10) + milliseconds(500));
  EXPECT_EQ(FailureIn(ClaimFor("a")).audit_sequence, 6U);
}

TEST_F(Ledger, RemembersFromTheIntentAndWipesTheBearerThen) {
  const auto intended_at = Now();
  ClaimFor("a");
  loop_.Advance(minutes(1));
  Answered answered = AnswerOf("bearer-a");
  const std::weak_ptr<const Token> token = answered.token;
  ledger_.Settle("a", std::move(answered), intended_at);
  loop_.Advance(minutes(9) - milliseconds(1));
  EXPECT_EQ(BearerIn(ClaimFor("a")), "bearer-a");
  seen_.clear();
  loop_.Advance(milliseconds(200));
  EXPECT_TRUE(token.expired());
  EXPECT_EQ(ledger_.entries(), 0U);
  EXPECT_TRUE(IsFresh(ClaimFor("a")));
}

TEST_F(Ledger, NeverForgetsARunningCall) {
  ClaimFor("a");
  loop_.Advance(minutes(60));
  EXPECT_EQ(ClaimFor("a"), std::nullopt);
}

TEST_F(Ledger, FullOfUnexpiredEntriesIsOverloadedUntilTheFirstExpires) {
  for (const char* id : {"a", "b", "c"}) {
    ClaimFor(id);
    ledger_.Settle(id, AnswerOf(id), Now());
    loop_.Advance(minutes(1));
  }
  Seen& refused = ClaimFor("d");
  EXPECT_EQ(ReasonIn(refused), Reason::kOverloaded);
  EXPECT_EQ(std::get<Failure>(*refused).retry_after, minutes(7));
  EXPECT_EQ(BearerIn(ClaimFor("a")), "a");
  loop_.Advance(minutes(7));
  EXPECT_TRUE(IsFresh(ClaimFor("d")));
}

TEST_F(Ledger, KnowsWhatAnEarlierRunIntended) {
  ledger_.Restore("a", DigestFor("ci"), {}, 3, Now() - minutes(4));
  EXPECT_EQ(ReasonIn(ClaimFor("a")), Reason::kOutcomeUnknown);
  EXPECT_EQ(ReasonIn(ClaimFor("a", "other")), Reason::kRequestIdReused);
  loop_.Advance(minutes(7));
  EXPECT_TRUE(IsFresh(ClaimFor("a")));
}

TEST_F(Ledger, TellsARetryWhatTheFirstCallAskedFor) {
  const Target first{"acme", "ios-app", {"sdk"}};
  const Target now{"acme", "ios-app", {"beta"}};
  const auto ask = [this](const Target& target) -> Seen& {
    Seen& seen = seen_.emplace_back();
    ledger_.Admit({.request_id = "a", .digest = DigestFor("ci"), .target = target}, &seen,
                  [&seen](AdmitResult result) { seen = std::move(result); });
    return seen;
  };
  ask(first);
  Seen& joined = ask(now);
  ledger_.Settle("a", AnswerOf("bearer-a"), Now());
  EXPECT_EQ(std::get<Known>(joined.value()).first, first);
  EXPECT_EQ(std::get<Known>(ask(now).value()).first, first);
}

TEST_F(Ledger, IdWithoutADigestIsKnownWhateverTheParameters) {
  ledger_.Restore("a", std::nullopt, {"acme", "ios-app", {"sdk"}}, 1, Now());
  EXPECT_EQ(ReasonIn(ClaimFor("a")), Reason::kOutcomeUnknown);
  EXPECT_EQ(ReasonIn(ClaimFor("a", "other")), Reason::kOutcomeUnknown);
}

TEST(LedgerIdTest, IsACallersOwn) {
  EXPECT_EQ(LedgerId("ci", "", "a"), LedgerId("ci", "", "a"));
  EXPECT_NE(LedgerId("ci", "", "a"), LedgerId("other", "", "a"));
  EXPECT_NE(LedgerId("ci", "", "a"), LedgerId("ci", "", "b"));
  EXPECT_EQ(LedgerId("a b\n", "c d\n", "a").find_first_of(" \n"), std::string::npos);
}

// Replicas of an earlier version and entries in Redis have it so.
TEST(LedgerIdTest, StaysAsItWasForCallersThatAreNoRelay) {
  EXPECT_EQ(LedgerId("ci", "", "a"), "81f7400f7d5310d11e1129d6cb862e9a:a");
}

TEST(LedgerIdTest, IsARelaysOwnAndDividedByItsCallers) {
  EXPECT_NE(LedgerId("relay", "ci", "a"), LedgerId("relay", "", "a"));
  EXPECT_NE(LedgerId("relay", "ci", "a"), LedgerId("relay", "dev", "a"));
  EXPECT_NE(LedgerId("relay", "ci", "a"), LedgerId("ci", "relay", "a"));
  EXPECT_EQ(OwnerOf(LedgerId("relay", "ci", "a")), OwnerOf(LedgerId("relay", "", "b")));
}

TEST(RequestDigest, IsReadBackFromItsText) {
  const RequestDigest digest = DigestFor("ci");
  const std::string text = ToText(digest);
  EXPECT_EQ(text.size(), 66U);
  EXPECT_EQ(ParseDigest(text), digest);
  for (const std::string& other : {std::string(), "2:" + text.substr(2), text.substr(2), text + "0",
                                   text.substr(0, 65) + "g", text.substr(0, 64) + "-1"}) {
    EXPECT_EQ(ParseDigest(other), std::nullopt) << other;
  }
}

TEST(RequestDigest, TellsEveryParameterApart) {
  const RequestDigest digest = DigestOf("ci", "acme", "app", {"a", "b"}, "text");
  EXPECT_EQ(digest, DigestOf("ci", "acme", "app", {"a", "b"}, "text"));
  EXPECT_NE(digest, DigestOf("c", "iacme", "app", {"a", "b"}, "text"));
  EXPECT_NE(digest, DigestOf("ci", "acme2", "app", {"a", "b"}, "text"));
  EXPECT_NE(digest, DigestOf("ci", "acme", "app", {"ab"}, "text"));
  EXPECT_NE(digest, DigestOf("ci", "acme", "app", {"a"}, "text"));
  EXPECT_NE(digest, DigestOf("ci", "acme", "app", {"a", "b"}, "text2"));
}

}  // namespace
}  // namespace tokend::state
