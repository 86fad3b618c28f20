#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/base/failure.h"
#include "daemon/state/gcra.h"

namespace tokend::state {

// Names one bucket: the first half of a SHA-256 of whose it is and of the limit's name.
using LimitKey = std::array<unsigned char, 16>;

// Each part counts as it stands: no two lists of parts have the same key.
LimitKey KeyOf(std::initializer_list<std::string_view> parts);

// One token of one limit.
struct Charge {
  LimitKey key;
  Rate rate;
  std::string subject;  // "<grant or organization>/<limit>"
};

// What one request spends: all or none.
struct Charges {
  std::vector<Charge> own;  // of the caller and its grant: where one is spent, the request is refused
  std::vector<Charge> organization;  // where one of these alone is spent, the request waits for its fair turn
  std::string organization_name;     // whose turns they are
  std::string caller;                // among whom turns are shared

  bool empty() const { return own.empty() && organization.empty(); }
};

// When a request's charges were spent, by the clock of who holds the limits.
struct Spent {
  TimePoint own;           // when it came
  TimePoint organization;  // when its turn came
};

// All are spent, or none.
using SpendResult = std::variant<Spent, Failure>;

// A limit that a request found spent, and when that ends.
struct SpentLimit {
  std::string_view subject;
  TimePoint until;
};

// RATE_LIMITED, one violation a limit. `spent` is not empty.
Failure RateLimited(const std::vector<SpentLimit>& spent, TimePoint now);

}  // namespace tokend::state
