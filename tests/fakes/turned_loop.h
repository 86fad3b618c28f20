#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>

#include "absl/functional/function_ref.h"
#include "daemon/loop/event_loop.h"

namespace tokend::fakes {

// An event loop with real clocks that runs on the test's thread, for tests with real servers. Any thread may
// call Post, only the test's thread the other functions.
class TurnedLoop final : public loop::EventLoop {
 public:
  void Post(loop::Task task) override;
  loop::TimerId After(std::chrono::nanoseconds delay, loop::Task task) override;
  void Cancel(loop::TimerId timer) override;
  const loop::Clock& clock() const override { return loop::SystemClock(); }

  // Runs posted tasks and due timers until `done` returns true, which is called after each task. Returns
  // false after `limit`, so that a broken test ends.
  bool RunUntil(absl::FunctionRef<bool()> done, std::chrono::seconds limit = std::chrono::seconds(30));

  // Runs posted tasks and due timers for this long, to see that something does not happen.
  void RunFor(std::chrono::milliseconds duration);

 private:
  using Time = std::chrono::steady_clock::time_point;

  bool RunOne();
  void Wait(Time limit);

  std::uint64_t last_timer_ = 0;
  std::map<loop::TimerId, loop::Task> timers_;

  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<loop::Task> tasks_;
};

}  // namespace tokend::fakes
