#include <absl/strings/match.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/client.h"
#include "daemon/base/form.h"
#include "tests/unit/client/fake_tokend.h"
#include "tests/unit/client/raw_daemon.h"

namespace tokend::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::Ge;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::Not;

enum class Expect { kTriedAgain, kFinal };

struct Row {
  std::string name;
  Failing failing;
  Expect expect;
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

class Retry : public testing::Test {
 protected:
  Client Connect(milliseconds timeout = seconds(60)) {
    return *Client::Connect({.address = "unix://" + socket_, .timeout = timeout}, clock_);
  }

  fakes::TemporaryFolder folder_;
  std::string socket_ = folder_ / "tokend.sock";
  FakeTokend tokend_{"unix:" + socket_};
  FakeClock clock_;
};

class ErrorTable : public Retry, public testing::WithParamInterface<Row> {};

TEST_P(ErrorTable, IsTriedAgainOnlyWhereNoTokenCanComeOfIt) {
  tokend_.Script({GetParam().failing});
  const Result<Token> token = Connect().CreateToken({.application = "ios-app"});

  const auto calls = tokend_.calls();
  if (GetParam().expect == Expect::kFinal) {
    ASSERT_EQ(calls.size(), 1U);
    EXPECT_EQ(static_cast<int>(token.status().code()), GetParam().failing.code);
    EXPECT_EQ(DetailsOf(token.status()).request_id, calls[0].request.request_id());
    EXPECT_THAT(clock_.slept, IsEmpty());
    return;
  }
  ASSERT_EQ(calls.size(), 2U);
  ASSERT_TRUE(token.ok());
  EXPECT_EQ(calls[0].request.request_id(), calls[1].request.request_id());
  EXPECT_EQ(ParseUuid(token->request_id), calls[0].request.request_id());
  const milliseconds asked = GetParam().failing.retry_after.value_or(milliseconds(0));
  EXPECT_THAT(clock_.slept,
              ElementsAre(AllOf(Ge(asked + Client::kFirstBackoff / 2), Le(asked + Client::kFirstBackoff))));
}

using Code = grpc::StatusCode;

INSTANTIATE_TEST_SUITE_P(
    Rows, ErrorTable,
    testing::Values(
        Row{"INVALID_REQUEST", {Code::INVALID_ARGUMENT, "INVALID_REQUEST"}, Expect::kFinal},
        Row{"REQUEST_ID_REUSED", {Code::ALREADY_EXISTS, "REQUEST_ID_REUSED"}, Expect::kFinal},
        Row{"CALLER_UNKNOWN", {Code::UNAUTHENTICATED, "CALLER_UNKNOWN"}, Expect::kFinal},
        Row{"NOT_PERMITTED", {Code::PERMISSION_DENIED, "NOT_PERMITTED"}, Expect::kFinal},
        Row{"RATE_LIMITED", {Code::RESOURCE_EXHAUSTED, "RATE_LIMITED", seconds(7)}, Expect::kTriedAgain},
        Row{"OVERLOADED", {Code::UNAVAILABLE, "OVERLOADED", seconds(1)}, Expect::kTriedAgain},
        Row{"SHUTTING_DOWN", {Code::UNAVAILABLE, "SHUTTING_DOWN", seconds(1)}, Expect::kTriedAgain},
        Row{"AUDIT_UNAVAILABLE", {Code::UNAVAILABLE, "AUDIT_UNAVAILABLE", seconds(1)}, Expect::kTriedAgain},
        Row{"LIMITS_UNAVAILABLE", {Code::UNAVAILABLE, "LIMITS_UNAVAILABLE", seconds(1)}, Expect::kTriedAgain},
        Row{"UPSTREAM_UNAVAILABLE",
            {Code::UNAVAILABLE, "UPSTREAM_UNAVAILABLE", milliseconds(2500)},
            Expect::kTriedAgain},
        Row{"UPSTREAM_RATE_LIMITED",
            {Code::RESOURCE_EXHAUSTED, "UPSTREAM_RATE_LIMITED", seconds(30)},
            Expect::kTriedAgain},
        Row{"UPSTREAM_KEY_REJECTED", {Code::FAILED_PRECONDITION, "UPSTREAM_KEY_REJECTED"}, Expect::kFinal},
        Row{"UPSTREAM_FORBIDDEN", {Code::FAILED_PRECONDITION, "UPSTREAM_FORBIDDEN"}, Expect::kFinal},
        Row{"APPLICATION_NOT_FOUND", {Code::NOT_FOUND, "APPLICATION_NOT_FOUND"}, Expect::kFinal},
        Row{"UPSTREAM_REJECTED", {Code::FAILED_PRECONDITION, "UPSTREAM_REJECTED"}, Expect::kFinal},
        Row{"UPSTREAM_INVALID_RESPONSE",
            {.code = Code::INTERNAL, .reason = "UPSTREAM_INVALID_RESPONSE", .pushback = true},
            Expect::kFinal},
        Row{"OUTCOME_UNKNOWN",
            {.code = Code::UNKNOWN, .reason = "OUTCOME_UNKNOWN", .pushback = true, .audit_sequence = 7},
            Expect::kFinal},
        Row{"DeadlineExceeded", {Code::DEADLINE_EXCEEDED}, Expect::kFinal},
        Row{"Cancelled", {Code::CANCELLED}, Expect::kFinal},
        Row{"TransportUnavailable", {Code::UNAVAILABLE}, Expect::kTriedAgain},
        Row{"TransportUnknown", {Code::UNKNOWN}, Expect::kFinal},
        Row{"TransportInternal", {Code::INTERNAL}, Expect::kFinal},
        Row{"TransportMessageTooLarge", {Code::RESOURCE_EXHAUSTED}, Expect::kFinal},
        Row{"PushbackForbidsWhateverElseIsSaid",
            {.code = Code::UNAVAILABLE, .reason = "OVERLOADED", .retry_after = seconds(1), .pushback = true},
            Expect::kFinal},
        Row{"PushbackForbidsWithoutDetails", {.code = Code::UNAVAILABLE, .pushback = true}, Expect::kFinal},
        Row{"UnknownOutcomeWithRetryInfo", {Code::UNKNOWN, "OUTCOME_UNKNOWN", seconds(1)}, Expect::kFinal},
        Row{"UnavailableForAReasonNotKnownHere",
            {Code::UNAVAILABLE, "ANOTHER_REASON", seconds(1)},
            Expect::kFinal},
        Row{"WithoutRetryInfo", {Code::UNAVAILABLE, "OVERLOADED"}, Expect::kFinal},
        Row{"AnotherDomainsReason",
            {.code = Code::UNAVAILABLE, .reason = "OVERLOADED", .retry_after = seconds(1), .domain = "proxy"},
            Expect::kFinal}),
    [](const auto& row) { return row.param.name; });

TEST_F(Retry, FailsAtOnceWhereTheDaemonAsksForMoreTimeThanThereIs) {
  tokend_.Script({{Code::RESOURCE_EXHAUSTED, "RATE_LIMITED", seconds(61)}});
  const Result<Token> token = Connect(seconds(60)).CreateToken({.application = "ios-app"});
  EXPECT_EQ(DetailsOf(token.status()).reason, "RATE_LIMITED");
  EXPECT_EQ(DetailsOf(token.status()).retry_after, seconds(61));
  EXPECT_EQ(tokend_.calls().size(), 1U);
  EXPECT_THAT(clock_.slept, IsEmpty());
}

TEST_F(Retry, CountsEarlierWaitsAgainstTheTimeout) {
  const Failing limited{Code::RESOURCE_EXHAUSTED, "RATE_LIMITED", seconds(25)};
  tokend_.Script({limited, limited, limited});
  const Result<Token> token = Connect(seconds(60)).CreateToken({.application = "ios-app"});
  EXPECT_EQ(DetailsOf(token.status()).reason, "RATE_LIMITED");
  EXPECT_EQ(tokend_.calls().size(), 3U);
}

TEST_F(Retry, GivesEachAttemptOnlyTheTimeThatIsLeft) {
  tokend_.Script({{Code::RESOURCE_EXHAUSTED, "RATE_LIMITED", seconds(40)}});
  ASSERT_TRUE(Connect(seconds(60)).CreateToken({.application = "ios-app"}).ok());
  const auto calls = tokend_.calls();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_LE(calls[1].deadline, calls[0].deadline - seconds(35));
}

TEST_F(Retry, EndsAfterTheLastAttemptWithItsErrorAndDoublesTheBackoff) {
  tokend_.Script(std::vector<Failing>(Client::kMaxAttempts + 3, Failing{Code::UNAVAILABLE}));
  const Result<Token> token = Connect().CreateToken({.application = "ios-app"});
  EXPECT_TRUE(absl::IsUnavailable(token.status()));
  EXPECT_EQ(tokend_.calls().size(), static_cast<std::size_t>(Client::kMaxAttempts));
  ASSERT_EQ(clock_.slept.size(), static_cast<std::size_t>(Client::kMaxAttempts) - 1);
  milliseconds step = Client::kFirstBackoff;
  for (const auto slept : clock_.slept) {
    EXPECT_THAT(slept, AllOf(Ge(step / 2), Le(step)));
    step = std::min(step * 2, Client::kMaxBackoff);
  }
}

TEST_F(Retry, RepeatsTheCallersRequestIdAsGiven) {
  tokend_.Script({{Code::UNAVAILABLE}, {Code::UNAVAILABLE, "OVERLOADED", seconds(1)}});
  const std::string id = "0A1B2C3D-0000-4000-8000-000000000001";
  ASSERT_TRUE(Connect().CreateToken({.application = "ios-app", .request_id = id}).ok());
  std::vector<std::string> ids;
  for (const auto& call : tokend_.calls()) ids.push_back(call.request.request_id());
  EXPECT_THAT(ids, ElementsAre(id, id, id));
}

TEST_F(Retry, MakesAnotherRequestIdForEachCall) {
  Client client = Connect();
  const auto first = client.CreateToken({.application = "ios-app"});
  const auto second = client.CreateToken({.application = "ios-app"});
  EXPECT_NE(first->request_id, second->request_id);
}

TEST_F(Retry, AppliesToGetCallerAndNotToHealth) {
  tokend_.Script({{Code::UNAVAILABLE, "OVERLOADED", seconds(3)}});
  EXPECT_TRUE(Connect().GetCaller().ok());
  EXPECT_EQ(tokend_.calls().size(), 2U);

  const Result<Health> health =
      Client::Connect({.address = "unix://" + (folder_ / "nobody.sock")}, clock_)->CheckHealth();
  EXPECT_TRUE(absl::IsUnavailable(health.status()));
  EXPECT_EQ(clock_.slept.size(), 1U);
}

const Failing kLost{Code::UNAVAILABLE};  // as gRPC tells of a lost connection
const Failing kLimited{Code::RESOURCE_EXHAUSTED, "RATE_LIMITED", std::chrono::hours(1)};

TEST_F(Retry, LeavesNoTokenBehindARefusal) {
  tokend_.Script({kLimited});
  EXPECT_EQ(DetailsOf(Connect().CreateToken({.application = "ios-app"}).status()).outcome, Outcome::kNoToken);
}

TEST_F(Retry, TakesNoLaterRefusalForTheAnswerToAnEarlierAttempt) {
  for (const auto& [refusal, outcome] :
       {std::pair(kLimited, Outcome::kAskAgain),
        std::pair(Failing{Code::PERMISSION_DENIED, "NOT_PERMITTED"}, Outcome::kLookForToken)}) {
    tokend_.Script({kLost, refusal});
    const Status status = Connect().CreateToken({.application = "ios-app"}).status();
    EXPECT_EQ(static_cast<int>(status.code()), refusal.code);
    EXPECT_EQ(DetailsOf(status).reason, refusal.reason);
    EXPECT_EQ(DetailsOf(status).outcome, outcome);
    EXPECT_THAT(std::string(status.message()), HasSubstr("an earlier attempt had no answer (fixed words)"));
  }
}

TEST_F(Retry, FindsNoTokenBehindACallThatCreatesNone) {
  tokend_.Script({{.code = Code::UNKNOWN, .pushback = true}, {Code::DEADLINE_EXCEEDED}});
  EXPECT_EQ(DetailsOf(Connect().GetCaller().status()).outcome, Outcome::kNoToken);
  const auto checked = Connect().CreateToken({.application = "ios-app", .validate_only = true});
  EXPECT_EQ(DetailsOf(checked.status()).outcome, Outcome::kNoToken);
}

struct OutcomeRow {
  std::string name;
  Failing failing;
  Outcome outcome;
};

void PrintTo(const OutcomeRow& row, std::ostream* out) { *out << row.name; }

class OutcomeTable : public Retry, public testing::WithParamInterface<OutcomeRow> {};

TEST_P(OutcomeTable, SaysWhetherATokenMayExistAndWhetherAskingAgainCanTell) {
  tokend_.Script(std::vector<Failing>(Client::kMaxAttempts, GetParam().failing));
  const Status status = Connect().CreateToken({.application = "ios-app"}).status();
  EXPECT_EQ(static_cast<int>(status.code()), GetParam().failing.code);
  EXPECT_EQ(DetailsOf(status).outcome, GetParam().outcome);
}

INSTANTIATE_TEST_SUITE_P(
    Rows, OutcomeTable,
    testing::Values(
        OutcomeRow{"Refused", {Code::PERMISSION_DENIED, "NOT_PERMITTED"}, Outcome::kNoToken},
        OutcomeRow{"Overloaded", {Code::UNAVAILABLE, "OVERLOADED", seconds(1)}, Outcome::kNoToken},
        OutcomeRow{"RefusedByAProxy", {Code::PERMISSION_DENIED}, Outcome::kNoToken},
        OutcomeRow{"UnknownMethod", {Code::UNIMPLEMENTED}, Outcome::kNoToken},
        OutcomeRow{"Lost", {Code::UNAVAILABLE}, Outcome::kAskAgain},
        OutcomeRow{"TooLateForAnAnswer", {Code::DEADLINE_EXCEEDED}, Outcome::kAskAgain},
        OutcomeRow{"Cancelled", {Code::CANCELLED, "CANCELLED"}, Outcome::kAskAgain},
        OutcomeRow{"UnreadableForGrpc", {Code::INTERNAL}, Outcome::kAskAgain},
        OutcomeRow{"TooLargeForGrpc", {Code::RESOURCE_EXHAUSTED}, Outcome::kAskAgain},
        OutcomeRow{"OutcomeUnknown", {Code::UNKNOWN, "OUTCOME_UNKNOWN"}, Outcome::kLookForToken},
        OutcomeRow{"InvalidResponse", {Code::INTERNAL, "UPSTREAM_INVALID_RESPONSE"}, Outcome::kLookForToken},
        OutcomeRow{"Pushback", {.code = Code::UNAVAILABLE, .pushback = true}, Outcome::kLookForToken}),
    [](const auto& row) { return row.param.name; });

struct Ending {
  std::string name;
  RawDaemon::Act act;
  absl::StatusCode code;
  Outcome outcome;
};

void PrintTo(const Ending& ending, std::ostream* out) { *out << ending.name; }

class Stream : public testing::TestWithParam<Ending> {};

TEST_P(Stream, ThatEndsWithoutAnAnswerMayHaveMadeATokenUnlessItWasNotProcessed) {
  const fakes::TemporaryFolder folder;
  const RawDaemon daemon(folder / "s", GetParam().act);
  FakeClock clock;
  const Status status = Client::Connect({.address = "unix://" + (folder / "s")}, clock)
                            ->CreateToken({.application = "a"})
                            .status();
  EXPECT_EQ(status.code(), GetParam().code) << status;
  EXPECT_EQ(DetailsOf(status).outcome, GetParam().outcome) << status;
  EXPECT_EQ(absl::StrContains(status.message(), "the daemon did not process the request"),
            GetParam().outcome == Outcome::kNoToken);
  EXPECT_EQ(daemon.requests(), absl::IsUnavailable(status) ? Client::kMaxAttempts : 1);
}

using Request = RawDaemon::Request;

RawDaemon::Act Reset(std::uint32_t code) {
  return [code](const Request& request) { request.Reset(code); };
}

INSTANTIATE_TEST_SUITE_P(
    Of, Stream,
    testing::Values(Ending{"NoError", Reset(0), absl::StatusCode::kInternal, Outcome::kAskAgain},
                    Ending{"InternalError", Reset(2), absl::StatusCode::kInternal, Outcome::kAskAgain},
                    Ending{"RefusedStream", Reset(7), absl::StatusCode::kUnavailable, Outcome::kNoToken},
                    Ending{"Cancel", Reset(8), absl::StatusCode::kCancelled, Outcome::kAskAgain},
                    Ending{"Calm", Reset(11), absl::StatusCode::kResourceExhausted, Outcome::kAskAgain},
                    Ending{"Security", Reset(12), absl::StatusCode::kPermissionDenied, Outcome::kAskAgain},
                    Ending{"GoAwayBelow", [](const Request& request) { request.GoAway(0); },
                           absl::StatusCode::kUnavailable, Outcome::kNoToken},
                    Ending{"GoAwayAbove",
                           [](const Request& request) {
                             request.GoAway(request.stream);
                             request.Close();
                           },
                           absl::StatusCode::kUnavailable, Outcome::kAskAgain},
                    Ending{"Close", [](const Request& request) { request.Close(); },
                           absl::StatusCode::kUnavailable, Outcome::kAskAgain}),
    [](const auto& row) { return row.param.name; });

TEST(Connection, ThatNeverCameAboutSentNothing) {
  const fakes::TemporaryFolder folder;
  const std::string address = "unix://" + (folder / "nobody.sock");
  Client client = *Client::Connect({.address = address, .timeout = milliseconds(400)});
  const auto begin = SteadyClock().Now();
  const Status status = client.CreateToken({.application = "ios-app"}).status();
  EXPECT_GE(SteadyClock().Now() - begin, milliseconds(400));
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(status.message(),
            "nothing listens at " + address + " (No such file or directory); nothing was sent");
  EXPECT_EQ(DetailsOf(status).outcome, Outcome::kNoToken);
}

TEST(Connection, ThatIsNeverAnsweredSentNothing) {
  const fakes::TemporaryFolder folder;
  const int mute = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  (folder / "s").copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(mute, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(mute, 8), 0);
  Client client = *Client::Connect({.address = "unix://" + (folder / "s"), .timeout = milliseconds(300)});
  const Status status = client.CreateToken({.application = "ios-app"}).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("no connection to unix://"), EndsWith("; nothing was sent")));
  EXPECT_EQ(DetailsOf(status).outcome, Outcome::kNoToken);
  close(mute);
}

TEST(Connection, ThatIsLostDuringAnAttemptMayHaveMadeAToken) {
  const fakes::TemporaryFolder folder;
  RawDaemon* running = nullptr;
  RawDaemon daemon(folder / "s", [&](const Request& request) {
    running->Vanish();
    request.Close();
  });
  running = &daemon;
  Client client = *Client::Connect({.address = "unix://" + (folder / "s"), .timeout = milliseconds(600)});
  const Status status = client.CreateToken({.application = "ios-app"}).status();
  EXPECT_EQ(daemon.requests(), 1);
  EXPECT_EQ(DetailsOf(status).outcome, Outcome::kAskAgain);
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("nothing listens at"), HasSubstr("an earlier attempt had no answer (Socket closed)"),
            Not(HasSubstr("nothing was sent"))));
}

// The machine's clock. The client asks it for the time again and again while it waits for a connection, and
// so the daemon starts on the client's own thread once it has waited for `patience`.
class LateDaemon final : public Clock {
 public:
  LateDaemon(std::string address, milliseconds patience)
      : address_(std::move(address)), patience_(patience) {}
  std::chrono::steady_clock::time_point Now() override {
    const auto now = SteadyClock().Now();
    if (!begin_) begin_ = now;
    if (!tokend_ && now - *begin_ >= patience_) {
      tokend_.emplace(address_);
      started_ = SteadyClock().Now();
    }
    return now;
  }
  void Sleep(std::chrono::nanoseconds duration) override { SteadyClock().Sleep(duration); }
  std::optional<std::chrono::steady_clock::time_point> started() const { return started_; }

 private:
  std::string address_;
  milliseconds patience_;
  std::optional<std::chrono::steady_clock::time_point> begin_;
  std::optional<std::chrono::steady_clock::time_point> started_;
  std::optional<FakeTokend> tokend_;
};

TEST(Connection, ComesAboutWithinASecondOfTheDaemon) {
  const fakes::TemporaryFolder folder;
  const std::string socket = folder / "late.sock";
  LateDaemon clock("unix:" + socket, seconds(1));
  const auto token =
      Client::Connect({.address = "unix://" + socket}, clock)->CreateToken({.application = "ios-app"});
  EXPECT_TRUE(token.ok()) << token.status();
  ASSERT_TRUE(clock.started());
  EXPECT_LT(SteadyClock().Now() - *clock.started(), seconds(1));
}

TEST(Connection, OfALongLivedClientComesBackWithTheDaemon) {
  const fakes::TemporaryFolder folder;
  const std::string socket = folder / "tokend.sock";
  Client client = *Client::Connect({.address = "unix://" + socket, .timeout = seconds(20)});
  for (int restart = 0; restart < 3; ++restart) {
    const FakeTokend tokend("unix:" + socket);
    const auto begin = SteadyClock().Now();
    EXPECT_TRUE(client.GetCaller().ok());
    EXPECT_EQ(*client.CheckHealth(), Health::kServing);
    EXPECT_LT(SteadyClock().Now() - begin, seconds(1));
  }
  EXPECT_TRUE(absl::IsUnavailable(client.CheckHealth().status()));
  const FakeTokend tokend("unix:" + socket);
  EXPECT_TRUE(client.CheckHealth().ok()) << "an old failure is told";
}

TEST(Connection, IsAwaitedForHealthOnlyWhenAsked) {
  const fakes::TemporaryFolder folder;
  const std::string socket = folder / "late.sock";
  LateDaemon clock("unix:" + socket, seconds(1));
  Client client = *Client::Connect({.address = "unix://" + socket}, clock);
  EXPECT_TRUE(absl::IsUnavailable(client.CheckHealth().status()));
  EXPECT_FALSE(clock.started());
  EXPECT_TRUE(client.CheckHealth(Client::Patience::kUntilTimeout).ok());
}

}  // namespace
}  // namespace tokend::client
