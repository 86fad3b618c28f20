#pragma once

#include <algorithm>
#include <chrono>

#include "daemon/rpc/bounds.h"

namespace tokend::rpc {

// A token bucket that is full at first. One thread at a time.
class TokenBucket {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit TokenBucket(const bounds::Rate& rate) : rate_(&rate), left_(rate.burst) {}

  // Takes `amount`. If less is left, returns false and takes nothing.
  bool TryTake(double amount, TimePoint now) {
    Refill(now);
    if (left_ < amount) return false;
    left_ -= amount;
    return true;
  }

  // Adds `amount`, at most up to the burst.
  void Add(double amount) { left_ = std::min(rate_->burst, left_ + amount); }

  bool IsFull(TimePoint now) {
    Refill(now);
    return left_ >= rate_->burst;
  }

 private:
  void Refill(TimePoint now) {
    if (filled_at_ == TimePoint() || now < filled_at_) filled_at_ = now;
    Add(std::chrono::duration<double>(now - filled_at_).count() * rate_->per_second);
    filled_at_ = now;
  }

  const bounds::Rate* rate_;
  double left_;
  TimePoint filled_at_{};
};

}  // namespace tokend::rpc
