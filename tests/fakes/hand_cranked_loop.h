#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include "absl/functional/function_ref.h"
#include "daemon/loop/event_loop.h"

namespace tokend::fakes {

// A clock that stands still until a test advances it. It starts at 2026-01-01T00:00:00Z. Thread-safe.
class FakeClock final : public loop::Clock {
 public:
  std::chrono::steady_clock::time_point Now() const override;
  std::chrono::system_clock::time_point WallNow() const override;

  // Advances the steady clock and the wall clock.
  void Advance(std::chrono::nanoseconds by);

  // Sets the wall clock forwards or back, as an administrator or NTP does. The steady clock stays as it is.
  void StepWall(std::chrono::nanoseconds by);

 private:
  mutable std::mutex mutex_;
  std::chrono::steady_clock::time_point now_{std::chrono::hours(1)};
  std::chrono::system_clock::time_point wall_{std::chrono::seconds(1767225600)};
};

// An event loop that runs only when its test tells it to, on the test's thread and with a fake clock. Any
// thread may call Post, only the test's thread the other functions. The destructor destroys remaining tasks
// without running them.
class HandCrankedLoop final : public loop::EventLoop {
 public:
  void Post(loop::Task task) override;
  loop::TimerId After(std::chrono::nanoseconds delay, loop::Task task) override;
  void Cancel(loop::TimerId timer) override;
  const loop::Clock& clock() const override { return clock_; }

  FakeClock& fake_clock() { return clock_; }

  // Runs posted tasks, including those that they post, until there are none. Returns how many tasks ran.
  std::size_t RunPending();

  // Runs tasks as other threads post them, until `done` returns true, which is called after each task.
  // Returns false after `limit` of real time, so that a broken test ends.
  bool RunUntil(absl::FunctionRef<bool()> done, std::chrono::seconds limit = std::chrono::seconds(30));

  // Advances the time: runs posted tasks, then each timer that falls due, in order and at its due time, with
  // the tasks that it posts.
  void Advance(std::chrono::nanoseconds by);

  // Destroys posted tasks and timers without running them.
  void Discard();

  std::size_t timers() const { return timers_.size(); }

 private:
  bool RunOne();

  FakeClock clock_;
  std::uint64_t last_timer_ = 0;
  std::map<loop::TimerId, loop::Task> timers_;

  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<loop::Task> tasks_;
};

}  // namespace tokend::fakes
