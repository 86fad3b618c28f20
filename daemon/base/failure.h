#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tokend {

// Why a call got no token. The names and numbers are those of tokend.v1.ErrorReason: rpc/status.cc and its
// test hold them to it.
enum class Reason {
  kInvalidRequest = 1,
  kRequestIdReused = 2,
  kCallerUnknown = 3,
  kNotPermitted = 4,
  kRateLimited = 5,
  kOverloaded = 6,
  kShuttingDown = 7,
  kAuditUnavailable = 8,
  kApplicationNotFound = 9,
  kUpstreamUnavailable = 10,
  kUpstreamRateLimited = 11,
  kUpstreamKeyRejected = 12,
  kUpstreamForbidden = 13,
  kUpstreamRejected = 14,
  kUpstreamInvalidResponse = 15,
  kOutcomeUnknown = 16,
  kLimitsUnavailable = 17,
};

// The names of the ErrorReasons without their prefix, by number.
inline constexpr std::array<std::string_view, 18> kReasonNames = {"ERROR_REASON_UNSPECIFIED",
                                                                  "INVALID_REQUEST",
                                                                  "REQUEST_ID_REUSED",
                                                                  "CALLER_UNKNOWN",
                                                                  "NOT_PERMITTED",
                                                                  "RATE_LIMITED",
                                                                  "OVERLOADED",
                                                                  "SHUTTING_DOWN",
                                                                  "AUDIT_UNAVAILABLE",
                                                                  "APPLICATION_NOT_FOUND",
                                                                  "UPSTREAM_UNAVAILABLE",
                                                                  "UPSTREAM_RATE_LIMITED",
                                                                  "UPSTREAM_KEY_REJECTED",
                                                                  "UPSTREAM_FORBIDDEN",
                                                                  "UPSTREAM_REJECTED",
                                                                  "UPSTREAM_INVALID_RESPONSE",
                                                                  "OUTCOME_UNKNOWN",
                                                                  "LIMITS_UNAVAILABLE"};

constexpr std::string_view Name(Reason reason) { return kReasonNames[static_cast<std::size_t>(reason)]; }
static_assert(Name(Reason::kLimitsUnavailable) == "LIMITS_UNAVAILABLE");

// Whether a token may exist although the call failed for this reason. If so, the client must not simply
// retry.
constexpr bool MayHaveCreated(Reason reason) {
  return reason == Reason::kUpstreamInvalidResponse || reason == Reason::kOutcomeUnknown;
}

struct FieldViolation {
  std::string field;  // its path in the proto, such as "scopes[2]"
  std::string description;
};

struct QuotaViolation {
  std::string subject;  // "<grant or organization>/<limit>"
  std::string description;
};

// Everything about one failed call, for its caller, the audit record and the log. The reason determines the
// message to the caller where `message` is null. `detail` goes only to the audit record and the log. It holds
// the daemon's own words, never text of the caller or the upstream.
struct Failure {
  Reason reason;
  std::string detail = {};
  std::vector<FieldViolation> fields = {};
  std::vector<QuotaViolation> quotas = {};
  std::optional<std::chrono::milliseconds> retry_after = std::nullopt;
  std::optional<std::int64_t> upstream_code = std::nullopt;
  std::optional<std::uint64_t> audit_sequence = std::nullopt;
  const char* message = nullptr;  // to the caller
};

}  // namespace tokend
