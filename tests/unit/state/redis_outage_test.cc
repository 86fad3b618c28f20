#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/form.h"
#include "tests/unit/state/redis_world.h"

namespace tokend::state {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const fakes::RedisServer::Options kDurable{.settings = {"--appendonly", "yes", "--appendfsync", "always"}};

class RedisOutage : public RedisWorld {
 protected:
  explicit RedisOutage(fakes::RedisServer::Options options = kDurable) : RedisWorld(std::move(options)) {}

  Admission ByDaemon(const std::string& id, Charges charges = {}) {
    Admission admission = AdmissionOf(id, "ci", std::move(charges));
    admission.age = seconds(0);
    return admission;
  }

  // Redis is killed and started again, and contact is made again.
  void Restart(std::initializer_list<Replica*> replicas) {
    server_.Kill();
    for (Replica* replica : replicas) ASSERT_TRUE(OutOfContact(*replica));
    server_.Start();
    for (Replica* replica : replicas) ASSERT_TRUE(InContact(*replica));
  }
  void RestartEmpty(std::initializer_list<Replica*> replicas) {
    server_.Kill();
    for (Replica* replica : replicas) ASSERT_TRUE(OutOfContact(*replica));
    server_.StartEmpty();
    for (Replica* replica : replicas) ASSERT_TRUE(InContact(*replica));
  }
  bool Eventually(Replica& replica, const std::string& id, const std::string& outcome) {
    return loop_.RunUntil([&] { return Now(replica, id) == outcome; });
  }
};

TEST_F(RedisOutage, RefusesEverythingWhileRedisIsOutOfReach) {
  Replica& a = Start();
  server_.Kill();
  ASSERT_TRUE(OutOfContact(a));
  const Seen& refused = Admit(a, "x");
  ASSERT_NE(refused, std::nullopt) << "it is refused at once";
  EXPECT_EQ(Words(*refused), "LIMITS_UNAVAILABLE");
  EXPECT_TRUE(FailureIn(refused).retry_after.has_value());
  EXPECT_EQ(Outcome(Admit(a, ByDaemon("y"))), "LIMITS_UNAVAILABLE");
  SeenSpend spent;
  a->Spend(Own(ChargeOf("own", 1, seconds(1))), Clock(), &spent, [&](SpendResult result) { spent = result; });
  EXPECT_EQ(std::get<Failure>(spent.value()).reason, Reason::kLimitsUnavailable);
  std::optional<std::optional<Failure>> checked;
  a->Check({}, Clock(), [&](std::optional<Failure> refusal) { checked = std::move(refusal); });
  EXPECT_EQ(checked.value().value().reason, Reason::kLimitsUnavailable);
  std::optional<Status> levels;
  a->Levels({}, [&](const Result<std::vector<TimePoint>>& result) { levels = result.status(); });
  EXPECT_FALSE(levels.value().ok());
}

TEST_F(RedisOutage, IsNotReadyBeforeThereIsContactAndSaysWhy) {
  server_.Kill();
  Replica& a = Begin();
  EXPECT_FALSE(a->health().ok());
  EXPECT_EQ(Now(a, "x"), "LIMITS_UNAVAILABLE");
  EXPECT_TRUE(loop_.RunUntil([&] { return a->health().message() == "there is no connection to Redis"; }));
  server_.Start();
  EXPECT_TRUE(InContact(a));
  EXPECT_EQ(Now(a, "x"), "fresh");
}

TEST_F(RedisOutage, WhoWaitsForItsTurnOrHasJoinedIsTold) {
  Replica& a = Start();
  Replica& b = Start();
  const Charges charges = Organization(ChargeOf("org", 1, seconds(60)));
  ASSERT_EQ(Outcome(Admit(a, AdmissionOf("x", "ci", charges))), "fresh");
  Admission call = AdmissionOf("y", "ci", charges);
  call.latest = Clock() + minutes(10);
  const Seen& waits = Admit(b, call);
  const Seen& joined = Admit(b, AdmissionOf("x", "ci", charges));
  ASSERT_TRUE(loop_.RunUntil([this] { return Keys("q:") == 1; }));
  SeenSpend spends;
  b->Spend(charges, Clock() + minutes(10), &spends, [&](SpendResult result) { spends = result; });
  ASSERT_TRUE(loop_.RunUntil([this] { return server_.Ask({"HLEN", "{tokend}:w:acme"}) == "2"; }));
  Restart({&a, &b});
  EXPECT_EQ(Outcome(waits), "LIMITS_UNAVAILABLE");
  EXPECT_EQ(Outcome(joined), "LIMITS_UNAVAILABLE");
  EXPECT_EQ(std::get<Failure>(spends.value()).reason, Reason::kLimitsUnavailable);
  // They hold nothing.
  EXPECT_TRUE(loop_.RunUntil([this] { return Keys("q:") == 0; }));
  EXPECT_TRUE(Eventually(a, "y", "fresh"));
}

TEST_F(RedisOutage, WhatWasSettledMeanwhileIsKnownAfterwards) {
  Replica& a = Start();
  Replica& b = Start();
  for (const char* id : {"token", "unknown", "refused", "left", "amended", "unmade"})
    ASSERT_EQ(Now(a, id), "fresh");
  const Seen& joined = Admit(a, "token");
  server_.Kill();
  ASSERT_TRUE(OutOfContact(a));
  ASSERT_TRUE(OutOfContact(b));
  const TimePoint intended_at = Clock();
  a->Settle("token", AnswerOf("bearer-x"), intended_at);
  EXPECT_EQ(Outcome(joined), "bearer-x") << "who joined here needs no Redis";
  a->Settle("unknown", Failure{.reason = Reason::kOutcomeUnknown, .audit_sequence = 5}, intended_at);
  a->Refuse("refused", {.reason = Reason::kUpstreamRejected});
  a->Abandon("left");
  for (const char* id : {"amended", "unmade"})
    a->Settle(id, Failure{.reason = Reason::kOutcomeUnknown}, intended_at);
  a->Amend("amended", AnswerOf("bearer-y"), intended_at);
  a->Amend("unmade", std::nullopt, intended_at);
  server_.Start();
  ASSERT_TRUE(InContact(a));
  ASSERT_TRUE(InContact(b));
  EXPECT_EQ(Now(b, "token"), "bearer-x");
  EXPECT_EQ(Now(b, "unknown"), "OUTCOME_UNKNOWN");
  EXPECT_EQ(FailureIn(seen_.back()).audit_sequence, 5U);
  EXPECT_EQ(Now(b, "amended"), "bearer-y");
  EXPECT_TRUE(Eventually(b, "refused", "fresh"));
  EXPECT_TRUE(Eventually(b, "left", "fresh"));
  EXPECT_TRUE(Eventually(b, "unmade", "fresh"));
}

TEST_F(RedisOutage, ARedisThatWasKilledKnowsAllThatItHadSaid) {
  Replica& a = Start();
  Replica& b = Start();
  ASSERT_EQ(Now(a, "x"), "fresh");
  a->Settle("x", AnswerOf("bearer-x"), Clock());
  ASSERT_EQ(Now(b, "x"), "bearer-x");
  ASSERT_EQ(Now(a, "running"), "fresh");
  Restart({&a, &b});
  EXPECT_EQ(Now(b, "x"), "bearer-x");
  EXPECT_TRUE(Eventually(b, "new", "fresh"));
  const Seen& joined = Admit(b, "running");
  a->Settle("running", AnswerOf("bearer-r"), Clock());
  EXPECT_EQ(Outcome(joined), "bearer-r");
}

class RedisStandstill : public RedisOutage {
 protected:
  RedisStandstill() { timeout_ = milliseconds(300); }
};

TEST_F(RedisStandstill, AClaimThatMayHaveBeenWrittenIsRefusedAndUndone) {
  Replica& a = Start();
  Replica& b = Start();
  const Charges charges = Own(ChargeOf("own", 10, seconds(60)));
  server_.Pause();
  const TimePoint begin = Clock();
  const Seen& asked = Admit(a, AdmissionOf("x", "ci", charges));
  EXPECT_EQ(Outcome(asked), "LIMITS_UNAVAILABLE");
  EXPECT_LT(Clock() - begin, seconds(2));
  EXPECT_EQ(Now(a, "x"), "LIMITS_UNAVAILABLE");
  server_.Resume();
  ASSERT_TRUE(InContact(a));
  ASSERT_TRUE(InContact(b));
  // As soon as it can be run no more.
  EXPECT_TRUE(Eventually(b, "x", "fresh"));
}

TEST_F(RedisStandstill, AClaimIsNotMadeLongAfterItWasGivenUp) {
  Replica& a = Start();
  ASSERT_EQ(Now(a, "warm"), "fresh");
  server_.Pause();
  EXPECT_EQ(Now(a, "x"), "LIMITS_UNAVAILABLE");
  loop_.RunFor(RedisSession::kScriptLife + milliseconds(500));
  server_.Resume();
  ASSERT_TRUE(InContact(a));
  EXPECT_EQ(Keys("r:x"), 0U);
  EXPECT_EQ(Now(a, "x"), "fresh");
}

TEST_F(RedisStandstill, EveryCallIsAnsweredOnceHoweverOftenRedisStandsStill) {
  Replica& a = Start();
  Replica& b = Start();
  const Charges charges = Organization(ChargeOf("org", 5, milliseconds(20)));
  std::vector<const Seen*> calls;
  int id = 0;
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 40; ++i) {
      calls.push_back(
          &Admit(i % 2 == 0 ? a : b, AdmissionOf("id-" + std::to_string(++id % 60), "ci", charges)));
      if (i == 20) server_.Pause();
      loop_.RunFor(milliseconds(2));
    }
    loop_.RunFor(milliseconds(round % 2 == 0 ? 100 : 600));
    server_.Resume();
    ASSERT_TRUE(InContact(a));
    ASSERT_TRUE(InContact(b));
    // Those who run are refused, so that their ids are free again.
    for (int i = 0; i < 60; ++i) {
      a->Refuse("id-" + std::to_string(i), {.reason = Reason::kUpstreamRejected});
      b->Refuse("id-" + std::to_string(i), {.reason = Reason::kUpstreamRejected});
    }
  }
  for (const Seen* seen : calls) {
    ASSERT_TRUE(loop_.RunUntil([&] {
      for (int i = 0; i < 60; ++i) {
        a->Refuse("id-" + std::to_string(i), {.reason = Reason::kUpstreamRejected});
        b->Refuse("id-" + std::to_string(i), {.reason = Reason::kUpstreamRejected});
      }
      return seen->has_value();
    }));
  }
}

TEST_F(RedisStandstill, NobodyIsToldOnceTheStateHasEnded) {
  Replica& a = Start();
  ASSERT_EQ(Now(a, "warm"), "fresh");
  server_.Pause();
  const Seen& asking = Admit(a, "x");
  SeenSpend spends;
  a->Spend(Own(ChargeOf("own", 1, seconds(1))), Clock(), &spends,
           [&](SpendResult result) { spends = result; });
  Kill(a);
  loop_.RunFor(milliseconds(100));
  EXPECT_EQ(asking, std::nullopt);
  EXPECT_EQ(spends, std::nullopt);
  server_.Resume();
}

class LocalRedis : public RedisOutage {
 protected:
  LocalRedis() : a_(Start(config::OnRedisFailure::kLocal)) {}
  Replica& a_;
};

TEST_F(LocalRedis, RequestsWithoutAnIdOfTheirOwnGoOnUnderTheReplicasLimits) {
  Replica& b = Start();
  server_.Kill();
  ASSERT_TRUE(OutOfContact(a_));
  ASSERT_TRUE(OutOfContact(b));
  EXPECT_TRUE(a_->health().ok());
  EXPECT_FALSE(b->health().ok());
  const Charges charges = Own(ChargeOf("own", 2, seconds(60)));
  EXPECT_EQ(Outcome(Admit(a_, ByDaemon("x", charges))), "fresh");
  EXPECT_EQ(Outcome(Admit(a_, ByDaemon("y", charges))), "fresh");
  EXPECT_EQ(Outcome(Admit(a_, ByDaemon("z", charges))), "RATE_LIMITED");
  EXPECT_EQ(Now(a_, "of-a-caller"), "LIMITS_UNAVAILABLE");
  a_->Settle("x", AnswerOf("bearer-x"), Clock());
  a_->Refuse("y", {.reason = Reason::kUpstreamRejected});
  server_.Start();
  ASSERT_TRUE(InContact(a_));
  ASSERT_TRUE(InContact(b));
  EXPECT_EQ(Now(b, "x"), "bearer-x");
  EXPECT_TRUE(Eventually(b, "y", "fresh"));
}

TEST_F(LocalRedis, WhatWasSpentHereIsGivenBackHere) {
  server_.Kill();
  ASSERT_TRUE(OutOfContact(a_));
  const Charges charges = Own(ChargeOf("own", 1, seconds(60)));
  const Seen& first = Admit(a_, ByDaemon("x", charges));
  ASSERT_EQ(Outcome(first), "fresh");
  ASSERT_EQ(Outcome(Admit(a_, ByDaemon("y", charges))), "RATE_LIMITED");
  a_->GiveBack(charges, std::get<Fresh>(*first).spent);
  EXPECT_EQ(Outcome(Admit(a_, ByDaemon("y", charges))), "fresh");
}

TEST_F(LocalRedis, WhoWaitsInRedisWaitsHereInstead) {
  const Charges charges = Organization(ChargeOf("org", 1, seconds(60)));
  ASSERT_EQ(Outcome(Admit(a_, ByDaemon("x", charges))), "fresh");
  Admission call = ByDaemon("y", charges);
  call.latest = Clock() + minutes(10);
  const Seen& waits = Admit(a_, call);
  ASSERT_TRUE(loop_.RunUntil([this] { return Keys("q:") == 1; }));
  server_.Kill();
  EXPECT_EQ(Outcome(waits), "fresh");
}

TEST_F(LocalRedis, WhoWaitsHereMayLeave) {
  server_.Kill();
  ASSERT_TRUE(OutOfContact(a_));
  const Charges charges = Organization(ChargeOf("org", 1, seconds(1)));
  ASSERT_EQ(Outcome(Admit(a_, ByDaemon("x", charges))), "fresh");
  const Seen& left = Admit(a_, ByDaemon("y", charges));
  const Seen& next = Admit(a_, ByDaemon("z", charges));
  a_->Leave("y", &left);
  EXPECT_EQ(Outcome(next), "fresh");
  EXPECT_EQ(left, std::nullopt);
}

TEST_F(RedisOutage, AnEmptyRedisIsInQuarantineUntilWhatItForgotIsForgotten) {
  requests_.remember = seconds(60);
  Replica& a = Start();
  Replica& b = Start();
  ASSERT_EQ(Now(a, "token"), "fresh");
  ASSERT_EQ(Now(a, "unknown"), "fresh");
  ASSERT_EQ(Now(b, "running"), "fresh");
  a->Settle("token", AnswerOf("bearer-x"), Clock());
  a->Settle("unknown", Failure{.reason = Reason::kOutcomeUnknown}, Clock());
  ASSERT_EQ(Now(b, "token"), "bearer-x");
  RestartEmpty({&a, &b});
  // What living replicas know they have told it.
  EXPECT_EQ(Now(b, "token"), "bearer-x");
  EXPECT_EQ(Now(b, "unknown"), "OUTCOME_UNKNOWN");
  const Seen& joined = Admit(a, "running");
  // Others may have had a token.
  const Seen& new_id = Admit(a, "new");
  EXPECT_EQ(Outcome(new_id), "LIMITS_UNAVAILABLE");
  EXPECT_GT(FailureIn(new_id).retry_after.value(), seconds(30));
  EXPECT_LE(FailureIn(new_id).retry_after.value(), seconds(60));
  EXPECT_EQ(Outcome(Admit(a, ByDaemon("by-daemon"))), "fresh");
  b->Settle("running", AnswerOf("bearer-r"), Clock());
  EXPECT_EQ(Outcome(joined), "bearer-r");
}

TEST_F(RedisOutage, InQuarantineARelaysFirstCallIsServedAndALaterOneIsNot) {
  Replica& a = Start();
  RestartEmpty({&a});
  Admission again = AdmissionOf("again");
  again.age = seconds(1);
  EXPECT_EQ(Outcome(Admit(a, ByDaemon("first"))), "fresh");
  EXPECT_EQ(Outcome(Admit(a, again)), "LIMITS_UNAVAILABLE");
  again.age = std::chrono::hours(1);
  EXPECT_EQ(Outcome(Admit(a, std::move(again))), "LIMITS_UNAVAILABLE");
}

TEST_F(RedisOutage, QuarantineEnds) {
  requests_.remember = seconds(3);
  Replica& a = Start();
  RestartEmpty({&a});
  EXPECT_EQ(Now(a, "x"), "LIMITS_UNAVAILABLE");
  EXPECT_TRUE(Eventually(a, "x", "fresh"));
}

TEST_F(RedisOutage, ARedisThatIsFlushedWhileItRunsIsNoticed) {
  Replica& a = Start();
  Replica& b = Start();
  ASSERT_EQ(Now(a, "token"), "fresh");
  a->Settle("token", AnswerOf("bearer-x"), Clock());
  ASSERT_EQ(Now(b, "token"), "bearer-x");
  server_.Ask({"FLUSHALL"});
  EXPECT_EQ(Now(b, "token"), "LIMITS_UNAVAILABLE");
  ASSERT_TRUE(loop_.RunUntil([&] { return Now(b, "token") == "bearer-x"; }));
  EXPECT_EQ(Now(b, "new"), "LIMITS_UNAVAILABLE");
}

TEST_F(RedisOutage, AReplicaThatComesToAnEpochOfAnothersMakingKeepsItsQuarantine) {
  Replica& a = Start();
  server_.Kill();
  ASSERT_TRUE(OutOfContact(a));
  server_.StartEmpty();
  // One that knew of nothing had begun it.
  const std::string now = server_.Ask({"TIME"});
  const std::string created = now.substr(0, now.find('\n')) + "000000";
  server_.Ask({"HSET", "{tokend}:epoch", "id", "others", "created", created, "quarantine", "0"});
  ASSERT_TRUE(InContact(a));
  EXPECT_EQ(Now(a, "x"), "LIMITS_UNAVAILABLE");
}

TEST_F(RedisOutage, ReplicasThatDifferSayInWhat) {
  Replica& a = Start();
  key_ = 'x';
  requests_.max_entries = 999;
  Replica& b = Start();
  const std::string both =
      "other replicas on this Redis have another value of requests, state.redis.encryption_key_file";
  const auto differs = [](const Replica& replica) {
    const std::vector<std::string> troubles = replica.state->Troubles();
    return troubles.empty() ? "" : troubles.front();
  };
  // The first whose beat Redis gets is what the others differ from.
  ASSERT_TRUE(loop_.RunUntil([&] { return differs(a) == both || differs(b) == both; }));
  const bool a_differs = differs(a) == both;
  EXPECT_EQ(differs(a_differs ? b : a), "");
  // Once the other has gone, there is nothing to differ from.
  Kill(a_differs ? b : a);
  EXPECT_TRUE(loop_.RunUntil([&] { return differs(a_differs ? a : b).empty(); }));
}

TEST_F(RedisOutage, ReplicasThatAreAlikeSayNothing) {
  Replica& a = Start();
  Replica& b = Start();
  ASSERT_TRUE(loop_.RunUntil([this] { return Keys("same:") == 2; }));
  loop_.RunFor(2 * RedisSession::kBeat);
  EXPECT_TRUE(a->Troubles().empty());
  EXPECT_TRUE(b->Troubles().empty());
  EXPECT_EQ(server_.Ask({"GET", "{tokend}:same:state.redis.encryption_key_file"}).find('k'),
            std::string::npos);
}

class RedisSnapshot : public RedisOutage {
 protected:
  RedisSnapshot() : RedisOutage({}) {}
};

TEST_F(RedisSnapshot, WritesThatRedisHasLostAreMadeAgain) {
  Replica& a = Start();
  Replica& b = Start();
  ASSERT_EQ(Now(a, "before"), "fresh");
  a->Settle("before", AnswerOf("bearer-b"), Clock());
  ASSERT_EQ(Now(b, "before"), "bearer-b");
  ASSERT_EQ(server_.Ask({"SAVE"}), "OK");
  ASSERT_EQ(Now(a, "after"), "fresh");
  a->Settle("after", AnswerOf("bearer-a"), Clock());
  ASSERT_EQ(Now(b, "after"), "bearer-a");
  ASSERT_EQ(Now(a, "running"), "fresh");
  Restart({&a, &b});
  EXPECT_EQ(Now(b, "before"), "bearer-b");
  EXPECT_EQ(Now(b, "after"), "bearer-a");
  const Seen& joined = Admit(b, "running");
  a->Settle("running", AnswerOf("bearer-r"), Clock());
  EXPECT_EQ(Outcome(joined), "bearer-r");
  EXPECT_TRUE(Eventually(b, "new", "fresh"));
}

TEST_F(RedisSnapshot, ReplicasHaveTimeToMakeThemAgainBeforeAnybodyMissesThem) {
  Replica& a = Start();
  Replica& b = Start();
  ASSERT_EQ(server_.Ask({"SAVE"}), "OK");
  ASSERT_EQ(Now(a, "x"), "fresh");
  // It will not be there in time.
  Kill(a);
  Restart({&b});
  const Seen& refused = Admit(b, "x");
  EXPECT_EQ(Outcome(refused), "LIMITS_UNAVAILABLE");
  EXPECT_LE(FailureIn(refused).retry_after.value(), seconds(2));
  EXPECT_EQ(Outcome(Admit(b, ByDaemon("y"))), "fresh");
}

TEST_F(RedisOutage, OutOfMemoryIsOutOfReachUntilThereIsSome) {
  Replica& a = Start();
  ASSERT_EQ(Now(a, "x"), "fresh");
  ASSERT_EQ(Now(a, "y"), "fresh");
  server_.Ask({"CONFIG", "SET", "maxmemory", "1"});
  EXPECT_EQ(Now(a, "z"), "LIMITS_UNAVAILABLE");
  a->Settle("x", AnswerOf("bearer-x"), Clock());
  a->Refuse("y", {.reason = Reason::kUpstreamRejected});
  EXPECT_TRUE(loop_.RunUntil([&] { return a->health().message() == "Redis is out of memory (maxmemory)"; }));
  EXPECT_EQ(Keys("r:z"), 0U);
  server_.Ask({"CONFIG", "SET", "maxmemory", "0"});
  ASSERT_TRUE(InContact(a));
  EXPECT_EQ(Now(a, "x"), "bearer-x");
  EXPECT_EQ(Now(a, "y"), "fresh");
  EXPECT_EQ(Now(a, "z"), "fresh");
}

TEST_F(RedisOutage, RestoredRequestIdsAreKnownToAllBeforeTheFirstCall) {
  Replica& b = Start();
  Replica& a = Begin();
  for (int i = 0; i < 300; ++i) {
    a->Restore("id-" + std::to_string(i), AdmissionOf("x").digest, {}, 40, Clock() - minutes(1));
  }
  ASSERT_TRUE(InContact(a));
  for (const char* id : {"id-0", "id-299"}) {
    EXPECT_EQ(Now(b, id), "OUTCOME_UNKNOWN");
    EXPECT_EQ(FailureIn(seen_.back()).audit_sequence, 40U);
    EXPECT_EQ(Now(a, id), "OUTCOME_UNKNOWN");
    EXPECT_EQ(Now(b, id, "other"), "REQUEST_ID_REUSED");
  }
  EXPECT_EQ(Now(a, "new"), "fresh");
}

TEST_F(RedisOutage, ARestartedReplicaAnswersWithWhatRedisKept) {
  Replica& a = Start();
  ASSERT_EQ(Now(a, "token"), "fresh");
  ASSERT_EQ(Now(a, "cut-off"), "fresh");
  a->Settle("token", AnswerOf("bearer-x"), Clock());
  ASSERT_EQ(Now(a, "token"), "bearer-x");
  Kill(a);
  Replica& again = Begin();
  for (const char* id : {"token", "cut-off"}) {
    again->Restore(id, AdmissionOf(id).digest, {}, 8, Clock());
  }
  ASSERT_TRUE(InContact(again));
  EXPECT_EQ(Now(again, "token"), "bearer-x");
  EXPECT_EQ(Now(again, "cut-off"), "OUTCOME_UNKNOWN");
  EXPECT_EQ(FailureIn(seen_.back()).audit_sequence, 8U);
}

TEST_F(RedisOutage, AReplicaThatWritesWhatItKnowsHoldsAQuarantineButBeginsNone) {
  const auto quarantine = [this] {
    return std::stoll(server_.Ask({"HGET", "{tokend}:epoch", "quarantine"}));
  };
  const auto write = [this](const std::string& id) {
    Replica& replica = Begin();
    replica->Restore(id, AdmissionOf(id).digest, {}, 1, Clock());
    ASSERT_TRUE(InContact(replica));
  };
  write("known without one");
  EXPECT_EQ(quarantine(), 0);

  const auto over = std::chrono::duration_cast<std::chrono::microseconds>(
                        (std::chrono::system_clock::now() + milliseconds(1500)).time_since_epoch())
                        .count();
  server_.Ask({"HSET", "{tokend}:epoch", "quarantine", std::to_string(over)});
  write("known within one");
  EXPECT_GT(quarantine(), over);
}

class FirstRedis : public RedisOutage {
 protected:
  FirstRedis() { server_.Ask({"DEL", "{tokend}:epoch"}); }
};

TEST_F(FirstRedis, TheFirstReplicaOfAllBeginsWithoutQuarantine) {
  const TimePoint begin = Clock();
  Replica& a = Begin();
  Replica& b = Begin();
  ASSERT_TRUE(InContact(a));
  ASSERT_TRUE(InContact(b));
  EXPECT_GE(Clock() - begin, RedisSession::kOthersFirst) << "others might have known better";
  EXPECT_EQ(Now(a, "x"), "fresh");
  EXPECT_EQ(Now(b, "y"), "fresh");
}

TEST_F(FirstRedis, AReplicaWithAPastFindsThatSomethingIsLost) {
  Replica& a = Begin();
  a->Restore("x", AdmissionOf("x").digest, {}, 1, Clock());
  ASSERT_TRUE(InContact(a));
  EXPECT_EQ(Now(a, "x"), "OUTCOME_UNKNOWN");
  EXPECT_EQ(Now(a, "new"), "LIMITS_UNAVAILABLE");
  EXPECT_NE(FailureIn(seen_.back()).detail.find("quarantine"), std::string::npos);
  EXPECT_LE(FailureIn(seen_.back()).retry_after, requests_.remember);
}

TEST_F(FirstRedis, AQuarantineIsShownByEveryReplicaUntilItEnds) {
  Replica& a = Begin();
  a->Restore("x", AdmissionOf("x").digest, {}, 1, Clock());
  ASSERT_TRUE(InContact(a));
  Replica& b = Start();
  for (Replica* replica : {&a, &b}) {
    EXPECT_NE((*replica)->quarantine().message().find("Redis has lost entries"), std::string::npos);
  }
  server_.Ask({"HSET", "{tokend}:epoch", "quarantine", "0"});
  EXPECT_TRUE(loop_.RunUntil([&] { return a->quarantine().ok() && b->quarantine().ok(); }));
}

}  // namespace
}  // namespace tokend::state
