#pragma once

#include <algorithm>
#include <chrono>

#include "daemon/rpc/bounds.h"

namespace tokend::rpc {

// A token bucket that begins full. One thread at a time.
class RateBudget {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit RateBudget(const bounds::Rate& rate) : rate_(&rate), left_(rate.burst) {}

  // Takes `amount`. False: there is not so much left, and nothing is taken.
  bool Spend(double amount, TimePoint now) {
    Refill(now);
    if (left_ < amount) return false;
    left_ -= amount;
    return true;
  }

  // Gives `amount`, up to the burst.
  void Earn(double amount) { left_ = std::min(rate_->burst, left_ + amount); }

  bool IsFull(TimePoint now) {
    Refill(now);
    return left_ >= rate_->burst;
  }

 private:
  void Refill(TimePoint now) {
    if (filled_at_ == TimePoint() || now < filled_at_) filled_at_ = now;
    Earn(std::chrono::duration<double>(now - filled_at_).count() * rate_->per_second);
    filled_at_ = now;
  }

  const bounds::Rate* rate_;
  double left_;
  TimePoint filled_at_{};
};

}  // namespace tokend::rpc
