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
  void Set(TimerQueue::TimePoint at) {
    if (at_ == at) return;
    Cancel();
    at_ = at;
    queue_.due_.emplace(at, this);
  }
  // Sets the time unless an earlier one is set.
  void SetAtLatest(TimerQueue::TimePoint at) {
    if (!at_ || at < *at_) Set(at);
  }
  void Cancel() {
    if (at_) queue_.due_.erase({*at_, this});
    at_.reset();
  }
  bool is_set() const { return at_.has_value(); }

 private:
  friend class TimerQueue;

  TimerQueue& queue_;
  absl::AnyInvocable<void()> action_;
  std::optional<TimerQueue::TimePoint> at_;
};

inline void TimerQueue::Run(TimePoint now) {
  while (!due_.empty() && due_.begin()->first <= now) {
    Timer* const timer = due_.begin()->second;
    timer->Cancel();
    timer->action_();  // it may destroy the timer
  }
}

}  // namespace tokend::rpc
