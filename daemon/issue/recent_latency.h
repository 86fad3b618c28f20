#pragma once

#include <algorithm>
#include <chrono>

namespace tokend::issue {

// How long attempts took recently, from their intent to the upstream's answer. A request does not wait for a
// turn that leaves it less time than this. Loop thread only.
class RecentLatency {
 public:
  std::chrono::nanoseconds get() const { return mean_; }

  // Adds one attempt to the moving mean, which covers about the last eight.
  void Add(std::chrono::nanoseconds latency) { mean_ += (std::min(latency, kLongest) - mean_) / 8; }

 private:
  static constexpr std::chrono::nanoseconds kLongest = std::chrono::seconds(10);

  std::chrono::nanoseconds mean_{0};
};

}  // namespace tokend::issue
