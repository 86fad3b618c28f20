#include "tests/fakes/hand_cranked_loop.h"

namespace tokend::fakes {

std::chrono::steady_clock::time_point FakeClock::Now() const {
  const std::lock_guard lock(mutex_);
  return now_;
}

std::chrono::system_clock::time_point FakeClock::WallNow() const {
  const std::lock_guard lock(mutex_);
  return wall_;
}

void FakeClock::Advance(std::chrono::nanoseconds by) {
  const std::lock_guard lock(mutex_);
  now_ += by;
  wall_ += by;
}

void FakeClock::StepWall(std::chrono::nanoseconds by) {
  const std::lock_guard lock(mutex_);
  wall_ += by;
}

void HandCrankedLoop::Post(loop::Task task) {
  // Notify while holding the lock: as soon as RunUntil has seen the task, the test may destroy this loop.
  const std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
  posted_.notify_one();
}

loop::TimerId HandCrankedLoop::After(std::chrono::nanoseconds delay, loop::Task task) {
  const loop::TimerId timer{clock_.Now() + delay, ++last_timer_};
  timers_.emplace(timer, std::move(task));
  return timer;
}

void HandCrankedLoop::Cancel(loop::TimerId timer) { timers_.erase(timer); }

bool HandCrankedLoop::RunOne() {
  loop::Task task;
  {
    const std::lock_guard lock(mutex_);
    if (tasks_.empty()) return false;
    task = std::move(tasks_.front());
    tasks_.pop_front();
  }
  task();
  return true;
}

std::size_t HandCrankedLoop::RunPending() {
  std::size_t ran = 0;
  while (RunOne()) ++ran;
  return ran;
}

bool HandCrankedLoop::RunUntil(absl::FunctionRef<bool()> done, std::chrono::seconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (RunOne()) continue;
    std::unique_lock lock(mutex_);
    if (!posted_.wait_until(lock, deadline, [this] { return !tasks_.empty(); })) return false;
  }
  return true;
}

void HandCrankedLoop::Advance(std::chrono::nanoseconds by) {
  const auto end = clock_.Now() + by;
  RunPending();
  while (!timers_.empty() && timers_.begin()->first.due <= end) {
    auto timer = timers_.extract(timers_.begin());
    const auto due = timer.key().due;
    // A task may itself have advanced the time.
    if (due > clock_.Now()) clock_.Advance(due - clock_.Now());
    timer.mapped()();
    RunPending();
  }
  if (end > clock_.Now()) clock_.Advance(end - clock_.Now());
}

void HandCrankedLoop::Discard() {
  // The destructors of the tasks may call this loop again.
  const auto timers = std::exchange(timers_, {});
  std::deque<loop::Task> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
  }
}

}  // namespace tokend::fakes
