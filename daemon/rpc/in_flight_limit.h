#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "daemon/base/shares.h"
#include "daemon/telemetry/metrics.h"

namespace tokend::rpc {

// Limits the number of calls in flight. Callers have fair shares of that number (base/shares.h). Any thread.
// The metrics must outlive every place.
class InFlightLimit : public std::enable_shared_from_this<InFlightLimit> {
 public:
  struct GiveBack {
    std::shared_ptr<InFlightLimit> limit;
    std::string caller;
    void operator()(InFlightLimit* /*limit*/) const { limit->Leave(caller); }
  };
  // One call in flight. The destructor releases the place.
  using Place = std::unique_ptr<InFlightLimit, GiveBack>;

  InFlightLimit(std::size_t max_in_flight, Shares::Policy policy, telemetry::Metrics& metrics)
      : metrics_(metrics), shares_(max_in_flight, policy) {}

  // Null if the limit is reached, or this caller's share of it. Never blocks.
  Place TryEnter(std::string_view caller) {
    const std::lock_guard lock(mutex_);
    if (!shares_.Take(caller)) return nullptr;
    metrics_.SetCallsInFlight(shares_.taken());
    return Place(this, {shared_from_this(), std::string(caller)});
  }

  // Changes the limit. Calls in flight keep their places.
  void Resize(std::size_t max_in_flight, Shares::Policy policy) {
    const std::lock_guard lock(mutex_);
    shares_.Resize(max_in_flight, policy);
  }

  std::size_t calls_in_flight() const {
    const std::lock_guard lock(mutex_);
    return shares_.taken();
  }

  // Waits until no call is in flight. False if the deadline passes first.
  bool WaitIdle(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    return idle_.wait_until(lock, deadline, [this] { return shares_.taken() == 0; });
  }

 private:
  void Leave(std::string_view caller) {
    const std::lock_guard lock(mutex_);
    shares_.GiveBack(caller);
    metrics_.SetCallsInFlight(shares_.taken());
    if (shares_.taken() == 0) idle_.notify_all();
  }

  telemetry::Metrics& metrics_;
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  Shares shares_;
};

}  // namespace tokend::rpc
