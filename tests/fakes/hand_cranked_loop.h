#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "absl/functional/function_ref.h"
#include "daemon/loop/event_loop.h"

namespace tokend::fakes {

// A clock that stands still until a test moves it. Begins at 2026-01-01T00:00:00Z. Thread-safe.
class FakeClock final : public loop::Clock {
 public:
  std::chrono::steady_clock::time_point Now() const override;
  std::chrono::system_clock::time_point WallNow() const override;

  // Lets time pass: both clocks move.
  void Advance(std::chrono::nanoseconds by);

  // Sets the wall clock forwards or back, as an administrator or NTP would; intervals do not notice.
  void StepWall(std::chrono::nanoseconds by);

 private:
  mutable std::mutex mutex_;
  std::chrono::steady_clock::time_point now_{std::chrono::hours(1)};
  std::chrono::system_clock::time_point wall_{std::chrono::seconds(1767225600)};
};

// An event loop that runs only when its test says so, on the test's thread and on a fake clock. Post may be
// called by any thread, all else by the test's. What is left at the end is destroyed unrun.
class HandCrankedLoop final : public loop::EventLoop {
 public:
  void Post(loop::Task task) override;
  loop::TimerId After(std::chrono::nanoseconds delay, loop::Task task) override;
  void Cancel(loop::TimerId timer) override;
  const loop::Clock& clock() const override { return clock_; }

  FakeClock& fake_clock() { return clock_; }

  // Runs what is posted, and what that posts, until nothing is. Returns how many tasks ran.
  std::size_t RunPending();

  // Runs what is posted by other threads as it comes, until `done`, which is asked after each task. False if
  // `limit` of real time passes first: a test that hangs, not one that waits.
  bool RunUntil(absl::FunctionRef<bool()> done, std::chrono::seconds limit = std::chrono::seconds(30));

  // Lets time pass: runs what is posted, then each timer that falls due, in order and at its own time, with
  // what that posts.
  void Advance(std::chrono::nanoseconds by);

  // Destroys what is posted and all timers, unrun.
  void Discard();

  std::size_t timers() const { return timers_.size(); }

 private:
  bool RunOne();

  FakeClock clock_;
  std::uint64_t last_timer_ = 0;
  // By due time, then in the order they were set.
  std::map<std::pair<std::chrono::steady_clock::time_point, std::uint64_t>, loop::Task> timers_;
  std::unordered_map<std::uint64_t, std::chrono::steady_clock::time_point> due_;  // of each timer

  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<loop::Task> tasks_;
};

}  // namespace tokend::fakes
