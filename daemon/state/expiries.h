#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "daemon/loop/event_loop.h"
#include "daemon/state/gcra.h"

namespace tokend::state {

// When the outcomes of request_ids are forgotten: at most 100 ms after their time, so that one timer forgets
// many. Loop thread.
class Expiries {
 public:
  using Forget = std::function<void(const std::string& request_id)>;  // calls neither Add nor Remove
  using Times = std::set<std::pair<TimePoint, std::string>>;

  // `loop` outlives this.
  Expiries(loop::EventLoop& loop, Forget forget);
  ~Expiries();
  Expiries(const Expiries&) = delete;
  Expiries& operator=(const Expiries&) = delete;

  void Add(TimePoint at, const std::string& request_id);
  // It was added with this time, and is not forgotten yet.
  void Remove(TimePoint at, const std::string& request_id);

  // Forgets now all whose time has come.
  void ForgetDue();

  // In the order in which they will be forgotten.
  const Times& times() const { return times_; }

 private:
  void Arm();

  loop::EventLoop& loop_;
  const Forget forget_;
  Times times_;
  std::optional<loop::TimerId> timer_;
  TimePoint timer_for_{};  // the first time when the timer was set
};

}  // namespace tokend::state
