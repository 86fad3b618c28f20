#include "daemon/issue/timer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>

#include "tests/fakes/hand_cranked_loop.h"

namespace tokend::issue {
namespace {

using std::chrono::seconds;

class TimerTest : public testing::Test {
 protected:
  Timer After(seconds delay) {
    return {loop_, delay, [this] { ++runs_; }};
  }

  fakes::HandCrankedLoop loop_;
  int runs_ = 0;
};

TEST_F(TimerTest, RunsItsTaskOnceWhenItIsDue) {
  Timer timer = After(seconds(2));
  loop_.Advance(seconds(1));
  EXPECT_EQ(runs_, 0);
  loop_.Advance(seconds(1));
  EXPECT_EQ(runs_, 1);
  loop_.Advance(seconds(9));
  EXPECT_EQ(runs_, 1);
  timer.Cancel();
}

TEST_F(TimerTest, DoesNotRunOnceItIsCancelledOrDropped) {
  Timer cancelled = After(seconds(1));
  cancelled.Cancel();
  { const Timer dropped = After(seconds(1)); }
  loop_.Advance(seconds(9));
  EXPECT_EQ(runs_, 0);
}

TEST_F(TimerTest, IsCancelledWhenAnotherTakesItsPlace) {
  Timer timer = After(seconds(1));
  timer = After(seconds(2));
  loop_.Advance(seconds(9));
  EXPECT_EQ(runs_, 1);
}

}  // namespace
}  // namespace tokend::issue
