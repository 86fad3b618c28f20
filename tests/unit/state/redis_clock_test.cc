#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "daemon/state/redis/redis_state.h"
#include "tests/fakes/hand_cranked_loop.h"
#include "tests/fakes/simulated_redis.h"
#include "tests/unit/state/state_test.h"

// Redis's clock is set while replicas use it. The scripts are the real ones.
namespace tokend::state {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class RedisClock : public StateTest {
 protected:
  struct Replica {
    std::unique_ptr<fakes::SimulatedConnection> connection;
    std::unique_ptr<RedisState> state;
  };

  RedisClock() {
    redis_.SetHash("{tokend}:epoch", {{"id", "first"}, {"created", "0"}, {"quarantine", "0"}});
    for (Replica* replica : {&a_, &b_}) {
      replica->connection = std::make_unique<fakes::SimulatedConnection>(loop_, redis_);
      replica->state =
          std::make_unique<RedisState>(loop_, *replica->connection,
                                       RedisState::Options{{.remember = minutes(10), .max_entries = 1000},
                                                           config::OnRedisFailure::kDeny,
                                                           Secret(std::string(32, 'k'))});
    }
    EXPECT_TRUE(Reached());
  }
  ~RedisClock() override {
    for (Replica* replica : {&a_, &b_}) replica->state.reset();
    loop_.Discard();
  }

  bool RunUntil(absl::FunctionRef<bool()> done, seconds limit = seconds(30)) override {
    for (milliseconds waited{0}; waited < limit; waited += milliseconds(1)) {
      if (done()) return true;
      loop_.Advance(milliseconds(1));
    }
    return false;
  }
  TimePoint Clock() override { return loop_.clock().Now(); }
  bool Reached() {
    return RunUntil([this] { return a_.state->reach().ok() && b_.state->reach().ok(); });
  }
  // The first outcome that is not due to lost contact.
  std::string Eventually(Replica& replica, const std::string& id) {
    std::string outcome;
    RunUntil(
        [&] {
          outcome = Now(*replica.state, id);
          return outcome != "LIMITS_UNAVAILABLE";
        },
        seconds(5));
    return outcome;
  }

  fakes::HandCrankedLoop loop_;
  fakes::SimulatedRedis redis_{loop_.clock()};
  Replica a_;
  Replica b_;
};

TEST_F(RedisClock, AJumpPastRememberMakesNoSecondToken) {
  ASSERT_EQ(Now(*a_.state, "token"), "fresh");
  a_.state->Settle("token", AnswerOf("bearer-x"), Clock());
  ASSERT_EQ(Eventually(b_, "token"), "bearer-x");
  ASSERT_EQ(Now(*a_.state, "gone"), "fresh");
  loop_.fake_clock().StepWall(hours(24 * 365));
  EXPECT_EQ(Now(*b_.state, "token"), "LIMITS_UNAVAILABLE");
  ASSERT_TRUE(Reached());
  EXPECT_EQ(Eventually(b_, "token"), "bearer-x") << "the replica that minted it has written it again";
  // What only a replica that is gone knew may have expired with the jump.
  const Seen& unknown = Admit(*b_.state, "unknown");
  EXPECT_EQ(Outcome(unknown), "LIMITS_UNAVAILABLE");
  EXPECT_GT(FailureIn(unknown).retry_after.value(), minutes(9));
  EXPECT_LE(FailureIn(unknown).retry_after.value(), minutes(10));
  loop_.Advance(minutes(10));
  EXPECT_EQ(Eventually(b_, "unknown"), "fresh");
}

TEST_F(RedisClock, SetBackAgainItRefusesNobodyForLongerThanRemember) {
  loop_.fake_clock().StepWall(hours(24 * 365));
  EXPECT_EQ(Now(*a_.state, "x"), "LIMITS_UNAVAILABLE");
  ASSERT_TRUE(Reached());
  loop_.fake_clock().StepWall(-hours(24 * 365));
  EXPECT_EQ(Now(*a_.state, "x"), "LIMITS_UNAVAILABLE");
  ASSERT_TRUE(Reached());
  loop_.Advance(minutes(10) + seconds(5));
  EXPECT_EQ(Eventually(a_, "x"), "fresh");
  EXPECT_EQ(Eventually(b_, "y"), "fresh");
}

TEST_F(RedisClock, SetBackItStillTellsWhichReplicaLives) {
  loop_.fake_clock().StepWall(-hours(24 * 365));
  EXPECT_EQ(Now(*a_.state, "x"), "LIMITS_UNAVAILABLE");
  ASSERT_TRUE(Reached());
  loop_.Advance(minutes(10) + seconds(5));
  ASSERT_EQ(Eventually(a_, "x"), "fresh");
  a_.state.reset();
  a_.connection.reset();
  EXPECT_EQ(Eventually(b_, "x"), "OUTCOME_UNKNOWN") << "its lease has ended";
}

}  // namespace
}  // namespace tokend::state
