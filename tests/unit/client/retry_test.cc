#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/client.h"
#include "daemon/base/form.h"
#include "tests/unit/client/fake_tokend.h"

namespace tokend::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::Ge;
using testing::IsEmpty;
using testing::Le;

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

// Starts the daemon while the client waits for its second attempt, then lets real time pass: gRPC itself
// backs off between connections.
class LateDaemon final : public Clock {
 public:
  explicit LateDaemon(std::string address) : address_(std::move(address)) {}
  std::chrono::steady_clock::time_point Now() override { return SteadyClock().Now(); }
  void Sleep(std::chrono::nanoseconds duration) override {
    if (!tokend_) tokend_.emplace(address_);
    SteadyClock().Sleep(duration);
  }
  bool started() const { return tokend_.has_value(); }

 private:
  std::string address_;
  std::optional<FakeTokend> tokend_;
};

TEST(RetryOfAConnection, ReachesADaemonThatStartsLate) {
  const fakes::TemporaryFolder folder;
  const std::string socket = folder / "late.sock";
  LateDaemon clock("unix:" + socket);
  const auto token =
      Client::Connect({.address = "unix://" + socket}, clock)->CreateToken({.application = "ios-app"});
  EXPECT_TRUE(token.ok()) << token.status();
  EXPECT_TRUE(clock.started());
}

}  // namespace
}  // namespace tokend::client
