#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/base/shares.h"
#include "daemon/telemetry/metrics.h"

namespace tokend::rpc {

// Limits the number of calls in flight. Callers have fair shares of that number (base/shares.h). Any thread.
// The metrics must outlive every place.
class InFlightLimit : public std::enable_shared_from_this<InFlightLimit> {
 public:
  // One call in flight. The destructor releases the place.
  class Place {
   public:
    ~Place() {
      if (limit_) limit_->GiveBack(caller_);
    }
    Place(Place&&) = default;
    Place& operator=(Place&& other) noexcept {
      std::swap(limit_, other.limit_);
      std::swap(caller_, other.caller_);
      return *this;
    }

   private:
    friend class InFlightLimit;
    Place(std::shared_ptr<InFlightLimit> limit, std::string caller)
        : limit_(std::move(limit)), caller_(std::move(caller)) {}

    std::shared_ptr<InFlightLimit> limit_;
    std::string caller_;
  };

  InFlightLimit(std::size_t max_in_flight, Shares::Policy policy, telemetry::Metrics& metrics)
      : metrics_(metrics), shares_(max_in_flight, policy) {}

  // Nothing if the limit is reached, or this caller's share of it. Never blocks.
  std::optional<Place> TryEnter(std::string_view caller);

  // Changes the limit. Calls in flight keep their places.
  void Resize(std::size_t max_in_flight, Shares::Policy policy);

  std::size_t calls_in_flight() const;

  // Waits until no call is in flight. False if the deadline passes first.
  bool WaitIdle(std::chrono::steady_clock::time_point deadline);

 private:
  void GiveBack(std::string_view caller);

  telemetry::Metrics& metrics_;
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  Shares shares_;
};

}  // namespace tokend::rpc
