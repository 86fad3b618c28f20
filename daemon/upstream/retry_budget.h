#pragma once

#include <algorithm>
#include <functional>
#include <utility>

namespace tokend::upstream {

// How many retries the requests to one organization, or to one central tokend, may make: at most a tenth of
// the requests, plus 10, so that retries do not multiply the load during an outage. One thread.
class RetryBudget {
 public:
  // Called with the number of retries that are left, at the first request and when the number changes.
  using OnChange = std::function<void(double retries)>;

  explicit RetryBudget(OnChange on_change = {}) : on_change_(std::move(on_change)) {}

  // A request begins.
  void Began() { Set(std::min(retries_ + kPerRequest, kMost)); }

  // Takes one retry. False: none is left.
  bool Take() {
    if (retries_ < 1) return false;
    Set(retries_ - 1);
    return true;
  }

 private:
  static constexpr double kPerRequest = 0.1;
  static constexpr double kMost = 10;

  void Set(double retries) {
    const bool changed = std::exchange(retries_, retries) != retries;
    if ((changed || !told_) && on_change_) on_change_(retries_);
    told_ = true;
  }

  OnChange on_change_;
  double retries_ = kMost;
  bool told_ = false;
};

}  // namespace tokend::upstream
