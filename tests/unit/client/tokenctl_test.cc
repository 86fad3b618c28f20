#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/client/fake_tokend.h"
#include "tests/unit/client/process.h"

namespace tokend::client {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

using Code = grpc::StatusCode;

constexpr char kId[] = "0a1b2c3d-0000-4000-8000-000000000001";

class Tokenctl : public testing::Test {
 protected:
  Ended Run(std::vector<std::string> arguments, const std::string& out = "") {
    arguments.insert(arguments.begin(), TOKENCTL);
    return RunProgram(std::move(arguments), {"TOKEND_ADDRESS=" + address_}, out);
  }

  fakes::TemporaryFolder folder_;
  std::string socket_ = folder_ / "tokend.sock";
  std::string address_ = "unix://" + socket_;
  FakeTokend tokend_{"unix:" + socket_};
};

TEST_F(Tokenctl, CreatesATokenAndPrintsALineAField) {
  const Ended ended = Run({"create", "--app", "ios-app", "--org", "acme", "--scope", "sdk", "--scope",
                           "other", "--description", "a\nb", "--request-id", kId});
  EXPECT_EQ(ended.exit, 0);
  EXPECT_EQ(ended.err, "");
  EXPECT_EQ(ended.out,
            "bearer: the-bearer\n"
            "id: cccccccccccccccccccccccc\n"
            "organization: aaaaaaaaaaaaaaaaaaaaaaaa\n"
            "application: bbbbbbbbbbbbbbbbbbbbbbbb\n"
            "description: a\\x0Ab\n"
            "scopes: sdk,other\n"
            "request_id: 0a1b2c3d-0000-4000-8000-000000000001\n"
            "replayed: false\n"
            "audit_sequence: 42\n");
  const v1::CreateTokenRequest request = tokend_.calls()[0].request;
  EXPECT_EQ(request.application(), "ios-app");
  EXPECT_EQ(request.organization(), "acme");
  EXPECT_THAT(request.scopes(), testing::ElementsAre("sdk", "other"));
  EXPECT_EQ(request.description(), "a\nb");
}

TEST_F(Tokenctl, PrintsTheBearerAlone) {
  const Ended ended = Run({"create", "--app", "ios-app", "--output", "bearer"});
  EXPECT_EQ(ended.exit, 0);
  EXPECT_EQ(ended.out, "the-bearer\n");
  EXPECT_EQ(ended.err, "");
}

TEST_F(Tokenctl, PrintsTheResponseAsJsonWithProtoFieldNames) {
  const Ended ended =
      Run({"--output", "json", "create", "--app", "ios-app", "--scope", "sdk", "--request-id", kId});
  EXPECT_EQ(ended.exit, 0);
  EXPECT_EQ(ended.out,
            R"({"token":{"id":"cccccccccccccccccccccccc","organization":"aaaaaaaaaaaaaaaaaaaaaaaa",)"
            R"("application":"bbbbbbbbbbbbbbbbbbbbbbbb","bearer":"the-bearer","scopes":["sdk"]},)"
            R"("request_id":"0a1b2c3d-0000-4000-8000-000000000001","audit_sequence":"42"})"
            "\n");
}

TEST_F(Tokenctl, DecidesAndCreatesNothingInADryRun) {
  const Ended ended = Run({"create", "--app", "ios-app", "--dry-run"});
  EXPECT_EQ(ended.exit, 0);
  EXPECT_THAT(ended.out,
              AllOf(HasSubstr("request_id: "), Not(HasSubstr("bearer")), Not(HasSubstr("\nid: "))));
  EXPECT_TRUE(tokend_.calls()[0].request.validate_only());
}

TEST_F(Tokenctl, RepeatsItsRequestIdOnARetry) {
  tokend_.Script({{Code::UNAVAILABLE, "OVERLOADED", std::chrono::milliseconds(1)}});
  const Ended ended = Run({"create", "--app", "ios-app"});
  EXPECT_EQ(ended.exit, 0);
  const auto calls = tokend_.calls();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].request.request_id(), calls[1].request.request_id());
  EXPECT_THAT(ended.out, HasSubstr("request_id: " + calls[0].request.request_id()));
}

TEST_F(Tokenctl, LetsTheDaemonJudgeARequestId) {
  tokend_.Script({{.code = Code::INVALID_ARGUMENT,
                   .reason = "INVALID_REQUEST",
                   .fields = {{"request_id", "must be a UUID"}}}});
  const Ended ended = Run({"create", "--app", "ios-app", "--request-id", "mine"});
  EXPECT_EQ(ended.exit, 3);
  EXPECT_EQ(tokend_.calls()[0].request.request_id(), "mine");
  EXPECT_THAT(ended.err, HasSubstr("field request_id: must be a UUID"));
}

TEST_F(Tokenctl, ExplainsAnErrorOnStandardErrorAlone) {
  tokend_.Script({{.code = Code::RESOURCE_EXHAUSTED,
                   .reason = "RATE_LIMITED",
                   .retry_after = std::chrono::milliseconds(90500),
                   .quotas = {{"mobile-ci/minute", "10 tokens a minute"}},
                   .upstream_code = 5003,
                   .audit_sequence = 17,
                   .message = "a limit is spent\x1b[2J"}});
  const Ended ended = Run({"create", "--app", "ios-app", "--request-id", kId});
  EXPECT_EQ(ended.exit, 6);
  EXPECT_EQ(ended.out, "");
  EXPECT_EQ(ended.err,
            "tokenctl: RESOURCE_EXHAUSTED (RATE_LIMITED): a limit is spent\\x1B[2J\n"
            "  limit mobile-ci/minute: 10 tokens a minute\n"
            "  retry_after: 1m30.5s\n"
            "  upstream_code: 5003\n"
            "  audit_sequence: 17\n"
            "  request_id: 0a1b2c3d-0000-4000-8000-000000000001\n");
}

TEST_F(Tokenctl, SaysHowToAskAgainWhereATokenMayExist) {
  tokend_.Script({{.code = Code::UNKNOWN, .reason = "OUTCOME_UNKNOWN", .pushback = true}});
  const Ended ended = Run({"create", "--app", "ios-app"});
  EXPECT_EQ(ended.exit, 7);
  EXPECT_THAT(ended.err, AllOf(HasSubstr("a token may exist"), HasSubstr("--request-id"),
                               HasSubstr(tokend_.calls()[0].request.request_id())));
}

struct ExitRow {
  Code code;
  std::string reason;
  int exit;
};

TEST_F(Tokenctl, ExitsAsTheErrorsClass) {
  for (const ExitRow& row : std::vector<ExitRow>{
           {Code::INVALID_ARGUMENT, "INVALID_REQUEST", 3},
           {Code::ALREADY_EXISTS, "REQUEST_ID_REUSED", 3},
           {Code::UNAUTHENTICATED, "CALLER_UNKNOWN", 4},
           {Code::PERMISSION_DENIED, "NOT_PERMITTED", 5},
           {Code::NOT_FOUND, "APPLICATION_NOT_FOUND", 5},
           {Code::RESOURCE_EXHAUSTED, "RATE_LIMITED", 6},
           {Code::UNAVAILABLE, "SHUTTING_DOWN", 6},
           {Code::FAILED_PRECONDITION, "UPSTREAM_KEY_REJECTED", 1},
           {Code::UNIMPLEMENTED, "", 1},
           {Code::UNKNOWN, "OUTCOME_UNKNOWN", 7},
           {Code::INTERNAL, "UPSTREAM_INVALID_RESPONSE", 7},
           {Code::DEADLINE_EXCEEDED, "", 7},
           {Code::CANCELLED, "", 7},
       }) {
    const Failing failing{row.code, row.reason};
    tokend_.Script({failing, failing});
    for (const auto& command : std::vector<std::vector<std::string>>{{"create", "--app", "a"}, {"whoami"}}) {
      const Ended ended = Run(command);
      EXPECT_EQ(ended.exit, row.exit) << row.code << ended.err;
      EXPECT_EQ(ended.out, "");
      EXPECT_THAT(ended.err, StartsWith("tokenctl: "));
      EXPECT_THAT(ended.err, HasSubstr(row.reason));
    }
  }
}

TEST_F(Tokenctl, ShowsTheCallersGrantsAsATable) {
  tokend_.caller.set_caller("unix:checkout");
  tokend_.caller.set_authentication("unix");
  tokend_.caller.set_listener("pod");
  v1::Grant& grant = *tokend_.caller.add_grants();
  grant.set_name("mobile-ci");
  grant.add_organizations("acme");
  grant.add_applications("ios-app");
  grant.add_applications("android-*");
  grant.add_scopes("sdk");
  v1::Limit& minute = *grant.add_limits();
  minute.set_name("minute");
  minute.set_tokens(10);
  minute.mutable_window()->set_seconds(60);
  minute.set_burst(5);
  minute.mutable_retry_after()->set_nanos(500'000'000);
  v1::Limit& day = *grant.add_limits();
  day.set_name("day");
  day.set_tokens(200);
  day.mutable_window()->set_seconds(86400);
  day.set_burst(200);
  day.set_remaining(190);
  tokend_.caller.add_grants()->set_name("without-limits");

  const Ended text = Run({"whoami"});
  EXPECT_EQ(text.exit, 0) << text.err;
  EXPECT_EQ(
      text.out,
      "caller: unix:checkout\n"
      "authentication: unix\n"
      "listener: pod\n"
      "\n"
      "GRANT           ORGANIZATIONS  APPLICATIONS       SCOPES  LIMIT   TOKENS   BURST  REMAINING  RETRY "
      "AFTER\n"
      "mobile-ci       acme           ios-app,android-*  sdk     minute  10/1m    5      0          500ms\n"
      "                                                          day     200/24h  200    190        0\n"
      "without-limits\n");

  const Ended json = Run({"whoami", "--output=json"});
  EXPECT_EQ(json.exit, 0) << json.err;
  EXPECT_EQ(json.out,
            R"({"caller":"unix:checkout","authentication":"unix","listener":"pod","grants":[)"
            R"({"name":"mobile-ci","organizations":["acme"],"applications":["ios-app","android-*"],)"
            R"("scopes":["sdk"],"limits":[)"
            R"({"name":"minute","tokens":"10","window":"60s","burst":"5","retry_after":"0.500s"},)"
            R"({"name":"day","tokens":"200","window":"86400s","burst":"200","remaining":"190",)"
            R"("retry_after":"0s"}]},{"name":"without-limits"}]})"
            "\n");
}

TEST_F(Tokenctl, ExitsByTheDaemonsHealth) {
  tokend_.SetServing(true);
  const Ended serving = Run({"health"});
  EXPECT_EQ(serving.exit, 0);
  EXPECT_EQ(serving.out, "status: SERVING\n");
  tokend_.SetServing(false);
  const Ended draining = Run({"health", "--output", "json"});
  EXPECT_EQ(draining.exit, 6);
  EXPECT_EQ(draining.out, "{\"status\":\"NOT_SERVING\"}\n");
  const Ended absent = Run({"health", "--address", "unix://" + (folder_ / "nobody.sock")});
  EXPECT_EQ(absent.exit, 6);
  EXPECT_EQ(absent.out, "");
  EXPECT_THAT(absent.err, StartsWith("tokenctl: UNAVAILABLE: "));
}

TEST_F(Tokenctl, RefusesABadCommandLineWithoutACall) {
  for (const auto& command : std::vector<std::vector<std::string>>{
           {},
           {"mint"},
           {"create"},
           {"create", "--app"},
           {"create", "--app", "a", "--frob"},
           {"create", "--app", "a", "--scope", "b", "c"},
           {"create", "--app", "a", "--output", "yaml"},
           {"create", "--app", "a", "--output", "bearer", "--dry-run"},
           {"create", "--app", "a", "--timeout", "soon"},
           {"create", "--app", "a", "--timeout", "0s"},
           {"create", "--app", "a", "--timeout", "inf"},
           {"create", "--app", "a", "--address", "nowhere"},
           {"create", "--app", "a", "--ca", "/nonexistent"},
           {"create", "--app", "a", "--address", "tokend.example:1", "--ca", "/nonexistent"},
           {"create", "--app", "a", "--address", "tokend.example:1", "--token-file", "/nonexistent"},
           {"whoami", "--output", "bearer"},
           {"health", "--output", "bearer"},
       }) {
    const Ended ended = Run(command);
    EXPECT_EQ(ended.exit, 2) << testing::PrintToString(command);
    EXPECT_EQ(ended.out, "") << testing::PrintToString(command);
    EXPECT_THAT(ended.err, StartsWith("tokenctl: ")) << testing::PrintToString(command);
  }
  EXPECT_THAT(tokend_.calls(), IsEmpty());
}

TEST_F(Tokenctl, SaysThatTheTokenExistsWhereItsOutputIsLost) {
  const Ended ended = Run({"create", "--app", "ios-app", "--request-id", kId}, "/dev/full");
  EXPECT_EQ(ended.exit, 1);
  EXPECT_THAT(ended.err,
              AllOf(HasSubstr("could not be written"), HasSubstr(kId), Not(HasSubstr("the-bearer"))));
}

TEST_F(Tokenctl, FailsWhereItsOutputIsClosed) {
  const Ended ended = RunProgram(
      {"/bin/sh", "-c", "exec \"$0\" create --app ios-app --address \"$1\" >&-", TOKENCTL, address_});
  EXPECT_EQ(ended.exit, 1);
  EXPECT_THAT(ended.err, HasSubstr("could not be written"));
  EXPECT_EQ(tokend_.calls().size(), 1U);
}

TEST_F(Tokenctl, TellsItsVersionAndUsageOnStandardOutput) {
  EXPECT_EQ(Run({"--version"}).out, "tokenctl " TOKEND_VERSION "\n");
  const Ended help = Run({"create", "--help"});
  EXPECT_EQ(help.exit, 0);
  EXPECT_THAT(help.out, HasSubstr("--request-id"));
}

}  // namespace
}  // namespace tokend::client
