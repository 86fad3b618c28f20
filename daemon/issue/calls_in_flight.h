#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "daemon/config/config.h"

namespace tokend::issue {

// How many requests of each caller run under each grant that says how many may (`max_in_flight`). Loop thread
// only.
class CallsInFlight {
 public:
  // One request's place, until it ends. Loop thread; before the end of what gave it.
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

  // Nothing where as many run as may.
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
