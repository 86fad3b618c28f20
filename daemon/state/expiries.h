#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "daemon/loop/event_loop.h"
#include "daemon/state/gcra.h"

namespace tokend::state {

// When the outcomes of request_ids are to be forgotten. Those whose time is over are forgotten together, at
// most 100 ms after it, so that many do not wake the loop for each. Loop thread.
class Expiries {
 public:
  using Forget = std::function<void(const std::string& request_id)>;  // neither adds nor removes here
  using Times = std::set<std::pair<TimePoint, std::string>>;

  // `loop` outlives this.
  Expiries(loop::EventLoop& loop, Forget forget);
  ~Expiries();
  Expiries(const Expiries&) = delete;
  Expiries& operator=(const Expiries&) = delete;

  void Add(TimePoint at, const std::string& request_id);
  void Remove(TimePoint at, const std::string& request_id);

  // Forgets at once what is due.
  void ForgetDue();

  // The first to be forgotten first.
  const Times& times() const { return times_; }

 private:
  void Arm();

  loop::EventLoop& loop_;
  const Forget forget_;
  Times times_;
  std::optional<loop::TimerId> timer_;
  TimePoint timer_for_{};  // the first, when it was set
};

}  // namespace tokend::state
