#include "daemon/rpc/status.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <utility>

#include "daemon/identity/authenticator.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tokend/v1/token_service.pb.h"

namespace tokend::rpc {
namespace {

constexpr char kErrorDomain[] = "tokend";
constexpr char kTypeUrlPrefix[] = "type.googleapis.com/";

// The delay of RetryInfo if the failure has none.
constexpr std::chrono::milliseconds kDefaultRetryDelay{1000};

// Whether the details contain a RetryInfo.
enum class Retry { kNoDelay, kAfterDelay };

struct Row {
  Reason reason;
  v1::ErrorReason number;  // the same number in the API
  Code code;
  Retry retry;
  const char* message;
};

// In the order of the reasons.
constexpr Row kRows[] = {
    {Reason::kInvalidRequest, v1::ERROR_REASON_INVALID_REQUEST, Code::kInvalidArgument, Retry::kNoDelay,
     "the request has invalid fields; correct the fields that the details name"},
    {Reason::kRequestIdReused, v1::ERROR_REASON_REQUEST_ID_REUSED, Code::kAlreadyExists, Retry::kNoDelay,
     "this request_id belongs to another request; use a new one for new parameters"},
    {Reason::kCallerUnknown, v1::ERROR_REASON_CALLER_UNKNOWN, Code::kUnauthenticated, Retry::kNoDelay,
     "the caller is unknown; connect with the credentials that this listener requires"},
    {Reason::kNotPermitted, v1::ERROR_REASON_NOT_PERMITTED, Code::kPermissionDenied, Retry::kNoDelay,
     "no grant permits this; GetCaller shows your grants, and tokend's operator can add one"},
    {Reason::kRateLimited, v1::ERROR_REASON_RATE_LIMITED, Code::kResourceExhausted, Retry::kAfterDelay,
     "a rate limit is used up; retry after the delay in the details"},
    {Reason::kOverloaded, v1::ERROR_REASON_OVERLOADED, Code::kUnavailable, Retry::kAfterDelay,
     "tokend is overloaded; retry after the delay in the details"},
    {Reason::kShuttingDown, v1::ERROR_REASON_SHUTTING_DOWN, Code::kUnavailable, Retry::kAfterDelay,
     "tokend is shutting down; reconnect and retry"},
    {Reason::kAuditUnavailable, v1::ERROR_REASON_AUDIT_UNAVAILABLE, Code::kUnavailable, Retry::kAfterDelay,
     "the audit log cannot be written, so no token was returned; retry later"},
    {Reason::kApplicationNotFound, v1::ERROR_REASON_APPLICATION_NOT_FOUND, Code::kNotFound, Retry::kNoDelay,
     "Applivery knows no such application in this organization; check both names"},
    {Reason::kUpstreamUnavailable, v1::ERROR_REASON_UPSTREAM_UNAVAILABLE, Code::kUnavailable,
     Retry::kAfterDelay, "Applivery cannot be reached, and nothing was sent; retry later"},
    {Reason::kUpstreamRateLimited, v1::ERROR_REASON_UPSTREAM_RATE_LIMITED, Code::kResourceExhausted,
     Retry::kAfterDelay, "Applivery limits the rate of requests; retry after the delay in the details"},
    {Reason::kUpstreamKeyRejected, v1::ERROR_REASON_UPSTREAM_KEY_REJECTED, Code::kFailedPrecondition,
     Retry::kNoDelay, "Applivery rejects tokend's API key; its operator must replace the key"},
    {Reason::kUpstreamForbidden, v1::ERROR_REASON_UPSTREAM_FORBIDDEN, Code::kFailedPrecondition,
     Retry::kNoDelay,
     "Applivery does not permit tokend's API key to do this; its operator must extend the key's permissions"},
    {Reason::kUpstreamRejected, v1::ERROR_REASON_UPSTREAM_REJECTED, Code::kFailedPrecondition,
     Retry::kNoDelay,
     "Applivery refuses to create the token; upstream_code in the details says why where it is known"},
    {Reason::kUpstreamInvalidResponse, v1::ERROR_REASON_UPSTREAM_INVALID_RESPONSE, Code::kInternal,
     Retry::kNoDelay,
     "Applivery's answer is invalid, and a token may exist; do not retry with a new request_id"},
    {Reason::kOutcomeUnknown, v1::ERROR_REASON_OUTCOME_UNKNOWN, Code::kUnknown, Retry::kNoDelay,
     "it is unknown whether a token was created; do not retry with a new request_id"},
    {Reason::kLimitsUnavailable, v1::ERROR_REASON_LIMITS_UNAVAILABLE, Code::kUnavailable, Retry::kAfterDelay,
     "the shared limits cannot be reached, so no token was returned; retry later"},
};

constexpr const Row& RowOf(Reason reason) { return kRows[static_cast<std::size_t>(reason) - 1]; }

// Every reason has its row, and the number that v1::ErrorReason gives it.
static_assert(std::size(kRows) == v1::ErrorReason_MAX);
static_assert(std::ranges::all_of(kRows, [](const Row& row) {
  return &row == &RowOf(row.reason) && static_cast<int>(row.reason) == static_cast<int>(row.number);
}));

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
  const Row& row = RowOf(failure.reason);
  std::string message = row.message;
  if (failure.reason == Reason::kCallerUnknown && failure.detail == identity::kTokenExpired) {
    message = "the token has expired; call again with a new one";
  }
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

std::string_view Name(Code code) {
  static constexpr std::string_view kNames[] = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(Code::kUnauthenticated) + 1);
  return kNames[static_cast<std::size_t>(code)];
}

}  // namespace tokend::rpc
