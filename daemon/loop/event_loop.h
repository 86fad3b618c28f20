#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

#include "absl/functional/any_invocable.h"

namespace tokend::loop {

using Task = absl::AnyInvocable<void()>;

// The time: `Now` for intervals, `WallNow` for records. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::chrono::steady_clock::time_point Now() const = 0;
  virtual std::chrono::system_clock::time_point WallNow() const = 0;
};

// The process's own clocks.
const Clock& SystemClock();

struct TimerId {
  std::chrono::steady_clock::time_point due;
  std::uint64_t number;                              // no two timers of a loop have the same
  auto operator<=>(const TimerId&) const = default;  // NOLINT(modernize-use-nullptr): not a pointer
};

// One thread that runs tasks one after another and owns everything that they touch, so that stages need no
// locks. A task must not block. Tasks posted by one thread run in the order of posting.
class EventLoop {
 public:
  virtual ~EventLoop() = default;

  // Runs the task on the loop thread, soon. Any thread. Tasks and timers that are left when the loop stops
  // are destroyed without being run.
  virtual void Post(Task task) = 0;

  // Runs the task on the loop thread once `delay` has passed, unless cancelled. Loop thread only.
  virtual TimerId After(std::chrono::nanoseconds delay, Task task) = 0;

  // Removes a timer. Does nothing if it has run or was cancelled. Loop thread only.
  virtual void Cancel(TimerId timer) = 0;

  virtual const Clock& clock() const = 0;
};

}  // namespace tokend::loop
