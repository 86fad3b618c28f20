#include "daemon/state/state.h"

#include "daemon/base/sha256.h"

namespace tokend::state {

RequestDigest DigestOf(std::string_view caller, std::string_view organization, std::string_view application,
                       const std::vector<std::string>& scopes, std::string_view description) {
  // Each part follows its length, so that no two lists of parts give the same bytes.
  std::string parts;
  auto add = [&](std::string_view part) {
    parts += std::to_string(part.size());
    parts += ':';
    parts += part;
  };
  add(caller);
  add(organization);
  add(application);
  add(description);
  for (const std::string& scope : scopes) add(scope);
  return Sha256(parts);
}

AdmitResult ResultOf(const Outcome& outcome) {
  return std::visit([](const auto& value) { return AdmitResult(value); }, outcome);
}

Failure RequestIdReused() {
  return {Reason::kRequestIdReused, "this request_id was used for another request"};
}

Failure LedgerFull(std::optional<std::chrono::milliseconds> retry_after) {
  return {.reason = Reason::kOverloaded,
          .detail = "the request ledger is full (requests.max_entries)",
          .retry_after = retry_after};
}

}  // namespace tokend::state
