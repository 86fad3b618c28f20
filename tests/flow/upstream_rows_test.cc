// Every kind of error of the upstream, from the HTTP answer to what the caller and the audit log are told.
// The daemon's own upstream/ judges the answers.
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/upstream/applivery.h"
#include "tests/fakes/scripted_http_client.h"
#include "tests/flow/world.h"

namespace tokend::flow {
namespace {

using loop::Ending;
using loop::Sent;
using std::chrono::seconds;

// The caller has no time for a retry, so that each row is one POST, and no row affects the next.
constexpr std::chrono::milliseconds kTooShortToRetry{40};
constexpr seconds kLongestCooling{60};

constexpr char kGood[] =
    R"({"status":true,"data":{"id":"0123456789abcdef01234567","bearer":"bearer-1","scopes":["sdk"]}})";

struct Row {
  const char* name;
  int status;
  const char* body;
  Reason reason;
  const char* event;
  Sent sent = Sent::kYes;
  Ending ending = Ending::kComplete;
  std::optional<seconds> retry_after = std::nullopt;
};

std::vector<Row> Rows() {
  static constexpr char kRefused[] = "token.refused";
  static constexpr char kUnknown[] = "token.unknown";
  static constexpr char kWithheld[] = "token.withheld";
  return {
      {"no connection", 0, "", Reason::kUpstreamUnavailable, kRefused, Sent::kNo, Ending::kBroken},
      {"stopped before it was sent", 0, "", Reason::kUpstreamUnavailable, kRefused, Sent::kNo,
       Ending::kStopped},
      {"429", 429, "", Reason::kUpstreamRateLimited, kRefused},
      {"401", 401, R"({"status":false,"error":{"code":4004}})", Reason::kUpstreamKeyRejected, kRefused},
      {"200 with a key's code", 200, R"({"status":false,"error":{"code":3002}})",
       Reason::kUpstreamKeyRejected, kRefused},
      {"403", 403, "<html>", Reason::kUpstreamForbidden, kRefused},
      {"404", 404, R"({"status":false,"error":{"code":3001}})", Reason::kApplicationNotFound, kRefused},
      {"404 that broke off", 404, "{", Reason::kApplicationNotFound, kRefused, Sent::kYes, Ending::kBroken},
      {"200 with 3001", 200, R"({"status":false,"error":{"code":3001}})", Reason::kApplicationNotFound,
       kRefused},
      {"400", 400, R"({"status":false,"error":{"code":5014}})", Reason::kUpstreamRejected, kRefused},
      {"302", 302, "", Reason::kUpstreamRejected, kRefused},
      {"200 with a limit's code", 200, R"({"status":false,"error":{"code":5003}})", Reason::kUpstreamRejected,
       kRefused},
      {"204", 204, "", Reason::kUpstreamInvalidResponse, kUnknown},
      {"202 that says success", 202, kGood, Reason::kUpstreamInvalidResponse, kWithheld},
      {"200 that is no JSON", 200, "<html>", Reason::kUpstreamInvalidResponse, kUnknown},
      {"200 too large", 200, "{", Reason::kUpstreamInvalidResponse, kUnknown, Sent::kYes, Ending::kTooLarge},
      {"a scope not asked for", 200,
       R"({"status":true,"data":{"id":"0123456789abcdef01234567","bearer":"bearer-1","scopes":["admin"]}})",
       Reason::kUpstreamInvalidResponse, kWithheld},
      {"500", 500, kGood, Reason::kOutcomeUnknown, kUnknown},
      {"reset after sending", 0, "", Reason::kOutcomeUnknown, kUnknown, Sent::kYes, Ending::kBroken},
      {"200 that broke off", 200, "{", Reason::kOutcomeUnknown, kUnknown, Sent::kYes, Ending::kBroken},
      {"stopped after sending", 0, "", Reason::kOutcomeUnknown, kUnknown, Sent::kYes, Ending::kStopped},
  };
}

class UpstreamRows : public testing::Test {
 protected:
  static config::Applivery Options() {
    config::Applivery options;
    options.base_url = "https://applivery.test";
    return options;
  }

  static upstream::KeyRing Keys() {
    return {{"acme", {std::make_shared<ApiKey>("the-key"), config::KeyFile{}, 1}}};
  }

  CallSeen& Ask(const fakes::Request& request = {}) {
    CallSeen& call = world.Ask(request, "ci", kTooShortToRetry);
    loop.RunPending();
    return call;
  }

  void Answer(const Row& row) {
    ASSERT_EQ(http.posted.size(), 1U);
    loop::HttpAnswer answer;
    answer.sent = row.sent;
    answer.ending = row.ending;
    answer.status = row.status;
    answer.body = Secret(row.body);
    answer.retry_after = row.retry_after;
    auto done = std::move(http.posted.front().done);
    http.posted.clear();
    done(std::move(answer));
    loop.RunPending();
    loop.Advance(kLongestCooling);
  }

  fakes::HandCrankedLoop loop;
  std::unique_ptr<fakes::ScriptedHttpClient> made = std::make_unique<fakes::ScriptedHttpClient>();
  fakes::ScriptedHttpClient& http = *made;
  upstream::AppliveryUpstream upstream{Options(), Keys(), loop, std::move(made),
                                       [](const upstream::Upstream::Answered&) {}};
  World world{upstream, loop, {}};
};

TEST_F(UpstreamRows, EachEndsItsIntentAndTellsItsCallerOnce) {
  for (const Row& row : Rows()) {
    SCOPED_TRACE(row.name);
    const CallSeen& call = Ask();
    const std::uint64_t intent = world.audit.durable().back().seq();
    Answer(row);
    ASSERT_EQ(call.replies, 1);
    EXPECT_EQ(call.failure().reason, row.reason);
    const audit::Record& end = world.audit.durable().back();
    EXPECT_EQ(end.event(), row.event);
    EXPECT_EQ(end.intent(), intent);
    EXPECT_EQ(end.reason(), Name(row.reason));
    EXPECT_EQ(end.upstream().http_status(), row.status);
    EXPECT_EQ(call.failure().audit_sequence, end.seq());
    EXPECT_EQ(MayHaveCreated(row.reason), std::string(row.event) != "token.refused");
  }
}

TEST_F(UpstreamRows, WhatMayHaveBeenCreatedIsNeverSentAgainAndWhatWasNotMayBe) {
  int number = 100;
  for (const Row& row : Rows()) {
    SCOPED_TRACE(row.name);
    const std::string request_id = "018f3b2a-0000-7000-8000-000000000" + std::to_string(number++);
    Ask({.request_id = request_id});
    Answer(row);
    const CallSeen& again = Ask({.request_id = request_id});
    if (MayHaveCreated(row.reason)) {
      EXPECT_TRUE(http.posted.empty());
      EXPECT_EQ(again.failure().reason, row.reason);
    } else {
      ASSERT_EQ(http.posted.size(), 1U);
      Answer({"good", 200, kGood, Reason::kInvalidRequest, ""});
      EXPECT_EQ(again.bearer(), "bearer-1");
    }
  }
}

TEST_F(UpstreamRows, RetryAfterOfA429IsPassedOn) {
  const CallSeen& call = Ask();
  Answer({"429", 429, "", Reason::kUpstreamRateLimited, "", Sent::kYes, Ending::kComplete, seconds(9)});
  EXPECT_EQ(call.failure().retry_after, seconds(9));
}

}  // namespace
}  // namespace tokend::flow
