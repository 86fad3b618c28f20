#include "daemon/state/state.h"

#include "daemon/base/form.h"

namespace tokend::state {
namespace {

constexpr std::string_view kDigestVersion = "1:";

std::string HexOfName(std::string_view name) {
  const LimitKey key = KeyOf({name});
  return Hex({reinterpret_cast<const char*>(key.data()), key.size()});
}

// The value of a hex digit, or more than 15 for any other character.
unsigned HexValue(char digit) {
  if (digit >= '0' && digit <= '9') return static_cast<unsigned>(digit - '0');
  if (digit >= 'a' && digit <= 'f') return static_cast<unsigned>(digit - 'a' + 10);
  return 16;
}

}  // namespace

RequestDigest DigestOf(std::string_view caller, std::string_view organization, std::string_view application,
                       const std::vector<std::string>& scopes, std::string_view description) {
  std::vector<std::string_view> parts = {caller, organization, application, description};
  parts.insert(parts.end(), scopes.begin(), scopes.end());
  return DigestOfParts(parts);
}

std::string ToText(const RequestDigest& digest) {
  return std::string(kDigestVersion)
      .append(Hex({reinterpret_cast<const char*>(digest.data()), digest.size()}));
}

AdmitResult ResultOfJoined(AdmitResult result) {
  if (auto* known = std::get_if<Known>(&result)) {
    if (auto* answered = std::get_if<Answered>(&known->outcome)) answered->joined = true;
  }
  return result;
}

std::optional<RequestDigest> ParseDigest(std::string_view text) {
  RequestDigest digest;
  if (!text.starts_with(kDigestVersion)) return std::nullopt;
  text.remove_prefix(kDigestVersion.size());
  if (text.size() != 2 * digest.size()) return std::nullopt;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    const unsigned high = HexValue(text[2 * i]);
    const unsigned low = HexValue(text[2 * i + 1]);
    if (high > 15 || low > 15) return std::nullopt;
    digest[i] = static_cast<unsigned char>(high << 4U | low);
  }
  return digest;
}

std::string LedgerPrefix(std::string_view caller, std::string_view on_behalf_of) {
  std::string prefix = HexOfName(caller) + ":";
  if (!on_behalf_of.empty()) prefix += HexOfName(on_behalf_of) + ":";
  return prefix;
}

std::string LedgerId(std::string_view caller, std::string_view on_behalf_of, std::string_view request_id) {
  return LedgerPrefix(caller, on_behalf_of).append(request_id);
}

std::string_view OwnerOf(std::string_view ledger_id) { return ledger_id.substr(0, ledger_id.find(':')); }

Failure RequestIdReused() {
  return {Reason::kRequestIdReused, "this request_id was used for another request"};
}

Failure Quarantined(std::chrono::milliseconds retry_after) {
  return {.reason = Reason::kLimitsUnavailable,
          .detail = "quarantine: the ledger has lost entries, so this request_id may have had its token",
          .retry_after = retry_after,
          .message =
              "tokend is in quarantine: it has lost request_ids, and this one may have had its token; "
              "retry after the delay in the details"};
}

Failure TooOld(std::chrono::milliseconds remember) {
  return {.reason = Reason::kLimitsUnavailable,
          .detail = "the request_id is older than what the ledger knows, so it may have had its token",
          .retry_after = remember,
          .message = "this request_id is so old that tokend may have forgotten its token"};
}

Failure BearerLost(std::uint64_t ended_by) {
  return {.reason = Reason::kOutcomeUnknown,
          .detail = "its token may have been created before a restart that lost the bearer",
          .audit_sequence = ended_by};
}

Failure LedgerFull(std::optional<std::chrono::milliseconds> retry_after) {
  return {.reason = Reason::kOverloaded,
          .detail = "the request ledger is full, or this caller's share of it (requests.max_entries)",
          .retry_after = retry_after};
}

}  // namespace tokend::state
