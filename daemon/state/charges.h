#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/base/failure.h"
#include "daemon/base/sha256.h"
#include "daemon/state/gcra.h"

namespace tokend::state {

// Each part is hashed with its length, so that no two lists of parts have the same digest.
Sha256Digest DigestOfParts(const std::vector<std::string_view>& parts);

// Names one bucket: the first half of the digest of its owner's name and the limit's name.
using LimitKey = std::array<unsigned char, 16>;
LimitKey KeyOf(std::initializer_list<std::string_view> parts);

// One token of one limit.
struct Charge {
  LimitKey key;
  Rate rate;
  std::string subject;  // "<grant or organization>/<limit>"
};

// What one request spends: all of it or nothing.
struct Charges {
  // Of the caller and its grant. If one of these limits is used up, the request is refused.
  std::vector<Charge> own;
  // Of the organization. If only these limits are used up, the request waits for its turn in a fair queue.
  std::vector<Charge> organization;
  std::string organization_name;  // whose queue it is
  std::string caller;  // the queue shares turns among grants, and those of a grant among its callers
  std::string grant = {};

  bool empty() const { return own.empty() && organization.empty(); }
};

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

// When a request's charges were spent.
template <class Time>
struct SpentAt {
  Time own;           // when the request came
  Time organization;  // when its turn came
};
using SpentHere = SpentAt<TimePoint>;     // in this process's memory
using SpentInRedis = SpentAt<RedisTime>;  // in Redis, by its clock
using Spent = std::variant<SpentHere, SpentInRedis>;

// The charges are spent, or none of them is.
using SpendResult = std::variant<Spent, Failure>;

// A limit that is used up, and when it has a token again.
struct SpentLimit {
  std::string_view subject;
  TimePoint until;
};

// RATE_LIMITED, with one violation for each limit. If none is spent, a token of the organization has come
// just now, but it is another call's.
Failure RateLimited(const Charges& charges, std::vector<SpentLimit> spent, TimePoint now);

}  // namespace tokend::state
