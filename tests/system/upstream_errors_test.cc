// Every way in which the upstream can fail, over real TLS: what the caller gets and what the log records.
#include <gmock/gmock.h>

#include "tests/system/fixture.h"

namespace tokend::system {
namespace {

using fakes::Action;
using fakes::Fault;
using fakes::Protocol;
using testing::HasSubstr;

// grpc::StatusCode

struct Row {
  const char* name;
  Fault fault;
  int code;
  const char* reason;
  const char* event;
  const char* upstream_code = "";
};

std::vector<Row> Rows() {
  const char* invalid = "UPSTREAM_INVALID_RESPONSE";
  return {
      {"unauthorized", Fault::Error(401, 4004), kFailedPrecondition, "UPSTREAM_KEY_REJECTED", "token.refused",
       "4004"},
      {"expired_key", Fault::Error(401, 3002), kFailedPrecondition, "UPSTREAM_KEY_REJECTED", "token.refused",
       "3002"},
      {"key_rejected_with_200", Fault::Error(200, 4001), kFailedPrecondition, "UPSTREAM_KEY_REJECTED",
       "token.refused", "4001"},
      {"echoed_authorization", Fault::EchoAuthorization(401), kFailedPrecondition, "UPSTREAM_KEY_REJECTED",
       "token.refused", "4004"},
      {"forbidden", Fault::Status(403, "<html>no</html>", "text/html"), kFailedPrecondition,
       "UPSTREAM_FORBIDDEN", "token.refused"},
      {"not_found", Fault::Error(404, 3001), kNotFound, "APPLICATION_NOT_FOUND", "token.refused", "3001"},
      {"not_found_with_200", Fault::Error(200, 3001), kNotFound, "APPLICATION_NOT_FOUND", "token.refused",
       "3001"},
      {"rate_limited", Fault::RateLimited("7"), kResourceExhausted, "UPSTREAM_RATE_LIMITED", "token.refused",
       "429"},
      {"rate_limited_bare", Fault::RateLimited(""), kResourceExhausted, "UPSTREAM_RATE_LIMITED",
       "token.refused", "429"},
      {"bad_request", Fault::Error(400, 5014), kFailedPrecondition, "UPSTREAM_REJECTED", "token.refused",
       "5014"},
      {"plan_limit", Fault::Error(200, 5003), kFailedPrecondition, "UPSTREAM_REJECTED", "token.refused",
       "5003"},
      {"redirect", Fault::Redirect(307), kFailedPrecondition, "UPSTREAM_REJECTED", "token.refused"},
      {"no_content", Fault::Status(204, ""), kInternal, invalid, "token.unknown"},
      {"accepted", Fault::Status(202, R"({"status":true})"), kInternal, invalid, "token.unknown"},
      {"broken_json", Fault::Success(R"({"status":true,"data":{)"), kInternal, invalid, "token.unknown"},
      {"string_status", Fault::SuccessReplacing("true", "\"true\""), kInternal, invalid, "token.withheld"},
      {"short_id", Fault::SuccessReplacing("{id}", "abc"), kInternal, invalid, "token.withheld"},
      {"no_bearer", Fault::SuccessReplacing(R"("bearer":"{bearer}",)", ""), kInternal, invalid,
       "token.unknown"},
      {"long_bearer", Fault::SuccessReplacing("{bearer}", std::string(129, 'b')), kInternal, invalid,
       "token.unknown"},
      {"scope_not_asked_for", Fault::SuccessReplacing("{scopes}", R"(["sdk","admin"])"), kInternal, invalid,
       "token.withheld"},
      {"scopes_no_list", Fault::SuccessReplacing("{scopes}", "\"sdk\""), kInternal, invalid,
       "token.withheld"},
      {"repeated_key", Fault::SuccessReplacing(R"("data":)", R"("status":true,"data":)"), kInternal, invalid,
       "token.withheld"},
      {"oversized", Fault::Oversized(100 * 1024), kInternal, invalid, "token.unknown"},
      {"server_error", Fault::Status(500, "{}"), kUnknown, "OUTCOME_UNKNOWN", "token.unknown"},
      {"bad_gateway", Fault::Status(502, "<html></html>", "text/html"), kUnknown, "OUTCOME_UNKNOWN",
       "token.unknown"},
      {"unavailable_upstream", Fault::Error(503, 1), kUnknown, "OUTCOME_UNKNOWN", "token.unknown", "1"},
      {"dropped", Fault::Of(Action::kDrop), kUnknown, "OUTCOME_UNKNOWN", "token.unknown"},
      {"reset", Fault::Of(Action::kReset), kUnknown, "OUTCOME_UNKNOWN", "token.unknown"},
      {"header_then_drop", Fault::Of(Action::kHeaderThenDrop), kUnknown, "OUTCOME_UNKNOWN", "token.unknown"},
      {"half_body_then_drop", Fault::Of(Action::kHalfBodyThenDrop), kUnknown, "OUTCOME_UNKNOWN",
       "token.unknown"},
      {"malformed", Fault::Of(Action::kMalformed), kUnknown, "OUTCOME_UNKNOWN", "token.unknown"},
      {"timed_out", Fault::Of(Action::kBlackHole), kUnknown, "OUTCOME_UNKNOWN", "token.unknown"},
  };
}

// One organization for each fault, "acme-0" and so on, so that no fault affects the calls of the next.
std::string Organizations(const fakes::TemporaryFolder& folder, std::size_t count) {
  std::string yaml;
  for (std::size_t i = 0; i < count; ++i) {
    yaml += "      - name: acme-" + std::to_string(i) + "\n        api_key: {file: " + (folder / "api-key") +
            "}\n";
  }
  return yaml;
}

v1::CreateTokenRequest RequestAt(std::size_t organization, const std::string& application,
                                 const std::string& request_id = "") {
  v1::CreateTokenRequest request = RequestFor(application, request_id);
  request.set_organization("acme-" + std::to_string(organization));
  return request;
}

class UpstreamErrors : public SystemTest, public testing::WithParamInterface<Protocol> {
 protected:
  Tokend& StartOver(Protocol protocol, const std::string& organizations = "") {
    Tokend::Options options;
    options.upstream = "    timeout: 2s\n";
    options.organization = organizations;
    fakes::FakeAppliveryOptions applivery;
    applivery.protocols = {protocol};
    return Start(options, applivery);
  }
};

std::string ProtocolName(const testing::TestParamInfo<Protocol>& info) {
  return info.param == Protocol::kHttp1 ? "Http1" : "Http2";
}

INSTANTIATE_TEST_SUITE_P(Over, UpstreamErrors, testing::Values(Protocol::kHttp1, Protocol::kHttp2),
                         ProtocolName);

TEST_P(UpstreamErrors, EachIsReturnedToTheCallerRecordedAndSentOnce) {
  const std::vector<Row> rows = Rows();
  StartOver(GetParam(), Organizations(folder_, rows.size()));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    SCOPED_TRACE(row.name);
    applivery_->Script("faulty", {row.fault});
    const Answered answered = client_->Create(RequestAt(i, "faulty"));
    EXPECT_EQ(answered.code, row.code);
    EXPECT_EQ(answered.reason, row.reason);
    EXPECT_EQ(answered.domain, "tokend");
    EXPECT_EQ(answered.upstream_code, row.upstream_code);
    EXPECT_EQ(answered.request_id.size(), 36U);
    EXPECT_EQ(answered.retry_after.has_value(), row.code == kResourceExhausted);
    const bool maybe = row.code == kUnknown || row.code == kInternal;
    EXPECT_EQ(answered.pushback, maybe ? "-1" : "");
    EXPECT_EQ(tokend_->events().back(), row.event);
    EXPECT_THAT(LastRecord(row.event), HasSubstr("\"seq\":" + answered.audit_sequence + ","));
    EXPECT_EQ(applivery_->counts().posts, i + 1);
  }
  EXPECT_EQ(applivery_->counts().stray_requests, 0U) << "a redirect was followed";
}

TEST_P(UpstreamErrors, RetryAfterIsPassedOn) {
  StartOver(GetParam());
  applivery_->Script("faulty", {Fault::RateLimited("7")});
  EXPECT_EQ(Create("faulty").retry_after, std::chrono::seconds(7));
}

TEST_P(UpstreamErrors, UnknownFieldsAreIgnoredWhateverTheyHold) {
  StartOver(GetParam());
  applivery_->Script(
      "odd", {Fault::SuccessReplacing(R"("status":true)", R"("x":[1e999,{"y":12345678901234567890123}],)"
                                                          R"("z":"\u0000","status":true)")});
  EXPECT_EQ(Create("odd").code, 0);
}

TEST_P(UpstreamErrors, NothingListeningIsUnavailableAndMayBeTriedAgain) {
  StartOver(GetParam());
  applivery_->Stop();
  const Answered refused = Create("ios-app", kRequestId);
  EXPECT_EQ(refused.code, kUnavailable);
  EXPECT_EQ(refused.reason, "UPSTREAM_UNAVAILABLE");
  EXPECT_TRUE(refused.retry_after);
  EXPECT_EQ(tokend_->events().back(), "token.refused");
  applivery_->Restart();
  EXPECT_EQ(Create("ios-app", kRequestId).code, 0);
}

// The four cases in which libcurl by default sends the POST a second time or does not tell that it sent it.
TEST_P(UpstreamErrors, ConnectionThatDiesAfterThePostWasReadIsUnknownAndOnePost) {
  enum class On { kFresh, kReused };
  for (const On on : {On::kFresh, On::kReused}) {
    for (const Action action : {Action::kDrop, Action::kCut, Action::kReset, Action::kListenerGone}) {
      SCOPED_TRACE(testing::Message()
                   << "action " << static_cast<int>(action) << " reused " << (on == On::kReused));
      StartOver(GetParam());
      std::size_t before = 0;
      if (on == On::kReused) {
        ASSERT_EQ(Create("warm-up").code, 0);
        before = 1;
      }
      applivery_->Script("faulty", {Fault::Of(action)});
      const Answered answered = Create("faulty");
      EXPECT_EQ(answered.code, kUnknown);
      EXPECT_EQ(answered.reason, "OUTCOME_UNKNOWN");
      EXPECT_EQ(applivery_->counts().posts, before + 1);
      EXPECT_EQ(Stop(), 0);
      std::filesystem::remove(folder_ / "audit.jsonl");
    }
  }
}

TEST_F(SystemTest, ResetStreamsAndGoawaysAreUnknownAndOnePostEach) {
  std::vector<Fault> faults = {Fault::Of(Action::kGoAwayBelow)};
  // NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM, HTTP_1_1_REQUIRED
  for (const std::uint32_t error : {0U, 2U, 7U, 8U, 11U, 13U}) faults.push_back(Fault::StreamReset(error));
  Tokend::Options options;
  options.organization = Organizations(folder_, faults.size());
  Start(options);
  for (std::size_t i = 0; i < faults.size(); ++i) {
    applivery_->Script("faulty", {faults[i]});
    const Answered answered = client_->Create(RequestAt(i, "faulty"));
    EXPECT_EQ(answered.reason, "OUTCOME_UNKNOWN") << "HTTP/2 error " << faults[i].http2_error;
    EXPECT_EQ(applivery_->counts().posts, i + 1) << "HTTP/2 error " << faults[i].http2_error;
  }
}

TEST_F(SystemTest, UpstreamWithACertificateOfAnotherHostGetsNoKey) {
  fakes::FakeAppliveryOptions other;
  other.certificate.hosts = {"other.example"};
  Start({}, other);
  EXPECT_EQ(Create("ios-app").reason, "UPSTREAM_UNAVAILABLE");
  EXPECT_EQ(applivery_->counts().posts, 0U);
}

TEST_F(SystemTest, KeyThatTheUpstreamRefusesIsTheDaemonsFaultNotTheCallers) {
  Start();
  applivery_->SetApiKeys({"another-key"});
  const Answered answered = Create("ios-app");
  EXPECT_EQ(answered.code, kFailedPrecondition);
  EXPECT_EQ(answered.reason, "UPSTREAM_KEY_REJECTED");
  EXPECT_EQ(answered.upstream_code, "4004");
}

// Provokes every error, and searches all output of the daemon for the API key and the bearers.
TEST_F(SystemTest, NeitherKeyNorBearerIsInAnyOutput) {
  Tokend::Options options;
  options.key = "canary-key-0123456789";
  options.upstream = "    timeout: 1s\n";
  options.environment = {
      {"SSLKEYLOGFILE", folder_ / "tls-keys"}, {"GRPC_TRACE", "all"}, {"GRPC_VERBOSITY", "debug"}};
  const std::vector<Row> rows = Rows();
  options.organization = Organizations(folder_, rows.size() + 1);
  Start(options);
  std::string seen;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    applivery_->Script("faulty", {rows[i].fault});
    const Answered answered = client_->Create(RequestAt(i, "faulty"));
    seen += answered.message + answered.bytes;
  }
  const Answered minted = client_->Create(RequestAt(rows.size(), "ios-app", kRequestId));
  ASSERT_EQ(minted.code, 0);
  v1::CreateTokenRequest invalid;
  invalid.set_application("x");
  invalid.set_description("\xff");
  seen += client_->Create(invalid).bytes;
  seen += client_->Create(RequestAt(rows.size(), "other-app", kRequestId)).bytes;
  for (const char* path : {"/", "/metrics", "/readyz", "/livez", "/nothing"}) seen += tokend_->Get(path);
  EXPECT_THAT(seen, HasSubstr("tokend_tokens_total{outcome=\"issued\"} 1"));
  const Ended printed =
      RunProgram({Program("tokend"), "check", "--config", tokend_->config_file(), "--print"});
  EXPECT_EQ(printed.exit, 0) << printed.err;
  EXPECT_EQ(Stop(), 0);
  seen += printed.out + printed.err + tokend_->process().out() + tokend_->log() + tokend_->audit();

  EXPECT_FALSE(std::filesystem::exists(folder_ / "tls-keys"));
  EXPECT_EQ(seen.find(options.key), std::string::npos);
  EXPECT_GT(applivery_->tokens().size(), 3U);
  for (const auto& token : applivery_->tokens()) {
    EXPECT_EQ(seen.find(token.bearer), std::string::npos) << token.description;
  }
}

}  // namespace
}  // namespace tokend::system
