#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/state/redis/redis_state.h"
#include "daemon/state/redis/scripts.h"
#include "tests/fakes/hand_cranked_loop.h"

// What a replica does with answers in an order that no real Redis gives on purpose.
namespace tokend::state {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// Answers when its test says so.
class ScriptedRedis final : public Redis {
 public:
  struct Asked {
    const RedisScript* script;
    std::vector<std::string> arguments;
    Done done;
  };

  void Run(const RedisScript& script, std::vector<std::string> /*keys*/, std::vector<std::string> arguments,
           Done done) override {
    asked_.push_back({&script, std::move(arguments), std::move(done)});
  }

  std::size_t Count(const RedisScript& script) const {
    std::size_t count = 0;
    for (const Asked& asked : asked_) count += asked.script == &script ? 1 : 0;
    return count;
  }
  // Takes the first call of this script that waits for its answer.
  Asked Take(const RedisScript& script) {
    for (auto at = asked_.begin(); at != asked_.end(); ++at) {
      if (at->script != &script) continue;
      Asked asked = std::move(*at);
      asked_.erase(at);
      return asked;
    }
    ADD_FAILURE() << "this script was not run";
    return {&script, {}, [](const Result<RedisReply>&) {}};
  }

 private:
  std::deque<Asked> asked_;
};

class RedisContact : public testing::Test {
 protected:
  using Seen = std::optional<AdmitResult>;
  using SeenSpend = std::optional<SpendResult>;

  RedisContact() { loop_.RunPending(); }
  ~RedisContact() override {
    state_.reset();
    loop_.Discard();
  }

  std::int64_t Time() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(loop_.clock().WallNow().time_since_epoch())
        .count();
  }
  void Answer(const RedisScript& script, const std::string& word, std::vector<RedisReply> more = {}) {
    std::vector<RedisReply> reply = {{word}, {Time()}, {std::int64_t{0}}};
    reply.insert(reply.end(), more.begin(), more.end());
    redis_.Take(script).done(RedisReply{std::move(reply)});
    loop_.RunPending();
  }
  void Fail(const RedisScript& script, const Status& why) {
    redis_.Take(script).done(why);
    loop_.RunPending();
  }

  void MakeContact() {
    Answer(scripts_.hello, "epoch", {{std::string("first")}, {std::int64_t{0}}, {std::int64_t{0}}});
    ASSERT_TRUE(state_->reach().ok());
  }
  // A beat that fails.
  void LoseContact() {
    while (redis_.Count(scripts_.beat) == 0) loop_.Advance(RedisSession::kBeat);
    Fail(scripts_.beat, absl::UnknownError("the connection to Redis broke"));
    ASSERT_FALSE(state_->reach().ok());
  }
  // The call waits, and the first in the queue has its turn in ten seconds.
  void AnswerWaits(const RedisScript& script) {
    Answer(script, "waits", {{Time() + 10'000'000}, {std::int64_t{1}}});
  }

  Seen& Admit(const std::string& id) {
    Seen& seen = seen_.emplace_back();
    state_->Admit({.request_id = id,
                   .digest = DigestOf("ci", "acme", "ios-app", {"sdk"}, ""),
                   .caller = "ci",
                   .charges = charges_,
                   .latest = loop_.clock().Now() + minutes(1)},
                  &seen, [&seen](AdmitResult claim) { seen = std::move(claim); });
    return seen;
  }
  SeenSpend& Spend() {
    SeenSpend& seen = seen_spend_.emplace_back();
    state_->Spend(charges_, loop_.clock().Now() + minutes(1), &seen,
                  [&seen](SpendResult result) { seen = std::move(result); });
    return seen;
  }
  template <class SeenResult>
  static std::optional<Reason> ReasonIn(const std::optional<SeenResult>& seen) {
    if (!seen || !std::holds_alternative<Failure>(*seen)) return std::nullopt;
    return std::get<Failure>(*seen).reason;
  }

  const RedisScripts& scripts_ = RedisScripts::Get();
  const Charges charges_{
      .own = {},
      .organization = {{KeyOf({"org"}), Rate({.name = "org", .tokens = 1, .per = seconds(10), .burst = 1}),
                        "acme/org"}},
      .organization_name = "acme",
      .caller = "ci"};
  fakes::HandCrankedLoop loop_;
  ScriptedRedis redis_;
  std::deque<Seen> seen_;
  std::deque<SeenSpend> seen_spend_;
  std::size_t queue_ = 0;  // the length of the queue in the metrics
  std::unique_ptr<RedisState> state_ =
      std::make_unique<RedisState>(loop_, redis_,
                                   RedisState::Options{{.remember = minutes(10), .max_entries = 1000},
                                                       config::OnRedisFailure::kDeny,
                                                       Secret(std::string(32, 'k'))},
                                   Observer{.on_queue = [this](const std::string& /*organization*/,
                                                               std::size_t waiting) { queue_ = waiting; }});
};

TEST_F(RedisContact, WhoIsFoundToWaitOnceContactIsLostIsToldAndHoldsNothing) {
  MakeContact();
  const Seen& admitted = Admit("x");
  const SeenSpend& spends = Spend();
  LoseContact();
  AnswerWaits(scripts_.admit);
  AnswerWaits(scripts_.spend);
  EXPECT_EQ(ReasonIn(admitted), Reason::kLimitsUnavailable);
  EXPECT_EQ(ReasonIn(spends), Reason::kLimitsUnavailable);
  loop_.Advance(RedisSession::kHello);
  MakeContact();
  EXPECT_EQ(redis_.Count(scripts_.remove), 2U);
}

TEST_F(RedisContact, AQuestionForWhichThereIsNoRoomIsAskedAgain) {
  MakeContact();
  const Seen& waits = Admit("x");
  AnswerWaits(scripts_.admit);
  loop_.Advance(RedisTurns::kLongestPause);
  Fail(scripts_.turns, absl::ResourceExhaustedError("too much waits for Redis"));
  loop_.Advance(RedisTurns::kLongestPause);
  ASSERT_EQ(redis_.Count(scripts_.turns), 1U);
  EXPECT_EQ(waits, std::nullopt);
}

TEST_F(RedisContact, OneThatIsToldOfItsLossMayTakeAnotherAway) {
  MakeContact();
  const Seen& admitted = Admit("y");
  Answer(scripts_.admit, "fresh", {{Time()}, {Time()}});
  ASSERT_TRUE(admitted.has_value());
  SeenSpend other;
  bool told = false;
  state_->Spend(charges_, loop_.clock().Now() + minutes(1), &told, [&](const SpendResult&) {
    told = true;
    state_->Leave("y", &other);
  });
  state_->Spend(charges_, loop_.clock().Now() + minutes(1), &other,
                [&](SpendResult result) { other = std::move(result); });
  AnswerWaits(scripts_.spend);
  AnswerWaits(scripts_.spend);
  LoseContact();
  EXPECT_TRUE(told);
  EXPECT_EQ(other, std::nullopt) << "it has left";
  loop_.Advance(RedisSession::kHello);
  MakeContact();
  EXPECT_EQ(redis_.Count(scripts_.remove), 3U) << "two places in the queue, and the claim of who has left";
}

TEST_F(RedisContact, OthersMayBeginFirstAlsoWhereRedisWasOutOfReachMeanwhile) {
  const auto may_begin = [this] { return redis_.Take(scripts_.hello).arguments.at(6); };
  Answer(scripts_.hello, "none");
  loop_.Advance(RedisSession::kHello);
  Fail(scripts_.hello, absl::UnavailableError("there is no connection to Redis"));
  loop_.Advance(RedisSession::kOthersFirst);
  Answer(scripts_.hello, "none");
  loop_.Advance(RedisSession::kHello);
  EXPECT_EQ(may_begin(), "0");
}

TEST_F(RedisContact, OutcomesAreForgottenOnTimeInWhateverOrderTheyCome) {
  RedisSession session(loop_, redis_, {.remember = minutes(10)}, {});
  const Sealer sealer(Secret(std::string(32, 'k')));
  LocalClaims claims(loop_, session, sealer, minutes(10));
  const TimePoint now = loop_.clock().Now();
  claims.Restore("late", {}, {}, 1, now);
  claims.Restore("early", {}, {}, 1, now - minutes(5));
  loop_.Advance(minutes(5) + seconds(1));
  EXPECT_EQ(claims.Find("early"), nullptr);
  EXPECT_NE(claims.Find("late"), nullptr);
}

TEST_F(RedisContact, WhereNobodyWaitsHereAnyMoreNoQueueIsShown) {
  MakeContact();
  const Seen& waits = Admit("x");
  AnswerWaits(scripts_.admit);
  EXPECT_EQ(queue_, 1U);
  state_->Leave("x", &waits);
  EXPECT_EQ(queue_, 0U);
}

TEST_F(RedisContact, WhatIsNewestIsWrittenFirstToARedisThatHasLostSomething) {
  for (int i = 0; i < 1000; ++i) {
    state_->Restore("id-" + std::to_string(i), {}, {}, 1, loop_.clock().Now() - seconds(i % 500));
  }
  Answer(scripts_.hello, "epoch", {{std::string("first")}, {std::int64_t{0}}, {std::int64_t{1}}});
  const ScriptedRedis::Asked first = redis_.Take(scripts_.put);
  for (const char* id : {"id-0", "id-500", "id-1", "id-501"}) {
    EXPECT_THAT(first.arguments, testing::Contains(id));
  }
}

TEST_F(RedisContact, IsNotOpenedOnceItIsLostAgain) {
  state_->Restore("x", {}, {}, 1, loop_.clock().Now());
  Answer(scripts_.hello, "epoch", {{std::string("first")}, {std::int64_t{0}}, {std::int64_t{0}}});
  LoseContact();
  Answer(scripts_.put, "ok");
  EXPECT_FALSE(state_->reach().ok());
}

TEST_F(RedisContact, IsNotOpenedBeforeThisContactsWritesAreDone) {
  state_->Restore("x", {}, {}, 1, loop_.clock().Now());
  Answer(scripts_.hello, "epoch", {{std::string("first")}, {std::int64_t{0}}, {std::int64_t{0}}});
  LoseContact();
  loop_.Advance(RedisSession::kHello);
  Answer(scripts_.hello, "epoch", {{std::string("first")}, {std::int64_t{0}}, {std::int64_t{1}}});
  ASSERT_EQ(redis_.Count(scripts_.put), 2U);
  Answer(scripts_.put, "ok");  // to the write of the contact before
  EXPECT_FALSE(state_->reach().ok());
  Answer(scripts_.put, "ok");
  EXPECT_TRUE(state_->reach().ok());
}

TEST_F(RedisContact, ALateAnswerToAnEndedClaimSaysNothingOfTheNextOneWithItsId) {
  MakeContact();
  const TimePoint intended_at = loop_.clock().Now();
  Admit("x");
  Answer(scripts_.admit, "fresh", {{Time()}, {Time()}});
  state_->Settle("x", Failure{.reason = Reason::kOutcomeUnknown}, intended_at);
  ScriptedRedis::Asked late = redis_.Take(scripts_.put);
  state_->Amend("x", std::nullopt, intended_at);
  Answer(scripts_.remove, "ok");
  const Seen& again = Admit("x");
  Answer(scripts_.admit, "fresh", {{Time()}, {Time()}});
  ASSERT_TRUE(again && std::holds_alternative<Fresh>(*again));
  state_->Settle("x", Failure{.reason = Reason::kOutcomeUnknown}, loop_.clock().Now());
  late.done(RedisReply{std::vector<RedisReply>{{std::string("ok")}, {Time()}, {std::int64_t{1}}}});
  LoseContact();
  loop_.Advance(RedisSession::kHello);
  redis_.Take(scripts_.put);  // it may have been lost with the connection
  Answer(scripts_.hello, "epoch", {{std::string("first")}, {std::int64_t{0}}, {std::int64_t{0}}});
  EXPECT_EQ(redis_.Count(scripts_.put), 1U) << "Redis is told again";
}

TEST_F(RedisContact, AFreshForAnIdThatIsAnsweredHereIsNotBelieved) {
  MakeContact();
  Admit("x");
  Answer(scripts_.admit, "fresh", {{Time()}, {Time()}});
  state_->Settle("x", Failure{.reason = Reason::kOutcomeUnknown}, loop_.clock().Now());
  Answer(scripts_.put, "ok");
  const Seen& again = Admit("x");
  Answer(scripts_.admit, "fresh", {{Time()}, {Time()}});
  EXPECT_EQ(ReasonIn(again), Reason::kLimitsUnavailable);
  EXPECT_EQ(redis_.Count(scripts_.remove), 1U) << "what Redis claimed for it is undone";
  EXPECT_EQ(redis_.Count(scripts_.give_back), 1U);
  // Redis is told again what this replica knows.
  EXPECT_FALSE(state_->reach().ok());
  loop_.Advance(RedisSession::kHello);
  Answer(scripts_.hello, "epoch", {{std::string("first")}, {std::int64_t{0}}, {std::int64_t{0}}});
  EXPECT_THAT(redis_.Take(scripts_.put).arguments, testing::Contains("x"));
}

TEST_F(RedisContact, AFreshForAnIdThatRunsHereIsNotBelieved) {
  MakeContact();
  const Seen& first = Admit("x");
  // Another request with the id, before Redis has answered the first.
  Seen other;
  state_->Admit({.request_id = "x",
                 .digest = DigestOf("ci", "acme", "other-app", {"sdk"}, ""),
                 .caller = "ci",
                 .charges = charges_,
                 .latest = loop_.clock().Now() + minutes(1)},
                &other, [&other](AdmitResult result) { other = std::move(result); });
  Answer(scripts_.admit, "fresh", {{Time()}, {Time()}});
  ASSERT_TRUE(first && std::holds_alternative<Fresh>(*first));
  Answer(scripts_.admit, "fresh", {{Time()}, {Time()}});
  EXPECT_EQ(ReasonIn(other), Reason::kLimitsUnavailable);
}

TEST_F(RedisContact, AFreshForAnIdThatIsForgottenIsBelieved) {
  MakeContact();
  Admit("x");
  Answer(scripts_.admit, "fresh", {{Time()}, {Time()}});
  state_->Settle("x", Failure{.reason = Reason::kOutcomeUnknown}, loop_.clock().Now() - minutes(10));
  Answer(scripts_.put, "ok");
  const Seen& again = Admit("x");
  Answer(scripts_.admit, "fresh", {{Time()}, {Time()}});
  ASSERT_TRUE(again.has_value());
  EXPECT_TRUE(std::holds_alternative<Fresh>(*again));
}

TEST_F(RedisContact, NothingIsBelievedOfARedisWhoseClockJumpsByMoreThanRemember) {
  for (const std::chrono::nanoseconds jump :
       {std::chrono::nanoseconds(std::chrono::hours(24 * 365)), std::chrono::nanoseconds(-minutes(11))}) {
    loop_.Advance(RedisSession::kHello);
    while (redis_.Count(scripts_.hello) > 1) redis_.Take(scripts_.hello);
    MakeContact();
    const Seen& admitted = Admit("x");
    const Seen& next = Admit("y");
    loop_.fake_clock().StepWall(jump);
    for (const Seen* seen : {&admitted, &next}) {
      Answer(scripts_.admit, "fresh", {{Time()}, {Time()}});
      EXPECT_EQ(ReasonIn(*seen), Reason::kLimitsUnavailable);
    }
    EXPECT_FALSE(state_->reach().ok());
    loop_.Advance(RedisSession::kHello);
    ScriptedRedis::Asked hello = redis_.Take(scripts_.hello);
    EXPECT_EQ(hello.arguments.at(9), "1") << "it asks for a quarantine";
    hello.done(absl::UnavailableError("there is no connection to Redis"));
  }
}

TEST_F(RedisContact, AClockThatIsSetByLessThanRememberIsFollowed) {
  MakeContact();
  const Seen& admitted = Admit("x");
  loop_.fake_clock().StepWall(minutes(9));
  Answer(scripts_.admit, "fresh", {{Time()}, {Time()}});
  ASSERT_TRUE(admitted.has_value());
  EXPECT_TRUE(std::holds_alternative<Fresh>(*admitted));
}

TEST_F(RedisContact, WhoIsInQuarantineIsToldToComeBackWithinRemember) {
  MakeContact();
  const Seen& admitted = Admit("x");
  Answer(scripts_.admit, "quarantined", {{Time() + std::int64_t{365} * 24 * 3600 * 1'000'000}});
  ASSERT_EQ(ReasonIn(admitted), Reason::kLimitsUnavailable);
  EXPECT_EQ(std::get<Failure>(*admitted).retry_after, minutes(10));
}

TEST_F(RedisContact, TimesThatNoClockTellsAreNoAnswer) {
  MakeContact();
  const Seen& admitted = Admit("x");
  redis_.Take(scripts_.admit)
      .done(RedisReply{std::vector<RedisReply>{{std::string("fresh")},
                                               {std::numeric_limits<std::int64_t>::max()},
                                               {std::int64_t{0}},
                                               {std::numeric_limits<std::int64_t>::min()}}});
  loop_.RunPending();
  EXPECT_EQ(ReasonIn(admitted), Reason::kLimitsUnavailable);
}

TEST_F(RedisContact, ShowsOnlySettingsThatItAskedAbout) {
  MakeContact();
  const auto beat = [this](std::vector<RedisReply> settings) {
    while (redis_.Count(scripts_.beat) == 0) loop_.Advance(RedisSession::kBeat);
    Answer(scripts_.beat, "ok", {{std::int64_t{0}}, {std::int64_t{0}}, {std::move(settings)}});
  };
  beat({{std::string("\x1b[2J")}, {std::string("requests")}});
  EXPECT_THAT(state_->Troubles(),
              testing::ElementsAre("other replicas on this Redis have another value of requests"));
  beat({});
  EXPECT_THAT(state_->Troubles(), testing::IsEmpty());
}

TEST_F(RedisContact, WhatMayBeRunYetIsNotUndoneBefore) {
  MakeContact();
  loop_.Advance(RedisSession::kBeat);
  loop_.Advance(milliseconds(850));
  Admit("before");
  loop_.Advance(milliseconds(50));
  // An answer that took long tells Redis's time less exactly than the next one.
  Answer(scripts_.beat, "ok");
  Admit("x");
  Answer(scripts_.admit, "reused");
  ScriptedRedis::Asked lost = redis_.Take(scripts_.admit);
  const std::int64_t can_be_run_until = std::stoll(lost.arguments.at(2));
  lost.done(absl::UnknownError("the connection to Redis broke"));
  loop_.Advance(RedisSession::kHello);
  MakeContact();
  EXPECT_GE(std::stoll(redis_.Take(scripts_.remove).arguments.at(5)), can_be_run_until);
}

}  // namespace
}  // namespace tokend::state
