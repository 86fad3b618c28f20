#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace tokend::upstream {

// Shuts after so many failures in a row, for a time that doubles with each further one; then lets one call
// through, the probe, whose end alone decides. One thread.
class Gate {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Milliseconds = std::chrono::milliseconds;

  // Tells the calls apart that go through: no two have the same one.
  enum class Call : std::uint64_t {};

  struct Options {
    std::size_t failures;  // in a row
    Milliseconds first;
    Milliseconds longest;
  };

  explicit Gate(const Options& options) : options_(options) {}

  bool shut() const { return failures_ >= options_.failures; }

  // How long it lets nobody through. Nothing: a call may go.
  std::optional<Milliseconds> Refuses(TimePoint now) const {
    if (!shut()) return std::nullopt;
    if (until_ > now) return std::chrono::ceil<Milliseconds>(until_ - now);
    if (probe_) return options_.first;
    return std::nullopt;
  }

  // A call goes that it does not refuse: where it is shut, as the probe.
  void Pass(Call call) {
    if (shut()) probe_ = call;
  }

  // A call that went has come to no end that decides.
  void Drop(Call call) {
    if (probe_ == call) probe_.reset();
  }

  // One that went before the gate shut changes nothing any more.
  void Failed(Call call, TimePoint now) {
    if (!Decides(call)) return;
    probe_.reset();
    if (++failures_ < options_.failures) return;
    delay_ = delay_.count() == 0 ? options_.first : std::min(2 * delay_, options_.longest);
    until_ = now + delay_;
  }
  void Worked(Call call) {
    if (Decides(call)) Open();
  }

  void Open() {
    failures_ = 0;
    probe_.reset();
    delay_ = Milliseconds(0);
  }

 private:
  bool Decides(Call call) const { return !shut() || probe_ == call; }

  const Options options_;
  std::size_t failures_ = 0;
  std::optional<Call> probe_;
  Milliseconds delay_{0};
  TimePoint until_{};
};

}  // namespace tokend::upstream
