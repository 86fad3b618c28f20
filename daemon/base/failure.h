#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tokend {

// Why a call got no token. The names and numbers of tokend.v1.ErrorReason; rpc/status.cc asserts that.
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

// "RATE_LIMITED" and so on: the ErrorReason without its prefix.
std::string_view Name(Reason reason);

// Whether a token may exist after a call that failed for this reason. A client must then not retry blindly.
bool MayHaveCreated(Reason reason);

struct FieldViolation {
  std::string field;  // as in the proto: "scopes[2]"
  std::string description;
};

struct QuotaViolation {
  std::string subject;  // "<grant or organization>/<limit>"
  std::string description;
};

// Everything that one failed call says, to its caller and to the records. The caller's message is fixed by
// the reason; `detail` is the daemon's own words and goes to the audit record and the log alone.
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
