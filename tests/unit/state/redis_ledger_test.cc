#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "tests/unit/state/redis_world.h"

// What only Redis has of the ledger: several replicas, and keys that others can see. The rest is in
// state_contract_test.cc.
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
  // The bearer of one request_id under another.
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
  const Charges charges = Both(own, shared);
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

}  // namespace
}  // namespace tokend::state
