#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "daemon/config/config.h"

namespace tokend::issue {

// Counts the requests of each caller that run under each grant, and holds them to the grant's
// `max_in_flight`. Loop thread only.
class CallsInFlight {
 public:
  // Counts one request until it is dropped. Dropped before the CallsInFlight, on the loop thread.
  class Place {
   public:
    Place(Place&& other) noexcept : calls_(std::exchange(other.calls_, nullptr)), of_(std::move(other.of_)) {}
    Place& operator=(Place&& other) noexcept {
      std::swap(calls_, other.calls_);
      std::swap(of_, other.of_);
      return *this;
    }
    ~Place() {
      if (calls_ != nullptr) calls_->Leave(of_);
    }

   private:
    friend class CallsInFlight;
    Place(CallsInFlight* calls, std::string of) : calls_(calls), of_(std::move(of)) {}
    CallsInFlight* calls_;
    std::string of_;
  };

  // Nothing if the grant's maximum runs already.
  std::optional<Place> Enter(const config::Grant& grant, const std::string& caller) {
    if (!grant.max_in_flight) return Place(nullptr, {});
    std::string of = grant.name + '\n' + caller;  // names hold no newline
    std::size_t& running = running_[of];
    if (running >= *grant.max_in_flight) return std::nullopt;
    ++running;
    return Place(this, std::move(of));
  }

 private:
  void Leave(const std::string& of) {
    const auto running = running_.find(of);
    if (--running->second == 0) running_.erase(running);
  }

  absl::flat_hash_map<std::string, std::size_t> running_;
};

}  // namespace tokend::issue
