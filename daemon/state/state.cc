#include "daemon/state/state.h"

namespace tokend::state {

RequestDigest DigestOf(std::string_view caller, std::string_view organization, std::string_view application,
                       const std::vector<std::string>& scopes, std::string_view description) {
  std::vector<std::string_view> parts = {caller, organization, application, description};
  parts.insert(parts.end(), scopes.begin(), scopes.end());
  return DigestOfParts(parts);
}

AdmitResult ResultOf(const Outcome& outcome) {
  return std::visit([](const auto& value) { return AdmitResult(value); }, outcome);
}

AdmitResult ResultOfJoined(AdmitResult result) {
  if (auto* answered = std::get_if<Answered>(&result)) answered->joined = true;
  return result;
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
