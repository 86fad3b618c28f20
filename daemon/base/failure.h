#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tokend {

// Why a call got no token. The names and numbers are those of tokend.v1.ErrorReason: rpc/status.cc asserts
// it.
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

// The name of the ErrorReason without its prefix, such as "RATE_LIMITED".
std::string_view Name(Reason reason);

// Whether a token may exist although the call failed for this reason. If so, the client must not simply
// retry.
bool MayHaveCreated(Reason reason);

struct FieldViolation {
  std::string field;  // its path in the proto, such as "scopes[2]"
  std::string description;
};

struct QuotaViolation {
  std::string subject;  // "<grant or organization>/<limit>"
  std::string description;
};

// Everything about one failed call, for its caller, the audit record and the log. The reason determines the
// message to the caller. `detail` goes only to the audit record and the log. It holds the daemon's own words,
// never text of the caller or the upstream.
struct Failure {
  Reason reason;
  std::string detail = {};
  std::vector<FieldViolation> fields = {};
  std::vector<QuotaViolation> quotas = {};
  std::optional<std::chrono::milliseconds> retry_after = std::nullopt;
  std::optional<std::int64_t> upstream_code = std::nullopt;
  std::optional<std::uint64_t> audit_sequence = std::nullopt;
};

}  // namespace tokend
