#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>

namespace tokend::upstream {

// Shuts after so many failures in a row, for a time that doubles with each further one; then lets one call
// through, whose end decides. One thread.
class Gate {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Milliseconds = std::chrono::milliseconds;

  struct Options {
    std::size_t failures;  // in a row
    Milliseconds first;
    Milliseconds longest;
  };

  explicit Gate(const Options& options) : options_(options) {}

  bool shut() const { return failures_ >= options_.failures; }

  // How long it lets nobody through. Nothing: a call may go; where the gate is shut it is the probe, and
  // there must be none already.
  std::optional<Milliseconds> Refuses(TimePoint now) const {
    if (!shut()) return std::nullopt;
    if (until_ > now) return std::chrono::ceil<Milliseconds>(until_ - now);
    if (probing_) return options_.first;
    return std::nullopt;
  }

  // The probe goes, or has gone without an end that decides.
  void BeginProbe() { probing_ = true; }
  void DropProbe() { probing_ = false; }

  // A call that went through before it shut changes nothing any more.
  void Failed(TimePoint now) {
    if (shut() && !probing_) return;
    probing_ = false;
    if (++failures_ < options_.failures) return;
    delay_ = delay_.count() == 0 ? options_.first : std::min(2 * delay_, options_.longest);
    until_ = now + delay_;
  }

  void Open() {
    failures_ = 0;
    probing_ = false;
    delay_ = Milliseconds(0);
  }

 private:
  const Options options_;
  std::size_t failures_ = 0;
  bool probing_ = false;
  Milliseconds delay_{0};
  TimePoint until_{};
};

}  // namespace tokend::upstream
