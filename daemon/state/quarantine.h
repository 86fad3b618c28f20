#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/result.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/charges.h"

namespace tokend::state {

// The time in which a caller's request_id that is not known is refused. It may have had its token, as the
// ledger has lost entries. Loop thread, where nothing else is said.
class Quarantine {
 public:
  // Hears what is left of it: as it begins, about once a second, and 0 at its end.
  using Report = std::function<void(std::chrono::seconds left, const std::string& why)>;

  // `loop` outlives this. `why` is what is lost, in the daemon's own words. `report` may be empty.
  Quarantine(loop::EventLoop& loop, std::string why, Report report)
      : loop_(loop), why_(std::move(why)), report_(std::move(report)) {}
  ~Quarantine() {
    if (timer_) loop_.Cancel(*timer_);
  }
  Quarantine(const Quarantine&) = delete;
  Quarantine& operator=(const Quarantine&) = delete;

  // Before other threads ask.
  void Explain(std::string why) { why_ = std::move(why); }

  // A time in the past ends it.
  void SetEnd(TimePoint ends) {
    ends_.store(ends.time_since_epoch().count());
    if (timer_) loop_.Cancel(*std::exchange(timer_, std::nullopt));
    Tick();
  }

  // How long it still lasts; 0: there is none. Any thread.
  std::chrono::milliseconds left() const {
    const TimePoint ends{TimePoint::duration(ends_.load())};
    const TimePoint now = loop_.clock().Now();
    return ends <= now ? std::chrono::milliseconds(0)
                       : std::chrono::ceil<std::chrono::milliseconds>(ends - now);
  }

  // OK, or why it lasts and for how long. Any thread.
  Status status() const {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(left()).count();
    if (seconds == 0) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("quarantine for another ", seconds, " s: ", why_,
                                               "; new request_ids of callers are refused"));
  }

 private:
  void Tick() {
    const auto left = this->left();
    if (report_ && (left.count() > 0 || reported_)) {
      report_(std::chrono::ceil<std::chrono::seconds>(left), why_);
    }
    reported_ = left.count() > 0;
    if (!reported_) return;
    timer_ = loop_.After(std::min<std::chrono::milliseconds>(left, std::chrono::seconds(1)), [this] {
      timer_.reset();
      Tick();
    });
  }

  loop::EventLoop& loop_;
  std::string why_;
  const Report report_;
  std::atomic<TimePoint::rep> ends_{TimePoint::duration::min().count()};
  bool reported_ = false;
  std::optional<loop::TimerId> timer_;
};

}  // namespace tokend::state
