#pragma once

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstdint>

#include "daemon/config/config.h"

namespace tokend::state {

using TimePoint = std::chrono::steady_clock::time_point;

// So many times this duration, but no more than `longest`.
template <class Duration>
Duration Product(Duration duration, std::int64_t count, Duration longest) {
  std::int64_t product = 0;
  const bool overflows = __builtin_mul_overflow(duration.count(), count, &product);
  return overflows ? longest : std::min(Duration(product), longest);
}

// A limit in the terms of the generic cell rate algorithm (ITU-T I.371, annex A): one token each `interval`,
// and up to `burst` at once. A bucket is then one point in time: when it will be full again. Rounding never
// grants more than the limit says.
class Rate {
 public:
  explicit Rate(const config::Limit& limit)
      : interval_(
            (std::chrono::nanoseconds(limit.per).count() + static_cast<std::int64_t>(limit.tokens) - 1) /
            static_cast<std::int64_t>(limit.tokens)),
        burst_(static_cast<std::int64_t>(limit.burst)) {
    assert(interval_.count() > 0 && burst_ > 0);
    tolerance_ = Product(interval_, burst_ - 1, kLongest);
  }

  std::chrono::nanoseconds interval() const { return interval_; }
  std::int64_t burst() const { return burst_; }

  // When a token can be had, if `ahead` others are taken before it.
  TimePoint Earliest(TimePoint full_at, TimePoint now, std::int64_t ahead = 0) const {
    return std::max(std::max(full_at, now) - tolerance_ + ahead * interval_, now);
  }

  // Whether a token can be had now.
  bool Allows(TimePoint full_at, TimePoint now) const { return full_at <= now + tolerance_; }

  // When the bucket will be full again after a token is taken now.
  TimePoint Spend(TimePoint full_at, TimePoint now) const { return std::max(full_at, now) + interval_; }

  // When the bucket will be full again after a token taken at `spent_at` is given back. The token is worth
  // what has not grown back since, so that the bucket is never fuller than if it had not been taken.
  TimePoint GiveBack(TimePoint full_at, TimePoint spent_at, TimePoint now) const {
    return full_at - std::clamp(interval_ - (now - spent_at), std::chrono::nanoseconds(0), interval_);
  }

  // How many tokens can be had now.
  std::int64_t Remaining(TimePoint full_at, TimePoint now) const {
    if (full_at <= now) return burst_;
    const std::chrono::nanoseconds room = tolerance_ - (full_at - now);
    return room.count() < 0 ? 0 : std::min(room / interval_ + 1, burst_);
  }

 private:
  // 73 years: a bucket that takes longer to fill counts as one that takes this long.
  static constexpr std::chrono::nanoseconds kLongest{std::int64_t{1} << 61};

  std::chrono::nanoseconds interval_;
  std::int64_t burst_;
  std::chrono::nanoseconds tolerance_;  // (burst - 1) intervals
};

}  // namespace tokend::state
