#include "daemon/telemetry/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "daemon/base/methods.h"

namespace tokend::telemetry {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Matches a text that has this whole line.
auto HasLine(const std::string& line) { return HasSubstr("\n" + line + "\n"); }

TEST(Metrics, CountTokensOfEveryKnownOutcomeFromZero) {
  const Metrics metrics;
  for (const std::string outcome : {"issued", "replayed", "refused", "withheld", "unknown", "other"}) {
    EXPECT_THAT(metrics.Text(), HasLine("tokend_tokens_total{outcome=\"" + outcome + "\"} 0"));
  }
}

TEST(Metrics, CountEachTokenUnderItsOutcome) {
  Metrics metrics;
  metrics.TokenEnded(TokenOutcome::kIssued);
  metrics.TokenEnded(TokenOutcome::kIssued);
  metrics.TokenEnded(TokenOutcome::kWithheld);
  EXPECT_THAT(metrics.Text(), AllOf(HasLine("tokend_tokens_total{outcome=\"issued\"} 2"),
                                    HasLine("tokend_tokens_total{outcome=\"withheld\"} 1"),
                                    HasLine("tokend_tokens_total{outcome=\"other\"} 0")));
}

TEST(Metrics, TimeCallsByMethodAndStatusInTheBucketsOfA66) {
  Metrics metrics;
  metrics.CallEnded(kCreateToken.name(), "OK", 7ms);
  const std::string series = R"(grpc_method="tokend.v1.TokenService/CreateToken",grpc_status="OK")";
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasLine("grpc_server_call_duration_seconds_count{" + series + "} 1"));
  EXPECT_THAT(text, HasLine("grpc_server_call_duration_seconds_bucket{" + series + ",le=\"0.006\"} 0"));
  EXPECT_THAT(text, HasLine("grpc_server_call_duration_seconds_bucket{" + series + ",le=\"0.008\"} 1"));

  const std::string bucket = "grpc_server_call_duration_seconds_bucket{" + series;
  std::size_t buckets = 0;
  for (std::size_t at = text.find(bucket); at != std::string::npos; at = text.find(bucket, at + 1)) ++buckets;
  EXPECT_EQ(buckets, 41U + 1U);  // those of A66, and +Inf
}

TEST(Metrics, GiveNoLabelThatTheyDoNotKnow) {
  Metrics metrics;
  metrics.CallEnded("canary.Service/Method", "CANARY", 1ms);
  metrics.CallEnded(kCreateToken.name(), "CANARY", 1ms);
  for (const int status : {-1, 0, 99, 600, 1'000'000}) metrics.UpstreamAnswered(status, 1ms);
  metrics.UpstreamAnswered(std::nullopt, 1ms);
  const std::string text = metrics.Text();
  EXPECT_THAT(text, AllOf(Not(HasSubstr("canary")), Not(HasSubstr("CANARY"))));
  EXPECT_THAT(text, HasSubstr(R"(_count{grpc_method="other",grpc_status="other"} 1)"));
  EXPECT_THAT(text,
              HasSubstr(R"(_count{grpc_method="tokend.v1.TokenService/CreateToken",grpc_status="other"} 1)"));
  EXPECT_THAT(text, HasLine("tokend_upstream_request_duration_seconds_count{http_status=\"none\"} 6"));
}

TEST(Metrics, TimeUpstreamByHttpStatus) {
  Metrics metrics;
  EXPECT_THAT(metrics.Text(),
              HasLine("tokend_upstream_request_duration_seconds_count{http_status=\"200\"} 0"));
  for (const int status : {100, 200, 599}) metrics.UpstreamAnswered(status, 2s);
  for (const std::string status : {"100", "200", "599"}) {
    EXPECT_THAT(metrics.Text(),
                HasLine("tokend_upstream_request_duration_seconds_count{http_status=\"" + status + "\"} 1"));
    EXPECT_THAT(metrics.Text(),
                HasLine("tokend_upstream_request_duration_seconds_sum{http_status=\"" + status + "\"} 2"));
  }
}

TEST(Metrics, TellCallsInFlightAuditTimeAndVersion) {
  Metrics metrics;
  metrics.SetCallsInFlight(7);
  metrics.AuditAppended(3ms);
  EXPECT_EQ(metrics.calls_in_flight(), 7U);
  EXPECT_THAT(metrics.Text(), AllOf(HasLine("tokend_calls_in_flight 7"),
                                    HasLine("tokend_audit_append_duration_seconds_count 1"),
                                    HasLine("tokend_build_info{version=\"" TOKEND_VERSION "\"} 1")));
}

TEST(Metrics, TellOfLimitsTurnsAndTheLedger) {
  Metrics metrics;
  metrics.LimitRefused("mobile-ci/minute");
  metrics.LimitRefused("mobile-ci/minute");
  metrics.SetLedgerEntries(12);
  EXPECT_THAT(metrics.Text(), HasLine("tokend_ledger_quarantine_seconds 0"));
  metrics.SetQuarantine(599s);
  metrics.SetTurnQueue("acme", 3);
  metrics.TurnCame(30ms);
  EXPECT_THAT(metrics.Text(),
              AllOf(HasLine("tokend_limit_refusals_total{limit=\"mobile-ci/minute\"} 2"),
                    HasLine("tokend_ledger_entries 12"), HasLine("tokend_ledger_quarantine_seconds 599"),
                    HasLine("tokend_turn_queue_length{organization=\"acme\"} 3"),
                    HasLine("tokend_turn_wait_seconds_bucket{le=\"0.025\"} 0"),
                    HasLine("tokend_turn_wait_seconds_bucket{le=\"0.05\"} 1")));
}

TEST(Metrics, TellWhetherRedisIsReachableWhereItIsUsed) {
  Metrics metrics;
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("tokend_redis_reachable")));
  metrics.SetRedisReachable(true);
  metrics.SetUpstreamReachable(true);
  EXPECT_THAT(metrics.Text(), HasLine("tokend_redis_reachable 1"));
  metrics.SetRedisReachable(false);
  EXPECT_THAT(metrics.Text(), HasLine("tokend_redis_reachable 0"));
}

TEST(Metrics, TellHowOldTheKeysOfAListenerAre) {
  Metrics metrics;
  metrics.SetJwksAge("cluster", std::chrono::milliseconds(90500));
  EXPECT_THAT(metrics.Text(), HasLine("tokend_jwks_age_seconds{listener=\"cluster\"} 90.5"));
}

TEST(Metrics, TellWhatKeepsAnOrganizationsRequestsBack) {
  Metrics metrics;
  metrics.SetBlocked("acme", Block::kBreakerOpen, false);
  metrics.SetBlocked("acme", Block::kKeyRejected, true);
  metrics.SetBlocked("acme", Block::kPaused, true);
  metrics.SetBlocked("acme", Block::kPaused, false);
  metrics.SetBlocked("acme", Block::kApplicationBreakerOpen, true);
  metrics.Retried();
  metrics.SetRetryBudget("acme", 9.5);
  EXPECT_THAT(metrics.Text(),
              AllOf(HasLine("tokend_upstream_breaker_open{organization=\"acme\"} 0"),
                    HasLine("tokend_upstream_key_rejected{organization=\"acme\"} 1"),
                    HasLine("tokend_upstream_paused{organization=\"acme\"} 0"),
                    HasLine("tokend_upstream_application_breaker_open{organization=\"acme\"} 1"),
                    HasLine("tokend_upstream_retries_total 1"),
                    HasLine("tokend_upstream_retry_budget{organization=\"acme\"} 9.5")));
}

TEST(Metrics, TimeACentralTokendByGrpcStatus) {
  Metrics metrics(UpstreamProtocol::kGrpc);
  EXPECT_THAT(metrics.Text(),
              HasLine("tokend_upstream_request_duration_seconds_count{grpc_status=\"OK\"} 0"));
  for (const int status : {0, 14, 16, 17, -1}) metrics.UpstreamAnswered(status, 2s);
  metrics.UpstreamAnswered(std::nullopt, 2s);
  const std::string text = metrics.Text();
  const std::map<std::string, int> expected = {
      {"OK", 1}, {"UNAVAILABLE", 1}, {"UNAUTHENTICATED", 1}, {"other", 2}, {"none", 1}};
  for (const auto& [status, count] : expected) {
    EXPECT_THAT(text, HasLine("tokend_upstream_request_duration_seconds_count{grpc_status=\"" + status +
                              "\"} " + std::to_string(count)));
  }
  EXPECT_THAT(text, Not(HasSubstr("http_status")));
}

TEST(Metrics, SayWhetherTheLastRequestToTheUpstreamWasAnswered) {
  Metrics metrics;
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("tokend_upstream_reachable")));
  metrics.SetUpstreamReachable(false);
  EXPECT_THAT(metrics.Text(), HasLine("tokend_upstream_reachable 0"));
  metrics.SetUpstreamReachable(true);
  EXPECT_THAT(metrics.Text(), HasLine("tokend_upstream_reachable 1"));
}

TEST(Metrics, LoseNoCountBetweenThreads) {
  Metrics metrics;
  constexpr int kThreads = 4;
  constexpr int kCalls = 500;
  std::vector<std::jthread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&metrics] {
      for (int call = 0; call < kCalls; ++call) {
        metrics.CallEnded(kCreateToken.name(), "UNAVAILABLE", 1ms);
        metrics.UpstreamAnswered(503, 1ms);
        metrics.TokenEnded(TokenOutcome::kRefused);
        if (call % 100 == 0) metrics.Text();
      }
    });
  }
  threads.clear();
  const std::string all = std::to_string(kThreads * kCalls);
  EXPECT_THAT(metrics.Text(), HasSubstr("grpc_status=\"UNAVAILABLE\"} " + all + "\n"));
  EXPECT_THAT(metrics.Text(), HasSubstr("_count{http_status=\"503\"} " + all + "\n"));
  EXPECT_THAT(metrics.Text(), HasLine("tokend_tokens_total{outcome=\"refused\"} " + all));
}

// The first group of each match.
std::set<std::string> Matches(const std::string& text, const char* expression) {
  const std::regex regex(expression);
  std::set<std::string> found;
  for (std::sregex_iterator match(text.begin(), text.end(), regex), none; match != none; ++match) {
    found.insert((*match)[1]);
  }
  return found;
}

TEST(Metrics, AreThoseThatTheirPageLists) {
  Metrics metrics;
  metrics.LimitRefused("grant/limit");
  metrics.SetTurnQueue("acme", 1);
  metrics.SetBlocked("acme", Block::kBreakerOpen, true);
  metrics.SetBlocked("acme", Block::kKeyRejected, true);
  metrics.SetBlocked("acme", Block::kPaused, true);
  metrics.SetBlocked("acme", Block::kApplicationBreakerOpen, true);
  metrics.SetJwksAge("cluster", std::chrono::seconds(1));
  metrics.SetRetryBudget("acme", 1);
  metrics.SetUpstreamReachable(true);
  metrics.SetRedisReachable(true);
  metrics.SetConnections("local", 1);
  metrics.ConnectionClosed("local", "client");
  metrics.SetTlsCertificateEnd("local", std::chrono::system_clock::now());
  std::ifstream file(TOKEND_SOURCE "/deploy/README.md");
  const std::string page(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(Matches(metrics.Text(), "# TYPE ([a-z_]+) "),
            Matches(page, "`((?:tokend|grpc_server|process)_[a-z_]+)(?:\\{[a-z_,]+\\})?`"));
}

}  // namespace
}  // namespace tokend::telemetry
