#include "daemon/upstream/circuit_breaker.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <optional>

namespace tokend::upstream {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Call = CircuitBreaker::Call;

// Opens after 3 failures in a row, first for 1 s, at most for 5 s.
class CircuitBreakerTest : public testing::Test {
 protected:
  Call Pass(const char* caller = "ci") {
    const Call call{++calls_};
    breaker_.Pass(call, caller);
    return call;
  }
  void PassAndFail(const char* caller = "ci") { breaker_.Failed(Pass(caller), now_); }
  void Open() {
    for (int i = 0; i < 3; ++i) PassAndFail();
  }
  std::optional<milliseconds> Refuses() const { return breaker_.Refuses(now_); }

  CircuitBreaker breaker_{{3, seconds(1), seconds(5)}};
  CircuitBreaker::TimePoint now_{std::chrono::hours(1)};
  std::uint64_t calls_ = 0;
};

TEST_F(CircuitBreakerTest, LetsEveryCallPassWhileItIsClosed) {
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Refuses(), std::nullopt);
    Pass();
  }
  EXPECT_TRUE(breaker_.closed());
}

TEST_F(CircuitBreakerTest, OpensAfterThatManyFailuresInARow) {
  PassAndFail();
  PassAndFail();
  EXPECT_TRUE(breaker_.closed());
  EXPECT_EQ(Refuses(), std::nullopt);
  PassAndFail();
  EXPECT_FALSE(breaker_.closed());
  EXPECT_EQ(Refuses(), seconds(1));
}

TEST_F(CircuitBreakerTest, StaysClosedWhereASuccessComesBetweenFailures) {
  for (int i = 0; i < 5; ++i) {
    PassAndFail();
    PassAndFail();
    breaker_.Succeeded(Pass());
  }
  EXPECT_TRUE(breaker_.closed());
}

TEST_F(CircuitBreakerTest, SaysHowLongItStaysOpenInWholeMillisecondsRoundedUp) {
  Open();
  now_ += microseconds(1);
  EXPECT_EQ(Refuses(), seconds(1));
  now_ += milliseconds(999);
  EXPECT_EQ(Refuses(), milliseconds(1));
  now_ += microseconds(999);
  EXPECT_EQ(Refuses(), std::nullopt);
}

TEST_F(CircuitBreakerTest, LetsOneProbePassWhenItIsHalfOpen) {
  Open();
  now_ += seconds(1);
  EXPECT_EQ(Refuses(), std::nullopt);
  Pass();
  EXPECT_FALSE(breaker_.closed());
  EXPECT_EQ(Refuses(), seconds(1)) << "the probe still runs";
  now_ += seconds(60);
  EXPECT_EQ(Refuses(), seconds(1)) << "the probe still runs";
}

TEST_F(CircuitBreakerTest, ClosesWhenItsProbeSucceeds) {
  Open();
  now_ += seconds(1);
  breaker_.Succeeded(Pass());
  EXPECT_TRUE(breaker_.closed());
  PassAndFail();
  PassAndFail();
  EXPECT_TRUE(breaker_.closed()) << "its failures are counted anew";
  PassAndFail();
  EXPECT_EQ(Refuses(), seconds(1)) << "and so is its time";
}

TEST_F(CircuitBreakerTest, OpensForTwiceAsLongUpToTheLongestEachTimeItsProbeFails) {
  Open();
  for (const seconds wait : {seconds(1), seconds(2), seconds(4), seconds(5), seconds(5)}) {
    EXPECT_EQ(Refuses(), wait);
    now_ += wait;
    EXPECT_EQ(Refuses(), std::nullopt);
    PassAndFail();
  }
}

TEST_F(CircuitBreakerTest, LetsAnotherCallProbeWhereTheProbeIsForgotten) {
  Open();
  now_ += seconds(1);
  const Call probe = Pass();
  breaker_.Forget(probe);
  EXPECT_EQ(Refuses(), std::nullopt);
  breaker_.Succeeded(Pass());
  EXPECT_TRUE(breaker_.closed());
}

TEST_F(CircuitBreakerTest, KeepsItsProbeWhereAnotherCallIsForgotten) {
  const Call earlier = Pass();
  Open();
  now_ += seconds(1);
  Pass();
  breaker_.Forget(earlier);
  EXPECT_EQ(Refuses(), seconds(1));
}

TEST_F(CircuitBreakerTest, DoesNotCountACallThatPassedBeforeItOpened) {
  const Call failing = Pass();
  const Call succeeding = Pass();
  Open();
  breaker_.Failed(failing, now_ + milliseconds(500));
  EXPECT_EQ(Refuses(), seconds(1)) << "it opens for no longer";
  breaker_.Succeeded(succeeding);
  EXPECT_EQ(Refuses(), seconds(1)) << "it does not close";
  now_ += seconds(1);
  Pass();
  breaker_.Succeeded(succeeding);
  EXPECT_FALSE(breaker_.closed()) << "only its probe closes it";
}

TEST_F(CircuitBreakerTest, ForgetsItsFailuresItsProbeAndItsTimeWhenItIsClosedFromOutside) {
  Open();
  now_ += seconds(1);
  PassAndFail();
  now_ += seconds(2);
  Pass();
  breaker_.Close();
  EXPECT_TRUE(breaker_.closed());
  EXPECT_EQ(Refuses(), std::nullopt);
  Open();
  EXPECT_EQ(Refuses(), seconds(1));
}

// How long this caller must wait, which calls now.
class CircuitBreakersProbers : public CircuitBreakerTest {
 protected:
  std::optional<milliseconds> Calls(const char* caller) {
    breaker_.Saw(caller, now_);
    return breaker_.Refuses(caller, now_);
  }
};

TEST_F(CircuitBreakersProbers, ACallerWhoseProbeFailedDoesNotProbeNextWhileAnotherCalls) {
  Open();
  now_ += seconds(1);
  PassAndFail("slow");
  now_ += milliseconds(1500);
  EXPECT_EQ(Calls("other"), milliseconds(500));
  now_ += milliseconds(500);
  EXPECT_EQ(Calls("slow"), milliseconds(500)) << "the other called half a second ago";
  EXPECT_EQ(Calls("other"), std::nullopt);
  breaker_.Succeeded(Pass("other"));
  EXPECT_EQ(Calls("slow"), std::nullopt) << "it is closed";
}

TEST_F(CircuitBreakersProbers, ACallerProbesAgainWhereNobodyElseHasCalledForASecond) {
  Open();
  now_ += seconds(1);
  EXPECT_EQ(Calls("other"), std::nullopt);
  EXPECT_EQ(Calls("slow"), std::nullopt);
  PassAndFail("slow");
  now_ += seconds(2);
  EXPECT_EQ(Calls("slow"), std::nullopt);
  EXPECT_EQ(Calls("slow"), std::nullopt);
}

TEST_F(CircuitBreakersProbers, WhoseProbeFailedEarlierMayProbeAgain) {
  Open();
  now_ += seconds(1);
  PassAndFail("first");
  now_ += seconds(2);
  PassAndFail("second");
  now_ += seconds(4);
  EXPECT_EQ(Calls("second"), std::nullopt);
  EXPECT_EQ(Calls("first"), std::nullopt);
  EXPECT_EQ(Calls("second"), seconds(1));
}

}  // namespace
}  // namespace tokend::upstream
