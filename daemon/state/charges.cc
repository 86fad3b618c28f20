#include "daemon/state/charges.h"

#include <algorithm>
#include <cassert>

namespace tokend::state {

Sha256Digest DigestOfParts(const std::vector<std::string_view>& parts) {
  std::string bytes;
  for (const std::string_view part : parts) {
    bytes += std::to_string(part.size());
    bytes += ':';
    bytes += part;
  }
  return Sha256(bytes);
}

LimitKey KeyOf(std::initializer_list<std::string_view> parts) {
  const Sha256Digest digest = DigestOfParts(parts);
  LimitKey key;
  std::copy_n(digest.begin(), key.size(), key.begin());
  return key;
}

Failure RateLimited(const Charges& charges, std::vector<SpentLimit> spent, TimePoint now) {
  assert(!spent.empty() || !charges.organization.empty());
  if (spent.empty()) spent.push_back({charges.organization.front().subject, now});
  Failure failure{.reason = Reason::kRateLimited, .detail = "spent:"};
  TimePoint until = now;
  for (const SpentLimit& limit : spent) {
    failure.detail.append(" ").append(limit.subject);
    failure.quotas.push_back({std::string(limit.subject), "is spent"});
    until = std::max(until, limit.until);
  }
  failure.retry_after = std::chrono::ceil<std::chrono::milliseconds>(until - now);
  return failure;
}

}  // namespace tokend::state
