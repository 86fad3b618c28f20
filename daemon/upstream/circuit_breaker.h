#pragma once

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace tokend::upstream {

// A circuit breaker. Closed, it lets every call pass. After a number of failures in a row it opens, and lets
// no call pass for a time; each further failure doubles that time. Then it is half-open: it lets one call
// pass, the probe, and the probe's result alone closes or opens it. One thread.
class CircuitBreaker {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Milliseconds = std::chrono::milliseconds;

  // Identifies a call that passed: no two calls have the same id.
  enum class Call : std::uint64_t {};

  struct Options {
    std::size_t failures;  // in a row, until it opens
    Milliseconds first;    // for how long it opens first
    Milliseconds longest;  // for how long it opens at most
  };

  explicit CircuitBreaker(const Options& options) : options_(options) {}

  // False where it is open or half-open.
  bool closed() const { return failures_ < options_.failures; }

  // How long a call must wait before it may ask again; nothing if a call may pass now.
  std::optional<Milliseconds> Refuses(TimePoint now) const {
    if (closed()) return std::nullopt;
    if (open_until_ > now) return std::chrono::ceil<Milliseconds>(open_until_ - now);
    if (probe_) return options_.first;
    return std::nullopt;
  }

  // Whether this call is the probe.
  bool IsProbe(Call call) const { return probe_ == call; }

  // A call passes, which Refuses has not refused. It is the probe where the breaker is half-open.
  void Pass(Call call) {
    assert(closed() || !probe_);
    if (!closed()) probe_ = call;
  }

  // A call that passed says nothing of the upstream. If it is the probe, another call may probe.
  void Forget(Call call) {
    if (probe_ == call) probe_.reset();
  }

  // The result of a call that passed. A call that passed before the breaker opened no longer counts.
  void Failed(Call call, TimePoint now) {
    if (!Counts(call)) return;
    probe_.reset();
    if (++failures_ < options_.failures) return;
    open_for_ = open_for_.count() == 0 ? options_.first : std::min(2 * open_for_, options_.longest);
    open_until_ = now + open_for_;
  }
  void Succeeded(Call call) {
    if (Counts(call)) Close();
  }

  void Close() {
    failures_ = 0;
    probe_.reset();
    open_for_ = Milliseconds(0);
  }

 private:
  bool Counts(Call call) const { return closed() || probe_ == call; }

  const Options options_;
  std::size_t failures_ = 0;  // in a row
  std::optional<Call> probe_;
  Milliseconds open_for_{0};
  TimePoint open_until_{};
};

}  // namespace tokend::upstream
