#include "daemon/rpc/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/identity/authenticator.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tokend/v1/token_service.pb.h"

namespace tokend::rpc {
namespace {

using testing::ElementsAre;
using testing::Pair;
using testing::UnorderedElementsAre;

std::vector<Reason> AllReasons() {
  std::vector<Reason> reasons;
  for (int number = 1; number <= v1::ErrorReason_MAX; ++number)
    reasons.push_back(static_cast<Reason>(number));
  return reasons;
}

google::rpc::Status Parsed(const CallStatus& status) {
  google::rpc::Status parsed;
  EXPECT_TRUE(parsed.ParseFromString(status.details));
  EXPECT_EQ(parsed.code(), static_cast<int>(status.code));
  EXPECT_EQ(parsed.message(), status.message);
  return parsed;
}

template <class Detail>
std::optional<Detail> DetailOf(const CallStatus& status) {
  std::optional<Detail> found;
  const google::rpc::Status parsed = Parsed(status);
  for (const auto& any : parsed.details()) {
    Detail detail;
    if (!any.UnpackTo(&detail)) continue;
    EXPECT_FALSE(found) << "twice";
    EXPECT_EQ(any.type_url(), "type.googleapis.com/" + Detail::descriptor()->full_name());
    found = detail;
  }
  return found;
}

Code CodeOf(Reason reason) { return ToStatus(Failure{reason}, "id").code; }

TEST(ToStatus, GivesEachReasonItsCode) {
  EXPECT_EQ(CodeOf(Reason::kInvalidRequest), Code::kInvalidArgument);
  EXPECT_EQ(CodeOf(Reason::kRequestIdReused), Code::kAlreadyExists);
  EXPECT_EQ(CodeOf(Reason::kCallerUnknown), Code::kUnauthenticated);
  EXPECT_EQ(CodeOf(Reason::kNotPermitted), Code::kPermissionDenied);
  EXPECT_EQ(CodeOf(Reason::kRateLimited), Code::kResourceExhausted);
  EXPECT_EQ(CodeOf(Reason::kOverloaded), Code::kUnavailable);
  EXPECT_EQ(CodeOf(Reason::kShuttingDown), Code::kUnavailable);
  EXPECT_EQ(CodeOf(Reason::kAuditUnavailable), Code::kUnavailable);
  EXPECT_EQ(CodeOf(Reason::kApplicationNotFound), Code::kNotFound);
  EXPECT_EQ(CodeOf(Reason::kUpstreamUnavailable), Code::kUnavailable);
  EXPECT_EQ(CodeOf(Reason::kUpstreamRateLimited), Code::kResourceExhausted);
  EXPECT_EQ(CodeOf(Reason::kUpstreamKeyRejected), Code::kFailedPrecondition);
  EXPECT_EQ(CodeOf(Reason::kUpstreamForbidden), Code::kFailedPrecondition);
  EXPECT_EQ(CodeOf(Reason::kUpstreamRejected), Code::kFailedPrecondition);
  EXPECT_EQ(CodeOf(Reason::kUpstreamInvalidResponse), Code::kInternal);
  EXPECT_EQ(CodeOf(Reason::kOutcomeUnknown), Code::kUnknown);
  EXPECT_EQ(CodeOf(Reason::kLimitsUnavailable), Code::kUnavailable);
}

TEST(ToStatus, TellsAnUnknownCallerOnlyThatItsTokenHasExpired) {
  const auto message = [](const char* detail) {
    return ToStatus({.reason = Reason::kCallerUnknown, .detail = detail}, "id").message;
  };
  EXPECT_EQ(message(identity::kTokenExpired), "the token has expired; call again with a new one");
  const std::string uniform = message("");
  EXPECT_EQ(message("the token is not valid yet"), uniform);
  EXPECT_EQ(message("the issuer's key set has no key for the token"), uniform);
}

TEST(ToStatus, NamesReasonAndRequestInOneErrorInfo) {
  for (const Reason reason : AllReasons()) {
    const auto info = DetailOf<google::rpc::ErrorInfo>(ToStatus(Failure{reason}, "the-id"));
    ASSERT_TRUE(info);
    EXPECT_EQ(info->domain(), "tokend");
    EXPECT_EQ("ERROR_REASON_" + info->reason(),
              v1::ErrorReason_Name(static_cast<v1::ErrorReason>(static_cast<int>(reason))));
    EXPECT_THAT(info->metadata(), ElementsAre(Pair("request_id", "the-id")));
  }
}

TEST(ToStatus, AddsUpstreamCodeAndAuditSequenceWhereThereAre) {
  Failure failure{Reason::kUpstreamRejected};
  failure.upstream_code = 5003;
  failure.audit_sequence = 42;
  const auto info = DetailOf<google::rpc::ErrorInfo>(ToStatus(failure, "the-id"));
  EXPECT_THAT(info->metadata(),
              UnorderedElementsAre(Pair("request_id", "the-id"), Pair("upstream_code", "5003"),
                                   Pair("audit_sequence", "42")));
}

TEST(ToStatus, SaysWhenToRetryForThoseReasonsAlone) {
  const std::set<Reason> timed = {Reason::kRateLimited,        Reason::kOverloaded,
                                  Reason::kShuttingDown,       Reason::kAuditUnavailable,
                                  Reason::kLimitsUnavailable,  Reason::kUpstreamUnavailable,
                                  Reason::kUpstreamRateLimited};
  for (const Reason reason : AllReasons()) {
    Failure failure{reason};
    const auto by_default = DetailOf<google::rpc::RetryInfo>(ToStatus(failure, "id"));
    ASSERT_EQ(by_default.has_value(), timed.contains(reason)) << Name(reason);
    if (!by_default) continue;
    EXPECT_EQ(by_default->retry_delay().seconds(), 1);

    failure.retry_after = std::chrono::milliseconds(2500);
    const auto given = DetailOf<google::rpc::RetryInfo>(ToStatus(failure, "id"));
    EXPECT_EQ(given->retry_delay().seconds(), 2);
    EXPECT_EQ(given->retry_delay().nanos(), 500'000'000);
  }
}

TEST(ToStatus, ListsBadFieldsForAnInvalidRequest) {
  Failure failure{Reason::kInvalidRequest};
  failure.fields = {{"application", "must be so"}, {"scopes[2]", "must be thus"}};
  const auto bad = DetailOf<google::rpc::BadRequest>(ToStatus(failure, "id"));
  ASSERT_TRUE(bad);
  ASSERT_EQ(bad->field_violations_size(), 2);
  EXPECT_EQ(bad->field_violations(0).field(), "application");
  EXPECT_EQ(bad->field_violations(1).field(), "scopes[2]");
  EXPECT_EQ(bad->field_violations(1).description(), "must be thus");
  EXPECT_FALSE(DetailOf<google::rpc::BadRequest>(ToStatus(Failure{Reason::kNotPermitted}, "id")));
}

TEST(ToStatus, ListsSpentLimits) {
  Failure failure{Reason::kRateLimited};
  failure.quotas = {{"mobile-ci/minute", "10 a minute"}};
  const auto quota = DetailOf<google::rpc::QuotaFailure>(ToStatus(failure, "id"));
  ASSERT_TRUE(quota);
  ASSERT_EQ(quota->violations_size(), 1);
  EXPECT_EQ(quota->violations(0).subject(), "mobile-ci/minute");
  EXPECT_EQ(quota->violations(0).description(), "10 a minute");
}

TEST(ToStatus, SaysTheSameWhateverTheCause) {
  for (const Reason reason : AllReasons()) {
    Failure failure{reason};
    const std::string message = ToStatus(failure, "id").message;
    EXPECT_FALSE(message.empty());
    failure.detail = "for the records alone";
    const CallStatus status = ToStatus(failure, "id");
    EXPECT_EQ(status.message, message);
    EXPECT_EQ(status.details.find("records"), std::string::npos);
  }
}

TEST(ToStatus, ForbidsRetriesWhereATokenMayExist) {
  for (const Reason reason : AllReasons()) {
    EXPECT_EQ(ToStatus(Failure{reason}, "id").forbids_retry, MayHaveCreated(reason)) << Name(reason);
  }
}

TEST(ToStatus, NamesTheFirstBadFieldInItsMessage) {
  Failure failure{Reason::kInvalidRequest};
  failure.fields = {{"application", "must be so"}, {"scopes[2]", "must be thus"}};
  EXPECT_EQ(ToStatus(failure, "id").message, "application must be so");
}

TEST(CodeName, IsTheCanonicalOne) {
  EXPECT_EQ(Name(Code::kOk), "OK");
  EXPECT_EQ(Name(Code::kDeadlineExceeded), "DEADLINE_EXCEEDED");
  EXPECT_EQ(Name(Code::kUnknown), "UNKNOWN");
}

}  // namespace
}  // namespace tokend::rpc
