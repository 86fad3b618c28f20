#pragma once

#include <chrono>
#include <memory>
#include <utility>

#include "daemon/loop/event_loop.h"

namespace tokend::issue {

// A timer of the loop, which is cancelled when this is dropped. Loop thread only.
class Timer {
 public:
  Timer() = default;
  Timer(loop::EventLoop& loop, std::chrono::nanoseconds delay, loop::Task task)
      : set_(&loop, {loop.After(delay, std::move(task))}) {}

  void Cancel() { set_.reset(); }

 private:
  struct Canceller {
    loop::TimerId timer;
    void operator()(loop::EventLoop* loop) const { loop->Cancel(timer); }
  };
  std::unique_ptr<loop::EventLoop, Canceller> set_;
};

}  // namespace tokend::issue
