#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <variant>

#include "daemon/base/failure.h"
#include "daemon/telemetry/metrics.h"

namespace tokend::rpc {

// Counts the calls in flight, holds them to a maximum and, once closed, lets none in. Any thread. The metrics
// must outlive every pass.
class CallGate : public std::enable_shared_from_this<CallGate> {
 public:
  // A call's place among those in flight, which it gives up by ending.
  class Pass {
   public:
    explicit Pass(std::shared_ptr<CallGate> gate) : gate_(std::move(gate)) {}
    ~Pass() {
      if (gate_) gate_->Leave();
    }
    Pass(Pass&&) = default;
    Pass& operator=(Pass&&) = delete;

   private:
    std::shared_ptr<CallGate> gate_;
  };

  CallGate(std::size_t max_in_flight, telemetry::Metrics& metrics)
      : metrics_(metrics), max_in_flight_(max_in_flight) {}

  // A pass, or kOverloaded or kShuttingDown. Never waits.
  std::variant<Pass, Reason> Enter();

  // How many may be in flight from here on.
  void SetMaxInFlight(std::size_t max_in_flight);

  // From here on Enter says kShuttingDown.
  void Close();

  std::size_t calls_in_flight() const;

  // Whether no call was in flight by the deadline.
  bool WaitIdle(std::chrono::steady_clock::time_point deadline);

 private:
  void Leave();

  telemetry::Metrics& metrics_;
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  std::size_t max_in_flight_;
  std::size_t calls_ = 0;
  bool closed_ = false;
};

}  // namespace tokend::rpc
