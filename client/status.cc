#include "client/status.h"

#include <absl/strings/cord.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <optional>
#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace tokend::client {
namespace {

// The keys of the status's payloads.
constexpr char kDetails[] = "type.googleapis.com/google.rpc.Status";
constexpr char kRequestId[] = "tokend.request_id";
constexpr char kOutcome[] = "tokend.outcome";

// The values of kOutcome. Without it, the outcome is kNoToken.
constexpr char kAskAgain[] = "ask again";
constexpr char kLookForToken[] = "look for the token";

constexpr char kDomain[] = "tokend";

template <class Number>
std::optional<Number> MetadataNumber(const google::rpc::ErrorInfo& info, const std::string& key) {
  const auto found = info.metadata().find(key);
  Number number = 0;
  if (found == info.metadata().end() || !absl::SimpleAtoi(found->second, &number)) return std::nullopt;
  return number;
}

void ReadErrorInfo(const google::rpc::ErrorInfo& info, ErrorDetails& details) {
  if (info.domain() != kDomain) return;
  details.reason = info.reason();
  details.upstream_code = MetadataNumber<std::int64_t>(info, "upstream_code");
  details.audit_sequence = MetadataNumber<std::uint64_t>(info, "audit_sequence");
  const auto request_id = info.metadata().find("request_id");
  if (request_id != info.metadata().end()) details.request_id = request_id->second;
}

void ReadDetail(const google::protobuf::Any& any, ErrorDetails& details) {
  if (google::rpc::ErrorInfo info; any.UnpackTo(&info)) {
    ReadErrorInfo(info, details);
  } else if (google::rpc::RetryInfo retry; any.UnpackTo(&retry)) {
    details.retry_after = FromProto(retry.retry_delay());
  } else if (google::rpc::BadRequest bad; any.UnpackTo(&bad)) {
    for (const auto& violation : bad.field_violations()) {
      details.fields.push_back({violation.field(), violation.description()});
    }
  } else if (google::rpc::QuotaFailure quota; any.UnpackTo(&quota)) {
    for (const auto& violation : quota.violations()) {
      details.quotas.push_back({violation.subject(), violation.description()});
    }
  }
}

}  // namespace

ErrorDetails DetailsOf(const Status& status) {
  ErrorDetails details;
  if (const auto request_id = status.GetPayload(kRequestId)) details.request_id = std::string(*request_id);
  if (const auto outcome = status.GetPayload(kOutcome)) {
    details.outcome = *outcome == kAskAgain ? Outcome::kAskAgain : Outcome::kLookForToken;
  }
  const auto payload = status.GetPayload(kDetails);
  google::rpc::Status message;
  if (payload && message.ParseFromString(std::string(*payload))) {
    for (const auto& any : message.details()) ReadDetail(any, details);
  }
  return details;
}

Status FromGrpc(const grpc::Status& status, const std::string& request_id) {
  if (status.ok()) return absl::OkStatus();
  Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  if (!status.error_details().empty()) result.SetPayload(kDetails, absl::Cord(status.error_details()));
  if (!request_id.empty()) result.SetPayload(kRequestId, absl::Cord(request_id));
  return result;
}

void SetOutcome(Outcome outcome, Status& error) {
  if (outcome == Outcome::kNoToken) {
    error.ErasePayload(kOutcome);
  } else {
    error.SetPayload(kOutcome, absl::Cord(outcome == Outcome::kAskAgain ? kAskAgain : kLookForToken));
  }
}

Status WithMessage(const Status& error, const std::string& message) {
  Status result(error.code(), message);
  error.ForEachPayload(
      [&](absl::string_view key, const absl::Cord& payload) { result.SetPayload(key, payload); });
  return result;
}

Status InvalidField(const std::string& field, const std::string& description) {
  google::rpc::ErrorInfo info;
  info.set_domain(kDomain);
  info.set_reason(std::string(Name(Reason::kInvalidRequest)));
  google::rpc::BadRequest bad;
  auto& violation = *bad.add_field_violations();
  violation.set_field(field);
  violation.set_description(description);
  google::rpc::Status details;
  details.add_details()->PackFrom(info);
  details.add_details()->PackFrom(bad);
  return FromGrpc(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, field + " " + description,
                               details.SerializeAsString()),
                  {});
}

std::chrono::nanoseconds FromProto(const google::protobuf::Duration& duration) {
  constexpr std::int64_t kMaxSeconds = 10LL * 366 * 24 * 3600;
  const std::int64_t seconds = std::clamp<std::int64_t>(duration.seconds(), 0, kMaxSeconds);
  const std::int64_t nanoseconds = std::clamp<std::int64_t>(duration.nanos(), 0, 999'999'999);
  return std::chrono::seconds(seconds) + std::chrono::nanoseconds(nanoseconds);
}

}  // namespace tokend::client
