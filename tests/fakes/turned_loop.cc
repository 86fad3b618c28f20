#include "tests/fakes/turned_loop.h"

#include <algorithm>

namespace tokend::fakes {

void TurnedLoop::Post(loop::Task task) {
  // Notify while holding the lock: as soon as the test has seen the task, it may destroy this loop.
  const std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
  posted_.notify_one();
}

loop::TimerId TurnedLoop::After(std::chrono::nanoseconds delay, loop::Task task) {
  const loop::TimerId timer{clock().Now() + delay, ++last_timer_};
  timers_.emplace(timer, std::move(task));
  return timer;
}

void TurnedLoop::Cancel(loop::TimerId timer) { timers_.erase(timer); }

bool TurnedLoop::RunOne() {
  loop::Task task;
  if (!timers_.empty() && timers_.begin()->first.due <= clock().Now()) {
    task = std::move(timers_.extract(timers_.begin()).mapped());
  } else {
    const std::lock_guard lock(mutex_);
    if (tasks_.empty()) return false;
    task = std::move(tasks_.front());
    tasks_.pop_front();
  }
  task();
  return true;
}

void TurnedLoop::Wait(Time limit) {
  if (!timers_.empty()) limit = std::min(limit, timers_.begin()->first.due);
  std::unique_lock lock(mutex_);
  posted_.wait_until(lock, limit, [this] { return !tasks_.empty(); });
}

bool TurnedLoop::RunUntil(absl::FunctionRef<bool()> done, std::chrono::seconds limit) {
  const Time end = clock().Now() + limit;
  while (!done()) {
    if (clock().Now() > end) return false;
    if (!RunOne()) Wait(end);
  }
  return true;
}

void TurnedLoop::RunFor(std::chrono::milliseconds duration) {
  const Time end = clock().Now() + duration;
  while (clock().Now() < end) {
    if (!RunOne()) Wait(end);
  }
}

}  // namespace tokend::fakes
