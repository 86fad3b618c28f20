#include "client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/unit/client/fake_tokend.h"

namespace tokend::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

class ClientTest : public testing::Test {
 protected:
  fakes::TemporaryFolder folder_;
  std::string socket_ = folder_ / "tokend.sock";
  FakeTokend tokend_{"unix:" + socket_};
  FakeClock clock_;
  Client client_ = *Client::Connect({.address = "unix://" + socket_}, clock_);
};

TEST_F(ClientTest, SendsWhatWasAskedForAndReturnsTheToken) {
  const Result<Token> token = client_.CreateToken({.application = "ios-app",
                                                   .organization = "acme",
                                                   .description = "for a test",
                                                   .scopes = {"sdk", "other"},
                                                   .request_id = "0a1b2c3d-0000-4000-8000-000000000001"});
  ASSERT_TRUE(token.ok()) << token.status();
  const auto calls = tokend_.calls();
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].request.application(), "ios-app");
  EXPECT_EQ(calls[0].request.organization(), "acme");
  EXPECT_EQ(calls[0].request.description(), "for a test");
  EXPECT_THAT(calls[0].request.scopes(), ElementsAre("sdk", "other"));
  EXPECT_FALSE(calls[0].request.validate_only());

  EXPECT_EQ(token->id, std::string(24, 'c'));
  EXPECT_EQ(token->organization, std::string(24, 'a'));
  EXPECT_EQ(token->application, std::string(24, 'b'));
  EXPECT_EQ(token->description, "for a test");
  EXPECT_THAT(token->scopes, ElementsAre("sdk", "other"));
  EXPECT_EQ(token->bearer.Expose(), "the-bearer");
  EXPECT_EQ(token->request_id, "0a1b2c3d-0000-4000-8000-000000000001");
  EXPECT_FALSE(token->replayed);
  EXPECT_EQ(token->audit_sequence, 42U);
}

TEST_F(ClientTest, ReturnsNoTokenForAnAnswerWithoutBearer) {
  tokend_.adorn = [](v1::CreateTokenResponse& response) { response.mutable_token()->clear_bearer(); };
  EXPECT_TRUE(absl::IsInternal(client_.CreateToken({.application = "ios-app"}).status()));
}

struct BadAnswer {
  std::string fault;  // the error names it
  std::function<void(v1::CreateTokenResponse&)> adorn;
};

TEST_F(ClientTest, TakesNoAnswerThatIsNotOneToItsRequest) {
  const std::string id(24, 'd');
  for (const auto& [fault, adorn] : std::vector<BadAnswer>{
           {"bearer", [](auto& answer) { answer.clear_token(); }},
           {"bearer", [](auto& answer) { answer.mutable_token()->set_bearer("a\x1b[2J"); }},
           {"bearer", [](auto& answer) { answer.mutable_token()->set_bearer("a\nb"); }},
           {"bearer", [](auto& answer) { answer.mutable_token()->set_bearer("\u00e9"); }},
           {"bearer", [](auto& answer) { answer.mutable_token()->set_bearer(std::string(129, 'b')); }},
           {"request_id", [](auto& answer) { answer.clear_request_id(); }},
           {"request_id",
            [](auto& answer) { answer.set_request_id("0a1b2c3d-0000-4000-8000-000000000002"); }},
           {"organization",
            [](auto& answer) { answer.mutable_token()->set_organization(std::string(24, 'e')); }},
           {"application",
            [](auto& answer) { answer.mutable_token()->set_application(std::string(24, 'e')); }},
           {"scope", [](auto& answer) { answer.mutable_token()->add_scopes("admin"); }},
       }) {
    tokend_.adorn = [&](v1::CreateTokenResponse& answer) {
      answer.mutable_token()->set_organization(id);
      answer.mutable_token()->set_application(id);
      adorn(answer);
    };
    const Status status =
        client_.CreateToken({.application = id, .organization = id, .scopes = {"sdk"}}).status();
    EXPECT_TRUE(absl::IsInternal(status)) << fault << status;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(fault));
    EXPECT_EQ(DetailsOf(status).outcome, Outcome::kLookForToken);
    EXPECT_EQ(DetailsOf(status).request_id, tokend_.calls().back().request.request_id());
  }
}

TEST_F(ClientTest, TakesNoTokenForACheckedRequest) {
  tokend_.adorn = [](v1::CreateTokenResponse& answer) { answer.mutable_token()->set_bearer("b"); };
  EXPECT_EQ(DetailsOf(client_.CreateToken({.application = "a", .validate_only = true}).status()).outcome,
            Outcome::kLookForToken);
}

TEST_F(ClientTest, TakesAnAnswerInAnyCaseWithIdsForSlugsAndDefaultScopes) {
  tokend_.adorn = [](v1::CreateTokenResponse& answer) {
    answer.set_request_id("0a1b2c3d-0000-4000-8000-000000000001");
    answer.mutable_token()->set_bearer(std::string(128, '~'));
    answer.mutable_token()->add_scopes("default");
  };
  const Result<Token> token = client_.CreateToken({.application = std::string(24, 'B'),
                                                   .organization = "acme",
                                                   .request_id = "0A1B2C3D-0000-4000-8000-000000000001"});
  EXPECT_TRUE(token.ok()) << token.status();
}

TEST_F(ClientTest, SendsNoRequestThatTheDaemonWouldRefuseForItsSize) {
  const Status status =
      client_.CreateToken({.application = "ios-app", .description = std::string(65536, 'd')}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(DetailsOf(status).reason, "INVALID_REQUEST");
  EXPECT_THAT(tokend_.calls(), IsEmpty());
}

TEST_F(ClientTest, ValidatesWithoutABearer) {
  const Result<Token> token = client_.CreateToken({.application = "ios-app", .validate_only = true});
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_TRUE(token->bearer.empty());
  EXPECT_TRUE(tokend_.calls()[0].request.validate_only());
}

TEST_F(ClientTest, NamesAFieldThatIsNotUtf8WithoutACall) {
  const Status status = client_.CreateToken({.application = "ios-app", .description = "\xFF"}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  const ErrorDetails details = DetailsOf(status);
  EXPECT_EQ(details.reason, "INVALID_REQUEST");
  ASSERT_EQ(details.fields.size(), 1U);
  EXPECT_EQ(details.fields[0].field, "description");
  EXPECT_THAT(tokend_.calls(), IsEmpty());
}

TEST_F(ClientTest, TellsEveryDetailOfAnError) {
  tokend_.Script({{.code = grpc::StatusCode::RESOURCE_EXHAUSTED,
                   .reason = "RATE_LIMITED",
                   .retry_after = seconds(3600),
                   .fields = {{"scopes[2]", "is twice there"}},
                   .quotas = {{"mobile-ci/minute", "10 a minute"}, {"acme/upstream-hourly", "spent"}},
                   .upstream_code = 5003,
                   .audit_sequence = 17,
                   .message = "a limit is spent"}});
  const Status status = client_.CreateToken({.application = "ios-app"}).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_EQ(status.message(), "a limit is spent");
  const ErrorDetails details = DetailsOf(status);
  EXPECT_EQ(details.reason, "RATE_LIMITED");
  EXPECT_EQ(details.request_id, tokend_.calls()[0].request.request_id());
  EXPECT_EQ(details.retry_after, seconds(3600));
  ASSERT_EQ(details.fields.size(), 1U);
  EXPECT_EQ(details.fields[0].field, "scopes[2]");
  EXPECT_EQ(details.fields[0].description, "is twice there");
  ASSERT_EQ(details.quotas.size(), 2U);
  EXPECT_EQ(details.quotas[1].subject, "acme/upstream-hourly");
  EXPECT_EQ(details.quotas[1].description, "spent");
  EXPECT_EQ(details.upstream_code, 5003);
  EXPECT_EQ(details.audit_sequence, 17U);
}

TEST_F(ClientTest, TellsTheRequestIdOfAnErrorWithoutDetails) {
  tokend_.Script({{grpc::StatusCode::UNKNOWN}});
  const Status status = client_.CreateToken({.application = "ios-app"}).status();
  EXPECT_EQ(DetailsOf(status).request_id, tokend_.calls()[0].request.request_id());
  EXPECT_EQ(DetailsOf(status).reason, "");
}

TEST_F(ClientTest, HasNoDetailsForAnotherStatus) {
  const ErrorDetails details = DetailsOf(absl::UnknownError("another's"));
  EXPECT_EQ(details.reason, "");
  EXPECT_EQ(details.request_id, "");
  EXPECT_FALSE(details.retry_after);
}

TEST_F(ClientTest, EndsAtTheTimeoutAndDoesNotTryAgain) {
  std::promise<void> release;
  tokend_.adorn = [&](v1::CreateTokenResponse&) { release.get_future().wait(); };
  const Result<Token> token = Client::Connect({.address = "unix://" + socket_, .timeout = milliseconds(200)})
                                  ->CreateToken({.application = "ios-app"});
  release.set_value();
  EXPECT_TRUE(absl::IsDeadlineExceeded(token.status()));
  EXPECT_EQ(tokend_.calls().size(), 1U);
  EXPECT_EQ(DetailsOf(token.status()).request_id, tokend_.calls()[0].request.request_id());
}

TEST_F(ClientTest, TellsWhoTheCallerIsTakenFor) {
  tokend_.caller.set_caller("spiffe://prod.example/ns/shop/sa/checkout");
  tokend_.caller.set_authentication("mtls");
  tokend_.caller.set_listener("cluster");
  v1::Grant& grant = *tokend_.caller.add_grants();
  grant.set_name("mobile-ci");
  grant.add_organizations("acme");
  grant.add_applications("ios-app");
  grant.add_applications("android-*");
  grant.add_scopes("sdk");
  v1::Limit& limit = *grant.add_limits();
  limit.set_name("minute");
  limit.set_tokens(10);
  limit.mutable_window()->set_seconds(60);
  limit.set_burst(5);
  limit.set_remaining(0);
  limit.mutable_retry_after()->set_seconds(2);
  limit.mutable_retry_after()->set_nanos(500'000'001);

  const Result<CallerInfo> info = client_.GetCaller();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->caller, "spiffe://prod.example/ns/shop/sa/checkout");
  EXPECT_EQ(info->authentication, "mtls");
  EXPECT_EQ(info->listener, "cluster");
  ASSERT_EQ(info->grants.size(), 1U);
  EXPECT_EQ(info->grants[0].name, "mobile-ci");
  EXPECT_THAT(info->grants[0].organizations, ElementsAre("acme"));
  EXPECT_THAT(info->grants[0].applications, ElementsAre("ios-app", "android-*"));
  EXPECT_THAT(info->grants[0].scopes, ElementsAre("sdk"));
  ASSERT_EQ(info->grants[0].limits.size(), 1U);
  EXPECT_EQ(info->grants[0].limits[0].name, "minute");
  EXPECT_EQ(info->grants[0].limits[0].tokens, 10);
  EXPECT_EQ(info->grants[0].limits[0].window, seconds(60));
  EXPECT_EQ(info->grants[0].limits[0].burst, 5);
  EXPECT_EQ(info->grants[0].limits[0].remaining, 0);
  EXPECT_EQ(info->grants[0].limits[0].retry_after, std::chrono::nanoseconds(2'500'000'001));
  EXPECT_FALSE(info->more_grants);
  tokend_.caller.set_more_grants(true);
  EXPECT_TRUE(client_.GetCaller()->more_grants);
}

TEST_F(ClientTest, TellsWhetherTheDaemonServes) {
  tokend_.SetServing(true);
  EXPECT_EQ(*client_.CheckHealth(), Health::kServing);
  tokend_.SetServing(false);
  EXPECT_EQ(*client_.CheckHealth(), Health::kNotServing);
}

TEST_F(ClientTest, ServesSeveralThreadsAtOnce) {
  std::vector<std::future<bool>> results;
  results.reserve(16);
  for (int i = 0; i < 16; ++i) {
    results.push_back(
        std::async(std::launch::async, [&] { return client_.CreateToken({.application = "ios-app"}).ok(); }));
  }
  for (auto& result : results) EXPECT_TRUE(result.get());
  EXPECT_EQ(tokend_.calls().size(), 16U);
}

}  // namespace
}  // namespace tokend::client
