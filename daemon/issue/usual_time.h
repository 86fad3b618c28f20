#pragma once

#include <algorithm>
#include <chrono>

namespace tokend::issue {

// How long requests take lately from their turn to their answer: whoever waits for a turn that comes later
// than this before its deadline waits for nothing. Loop thread only.
class UsualTime {
 public:
  std::chrono::nanoseconds get() const { return usual_; }

  // A moving mean over about the last eight.
  void Took(std::chrono::nanoseconds time) { usual_ += (std::min(time, kLongest) - usual_) / 8; }

 private:
  static constexpr std::chrono::nanoseconds kLongest = std::chrono::seconds(10);

  std::chrono::nanoseconds usual_{0};
};

}  // namespace tokend::issue
