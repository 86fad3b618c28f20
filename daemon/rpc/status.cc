#include "daemon/rpc/status.h"

#include <chrono>
#include <string>
#include <utility>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tokend/v1/token_service.pb.h"

namespace tokend::rpc {
namespace {

#define TOKEND_SAME_REASON(ours, theirs) \
  static_assert(static_cast<int>(Reason::ours) == static_cast<int>(v1::ERROR_REASON_##theirs))
TOKEND_SAME_REASON(kInvalidRequest, INVALID_REQUEST);
TOKEND_SAME_REASON(kRequestIdReused, REQUEST_ID_REUSED);
TOKEND_SAME_REASON(kCallerUnknown, CALLER_UNKNOWN);
TOKEND_SAME_REASON(kNotPermitted, NOT_PERMITTED);
TOKEND_SAME_REASON(kRateLimited, RATE_LIMITED);
TOKEND_SAME_REASON(kOverloaded, OVERLOADED);
TOKEND_SAME_REASON(kShuttingDown, SHUTTING_DOWN);
TOKEND_SAME_REASON(kAuditUnavailable, AUDIT_UNAVAILABLE);
TOKEND_SAME_REASON(kApplicationNotFound, APPLICATION_NOT_FOUND);
TOKEND_SAME_REASON(kUpstreamUnavailable, UPSTREAM_UNAVAILABLE);
TOKEND_SAME_REASON(kUpstreamRateLimited, UPSTREAM_RATE_LIMITED);
TOKEND_SAME_REASON(kUpstreamKeyRejected, UPSTREAM_KEY_REJECTED);
TOKEND_SAME_REASON(kUpstreamForbidden, UPSTREAM_FORBIDDEN);
TOKEND_SAME_REASON(kUpstreamRejected, UPSTREAM_REJECTED);
TOKEND_SAME_REASON(kUpstreamInvalidResponse, UPSTREAM_INVALID_RESPONSE);
TOKEND_SAME_REASON(kOutcomeUnknown, OUTCOME_UNKNOWN);
TOKEND_SAME_REASON(kLimitsUnavailable, LIMITS_UNAVAILABLE);
#undef TOKEND_SAME_REASON
static_assert(v1::ErrorReason_MAX == static_cast<int>(Reason::kLimitsUnavailable));

constexpr char kErrorDomain[] = "tokend";
constexpr char kTypeUrlPrefix[] = "type.googleapis.com/";

// The delay of RetryInfo if the failure has none.
constexpr std::chrono::milliseconds kDefaultRetryDelay{1000};

// Whether the details contain a RetryInfo.
enum class Retry { kNoDelay, kAfterDelay };

struct Row {
  Code code;
  Retry retry;
  const char* message;
};

// NOLINTNEXTLINE(readability-function-size): a table
Row RowOf(Reason reason) {
  switch (reason) {
    case Reason::kInvalidRequest:
      return {Code::kInvalidArgument, Retry::kNoDelay,
              "the request has invalid fields; correct the fields that the details name"};
    case Reason::kRequestIdReused:
      return {Code::kAlreadyExists, Retry::kNoDelay,
              "this request_id belongs to another request; use a new one for new parameters"};
    case Reason::kCallerUnknown:
      return {Code::kUnauthenticated, Retry::kNoDelay,
              "the caller is unknown; connect with the credentials that this listener requires"};
    case Reason::kNotPermitted:
      return {Code::kPermissionDenied, Retry::kNoDelay,
              "no grant permits this; GetCaller shows your grants, and tokend's operator can add one"};
    case Reason::kRateLimited:
      return {Code::kResourceExhausted, Retry::kAfterDelay,
              "a rate limit is used up; retry after the delay in the details"};
    case Reason::kOverloaded:
      return {Code::kUnavailable, Retry::kAfterDelay,
              "tokend is overloaded; retry after the delay in the details"};
    case Reason::kShuttingDown:
      return {Code::kUnavailable, Retry::kAfterDelay, "tokend is shutting down; reconnect and retry"};
    case Reason::kAuditUnavailable:
      return {Code::kUnavailable, Retry::kAfterDelay,
              "the audit log cannot be written, so no token was returned; retry later"};
    case Reason::kLimitsUnavailable:
      return {Code::kUnavailable, Retry::kAfterDelay,
              "the shared limits cannot be reached, so no token was returned; retry later"};
    case Reason::kUpstreamUnavailable:
      return {Code::kUnavailable, Retry::kAfterDelay,
              "Applivery cannot be reached, and nothing was sent; retry later"};
    case Reason::kUpstreamRateLimited:
      return {Code::kResourceExhausted, Retry::kAfterDelay,
              "Applivery limits the rate of requests; retry after the delay in the details"};
    case Reason::kUpstreamKeyRejected:
      return {Code::kFailedPrecondition, Retry::kNoDelay,
              "Applivery rejects tokend's API key; its operator must replace the key"};
    case Reason::kUpstreamForbidden:
      return {Code::kFailedPrecondition, Retry::kNoDelay,
              "Applivery does not permit tokend's API key to do this; its operator must extend the key's "
              "permissions"};
    case Reason::kApplicationNotFound:
      return {Code::kNotFound, Retry::kNoDelay,
              "Applivery knows no such application in this organization; check both names"};
    case Reason::kUpstreamRejected:
      return {
          Code::kFailedPrecondition, Retry::kNoDelay,
          "Applivery refuses to create the token; upstream_code in the details says why where it is known"};
    case Reason::kUpstreamInvalidResponse:
      return {Code::kInternal, Retry::kNoDelay,
              "Applivery's answer is invalid, and a token may exist; do not retry with a new request_id"};
    case Reason::kOutcomeUnknown:
      break;
  }
  return {Code::kUnknown, Retry::kNoDelay,
          "it is unknown whether a token was created; do not retry with a new request_id"};
}

template <class Detail>
void AddDetail(const Detail& detail, google::rpc::Status& status) {
  status.add_details()->PackFrom(detail, kTypeUrlPrefix);
}

google::rpc::ErrorInfo ErrorInfoOf(const Failure& failure, std::string_view request_id) {
  google::rpc::ErrorInfo info;
  info.set_domain(kErrorDomain);
  info.set_reason(std::string(Name(failure.reason)));
  auto& metadata = *info.mutable_metadata();
  metadata["request_id"] = std::string(request_id);
  if (failure.upstream_code) metadata["upstream_code"] = std::to_string(*failure.upstream_code);
  if (failure.audit_sequence) metadata["audit_sequence"] = std::to_string(*failure.audit_sequence);
  return info;
}

google::rpc::BadRequest BadRequestOf(const Failure& failure) {
  google::rpc::BadRequest bad;
  for (const FieldViolation& field : failure.fields) {
    auto& violation = *bad.add_field_violations();
    violation.set_field(field.field);
    violation.set_description(field.description);
  }
  return bad;
}

google::rpc::RetryInfo RetryInfoOf(const Failure& failure) {
  using std::chrono::duration_cast;
  const std::chrono::milliseconds delay = failure.retry_after.value_or(kDefaultRetryDelay);
  const auto seconds = duration_cast<std::chrono::seconds>(delay);
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(seconds.count());
  info.mutable_retry_delay()->set_nanos(
      static_cast<std::int32_t>(duration_cast<std::chrono::nanoseconds>(delay - seconds).count()));
  return info;
}

google::rpc::QuotaFailure QuotaFailureOf(const Failure& failure) {
  google::rpc::QuotaFailure quota;
  for (const QuotaViolation& spent : failure.quotas) {
    auto& violation = *quota.add_violations();
    violation.set_subject(spent.subject);
    violation.set_description(spent.description);
  }
  return quota;
}

}  // namespace

CallStatus ToStatus(const Failure& failure, std::string_view request_id) {
  const Row row = RowOf(failure.reason);
  std::string message = row.message;
  if (!failure.fields.empty()) {
    const FieldViolation& first = failure.fields.front();
    message = first.field.empty() ? first.description : first.field + " " + first.description;
  }
  google::rpc::Status status;
  status.set_code(static_cast<int>(row.code));
  status.set_message(message);
  AddDetail(ErrorInfoOf(failure, request_id), status);
  if (failure.reason == Reason::kInvalidRequest) AddDetail(BadRequestOf(failure), status);
  if (failure.reason == Reason::kRateLimited) AddDetail(QuotaFailureOf(failure), status);
  if (row.retry == Retry::kAfterDelay) AddDetail(RetryInfoOf(failure), status);
  return {row.code, std::move(message), status.SerializeAsString(), MayHaveCreated(failure.reason)};
}

Failure UnreadableMessage(std::string_view type) {
  return {.reason = Reason::kInvalidRequest, .fields = {{"message", "must be a " + std::string(type)}}};
}

// NOLINTNEXTLINE(readability-function-size): a table
std::string_view Name(Code code) {
  switch (code) {
    case Code::kOk:
      return "OK";
    case Code::kCancelled:
      return "CANCELLED";
    case Code::kUnknown:
      return "UNKNOWN";
    case Code::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case Code::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case Code::kNotFound:
      return "NOT_FOUND";
    case Code::kAlreadyExists:
      return "ALREADY_EXISTS";
    case Code::kPermissionDenied:
      return "PERMISSION_DENIED";
    case Code::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case Code::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case Code::kAborted:
      return "ABORTED";
    case Code::kOutOfRange:
      return "OUT_OF_RANGE";
    case Code::kUnimplemented:
      return "UNIMPLEMENTED";
    case Code::kInternal:
      return "INTERNAL";
    case Code::kUnavailable:
      return "UNAVAILABLE";
    case Code::kDataLoss:
      return "DATA_LOSS";
    case Code::kUnauthenticated:
      return "UNAUTHENTICATED";
  }
  return "UNKNOWN";
}

}  // namespace tokend::rpc
