// For every kind of answer of a central tokend: what the caller gets and what the audit log records. The
// daemon's own upstream/ judges the answers and asks again.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/upstream/relay.h"
#include "tests/fakes/scripted_central_calls.h"
#include "tests/flow/world.h"

namespace tokend::flow {
namespace {

using fakes::AnswerError;
using fakes::AnswerOk;
using fakes::ScriptedCentralCalls;
using std::chrono::milliseconds;

constexpr int kAnyError = 2;
// The caller has no time for a second call, so that each row is one call.
constexpr milliseconds kTooShortToAskAgain{140};

struct CentralRow {
  const char* name;
  std::function<upstream::CentralAnswer(const ScriptedCentralCalls::Running&)> answer;
  Reason reason;
  const char* event;
};

std::vector<CentralRow> CentralRows() {
  using Running = ScriptedCentralCalls::Running;
  const auto error = [](const char* reason) {
    return [reason](const Running&) { return AnswerError(kAnyError, reason); };
  };
  return {
      {"created no", error("NOT_PERMITTED"), Reason::kNotPermitted, "token.refused"},
      {"busy", error("OVERLOADED"), Reason::kOverloaded, "token.refused"},
      {"unknown", error("OUTCOME_UNKNOWN"), Reason::kOutcomeUnknown, "token.unknown"},
      {"invalid", error("UPSTREAM_INVALID_RESPONSE"), Reason::kUpstreamInvalidResponse, "token.unknown"},
      {"no connection", [](const Running&) { return fakes::NoConnection(); }, Reason::kUpstreamUnavailable,
       "token.refused"},
      {"lost", [](const Running&) { return fakes::LostConnection(); }, Reason::kOutcomeUnknown,
       "token.unknown"},
      {"a token with another scope",
       [](const Running& running) {
         v1::CreateTokenResponse response = fakes::ResponseTo(running.request(), "bearer-1");
         response.mutable_token()->add_scopes("admin");
         return AnswerOk(response);
       },
       Reason::kUpstreamInvalidResponse, "token.withheld"},
  };
}

class CentralRowsTest : public testing::Test {
 protected:
  fakes::HandCrankedLoop loop;
  std::unique_ptr<ScriptedCentralCalls> made = std::make_unique<ScriptedCentralCalls>(loop);
  ScriptedCentralCalls& centre = *made;
  upstream::RelayUpstream upstream{loop, std::move(made), {}};
  World world{upstream, loop, {}};
};

TEST_F(CentralRowsTest, EachEndsItsIntentAndTellsItsCallerOnce) {
  for (const CentralRow& row : CentralRows()) {
    SCOPED_TRACE(row.name);
    const CallSeen& call = world.Ask({}, "ci", kTooShortToAskAgain);
    loop.RunPending();
    const std::uint64_t intent = world.audit.durable().back().seq();
    ASSERT_EQ(centre.running.size(), 1U);
    centre.Answer(row.answer(centre.running.front()));
    loop.RunPending();
    ASSERT_EQ(call.replies, 1);
    EXPECT_EQ(call.failure().reason, row.reason);
    const audit::Record& end = world.audit.durable().back();
    EXPECT_EQ(end.event(), row.event);
    EXPECT_EQ(end.intent(), intent);
    EXPECT_EQ(call.failure().audit_sequence, end.seq()) << "the relay's own";
    EXPECT_EQ(MayHaveCreated(row.reason), std::string(row.event) != "token.refused");
  }
}

TEST_F(CentralRowsTest, OneCallOfTheCallerIsOneIntentHoweverOftenTheCentreIsAsked) {
  const CallSeen& call = world.Ask({});
  loop.RunPending();
  for (const auto& answer : {fakes::LostConnection(), AnswerError(kAnyError, "SHUTTING_DOWN"),
                             AnswerError(kAnyError, "LIMITS_UNAVAILABLE"), fakes::NoConnection()}) {
    ASSERT_EQ(centre.running.size(), 1U);
    centre.Answer({.sent = answer.sent,
                   .replica = answer.replica,
                   .status = answer.status,
                   .details = answer.details,
                   .message = {},
                   .error = answer.error});
    loop.Advance(milliseconds(2000));
  }
  ASSERT_EQ(centre.running.size(), 1U);
  centre.Answer(AnswerOk(fakes::ResponseTo(centre.running.front().request(), "bearer-1")));
  loop.RunPending();
  EXPECT_EQ(call.bearer(), "bearer-1");
  EXPECT_EQ(world.audit.events(), (std::vector<std::string>{"token.intended", "token.issued"}));
}

}  // namespace
}  // namespace tokend::flow
