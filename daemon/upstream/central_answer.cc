#include "daemon/upstream/central_answer.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <climits>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/base/form.h"
#include "daemon/base/text.h"
#include "daemon/upstream/answered_token.h"
#include "daemon/upstream/central_failures.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tokend/v1/token_service.pb.h"

namespace tokend::upstream {
namespace {

using std::chrono::milliseconds;
using Kind = CentralVerdict::Kind;

constexpr std::string_view kErrorDomain = "tokend";
constexpr milliseconds kLongestRetryInfo{3600 * 1000};
// Bounds for an error's details. Longer texts and further entries are left out.
constexpr std::size_t kMaxDetails = std::size_t{64} * 1024;
constexpr int kMaxViolations = 16;
constexpr std::size_t kMaxText = 256;

constexpr char kInvalidAnswer[] =
    "the central tokend's answer is invalid, and a token may exist; do not retry with a new request_id";

// The message to the caller. Null: the usual message of the reason is true of a central tokend's answer too.
const char* MessageOf(Reason reason) {
  switch (reason) {
    case Reason::kNotPermitted:
      return "the central tokend permits this to no caller of this relay; its operator can add a grant";
    case Reason::kOverloaded:
      return "the central tokend is overloaded; retry after the delay in the details";
    case Reason::kShuttingDown:
      return "the central tokend is shutting down; retry after the delay in the details";
    case Reason::kAuditUnavailable:
      return "the central tokend cannot write its audit log, so no token was returned; retry later";
    case Reason::kLimitsUnavailable:
      return "the central tokend does not know what it has created before, so it creates nothing; retry "
             "later";
    default:
      return nullptr;
  }
}

bool IsPassable(std::string_view text) { return text.size() <= kMaxText && IsPrintableAscii(text); }

std::optional<Reason> ReasonNamed(std::string_view name) {
  const auto found = std::find(kReasonNames.begin() + 1, kReasonNames.end(), name);
  if (found == kReasonNames.end()) return std::nullopt;
  return static_cast<Reason>(found - kReasonNames.begin());
}

// The first detail of this type.
template <class Detail>
std::optional<Detail> Find(const google::rpc::Status& status) {
  for (const auto& packed : status.details()) {
    Detail detail;
    if (packed.Is<Detail>() && packed.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

std::optional<std::int64_t> UpstreamCodeOf(const google::rpc::ErrorInfo& info) {
  const auto found = info.metadata().find("upstream_code");
  if (found == info.metadata().end()) return std::nullopt;
  const std::string& text = found->second;
  std::int64_t code = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), code);
  if (fault != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return code;
}

std::optional<milliseconds> DelayOf(const google::rpc::Status& status) {
  const auto info = Find<google::rpc::RetryInfo>(status);
  if (!info || !info->has_retry_delay()) return std::nullopt;
  constexpr std::int64_t kMostSeconds = kLongestRetryInfo.count() / 1000;
  const auto whole = std::clamp<std::int64_t>(info->retry_delay().seconds(), 0, kMostSeconds);
  const auto nanos = std::clamp<std::int64_t>(info->retry_delay().nanos(), 0, 999'999'999);
  return std::chrono::ceil<milliseconds>(std::chrono::seconds(whole) + std::chrono::nanoseconds(nanos));
}

std::vector<QuotaViolation> QuotasOf(const google::rpc::Status& status) {
  std::vector<QuotaViolation> quotas;
  const auto failure = Find<google::rpc::QuotaFailure>(status);
  for (int i = 0; failure && i < std::min(failure->violations_size(), kMaxViolations); ++i) {
    const auto& violation = failure->violations(i);
    if (!IsPassable(violation.subject())) continue;
    quotas.push_back(
        {violation.subject(), IsPassable(violation.description()) ? violation.description() : ""});
  }
  return quotas;
}

std::vector<FieldViolation> FieldsOf(const google::rpc::Status& status) {
  std::vector<FieldViolation> fields;
  const auto bad = Find<google::rpc::BadRequest>(status);
  for (int i = 0; bad && i < std::min(bad->field_violations_size(), kMaxViolations); ++i) {
    const auto& violation = bad->field_violations(i);
    if (!IsPassable(violation.field()) || !IsPassable(violation.description())) continue;
    fields.push_back({violation.field(), violation.description()});
  }
  return fields;
}

// Nothing: the details are not those of a tokend.
std::optional<Failure> ReadFailure(const std::string& details) {
  google::rpc::Status status;
  if (details.size() > kMaxDetails || !status.ParseFromString(details)) return std::nullopt;
  const auto info = Find<google::rpc::ErrorInfo>(status);
  if (!info || info->domain() != kErrorDomain) return std::nullopt;
  const std::optional<Reason> reason = ReasonNamed(info->reason());
  if (!reason) return std::nullopt;
  return Failure{.reason = *reason,
                 .detail = "the central tokend answered " + std::string(Name(*reason)),
                 .fields = FieldsOf(status),
                 .quotas = QuotasOf(status),
                 .retry_after = DelayOf(status),
                 .upstream_code = UpstreamCodeOf(*info),
                 .message = MessageOf(*reason)};
}

std::optional<std::string> ObjectId(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return IsObjectId(text) ? text : std::string();
}

// Takes those scopes of the answer that were asked for, in the order in which they were asked for.
void TakeScopes(const v1::Token& from, const std::vector<std::string>& asked, AnsweredToken& token) {
  if (from.scopes().empty()) return;
  const auto named = [&from](const std::string& scope) {
    return std::find(from.scopes().begin(), from.scopes().end(), scope) != from.scopes().end();
  };
  const bool all_asked = std::all_of(from.scopes().begin(), from.scopes().end(), [&](const auto& scope) {
    return std::find(asked.begin(), asked.end(), scope) != asked.end();
  });
  token.scopes_kind = all_asked ? AnsweredToken::Scopes::kAsked : AnsweredToken::Scopes::kOther;
  std::copy_if(asked.begin(), asked.end(), std::back_inserter(token.scopes), named);
}

struct Success {
  bool readable = false;
  std::string request_id;
  AnsweredToken token;
};

// The result holds the only copy of the bearer that is left.
Success ReadSuccess(const Secret& message, const MintRequest& request) {
  Success success;
  const std::string_view bytes = message.Expose();
  v1::CreateTokenResponse response;
  success.readable =
      bytes.size() <= INT_MAX && response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  success.request_id = response.request_id();
  v1::Token& token = *response.mutable_token();
  success.token.id = ObjectId(token.id());
  success.token.organization = ObjectId(token.organization());
  success.token.application = ObjectId(token.application());
  TakeScopes(token, request.scopes, success.token);
  std::string& bearer = *token.mutable_bearer();
  if (IsBearer(bearer)) success.token.bearer.emplace(bearer);
  OPENSSL_cleanse(bearer.data(), bearer.size());
  return success;
}

std::string_view FaultOfSuccess(const CentralAnswer& answer, const Success& success,
                                const MintRequest& request, Purpose purpose) {
  if (answer.sent == loop::Sent::kNo) return "before the call was sent";
  if (!success.readable) return "with a message that is no CreateTokenResponse";
  if (success.request_id != request.request_id) return "for another request_id";
  if (purpose == Purpose::kMint) return FaultOf(success.token, request);
  if (success.token.id || success.token.bearer) return "with a token, although it was asked only to check";
  return FaultOfTarget(success.token, request);
}

CentralVerdict JudgeOk(const CentralAnswer& answer, const MintRequest& request, Purpose purpose) {
  Success success = ReadSuccess(answer.message, request);
  const std::string_view fault = FaultOfSuccess(answer, success, request, purpose);
  if (fault.empty()) return {Kind::kSettled, Minted{MakeToken(std::move(success.token), request)}};
  Indeterminate invalid{{.reason = Reason::kUpstreamInvalidResponse,
                         .detail = std::string("the central tokend answered OK ").append(fault),
                         .message = kInvalidAnswer},
                        nullptr};
  if (success.token.bearer) invalid.withheld = MakeToken(std::move(success.token), request);
  return {Kind::kSettled, std::move(invalid)};
}

}  // namespace

CentralVerdict Judge(const CentralAnswer& answer, const MintRequest& request, Purpose purpose) {
  if (answer.status == kGrpcOk) return JudgeOk(answer, request, purpose);
  if (answer.status) {
    if (std::optional<Failure> failure = ReadFailure(answer.details)) {
      if (MayHaveCreated(failure->reason)) {
        return {Kind::kSettled, Indeterminate{*std::move(failure), nullptr}};
      }
      return {Kind::kRefused, Refused{*std::move(failure)}};
    }
  }
  const std::string why = answer.status ? "an error with gRPC status " + std::to_string(*answer.status) +
                                              " that is not a tokend's"
                                        : answer.error;
  if (answer.sent == loop::Sent::kNo) {
    return {Kind::kUnsent, Refused{CentreUnreachable("nothing was sent to the central tokend: " + why)}};
  }
  return {Kind::kLost, Indeterminate{{.reason = Reason::kOutcomeUnknown,
                                      .detail = "no answer of the central tokend: " + why},
                                     nullptr}};
}

}  // namespace tokend::upstream
