#include "daemon/rpc/timers.h"

namespace tokend::rpc {

void TimerQueue::Run(TimePoint now) {
  while (!due_.empty() && due_.begin()->first <= now) {
    Timer* const timer = due_.begin()->second;
    timer->Cancel();
    timer->action_();  // it may destroy the timer
  }
}

void Timer::Set(TimerQueue::TimePoint at) {
  if (at_ == at) return;
  Cancel();
  at_ = at;
  queue_.due_.emplace(at, this);
}

void Timer::SetAtLatest(TimerQueue::TimePoint at) {
  if (!at_ || at < *at_) Set(at);
}

void Timer::Cancel() {
  if (!at_) return;
  queue_.due_.erase({*at_, this});
  at_.reset();
}

}  // namespace tokend::rpc
