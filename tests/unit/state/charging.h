#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "daemon/state/charges.h"

// Limits for tests.
namespace tokend::state {

inline Rate RateOf(std::uint64_t tokens, std::chrono::milliseconds per, std::uint64_t burst) {
  return Rate(config::Limit{.name = {}, .tokens = tokens, .per = per, .burst = burst});
}

// One token of the limit of that subject: a bucket has the name of its limit.
inline Charge ChargeOf(std::string subject, std::uint64_t tokens, std::chrono::milliseconds per,
                       std::uint64_t burst) {
  const LimitKey key = KeyOf({subject});
  return {key, RateOf(tokens, per, burst), std::move(subject)};
}

inline SpentHere SpentHereIn(const SpendResult& result) {
  return std::get<SpentHere>(std::get<Spent>(result));
}

inline std::vector<std::string> SubjectsIn(const Failure& failure) {
  std::vector<std::string> subjects;
  for (const QuotaViolation& violation : failure.quotas) subjects.push_back(violation.subject);
  return subjects;
}

}  // namespace tokend::state
