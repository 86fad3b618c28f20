#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/unit/state/redis_world.h"

namespace tokend::state {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class RedisLedger : public RedisWorld {
 protected:
  RedisLedger() : a_(Start()), b_(Start()) {}

  Replica& a_;
  Replica& b_;
};

TEST_F(RedisLedger, GivesARequestIdToOneClaimantOfAllReplicas) {
  EXPECT_EQ(Now(a_, "x"), "fresh");
  const Seen& joined = Admit(b_, "x");
  loop_.RunFor(milliseconds(200));
  EXPECT_EQ(joined, std::nullopt);
  EXPECT_EQ(Now(b_, "y"), "fresh");
}

TEST_F(RedisLedger, AnswersTheSameRequestIdWithItsFirstOutcomeOnEachReplica) {
  ASSERT_EQ(Now(a_, "x"), "fresh");
  a_->Settle("x", AnswerOf("bearer-x", 42), Clock());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Now(a_, "x"), "bearer-x");
    EXPECT_EQ(Now(b_, "x"), "bearer-x");
    EXPECT_EQ(std::get<Answered>(seen_.back().value()).intent, 42U);
  }
}

TEST_F(RedisLedger, AnswersWhoJoinedARunningCallHereAndElsewhere) {
  ASSERT_EQ(Now(a_, "x"), "fresh");
  std::vector<Seen*> joined;
  for (int i = 0; i < 3; ++i) {
    joined.push_back(&Admit(a_, "x"));
    joined.push_back(&Admit(b_, "x"));
  }
  loop_.RunFor(milliseconds(120));
  a_->Settle("x", AnswerOf("bearer-x"), Clock());
  for (Seen* seen : joined) EXPECT_EQ(Outcome(*seen), "bearer-x");
}

TEST_F(RedisLedger, RefusesAnotherRequestUnderAKnownId) {
  ASSERT_EQ(Now(a_, "x", "ci"), "fresh");
  EXPECT_EQ(Now(a_, "x", "other"), "REQUEST_ID_REUSED");
  EXPECT_EQ(Now(b_, "x", "other"), "REQUEST_ID_REUSED");
  a_->Settle("x", AnswerOf("bearer-x"), Clock());
  EXPECT_EQ(Now(a_, "x", "other"), "REQUEST_ID_REUSED");
  EXPECT_EQ(Now(b_, "x", "other"), "REQUEST_ID_REUSED");
}

TEST_F(RedisLedger, ForgetsARefusalAtOnceAndTellsWhoJoinedHere) {
  ASSERT_EQ(Now(a_, "x"), "fresh");
  const Seen& joined = Admit(a_, "x");
  const Seen& joined_elsewhere = Admit(b_, "x");
  loop_.RunFor(milliseconds(100));
  a_->Refuse("x", {.reason = Reason::kUpstreamRejected});
  EXPECT_EQ(Outcome(joined), "UPSTREAM_REJECTED");
  // On another replica it may try for itself.
  EXPECT_EQ(Outcome(joined_elsewhere), "fresh");
}

TEST_F(RedisLedger, KeepsAnUnknownOutcomeWithItsSequence) {
  ASSERT_EQ(Now(a_, "x"), "fresh");
  a_->Settle("x",
             Failure{.reason = Reason::kUpstreamInvalidResponse, .upstream_code = 0, .audit_sequence = 9},
             Clock());
  const Seen& again = Admit(b_, "x");
  EXPECT_EQ(Outcome(again), "UPSTREAM_INVALID_RESPONSE");
  EXPECT_EQ(FailureIn(again).audit_sequence, 9U);
  EXPECT_EQ(FailureIn(again).upstream_code, 0);
}

TEST_F(RedisLedger, AmendsAnUnknownOutcomeOnceItIsKnown) {
  const TimePoint intended_at = Clock();
  ASSERT_EQ(Now(a_, "x"), "fresh");
  ASSERT_EQ(Now(a_, "y"), "fresh");
  a_->Settle("x", Failure{.reason = Reason::kOutcomeUnknown}, intended_at);
  a_->Settle("y", Failure{.reason = Reason::kOutcomeUnknown}, intended_at);
  EXPECT_EQ(Now(b_, "x"), "OUTCOME_UNKNOWN");
  a_->Amend("x", AnswerOf("bearer-x"), intended_at);
  a_->Amend("y", std::nullopt, intended_at);
  EXPECT_EQ(Now(a_, "x"), "bearer-x");
  EXPECT_EQ(Now(b_, "x"), "bearer-x");
  EXPECT_EQ(Now(a_, "y"), "fresh");
}

TEST_F(RedisLedger, OneThatJoinedTakesTheAbandonersPlace) {
  ASSERT_EQ(Now(a_, "x"), "fresh");
  const Seen& heir = Admit(a_, "x");
  const Seen& joined = Admit(a_, "x");
  a_->Abandon("x");
  EXPECT_EQ(Outcome(heir), "fresh");
  EXPECT_EQ(joined, std::nullopt);
  a_->Settle("x", AnswerOf("bearer-x"), Clock());
  EXPECT_EQ(Outcome(joined), "bearer-x");
}

TEST_F(RedisLedger, OneThatJoinedOnAnotherReplicaTakesTheAbandonersPlace) {
  ASSERT_EQ(Now(a_, "x"), "fresh");
  const Seen& heir = Admit(b_, "x");
  loop_.RunFor(milliseconds(100));
  a_->Abandon("x");
  EXPECT_EQ(Outcome(heir), "fresh");
}

TEST_F(RedisLedger, WhoLeftIsNotTold) {
  ASSERT_EQ(Now(a_, "x"), "fresh");
  const Seen& joined = Admit(a_, "x");
  const Seen& joined_elsewhere = Admit(b_, "x");
  loop_.RunFor(milliseconds(80));
  a_->Leave("x", &joined);
  b_->Leave("x", &joined_elsewhere);
  a_->Settle("x", AnswerOf("bearer-x"), Clock());
  EXPECT_EQ(Now(b_, "x"), "bearer-x");
  EXPECT_EQ(joined, std::nullopt);
  EXPECT_EQ(joined_elsewhere, std::nullopt);
}

TEST_F(RedisLedger, WhoLeavesBeforeItIsAnsweredHoldsNothing) {
  const Seen& left = Admit(a_, "x");
  a_->Leave("x", &left);
  EXPECT_EQ(Now(b_, "x"), "fresh");
  EXPECT_EQ(left, std::nullopt);
}

TEST_F(RedisLedger, WhoCameBehindOneThatLeftBeforeItWasAnsweredTakesItsPlace) {
  const Seen& left = Admit(a_, "x");
  const Seen& next = Admit(a_, "x");
  const Seen& last = Admit(a_, "x");
  a_->Leave("x", &left);
  EXPECT_EQ(Outcome(next), "fresh");
  EXPECT_EQ(left, std::nullopt);
  a_->Settle("x", AnswerOf("bearer-x"), Clock());
  EXPECT_EQ(Outcome(last), "bearer-x");
}

TEST_F(RedisLedger, OneThatIsToldMayLeaveAnotherOrEndTheState) {
  ASSERT_EQ(Now(a_, "x"), "fresh");
  bool first_told = false;
  bool second_told = false;
  bool third_told = false;
  a_->Admit(AdmissionOf("x"), &first_told, [&](const Claim&) {
    first_told = true;
    a_->Leave("x", &second_told);
  });
  a_->Admit(AdmissionOf("x"), &second_told, [&](const Claim&) { second_told = true; });
  a_->Admit(AdmissionOf("x"), &third_told, [&](const Claim&) {
    third_told = true;
    Kill(a_);
  });
  bool fourth_told = false;
  a_->Admit(AdmissionOf("x"), &fourth_told, [&](const Claim&) { fourth_told = true; });
  a_->Settle("x", AnswerOf("bearer-x"), Clock());
  EXPECT_TRUE(first_told);
  EXPECT_FALSE(second_told);
  EXPECT_TRUE(third_told);
  EXPECT_FALSE(fourth_told);
}

TEST_F(RedisLedger, OutcomeOfARequestThatADeadReplicaRanIsUnknown) {
  ASSERT_EQ(Now(a_, "x"), "fresh");
  const Seen& joined = Admit(b_, "x");
  loop_.RunFor(milliseconds(100));
  Kill(a_);
  // Its lease may yet live for five seconds.
  EXPECT_EQ(Outcome(joined), "OUTCOME_UNKNOWN");
  EXPECT_EQ(Now(b_, "x"), "OUTCOME_UNKNOWN");
}

TEST_F(RedisLedger, ShowsRedisNoBearer) {
  ASSERT_EQ(Now(a_, "x"), "fresh");
  a_->Settle("x", AnswerOf("the-bearer"), Clock());
  ASSERT_EQ(Now(b_, "x"), "the-bearer");
  const std::string entry = server_.Ask({"HGETALL", "{tokend}:r:x"});
  EXPECT_NE(entry.find("token"), std::string::npos);
  EXPECT_EQ(entry.find("the-bearer"), std::string::npos);
}

TEST_F(RedisLedger, BearerThatDoesNotOpenIsAnUnknownOutcome) {
  ASSERT_EQ(Now(a_, "x"), "fresh");
  a_->Settle("x", AnswerOf("bearer-x", 12), Clock());
  ASSERT_EQ(Now(b_, "x"), "bearer-x");
  ASSERT_EQ(Now(a_, "y"), "fresh");
  a_->Settle("y", AnswerOf("bearer-y"), Clock());
  ASSERT_EQ(Now(b_, "y"), "bearer-y");
  // One's bearer for the other.
  server_.Ask({"HSET", "{tokend}:r:x", "sealed", server_.Ask({"HGET", "{tokend}:r:y", "sealed"})});
  const Seen& again = Admit(b_, "x");
  EXPECT_EQ(Outcome(again), "OUTCOME_UNKNOWN");
  EXPECT_EQ(FailureIn(again).audit_sequence, 12U);
}

TEST_F(RedisLedger, EverythingInRedisExpires) {
  ASSERT_EQ(Now(a_, "x"), "fresh");
  a_->Settle("x", AnswerOf("bearer-x"), Clock());
  ASSERT_EQ(Now(a_, "y"), "fresh");
  const Charge own = ChargeOf("own", 3, seconds(1));
  const Charge shared = ChargeOf("shared", 1, seconds(20));
  Charges charges{.own = {own}, .organization = {shared}, .organization_name = "acme", .caller = {}};
  ASSERT_EQ(Outcome(Admit(a_, AdmissionOf("z", "ci", charges))), "fresh");
  const Seen& waiting = Admit(b_, AdmissionOf("w", "ci", charges));
  ASSERT_TRUE(loop_.RunUntil([this] { return Keys("q:") == 1; }));
  EXPECT_EQ(waiting, std::nullopt);
  std::string keys = server_.Ask({"KEYS", "*"});
  EXPECT_GE(std::count(keys.begin(), keys.end(), '\n'), 11);
  for (std::size_t at = 0; at < keys.size();) {
    const std::string key = keys.substr(at, keys.find('\n', at) - at);
    at += key.size() + 1;
    EXPECT_EQ(key.rfind("{tokend}:", 0), 0U) << key;
    const std::int64_t left = std::stoll(server_.Ask({"PTTL", key}));
    if (key == "{tokend}:epoch") {
      EXPECT_EQ(left, -1);
    } else {
      EXPECT_GT(left, 0) << key;
      EXPECT_LE(left, 3600000) << key;
    }
  }
}

class ShortRedisLedger : public RedisWorld {
 protected:
  ShortRedisLedger() { requests_ = {.remember = milliseconds(400), .max_entries = 3}; }
};

TEST_F(ShortRedisLedger, ForgetsAnOutcomeOnceItsTimeIsOver) {
  Replica& a = Start();
  Replica& b = Start();
  ASSERT_EQ(Now(a, "x"), "fresh");
  a->Settle("x", AnswerOf("bearer-x"), Clock());
  ASSERT_EQ(Now(b, "x"), "bearer-x");
  EXPECT_TRUE(loop_.RunUntil([this] { return Keys("r:") == 0; }, seconds(5)));
  EXPECT_EQ(Now(b, "x"), "fresh");
}

TEST_F(ShortRedisLedger, RemembersFromTheIntentOn) {
  Replica& a = Start();
  ASSERT_EQ(Now(a, "x"), "fresh");
  a->Settle("x", AnswerOf("bearer-x"), Clock() - milliseconds(390));
  EXPECT_TRUE(loop_.RunUntil([&] { return Now(a, "x") == "fresh"; }, seconds(1)));
}

TEST_F(ShortRedisLedger, FullOfUnexpiredRefusesAndSaysUntilWhen) {
  Replica& a = Start();
  Replica& b = Start();
  for (const char* id : {"x", "y", "z"}) ASSERT_EQ(Now(a, id), "fresh");
  a->Settle("y", AnswerOf("bearer"), Clock());
  const Seen& full = Admit(b, "w");
  EXPECT_EQ(Outcome(full), "OVERLOADED");
  EXPECT_GT(FailureIn(full).retry_after.value(), milliseconds(0));
  EXPECT_LE(FailureIn(full).retry_after.value(), milliseconds(400));
  EXPECT_EQ(Now(b, "y"), "bearer");
  EXPECT_TRUE(loop_.RunUntil([&] { return Now(b, "w") == "fresh"; }, seconds(5)));
}

}  // namespace
}  // namespace tokend::state
