#include "daemon/rpc/timers.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace tokend::rpc {
namespace {

using std::chrono::seconds;

constexpr TimerQueue::TimePoint kStart{seconds(1000)};

TEST(Timers, RunInTheOrderOfTheirTimesAndOnce) {
  TimerQueue queue;
  std::string ran;
  Timer late(queue, [&] { ran += "late "; });
  Timer early(queue, [&] { ran += "early "; });
  late.Set(kStart + seconds(2));
  early.Set(kStart + seconds(1));
  EXPECT_EQ(queue.Next(), kStart + seconds(1));
  queue.Run(kStart);
  EXPECT_EQ(ran, "");
  queue.Run(kStart + seconds(2));
  queue.Run(kStart + seconds(3));
  EXPECT_EQ(ran, "early late ");
  EXPECT_FALSE(queue.Next());
}

TEST(Timers, TakeAnotherTime) {
  TimerQueue queue;
  int ran = 0;
  Timer timer(queue, [&] { ++ran; });
  timer.Set(kStart + seconds(5));
  timer.SetAtLatest(kStart + seconds(9));
  EXPECT_EQ(queue.Next(), kStart + seconds(5));
  timer.SetAtLatest(kStart + seconds(3));
  EXPECT_EQ(queue.Next(), kStart + seconds(3));
  timer.Set(kStart + seconds(7));
  queue.Run(kStart + seconds(6));
  EXPECT_EQ(ran, 0);
  timer.Cancel();
  queue.Run(kStart + seconds(8));
  EXPECT_EQ(ran, 0);
}

TEST(Timers, EndUnrunWithTheirOwner) {
  TimerQueue queue;
  int ran = 0;
  auto timer = std::make_unique<Timer>(queue, [&] { ++ran; });
  timer->Set(kStart);
  timer.reset();
  queue.Run(kStart);
  EXPECT_EQ(ran, 0);
}

TEST(Timers, MaySetAndEndEachOtherWhileTheyRun) {
  TimerQueue queue;
  std::string ran;
  auto doomed = std::make_unique<Timer>(queue, [&] { ran += "doomed "; });
  Timer again(queue, [&] { ran += "again "; });
  Timer first(queue, [&] {
    ran += "first ";
    doomed.reset();
    again.Set(kStart + seconds(1));
  });
  first.Set(kStart);
  doomed->Set(kStart + seconds(1));
  queue.Run(kStart + seconds(1));
  EXPECT_EQ(ran, "first again ");
}

}  // namespace
}  // namespace tokend::rpc
