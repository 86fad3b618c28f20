#pragma once

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tokend::upstream {

// A circuit breaker. Closed, it lets every call pass. After a number of failures in a row it opens, and lets
// no call pass for a time; each further failure doubles that time. Then it is half-open: it lets one call
// pass, the probe, and the probe's result alone closes or opens it. A caller whose probe has failed does not
// make the next probe while another caller has called within kProbersTurn. One thread.
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

  static constexpr Milliseconds kProbersTurn{1000};

  explicit CircuitBreaker(const Options& options) : options_(options) {}

  // False where it is open or half-open.
  bool closed() const { return failures_ < options_.failures; }

  // Whether it is closed and has no failure to count.
  bool idle() const { return failures_ == 0; }

  // Notes that a caller has called, whether the call may pass or not.
  void Saw(std::string_view caller, TimePoint now) {
    if (closed()) return;
    if (last_caller_.name != caller) other_caller_ = std::exchange(last_caller_, {std::string(caller), {}});
    last_caller_.called = now;
  }

  // How long a caller must wait before it may ask again; nothing if its call may pass now.
  std::optional<Milliseconds> Refuses(std::string_view caller, TimePoint now) const {
    if (const std::optional<Milliseconds> wait = Refuses(now)) return wait;
    if (closed() || caller != failed_prober_) return std::nullopt;
    const SeenCaller& other = last_caller_.name != caller ? last_caller_ : other_caller_;
    if (!other.called || now - *other.called >= kProbersTurn) return std::nullopt;
    return std::chrono::ceil<Milliseconds>(*other.called + kProbersTurn - now);
  }

  // The same, whoever calls.
  std::optional<Milliseconds> Refuses(TimePoint now) const {
    if (closed()) return std::nullopt;
    if (open_until_ > now) return std::chrono::ceil<Milliseconds>(open_until_ - now);
    if (probe_) return options_.first;
    return std::nullopt;
  }

  // Whether this call is the probe.
  bool IsProbe(Call call) const { return probe_ == call; }

  // A call passes, which Refuses has not refused. It is the probe where the breaker is half-open.
  void Pass(Call call, std::string_view caller) {
    assert(closed() || !probe_);
    if (closed()) return;
    probe_ = call;
    prober_ = caller;
  }

  // A call that passed says nothing of the upstream. If it is the probe, another call may probe.
  void Forget(Call call) {
    if (probe_ == call) probe_.reset();
  }

  // The result of a call that passed. A call that passed before the breaker opened no longer counts.
  void Failed(Call call, TimePoint now) {
    if (!Counts(call)) return;
    if (probe_) failed_prober_ = prober_;
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
    failed_prober_.reset();
    last_caller_ = other_caller_ = {};
  }

 private:
  struct SeenCaller {
    std::string name;
    std::optional<TimePoint> called;
  };

  bool Counts(Call call) const { return closed() || probe_ == call; }

  const Options options_;
  std::size_t failures_ = 0;  // in a row
  std::optional<Call> probe_;
  std::string prober_;                        // who made the last probe
  std::optional<std::string> failed_prober_;  // whose probe was the last to fail
  SeenCaller last_caller_;                    // since the breaker opened
  SeenCaller other_caller_;                   // the last one with another name
  Milliseconds open_for_{0};
  TimePoint open_until_{};
};

}  // namespace tokend::upstream
