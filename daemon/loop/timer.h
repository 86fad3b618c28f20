#pragma once

#include <chrono>
#include <memory>
#include <utility>

#include "daemon/loop/event_loop.h"

namespace tokend::loop {

// A timer of the loop. The destructor cancels it. Loop thread only.
class Timer {
 public:
  Timer() = default;
  Timer(EventLoop& loop, std::chrono::nanoseconds delay, Task task)
      : set_(&loop, {loop.After(delay, std::move(task))}) {}

  void Cancel() { set_.reset(); }

 private:
  struct Canceller {
    TimerId timer;
    void operator()(EventLoop* loop) const { loop->Cancel(timer); }
  };
  std::unique_ptr<EventLoop, Canceller> set_;
};

}  // namespace tokend::loop
