#include "daemon/base/failure.h"

namespace tokend {

std::string_view Name(Reason reason) {
  switch (reason) {
    case Reason::kInvalidRequest:
      return "INVALID_REQUEST";
    case Reason::kRequestIdReused:
      return "REQUEST_ID_REUSED";
    case Reason::kCallerUnknown:
      return "CALLER_UNKNOWN";
    case Reason::kNotPermitted:
      return "NOT_PERMITTED";
    case Reason::kRateLimited:
      return "RATE_LIMITED";
    case Reason::kOverloaded:
      return "OVERLOADED";
    case Reason::kShuttingDown:
      return "SHUTTING_DOWN";
    case Reason::kAuditUnavailable:
      return "AUDIT_UNAVAILABLE";
    case Reason::kApplicationNotFound:
      return "APPLICATION_NOT_FOUND";
    case Reason::kUpstreamUnavailable:
      return "UPSTREAM_UNAVAILABLE";
    case Reason::kUpstreamRateLimited:
      return "UPSTREAM_RATE_LIMITED";
    case Reason::kUpstreamKeyRejected:
      return "UPSTREAM_KEY_REJECTED";
    case Reason::kUpstreamForbidden:
      return "UPSTREAM_FORBIDDEN";
    case Reason::kUpstreamRejected:
      return "UPSTREAM_REJECTED";
    case Reason::kUpstreamInvalidResponse:
      return "UPSTREAM_INVALID_RESPONSE";
    case Reason::kOutcomeUnknown:
      return "OUTCOME_UNKNOWN";
    case Reason::kLimitsUnavailable:
      return "LIMITS_UNAVAILABLE";
  }
  return "ERROR_REASON_UNSPECIFIED";
}

bool MayHaveCreated(Reason reason) {
  return reason == Reason::kUpstreamInvalidResponse || reason == Reason::kOutcomeUnknown;
}

}  // namespace tokend
