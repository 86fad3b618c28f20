#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <utility>

#include "absl/functional/any_invocable.h"

namespace tokend::rpc {

class Timer;

// The timers of one thread, which alone may use them. It must outlive them.
class TimerQueue {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // When the next timer is due.
  std::optional<TimePoint> Next() const {
    if (due_.empty()) return std::nullopt;
    return due_.begin()->first;
  }

  // Runs the timers that are due. Each may set, cancel or end any timer.
  void Run(TimePoint now);

 private:
  friend class Timer;
  std::set<std::pair<TimePoint, Timer*>> due_;
};

// Runs its action once, at the time that it was set to. Ends unrun. It does not move: queues know its
// address.
class Timer {
 public:
  Timer(TimerQueue& queue, absl::AnyInvocable<void()> action) : queue_(queue), action_(std::move(action)) {}
  ~Timer() { Cancel(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // In place of the time that it was set to before.
  void Set(TimerQueue::TimePoint at);
  // The earlier of this time and the one that it is set to.
  void SetAtLatest(TimerQueue::TimePoint at);
  void Cancel();
  bool is_set() const { return at_.has_value(); }

 private:
  friend class TimerQueue;

  TimerQueue& queue_;
  absl::AnyInvocable<void()> action_;
  std::optional<TimerQueue::TimePoint> at_;
};

}  // namespace tokend::rpc
