#include "daemon/loop/curl_loop.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <vector>

namespace tokend::loop {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{20};

// Runs `what` on the loop thread and waits for it.
void OnLoop(CurlLoop& loop, std::function<void()> what) {
  std::promise<void> ran;
  loop.Post([&] {
    what();
    ran.set_value();
  });
  ASSERT_EQ(ran.get_future().wait_for(kPatience), std::future_status::ready);
}

TEST(CurlLoop, RunsTasksInTheOrderOfPosting) {
  CurlLoop loop;
  std::vector<int> order;
  for (int i = 0; i < 3; ++i) loop.Post([&order, i] { order.push_back(i); });
  loop.Start();
  for (int i = 3; i < 1000; ++i) loop.Post([&order, i] { order.push_back(i); });
  OnLoop(loop, [] {});
  ASSERT_EQ(order.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(CurlLoop, LosesNoTaskOfManyThreads) {
  constexpr int kThreads = 8;
  constexpr int kTasks = 20000;
  CurlLoop loop;
  loop.Start();
  std::vector<int> next(kThreads);
  bool in_order = true;
  int ran = 0;
  std::promise<void> all_ran;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kTasks; ++i) {
        loop.Post([&, thread, i] {
          int& expected = next[static_cast<std::size_t>(thread)];
          in_order = in_order && expected++ == i;
          if (++ran == kThreads * kTasks) all_ran.set_value();
        });
      }
    });
  }
  EXPECT_EQ(all_ran.get_future().wait_for(kPatience), std::future_status::ready);
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(in_order);
}

TEST(CurlLoop, WakesForATaskThatComesWhileItIsIdle) {
  CurlLoop loop;
  loop.Start();
  for (int i = 0; i < 200; ++i) OnLoop(loop, [] {});
}

TEST(CurlLoop, RunsTimersByDeadlineAndThoseAlikeInTheOrderOfAsking) {
  CurlLoop loop;
  loop.Start();
  std::vector<int> order;
  std::promise<void> last;
  OnLoop(loop, [&] {
    loop.After(milliseconds(30), [&] { last.set_value(); });
    loop.After(milliseconds(20), [&] { order.push_back(3); });
    loop.After(milliseconds(10), [&] { order.push_back(2); });
    loop.After(milliseconds(-5), [&] { order.push_back(1); });
  });
  ASSERT_EQ(last.get_future().wait_for(kPatience), std::future_status::ready);
  OnLoop(loop, [&] { EXPECT_EQ(order, (std::vector<int>{1, 2, 3})); });
}

TEST(CurlLoop, RunsATimerNoEarlierThanItsDeadline) {
  CurlLoop loop;
  loop.Start();
  std::promise<std::chrono::steady_clock::time_point> ran;
  const auto start = std::chrono::steady_clock::now();
  OnLoop(loop, [&] { loop.After(milliseconds(40), [&] { ran.set_value(loop.clock().Now()); }); });
  EXPECT_GE(ran.get_future().get() - start, milliseconds(40));
}

TEST(CurlLoop, ForgetsACancelledTimer) {
  CurlLoop loop;
  loop.Start();
  bool cancelled_ran = false;
  std::promise<void> later;
  OnLoop(loop, [&] {
    const TimerId timer = loop.After(milliseconds(1), [&] { cancelled_ran = true; });
    const TimerId ran = loop.After(milliseconds(2), [] {});
    loop.Cancel(timer);
    loop.Cancel(timer);
    loop.After(milliseconds(20), [&, ran] {
      loop.Cancel(ran);
      later.set_value();
    });
  });
  ASSERT_EQ(later.get_future().wait_for(kPatience), std::future_status::ready);
  OnLoop(loop, [&] { EXPECT_FALSE(cancelled_ran); });
}

TEST(CurlLoop, ATimerMayCancelAnotherThatIsDue) {
  CurlLoop loop;
  loop.Start();
  std::promise<void> done;
  bool second_ran = false;
  OnLoop(loop, [&] {
    auto second = std::make_shared<TimerId>();
    loop.After(milliseconds(1), [&, second] { loop.Cancel(*second); });
    *second = loop.After(milliseconds(1), [&] { second_ran = true; });
    loop.After(milliseconds(5), [&] { done.set_value(); });
    std::this_thread::sleep_for(milliseconds(10));  // all three are due at once
  });
  ASSERT_EQ(done.get_future().wait_for(kPatience), std::future_status::ready);
  OnLoop(loop, [&] { EXPECT_FALSE(second_ran); });
}

// Always has its successor in the queue.
struct PostsItselfAgain {
  CurlLoop& loop;
  std::shared_ptr<int> owned;
  void operator()() const { loop.Post(PostsItselfAgain(*this)); }
};

TEST(CurlLoop, StopDestroysUnrunWhatIsQueued) {
  auto owned = std::make_shared<int>();
  CurlLoop loop;
  loop.Start();
  loop.Post(PostsItselfAgain{loop, owned});
  OnLoop(loop, [] {});
  loop.Stop();
  EXPECT_EQ(owned.use_count(), 1);
}

// Posts when it is destroyed.
struct PostsAtItsEnd {
  CurlLoop& loop;
  std::shared_ptr<int> owned;
  ~PostsAtItsEnd() {
    loop.Post([kept = owned] {});
  }
};

TEST(CurlLoop, DestroysWhatATaskPostsAsItIsDestroyed) {
  auto owned = std::make_shared<int>();
  CurlLoop loop;
  auto posts = std::make_shared<PostsAtItsEnd>(PostsAtItsEnd{loop, owned});
  loop.Post([posts = std::move(posts)] {});
  loop.Stop();
  EXPECT_EQ(owned.use_count(), 1);
}

TEST(CurlLoop, DestroysAtOnceWhatIsPostedAfterItStopped) {
  CurlLoop loop;
  loop.Start();
  loop.Stop();
  loop.Stop();
  auto owned = std::make_shared<int>();
  loop.Post([owned] {});
  EXPECT_EQ(owned.use_count(), 1);
}

TEST(CurlLoop, EndsWithoutEverStarting) {
  auto owned = std::make_shared<int>();
  {
    CurlLoop loop;
    loop.Post([owned] {});
    loop.After(milliseconds(1), [owned] {});
  }
  EXPECT_EQ(owned.use_count(), 1);
}

TEST(CurlLoop, TakesNoSignals) {
  CurlLoop loop;
  loop.Start();
  OnLoop(loop, [] {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    EXPECT_EQ(sigismember(&blocked, SIGTERM), 1);
    EXPECT_EQ(sigismember(&blocked, SIGHUP), 1);
  });
}

}  // namespace
}  // namespace tokend::loop
