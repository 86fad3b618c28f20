#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>

#include "daemon/loop/event_loop.h"

namespace tokend::app {

// Whether this replica can serve: not while it starts or drains, and not while its own audit log cannot be
// written. What hits all replicas alike does not count, as no other one would serve better. Looks at the log
// from time to time, on the loop, because a device that hangs tells nobody.
class Readiness {
 public:
  static constexpr std::chrono::milliseconds kLook{500};

  // `loop` outlives this. `tell` hears of each change; it is not ready at first. Both functions may be called
  // on the loop's thread, one at a time, until this ends.
  Readiness(loop::EventLoop& loop, std::function<bool()> log_is_writable, std::function<void(bool)> tell);
  ~Readiness();
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;

  // Whether it neither starts nor drains. Tells before it returns.
  void SetServing(bool serving);
  // Any thread.
  bool serving() const { return state_->serving; }

 private:
  struct State {
    loop::EventLoop& loop;
    const std::function<bool()> log_is_writable;
    const std::function<void(bool)> tell;
    std::atomic<bool> serving = false;
    std::mutex mutex;
    bool told = false;   // under the mutex
    bool ended = false;  // under the mutex
  };
  static void Tell(State& state);
  static void Look(const std::shared_ptr<State>& state);

  const std::shared_ptr<State> state_;
};

}  // namespace tokend::app
