#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <utility>

#include "absl/functional/any_invocable.h"

namespace tokend::rpc {

class Timer;

// The timers of one thread. It must outlive them. Only that thread may use it and them.
class TimerQueue {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // The time of the earliest timer; nothing if none is set.
  std::optional<TimePoint> Next() const {
    if (due_.empty()) return std::nullopt;
    return due_.begin()->first;
  }

  // Runs the timers that are due. Their actions may set, cancel or destroy any timer.
  void Run(TimePoint now);

 private:
  friend class Timer;
  std::set<std::pair<TimePoint, Timer*>> due_;
};

// Runs its action once, at the time that it is set to. The destructor cancels it. It cannot be moved, since
// the queue has its address.
class Timer {
 public:
  Timer(TimerQueue& queue, absl::AnyInvocable<void()> action) : queue_(queue), action_(std::move(action)) {}
  ~Timer() { Cancel(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Sets the time. It replaces the former one.
  void Set(TimerQueue::TimePoint at);
  // Sets the time unless an earlier one is set.
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
