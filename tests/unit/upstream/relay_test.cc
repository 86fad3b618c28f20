#include "daemon/upstream/relay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "tests/fakes/hand_cranked_loop.h"
#include "tests/fakes/scripted_central_calls.h"
#include "tests/unit/upstream/receipts.h"

namespace tokend::upstream {
namespace {

using fakes::AnswerError;
using fakes::AnswerOk;
using fakes::LostConnection;
using fakes::NoConnection;
using fakes::ResponseTo;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using Connection = loop::HttpPost::Connection;

// Statuses of gRPC.
constexpr int kUnknown = 2;
constexpr int kPermissionDenied = 7;
constexpr int kResourceExhausted = 8;
constexpr int kFailedPrecondition = 9;
constexpr int kInternal = 13;
constexpr int kUnavailable = 14;
constexpr int kUnauthenticated = 16;

constexpr char kCentralId[] = "018f3b2a-0000-7000-8000-0123456789ab";
constexpr int kFullRetryBudget = 10;

CentralAnswer Delayed(int code, const std::string& reason, int nanos, std::int64_t whole = 0,
                      std::size_t replica = 1) {
  return AnswerError(
      code, reason,
      [=](google::rpc::Status& status, google::rpc::ErrorInfo&) {
        google::rpc::RetryInfo retry;
        retry.mutable_retry_delay()->set_seconds(whole);
        retry.mutable_retry_delay()->set_nanos(nanos);
        status.add_details()->PackFrom(retry);
      },
      replica);
}

class RelayTest : public testing::Test {
 protected:
  RelayTest() {
    relay_ = std::make_unique<RelayUpstream>(
        loop_, std::unique_ptr<CentralCalls>(made_.release()),
        RelayUpstream::Observer{
            .on_answer = [this](const Upstream::Answered& answer) { answered_.push_back(answer); },
            .on_retry = [this] { ++retries_; },
            .on_budget = [this](double budget) { budget_ = budget; }});
  }
  ~RelayTest() override {
    relay_->Stop();
    loop_.Discard();
  }

  MintRequest Request(std::chrono::nanoseconds patience = seconds(30)) {
    return {.organization = "acme",
            .application = "ios-app",
            .description = "from the template",
            .scopes = {"scope.a", "scope.b"},
            .request_id = kCentralId,
            .deadline = loop_.clock().Now() + patience,
            .caller = "unix:checkout",
            .digest = "1:" + std::string(64, 'a'),
            .first_intended_at = loop_.clock().Now(),
            .traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"};
  }
  void Mint(const MintRequest& request) {
    relay_->Mint(audit::AuditLog::Receipt(7), request, [this](IntentReceipt receipt, MintOutcome outcome) {
      EXPECT_EQ(receipt.sequence(), 7U);
      outcomes_.push_back(std::move(outcome));
    });
  }
  void Mint() { Mint(Request()); }

  // Answers a call that runs, and lets the relay go on without time passing.
  void Answer(CentralAnswer answer, std::size_t index = 0) {
    ASSERT_LT(index, centre_.running.size());
    centre_.Answer(std::move(answer), index);
    loop_.RunPending();
  }
  void AnswerWithToken(const std::string& bearer = "bearer-1", std::size_t index = 0) {
    ASSERT_LT(index, centre_.running.size());
    Answer(AnswerOk(ResponseTo(centre_.running[index].request(), bearer)), index);
  }
  // Advances the clock by the longest pause before the next call.
  void AwaitNextCall(milliseconds at_most = seconds(2)) { loop_.Advance(at_most); }

  const MintOutcome& Outcome() {
    static const MintOutcome none{Refused{{Reason::kInvalidRequest, "the request has not ended"}}, {}};
    EXPECT_EQ(outcomes_.size(), 1U);
    return outcomes_.empty() ? none : outcomes_.front();
  }
  std::string Bearer() {
    const auto* minted = std::get_if<Minted>(&Outcome().result);
    return minted == nullptr ? "none" : std::string(minted->token->bearer.Expose());
  }
  Failure RefusedWith() {
    const auto* refused = std::get_if<Refused>(&Outcome().result);
    if (refused != nullptr) return refused->failure;
    ADD_FAILURE() << "no refusal";
    return {Reason::kInvalidRequest};
  }
  Failure UnknownBy() {
    const auto* unclear = std::get_if<Indeterminate>(&Outcome().result);
    if (unclear != nullptr) return unclear->failure;
    ADD_FAILURE() << "it is not unknown";
    return {Reason::kInvalidRequest};
  }
  bool ended() const { return !outcomes_.empty(); }

  fakes::HandCrankedLoop loop_;
  std::unique_ptr<fakes::ScriptedCentralCalls> made_ = std::make_unique<fakes::ScriptedCentralCalls>(loop_);
  fakes::ScriptedCentralCalls& centre_ = *made_;
  std::vector<Upstream::Answered> answered_;
  int retries_ = 0;
  double budget_ = -1;
  std::vector<MintOutcome> outcomes_;
  std::unique_ptr<RelayUpstream> relay_;
};

// What a call carries.

TEST_F(RelayTest, AsksForWhatTheRequestIsAfterItsDefaultsAndTemplates) {
  Mint();
  ASSERT_EQ(centre_.running.size(), 1U);
  const v1::CreateTokenRequest sent = centre_.running[0].request();
  EXPECT_EQ(sent.organization(), "acme");
  EXPECT_EQ(sent.application(), "ios-app");
  EXPECT_EQ(sent.description(), "from the template");
  EXPECT_THAT(sent.scopes(), ElementsAre("scope.a", "scope.b"));
  EXPECT_EQ(sent.request_id(), kCentralId);
  EXPECT_FALSE(sent.validate_only());
}

TEST_F(RelayTest, SaysForWhomItAsks) {
  Mint();
  const auto& call = centre_.running.at(0);
  EXPECT_EQ(call.metadata("tokend-on-behalf-of"), "unix:checkout");
  EXPECT_EQ(call.metadata("tokend-request-digest"), "1:" + std::string(64, 'a'));
  EXPECT_EQ(call.metadata("tokend-caller-timeout"), "30000");
  EXPECT_EQ(call.metadata("traceparent"), Request().traceparent);
  EXPECT_EQ(call.call.metadata.size(), 5U);
}

TEST_F(RelayTest, SaysNothingOfATraceThatIsNotThere) {
  MintRequest request = Request();
  request.traceparent.clear();
  Mint(request);
  EXPECT_EQ(centre_.running.at(0).call.metadata.size(), 4U);
}

TEST_F(RelayTest, GivesAgeZeroToTheFirstCallAloneAndRoundsUpTheOthers) {
  MintRequest request = Request();
  request.first_intended_at -= milliseconds(300);  // the intent took so long
  Mint(request);
  EXPECT_EQ(centre_.running.at(0).metadata("tokend-request-age"), "0");
  Answer(LostConnection());
  AwaitNextCall(milliseconds(100));
  EXPECT_EQ(centre_.running.at(0).metadata("tokend-request-age"), "1");
  Answer(LostConnection());
  loop_.Advance(milliseconds(800));
  EXPECT_EQ(centre_.running.at(0).metadata("tokend-request-age"), "1");
  loop_.Advance(seconds(5));  // the second connection
  EXPECT_EQ(centre_.running.at(1).metadata("tokend-request-age"), "6");
}

TEST_F(RelayTest, GivesNoAgeZeroToARequestThatWasAskedForBefore) {
  MintRequest request = Request();
  request.asked_before = true;
  Mint(request);
  EXPECT_EQ(centre_.running.at(0).metadata("tokend-request-age"), "1");
  request.first_intended_at -= minutes(2) + milliseconds(1);
  Mint(request);
  EXPECT_EQ(centre_.running.at(1).metadata("tokend-request-age"), "121");
}

TEST_F(RelayTest, SaysAtEachCallWhatIsLeftOfTheCallersTime) {
  Mint();
  loop_.Advance(seconds(5));
  ASSERT_EQ(centre_.running.size(), 2U);
  EXPECT_EQ(centre_.running[1].metadata("tokend-caller-timeout"), "25000");
}

TEST_F(RelayTest, SendsTheSameRequestInEachCall) {
  Mint();
  const std::string first = centre_.running.at(0).call.message;
  Answer(LostConnection());
  AwaitNextCall();
  EXPECT_EQ(centre_.running.at(0).call.message, first);
}

TEST_F(RelayTest, ProbesOnANewConnection) {
  MintRequest request = Request();
  request.is_probe = true;
  Mint(request);
  EXPECT_EQ(centre_.running.at(0).call.connection, Connection::kNew);
}

// OK.

TEST_F(RelayTest, HandsOutTheTokenOfTheCentre) {
  Mint();
  AnswerWithToken();
  EXPECT_EQ(Bearer(), "bearer-1");
  const auto& token = *std::get<Minted>(Outcome().result).token;
  EXPECT_EQ(token.id, "0123456789abcdef01234567");
  EXPECT_EQ(token.description, "from the template");
  EXPECT_THAT(token.scopes, ElementsAre("scope.a", "scope.b"));
  EXPECT_EQ(Outcome().exchange.http_status, 200);
  EXPECT_EQ(Outcome().exchange.centre, Centre::kWorks);
  EXPECT_THAT(centre_.wiped, ElementsAre("bearer-1"));
}

TEST_F(RelayTest, WithholdsATokenThatFailsItsOwnCheck) {
  const std::multimap<std::string, std::function<void(v1::CreateTokenResponse&)>> faults = {
      {"without a valid id", [](auto& answer) { answer.mutable_token()->set_id("x"); }},
      {"without a valid bearer", [](auto& answer) { answer.mutable_token()->set_bearer("a\nb"); }},
      {"without a valid bearer",
       [](auto& answer) { answer.mutable_token()->set_bearer(std::string(129, 'b')); }},
      {"with scopes that were not asked for",
       [](auto& answer) { answer.mutable_token()->add_scopes("scope.c"); }},
      {"for another organization",
       [](auto& answer) { answer.mutable_token()->set_organization(std::string(24, 'f')); }},
      {"for another application",
       [](auto& answer) { answer.mutable_token()->set_application(std::string(24, 'f')); }},
      {"for another request_id",
       [](auto& answer) { answer.set_request_id("018f3b2a-0000-7000-8000-ffffffffffff"); }},
  };
  for (const auto& [fault, spoil] : faults) {
    outcomes_.clear();
    MintRequest request = Request();
    request.organization = request.application = std::string(24, 'e');
    Mint(request);
    v1::CreateTokenResponse response = ResponseTo(centre_.running.at(0).request(), "bearer-1");
    spoil(response);
    Answer(AnswerOk(response));
    EXPECT_EQ(UnknownBy().reason, Reason::kUpstreamInvalidResponse) << fault;
    EXPECT_THAT(UnknownBy().detail, HasSubstr(fault));
    EXPECT_THAT(UnknownBy().message, HasSubstr("the central tokend's answer is invalid"));
    const bool has_bearer = fault != "without a valid bearer";
    EXPECT_EQ(std::get<Indeterminate>(Outcome().result).withheld != nullptr, has_bearer) << fault;
  }
}

TEST_F(RelayTest, CallsAMessageThatCannotBeReadAnInvalidAnswer) {
  Mint();
  CentralAnswer answer = AnswerOk({});
  answer.message = Secret("\xff\xff");
  Answer(std::move(answer));
  EXPECT_EQ(UnknownBy().reason, Reason::kUpstreamInvalidResponse);
}

TEST_F(RelayTest, WithholdsATokenThatIsAnsweredBeforeTheCallWasSent) {
  Mint();
  CentralAnswer answer = AnswerOk(ResponseTo(centre_.running.at(0).request(), "bearer-1"));
  answer.sent = loop::Sent::kNo;
  Answer(std::move(answer));
  EXPECT_EQ(UnknownBy().reason, Reason::kUpstreamInvalidResponse);
  EXPECT_NE(std::get<Indeterminate>(Outcome().result).withheld, nullptr);
}

// Errors.

TEST_F(RelayTest, PassesARefusalOnWithItsReasonAndItsDetails) {
  Mint();
  Answer(AnswerError(kResourceExhausted, "RATE_LIMITED",
                     [](google::rpc::Status& status, google::rpc::ErrorInfo& info) {
                       google::rpc::RetryInfo retry;
                       retry.mutable_retry_delay()->set_seconds(30);
                       retry.mutable_retry_delay()->set_nanos(1);
                       status.add_details()->PackFrom(retry);
                       google::rpc::QuotaFailure quota;
                       quota.add_violations()->set_subject("relays/minute");
                       status.add_details()->PackFrom(quota);
                       (*info.mutable_metadata())["upstream_code"] = "5003";
                     }));
  const Failure failure = RefusedWith();
  EXPECT_EQ(failure.reason, Reason::kRateLimited);
  EXPECT_EQ(failure.retry_after, milliseconds(30001));
  ASSERT_EQ(failure.quotas.size(), 1U);
  EXPECT_EQ(failure.quotas[0].subject, "relays/minute");
  EXPECT_EQ(failure.upstream_code, 5003);
  EXPECT_EQ(Outcome().exchange.error_code, 5003);
  EXPECT_EQ(Outcome().exchange.centre, Centre::kWorks);
  EXPECT_EQ(centre_.made, 1U);
}

TEST_F(RelayTest, PassesEachReasonOnByWhichTheCallCreatedNothing) {
  for (int number = 1; number <= static_cast<int>(Reason::kLimitsUnavailable); ++number) {
    const Reason reason{number};
    if (MayHaveCreated(reason) || reason == Reason::kCallerUnknown) continue;
    outcomes_.clear();
    Mint(Request(milliseconds(120)));  // there is no time for another call
    Answer(AnswerError(kUnknown, std::string(Name(reason))));
    EXPECT_EQ(RefusedWith().reason, reason);
    EXPECT_FALSE(RefusedWith().audit_sequence) << "it is the relay's own";
    EXPECT_THAT(RefusedWith().detail, HasSubstr(Name(reason)));
  }
}

TEST_F(RelayTest, PassesNoTextOnThatIsLongOrNotPrintable) {
  Mint();
  Answer(AnswerError(kPermissionDenied, "INVALID_REQUEST",
                     [](google::rpc::Status& status, google::rpc::ErrorInfo&) {
                       google::rpc::QuotaFailure quota;
                       quota.add_violations()->set_subject("a\nb");
                       quota.add_violations()->set_subject(std::string(257, 'a'));
                       for (int i = 0; i < 100; ++i) quota.add_violations()->set_subject("ok");
                       status.add_details()->PackFrom(quota);
                       google::rpc::BadRequest bad;
                       auto& field = *bad.add_field_violations();
                       field.set_field("scopes[1]");
                       field.set_description("\x1b[2J");
                       status.add_details()->PackFrom(bad);
                     }));
  EXPECT_EQ(RefusedWith().quotas.size(), 14U) << "of the first 16";
  for (const QuotaViolation& quota : RefusedWith().quotas) EXPECT_EQ(quota.subject, "ok");
  EXPECT_TRUE(RefusedWith().fields.empty());
  EXPECT_THAT(RefusedWith().detail, testing::Not(HasSubstr("a text of the centre")));
}

TEST_F(RelayTest, EndsAsTheCentreEndedARequestWhoseOutcomeItDoesNotKnow) {
  for (const auto& [code, name, reason] :
       {std::tuple(kUnknown, "OUTCOME_UNKNOWN", Reason::kOutcomeUnknown),
        std::tuple(kInternal, "UPSTREAM_INVALID_RESPONSE", Reason::kUpstreamInvalidResponse)}) {
    outcomes_.clear();
    Mint();
    Answer(AnswerError(code, name));
    EXPECT_EQ(UnknownBy().reason, reason);
    EXPECT_EQ(Outcome().exchange.centre, Centre::kWorks);
    EXPECT_EQ(std::get<Indeterminate>(Outcome().result).withheld, nullptr);
  }
  EXPECT_EQ(centre_.made, 2U);
}

// CALLER_UNKNOWN.

TEST_F(RelayTest, ReadsItsCredentialsAgainWhereTheCentreDoesNotKnowItAndAsksElsewhereAtOnce) {
  centre_.addresses = 3;
  Mint();
  Answer(AnswerError(kUnauthenticated, "CALLER_UNKNOWN", 1));
  EXPECT_EQ(centre_.rereads, 1U);
  ASSERT_EQ(centre_.running.size(), 1U);
  EXPECT_EQ(centre_.running[0].call.avoid, Replica{1});
  AnswerWithToken();
  EXPECT_EQ(Bearer(), "bearer-1");
  EXPECT_EQ(budget_, kFullRetryBudget);
}

TEST_F(RelayTest, IsRejectedOnceEveryAddressHasRefusedIt) {
  centre_.addresses = 3;
  Mint();
  for (const std::size_t replica : {1U, 2U, 1U}) {
    Answer(AnswerError(kUnauthenticated, "CALLER_UNKNOWN", replica));
    ASSERT_FALSE(ended());
  }
  Answer(AnswerError(kUnauthenticated, "CALLER_UNKNOWN", 3));
  EXPECT_EQ(RefusedWith().reason, Reason::kUpstreamKeyRejected);
  EXPECT_STREQ(RefusedWith().message, "the central tokend does not accept this relay's credentials");
  EXPECT_EQ(Outcome().exchange.centre, Centre::kRejects);
  EXPECT_EQ(Outcome().exchange.key_generation, 1U);
}

TEST_F(RelayTest, IsRejectedAtTheOnlyAddressOnceANewConnectionIsRefusedToo) {
  Mint();
  Answer(AnswerError(kUnauthenticated, "CALLER_UNKNOWN"));
  EXPECT_EQ(centre_.running.at(0).call.connection, Connection::kNew);
  Answer(AnswerError(kUnauthenticated, "CALLER_UNKNOWN"));
  EXPECT_EQ(RefusedWith().reason, Reason::kUpstreamKeyRejected);
}

TEST_F(RelayTest, StopsGoingRoundWhereAddressesNeverRefuseIt) {
  centre_.addresses = 2;
  Mint();
  for (int i = 0; i < 6 && !ended(); ++i) Answer(AnswerError(kUnauthenticated, "CALLER_UNKNOWN", 1));
  EXPECT_EQ(RefusedWith().reason, Reason::kUpstreamKeyRejected);
}

// Answers after which it tries again.

TEST_F(RelayTest, TriesAgainAtAnotherReplicaWhereThatIsWorthIt) {
  centre_.addresses = 2;
  for (const char* reason : {"SHUTTING_DOWN", "OVERLOADED", "LIMITS_UNAVAILABLE", "AUDIT_UNAVAILABLE",
                             "UPSTREAM_UNAVAILABLE", "RATE_LIMITED"}) {
    outcomes_.clear();
    Mint();
    Answer(Delayed(kUnavailable, reason, 1'000'000));
    AwaitNextCall();
    ASSERT_EQ(centre_.running.size(), 1U) << reason;
    EXPECT_EQ(centre_.running[0].call.avoid, Replica{1});
    EXPECT_EQ(centre_.running[0].call.connection, Connection::kAny);
    AnswerWithToken();
    EXPECT_EQ(Bearer(), "bearer-1") << reason;
  }
}

TEST_F(RelayTest, TriesAgainOnANewConnectionWhereThereIsOneAddress) {
  Mint();
  Answer(AnswerError(kUnavailable, "SHUTTING_DOWN"));
  AwaitNextCall();
  EXPECT_EQ(centre_.running.at(0).call.connection, Connection::kNew);
}

TEST_F(RelayTest, TriesNothingElseAgain) {
  for (const char* reason :
       {"INVALID_REQUEST", "REQUEST_ID_REUSED", "NOT_PERMITTED", "APPLICATION_NOT_FOUND",
        "UPSTREAM_RATE_LIMITED", "UPSTREAM_KEY_REJECTED", "UPSTREAM_FORBIDDEN", "UPSTREAM_REJECTED"}) {
    outcomes_.clear();
    Mint();
    Answer(Delayed(kFailedPrecondition, reason, 1'000'000));
    EXPECT_EQ(Name(RefusedWith().reason), reason);
  }
}

TEST_F(RelayTest, WaitsOutAShortRateLimitAndPassesALongOneOn) {
  Mint();
  Answer(Delayed(kResourceExhausted, "RATE_LIMITED", 0, 2));
  loop_.Advance(seconds(2));
  EXPECT_TRUE(centre_.running.empty());
  loop_.Advance(milliseconds(100));
  ASSERT_EQ(centre_.running.size(), 1U);
  Answer(Delayed(kResourceExhausted, "RATE_LIMITED", 1, 2));
  EXPECT_EQ(RefusedWith().reason, Reason::kRateLimited);
}

TEST_F(RelayTest, PassesTheLastAnswerOnWhereNoTimeIsLeftForAnotherTry) {
  Mint(Request(milliseconds(149)));
  Answer(AnswerError(kUnavailable, "OVERLOADED"));
  EXPECT_EQ(RefusedWith().reason, Reason::kOverloaded);
}

TEST_F(RelayTest, WaitsFrom100MillisecondsDoublingTo2SecondsWithJitter) {
  Mint(Request(minutes(1)));
  milliseconds longest{100};
  std::set<milliseconds> waits;
  for (int i = 0; i < 12; ++i) {
    Answer(LostConnection());
    const auto began = loop_.clock().Now();
    for (int ms = 0; ms <= 2000 && centre_.running.empty(); ++ms) loop_.Advance(milliseconds(1));
    const auto waited = std::chrono::floor<milliseconds>(loop_.clock().Now() - began);
    EXPECT_GE(waited, longest / 2);
    EXPECT_LE(waited, longest);
    if (longest == seconds(2)) waits.insert(waited);
    longest = std::min<milliseconds>(2 * longest, seconds(2));
  }
  EXPECT_GT(waits.size(), 1U);
  EXPECT_EQ(retries_, 12);
}

TEST_F(RelayTest, TakesNoRetryOfTheBudgetAfterShuttingDownOrALostConnection) {
  Mint();
  Answer(AnswerError(kUnavailable, "SHUTTING_DOWN"));
  AwaitNextCall();
  Answer(LostConnection());
  AwaitNextCall();
  EXPECT_EQ(centre_.running.size(), 1U);
  EXPECT_EQ(budget_, kFullRetryBudget);
  Answer(AnswerError(kUnavailable, "OVERLOADED"));
  AwaitNextCall();
  EXPECT_EQ(budget_, kFullRetryBudget - 1);
}

TEST_F(RelayTest, TakesARetryOfTheBudgetForEachOtherTryAndGivesUpWithoutOne) {
  Mint(Request(minutes(1)));
  for (int i = 0; i < kFullRetryBudget; ++i) {
    EXPECT_EQ(budget_, kFullRetryBudget - i);
    Answer(AnswerError(kUnavailable, "OVERLOADED"));
    AwaitNextCall();
    ASSERT_FALSE(ended());
  }
  Answer(AnswerError(kUnavailable, "OVERLOADED"));
  EXPECT_EQ(RefusedWith().reason, Reason::kOverloaded);
}

// Nothing sent.

TEST_F(RelayTest, RefusesWhereNothingWasSentByAnyCall) {
  Mint(Request(milliseconds(500)));
  for (int i = 0; i < 500 && !ended(); ++i) {
    if (!centre_.running.empty()) Answer(NoConnection());  // at the moment of the call
    loop_.Advance(milliseconds(1));
  }
  EXPECT_EQ(RefusedWith().reason, Reason::kUpstreamUnavailable);
  EXPECT_STREQ(RefusedWith().message,
               "the central tokend cannot be reached, and nothing was created; retry later");
  EXPECT_THAT(RefusedWith().detail, HasSubstr("connection refused"));
  EXPECT_EQ(Outcome().exchange.http_status, 0);
  EXPECT_EQ(Outcome().exchange.centre, Centre::kByOutcome);
  EXPECT_GT(centre_.made, 1U);
}

TEST_F(RelayTest, MakesNoCallInTheLastMomentBeforeTheDeadline) {
  Mint(Request(milliseconds(100)));
  EXPECT_EQ(centre_.made, 0U);
  EXPECT_FALSE(ended()) << "done is not called from within Mint";
  loop_.RunPending();
  EXPECT_EQ(RefusedWith().reason, Reason::kUpstreamUnavailable);
  EXPECT_EQ(Outcome().exchange.centre, Centre::kUnheard);
}

// Other answers, and calls without an answer.

TEST_F(RelayTest, AsksAgainAfterAnAnswerThatIsNoTokendsAndAfterALostConnection) {
  CentralAnswer foreign = AnswerError(kUnavailable, "NOT_PERMITTED");
  foreign.details.clear();
  CentralAnswer other_domain =
      AnswerError(kPermissionDenied, "NOT_PERMITTED",
                  [](google::rpc::Status&, google::rpc::ErrorInfo& info) { info.set_domain("example.org"); });
  CentralAnswer other_reason = AnswerError(kPermissionDenied, "A_REASON_OF_TOMORROW");
  CentralAnswer broken = AnswerError(kPermissionDenied, "NOT_PERMITTED");
  broken.details = "\xff";
  CentralAnswer lost = LostConnection();
  for (CentralAnswer* answer : {&foreign, &other_domain, &other_reason, &broken, &lost}) {
    outcomes_.clear();
    Mint();
    Answer(std::move(*answer));
    AwaitNextCall();
    ASSERT_EQ(centre_.running.size(), 1U);
    AnswerWithToken();
    EXPECT_EQ(Bearer(), "bearer-1");
  }
}

TEST_F(RelayTest, AsksAtAnotherReplicaAfterALostConnection) {
  centre_.addresses = 2;
  Mint();
  Answer(LostConnection(2));
  AwaitNextCall();
  EXPECT_EQ(centre_.running.at(0).call.avoid, Replica{2});
}

TEST_F(RelayTest, AsksOnceMoreOnANewConnectionAfter5SecondsWithoutAnAnswer) {
  Mint();
  loop_.Advance(milliseconds(4999));
  EXPECT_EQ(centre_.running.size(), 1U);
  loop_.Advance(milliseconds(1));
  ASSERT_EQ(centre_.running.size(), 2U);
  EXPECT_EQ(centre_.running[1].call.connection, Connection::kNew);
  loop_.Advance(seconds(20));
  EXPECT_EQ(centre_.running.size(), 2U) << "once";
  EXPECT_EQ(budget_, kFullRetryBudget);
}

TEST_F(RelayTest, TakesTheFirstAnswerOfTwoCallsWhicheverItIs) {
  for (const std::size_t first : {0U, 1U}) {
    outcomes_.clear();
    Mint();
    loop_.Advance(seconds(5));
    AnswerWithToken("bearer-1", first);
    EXPECT_EQ(Bearer(), "bearer-1");
    AnswerWithToken("bearer-1");
    EXPECT_EQ(outcomes_.size(), 1U);
    EXPECT_EQ(centre_.wiped.size(), 2U) << "the other answer's copy too";
    centre_.wiped.clear();
  }
}

TEST_F(RelayTest, AwaitsTheOtherOfTwoCallsAfterARefusalOrALoss) {
  for (CentralAnswer (*answer)() : {+[] { return AnswerError(kUnavailable, "OVERLOADED"); },
                                    +[] { return AnswerError(kPermissionDenied, "NOT_PERMITTED"); },
                                    +[] { return LostConnection(); }, +[] { return NoConnection(); }}) {
    outcomes_.clear();
    Mint();
    loop_.Advance(seconds(5));
    Answer(answer(), 1);
    loop_.Advance(seconds(10));
    ASSERT_FALSE(ended());
    ASSERT_EQ(centre_.running.size(), 1U);
    AnswerWithToken();
    EXPECT_EQ(Bearer(), "bearer-1");
  }
}

TEST_F(RelayTest, RefusesAfterTwoCallsThatWereBothRefused) {
  Mint();
  loop_.Advance(seconds(5));
  Answer(AnswerError(kPermissionDenied, "NOT_PERMITTED"), 1);
  Answer(AnswerError(kPermissionDenied, "NOT_PERMITTED"));
  EXPECT_EQ(RefusedWith().reason, Reason::kNotPermitted);
}

TEST_F(RelayTest, IsUnknown100MillisecondsBeforeTheDeadline) {
  Mint(Request(seconds(2)));
  loop_.Advance(milliseconds(1899));
  EXPECT_FALSE(ended());
  loop_.Advance(milliseconds(1));
  EXPECT_EQ(UnknownBy().reason, Reason::kOutcomeUnknown);
  EXPECT_EQ(Outcome().exchange.centre, Centre::kUnheard) << "it says nothing of the centre";
}

TEST_F(RelayTest, IsRefusedAtTheDeadlineWhereNothingOfItsCallsWasSent) {
  centre_.sends = false;
  Mint(Request(seconds(2)));
  EXPECT_EQ(centre_.running.at(0).call.send_by, loop_.clock().Now() + milliseconds(1900));
  loop_.Advance(milliseconds(1900));
  EXPECT_EQ(RefusedWith().reason, Reason::kUpstreamUnavailable);
}

TEST_F(RelayTest, CountsAgainstACentreThatIsSilentForTenSeconds) {
  Mint(Request(seconds(20)));
  loop_.Advance(seconds(20));
  EXPECT_EQ(UnknownBy().reason, Reason::kOutcomeUnknown);
  EXPECT_EQ(Outcome().exchange.centre, Centre::kByOutcome);
}

TEST_F(RelayTest, TakesNoAnswerAfterItsEnd) {
  Mint(Request(seconds(2)));
  loop_.Advance(seconds(2));
  AnswerWithToken();
  EXPECT_EQ(outcomes_.size(), 1U);
  EXPECT_THAT(centre_.wiped, ElementsAre("bearer-1"));
  EXPECT_EQ(loop_.timers(), 0U);
}

// Once a call was sent and had no answer.

TEST_F(RelayTest, IsUnknownAfterAnyRefusalOfACallThatFollowsOneWithoutAnAnswer) {
  for (int number = 1; number <= static_cast<int>(Reason::kLimitsUnavailable); ++number) {
    const Reason reason{number};
    if (MayHaveCreated(reason)) continue;
    outcomes_.clear();
    Mint(Request(seconds(3)));
    Answer(LostConnection());
    for (int i = 0; i < 100 && !ended(); ++i) {
      if (!centre_.running.empty()) Answer(AnswerError(kUnknown, std::string(Name(reason))));
      loop_.Advance(milliseconds(100));
    }
    EXPECT_EQ(UnknownBy().reason, Reason::kOutcomeUnknown);
    EXPECT_THAT(UnknownBy().detail, HasSubstr(Name(reason)));
    EXPECT_EQ(UnknownBy().message, nullptr);
    while (!centre_.running.empty()) Answer(LostConnection());  // at the deadline one may run
  }
}

TEST_F(RelayTest, IsUnknownWhereALaterCallCouldNotBeSent) {
  Mint(Request(seconds(3)));
  Answer(LostConnection());
  for (int i = 0; i < 100 && !ended(); ++i) {
    if (!centre_.running.empty()) Answer(NoConnection());
    loop_.Advance(milliseconds(100));
  }
  EXPECT_EQ(UnknownBy().reason, Reason::kOutcomeUnknown);
  EXPECT_THAT(UnknownBy().detail, HasSubstr("connection refused"));
}

TEST_F(RelayTest, TakesWhatSettlesItAfterACallWithoutAnAnswer) {
  for (const char* reason : {"OUTCOME_UNKNOWN", "UPSTREAM_INVALID_RESPONSE", ""}) {
    outcomes_.clear();
    Mint();
    Answer(LostConnection());
    AwaitNextCall();
    if (*reason == '\0') {
      AnswerWithToken();
      EXPECT_EQ(Bearer(), "bearer-1");
    } else {
      Answer(AnswerError(kUnknown, reason));
      EXPECT_EQ(Name(UnknownBy().reason), reason);
    }
  }
}

TEST_F(RelayTest, ARequestAskedBeforeEndsAsUnknownWhenTheCentreRefusesIt) {
  MintRequest request = Request(milliseconds(300));
  request.asked_before = true;
  Mint(request);
  Answer(AnswerError(kPermissionDenied, "NOT_PERMITTED"));
  EXPECT_EQ(UnknownBy().reason, Reason::kOutcomeUnknown);
  EXPECT_THAT(UnknownBy().detail, HasSubstr("NOT_PERMITTED"));
}

TEST_F(RelayTest, ARequestAskedBeforeEndsAsUnknownWhenNothingIsSentUntilItsDeadline) {
  centre_.sends = false;
  MintRequest request = Request(milliseconds(300));
  request.asked_before = true;
  Mint(request);
  loop_.Advance(seconds(1));
  EXPECT_EQ(UnknownBy().reason, Reason::kOutcomeUnknown);
}

// The end of the daemon.

TEST_F(RelayTest, EndsEachRequestWhenItStops) {
  centre_.stopped_calls_were = loop::Sent::kYes;
  Mint();
  relay_->Stop();
  EXPECT_EQ(UnknownBy().reason, Reason::kOutcomeUnknown) << "the call may have left";

  outcomes_.clear();
  Mint();
  loop_.RunPending();
  EXPECT_EQ(RefusedWith().reason, Reason::kUpstreamUnavailable) << "no call begins after the stop";
  EXPECT_EQ(centre_.made, 1U);
}

TEST_F(RelayTest, EndsAtTheStopARequestWhoseCallIsAnsweredLater) {
  centre_.answers_at_stop = false;
  Mint();
  relay_->Stop();
  EXPECT_EQ(UnknownBy().reason, Reason::kOutcomeUnknown);
  EXPECT_THAT(UnknownBy().detail, HasSubstr("before the daemon's end"));
  AnswerWithToken();
  EXPECT_EQ(outcomes_.size(), 1U);
}

TEST_F(RelayTest, RefusesAtTheStopWhatNeverLeft) {
  centre_.stopped_calls_were = loop::Sent::kNo;
  Mint();
  relay_->Stop();
  EXPECT_EQ(RefusedWith().reason, Reason::kUpstreamUnavailable);
}

TEST_F(RelayTest, EndsARequestThatWaitsBeforeItsNextCallWhenItStops) {
  Mint();
  Answer(AnswerError(kUnavailable, "SHUTTING_DOWN"));
  relay_->Stop();
  EXPECT_EQ(RefusedWith().reason, Reason::kShuttingDown);
  EXPECT_EQ(loop_.timers(), 0U);
}

TEST_F(RelayTest, IsUnknownAtTheStopWhereACallHadNoAnswerBefore) {
  Mint();
  Answer(LostConnection());
  relay_->Stop();
  EXPECT_EQ(UnknownBy().reason, Reason::kOutcomeUnknown);
}

// Checks.

class RelayCheckTest : public RelayTest {
 protected:
  void Check(std::chrono::nanoseconds patience = seconds(30)) {
    relay_->Validate(Request(patience), [this](Upstream::Validation result) { result_ = std::move(result); });
  }
  Reason RefusedFor() {
    const auto* failure = result_ ? std::get_if<Failure>(&*result_) : nullptr;
    EXPECT_NE(failure, nullptr);
    return failure != nullptr ? failure->reason : Reason::kInvalidRequest;
  }
  std::optional<Upstream::Validation> result_;
};

TEST_F(RelayCheckTest, AsksTheCentreToCheck) {
  Check();
  const auto& call = centre_.running.at(0);
  EXPECT_TRUE(call.request().validate_only());
  EXPECT_EQ(call.metadata("tokend-on-behalf-of"), "unix:checkout");
  EXPECT_EQ(call.metadata("tokend-request-age"), "0");
  AnswerWithToken();
  const auto token = std::get<std::shared_ptr<const Token>>(result_.value());
  EXPECT_EQ(token->description, "from the template");
  EXPECT_TRUE(token->id.empty());
}

TEST_F(RelayCheckTest, PassesARefusalOn) {
  Check();
  Answer(AnswerError(kPermissionDenied, "NOT_PERMITTED"));
  EXPECT_EQ(RefusedFor(), Reason::kNotPermitted);
}

TEST_F(RelayCheckTest, TriesAgainAndThenSaysThatTheCentreIsOutOfReach) {
  Check(milliseconds(700));
  Answer(LostConnection());
  AwaitNextCall(milliseconds(100));
  Answer(AnswerError(kUnavailable, "SHUTTING_DOWN"));
  AwaitNextCall(milliseconds(200));
  EXPECT_EQ(centre_.running.size(), 1U);
  EXPECT_EQ(centre_.running.at(0).metadata("tokend-request-age"), "0");
  loop_.Advance(milliseconds(400));
  EXPECT_EQ(RefusedFor(), Reason::kUpstreamUnavailable) << "nothing can have been created";
}

TEST_F(RelayCheckTest, DoesNotTakeATokenForACheck) {
  Check();
  v1::CreateTokenResponse response = ResponseTo(centre_.running.at(0).request(), "");
  response.mutable_token()->set_bearer("bearer-1");
  Answer(AnswerOk(response));
  EXPECT_EQ(RefusedFor(), Reason::kUpstreamInvalidResponse);
}

// Callbacks.

TEST_F(RelayTest, TellsOfEachAnswerAndOfEachCallWithoutOne) {
  Mint();
  Answer(LostConnection());
  AwaitNextCall();
  Answer(AnswerError(kUnavailable, "SHUTTING_DOWN"));
  AwaitNextCall();
  AnswerWithToken();
  ASSERT_EQ(answered_.size(), 3U);
  EXPECT_EQ(answered_[0].status, std::nullopt);
  EXPECT_EQ(answered_[0].error, "the connection was reset");
  EXPECT_EQ(answered_[1].status, kUnavailable);
  EXPECT_EQ(answered_[2].status, 0);
  EXPECT_EQ(answered_[2].latency, milliseconds(3));
}

// The centre remembers what it has created, and the network loses calls and answers at random. Whatever
// happens, the relay never says that nothing was created where a call was left without an answer, and never
// hands out another token than the centre's.
class RandomRelayTest : public RelayTest, public testing::WithParamInterface<unsigned> {
 protected:
  bool Chance(unsigned percent) { return random_() % 100 < percent; }

  CentralAnswer RandomError(std::size_t replica) {
    const int number =
        std::uniform_int_distribution(1, static_cast<int>(Reason::kLimitsUnavailable))(random_);
    return Delayed(kUnknown, std::string(Name(Reason{number})), 1'000'000, 0, replica);
  }

  // One random event: time passes, or one running call ends.
  void Step() {
    if (centre_.running.empty() || Chance(20)) return loop_.Advance(milliseconds(random_() % 3000));
    const std::size_t index = random_() % centre_.running.size();
    const std::size_t replica = 1 + random_() % centre_.addresses;
    if (Chance(20)) return Answer(NoConnection(replica), index);
    if (Chance(30)) {
      created_ = created_ || Chance(50);
      left_unanswered_ = true;
      return Answer(LostConnection(replica), index);
    }
    if (Chance(50)) return Answer(RandomError(replica), index);
    created_ = true;
    AnswerWithToken("the-token", index);
  }

  std::minstd_rand random_{GetParam()};
  bool created_ = false;
  bool left_unanswered_ = false;
};

TEST_P(RandomRelayTest, NeverSaysThatNothingWasCreatedWhereThatIsNotKnown) {
  SCOPED_TRACE(testing::Message() << "seed " << GetParam());
  for (int round = 0; round < 200; ++round) {
    outcomes_.clear();
    created_ = left_unanswered_ = false;
    centre_.addresses = 1 + random_() % 3;
    Mint(Request(milliseconds(200 + random_() % 20000)));
    for (int i = 0; i < 1000 && !ended(); ++i) Step();
    ASSERT_TRUE(ended());
    const bool refused = std::holds_alternative<Refused>(Outcome().result);
    EXPECT_FALSE(refused && (created_ || left_unanswered_ || !centre_.running.empty()));
    if (std::holds_alternative<Minted>(Outcome().result)) {
      EXPECT_TRUE(created_);
      EXPECT_EQ(Bearer(), "the-token");
    }
    while (!centre_.running.empty()) Answer(LostConnection());
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomRelayTest, testing::Values(1U, 2U, 3U, std::random_device{}() >> 1U));

}  // namespace
}  // namespace tokend::upstream
