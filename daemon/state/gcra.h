#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "daemon/config/config.h"

namespace tokend::state {

using TimePoint = std::chrono::steady_clock::time_point;

// A limit in the terms of the generic cell rate algorithm (ITU-T I.371, annex A): one token each `interval`,
// and up to `burst` at once. A bucket is then one point in time, that at which it will be full again. Rounded
// so that never more is granted than the limit says.
class Rate {
 public:
  explicit Rate(const config::Limit& limit)
      : interval_(
            (std::chrono::nanoseconds(limit.per).count() + static_cast<std::int64_t>(limit.tokens) - 1) /
            static_cast<std::int64_t>(limit.tokens)),
        burst_(static_cast<std::int64_t>(limit.burst)) {
    std::int64_t tolerance = 0;
    if (__builtin_mul_overflow(interval_.count(), burst_ - 1, &tolerance)) tolerance = kLongest.count();
    tolerance_ = std::min(std::chrono::nanoseconds(tolerance), kLongest);
  }

  std::chrono::nanoseconds interval() const { return interval_; }
  std::int64_t burst() const { return burst_; }

  // When a token can be had, if `ahead` others are had before.
  TimePoint Earliest(TimePoint full_at, TimePoint now, std::int64_t ahead = 0) const {
    return std::max(std::max(full_at, now) - tolerance_ + ahead * interval_, now);
  }

  // Whether one can be had now.
  bool Allows(TimePoint full_at, TimePoint now) const { return full_at <= now + tolerance_; }

  // When the bucket will be full again, once one is had now.
  TimePoint Spend(TimePoint full_at, TimePoint now) const { return std::max(full_at, now) + interval_; }

  // The same, once one that was spent at `spent_at` is given back. It is worth what has not grown back since:
  // without it the bucket might have been full meanwhile, and is never to be fuller than it would be then.
  TimePoint GiveBack(TimePoint full_at, TimePoint spent_at, TimePoint now) const {
    return full_at - std::clamp(interval_ - (now - spent_at), std::chrono::nanoseconds(0), interval_);
  }

  // How many can be had now.
  std::int64_t Remaining(TimePoint full_at, TimePoint now) const {
    if (full_at <= now) return burst_;
    const std::chrono::nanoseconds room = tolerance_ - (full_at - now);
    return room.count() < 0 ? 0 : std::min(room / interval_ + 1, burst_);
  }

 private:
  // A bucket that takes longer to fill is as good as one that takes this long: 73 years.
  static constexpr std::chrono::nanoseconds kLongest{std::int64_t{1} << 61};

  std::chrono::nanoseconds interval_;
  std::int64_t burst_;
  std::chrono::nanoseconds tolerance_;  // (burst - 1) intervals
};

}  // namespace tokend::state
