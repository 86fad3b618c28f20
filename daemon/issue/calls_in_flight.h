#pragma once

#include <cstddef>
#include <memory>
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
    friend class CallsInFlight;
    struct Leaver {
      std::string of;
      void operator()(CallsInFlight* calls) const { calls->Leave(of); }
    };
    Place(CallsInFlight* calls, std::string of) : calls_(calls, {std::move(of)}) {}
    std::unique_ptr<CallsInFlight, Leaver> calls_;  // null: nothing is counted
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
