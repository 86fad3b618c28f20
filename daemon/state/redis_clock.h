#pragma once

#include <chrono>
#include <cstdint>

namespace tokend::state {

// The clock of the Redis server: microseconds since 1970. It has no now(), as only Redis's answers carry its
// time, and its times do not compare with those of this host's clocks.
struct RedisClock {
  using rep = std::int64_t;
  using period = std::micro;
  using duration = std::chrono::microseconds;
  using time_point = std::chrono::time_point<RedisClock>;
  static constexpr bool is_steady = false;
};
using RedisTime = RedisClock::time_point;

}  // namespace tokend::state
