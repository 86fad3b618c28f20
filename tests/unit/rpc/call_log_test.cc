#include "daemon/rpc/call_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace tokend::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const CallLog::Time kLogStart{std::chrono::hours(1)};

CallLine Served() {
  return {.method = "CreateToken", .request_id = "id 1", .caller = "a", .peer = "ipv4:10.0.0.1:1"};
}

CallLine Denied(const std::string& caller, const std::string& detail) {
  CallLine line = Served();
  line.caller = caller;
  line.code = Code::kPermissionDenied;
  line.reason = "NOT_PERMITTED";
  line.detail = detail;
  return line;
}

// Writes to a pipe in the place of standard error, because the operational log goes there.
class CallLogTest : public testing::Test {
 protected:
  void SetUp() override { testing::internal::CaptureStderr(); }
  void TearDown() override {
    if (captures_) testing::internal::GetCapturedStderr();
  }

  // The lines written so far. Call it once.
  std::vector<std::string> Lines() {
    captures_ = false;
    return absl::StrSplit(testing::internal::GetCapturedStderr(), '\n', absl::SkipEmpty());
  }

  CallLog log_{"pod"};

 private:
  bool captures_ = true;
};

// What stands in a line after its event.
std::string FieldsOf(const std::string& line) {
  constexpr std::string_view kEvent = R"("event":"call",)";
  const std::size_t at = line.find(kEvent);
  return at == std::string::npos ? line : line.substr(at + kEvent.size());
}

TEST_F(CallLogTest, AServedCallIsOneLineOfItsOwnWithItsPeer) {
  for (int i = 0; i < 100; ++i) log_.Add(Served(), kLogStart);
  EXPECT_FALSE(log_.due());
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 100U);
  EXPECT_EQ(FieldsOf(lines[0]),
            R"("method":"CreateToken","request_id":"id 1","caller":"a","listener":"pod",)"
            R"("peer":"ipv4:10.0.0.1:1","code":"OK","reason":"","detail":"","duration_ms":0})");
}

TEST_F(CallLogTest, ACallOfARelayIsWrittenWithItsCallerAndTrace) {
  CallLine line = Served();
  line.on_behalf_of = "unix:checkout";
  line.trace = "0af7651916cd43dd8448eb211c80319c";
  log_.Add(line, kLogStart);
  line.code = Code::kUnavailable;
  log_.Add(line, kLogStart);
  log_.WriteAll();
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 2U);
  const std::string beginning =
      R"("method":"CreateToken","request_id":"id 1","caller":"a","on_behalf_of":"unix:checkout",)"
      R"("listener":"pod","peer":"ipv4:10.0.0.1:1","trace":"0af7651916cd43dd8448eb211c80319c",)";
  EXPECT_EQ(FieldsOf(lines[0]), beginning + R"("code":"OK","reason":"","detail":"","duration_ms":0})");
  EXPECT_EQ(FieldsOf(lines[1]),
            beginning + R"("code":"UNAVAILABLE","reason":"","detail":"","duration_ms":0,"count":1})");
}

TEST_F(CallLogTest, RefusedCallsForDifferentCallersOfARelayAreDifferentLines) {
  CallLine line = Denied("a", "x");
  for (const char* name : {"b", "c", "c"}) {
    line.on_behalf_of = name;
    log_.Add(line, kLogStart);
  }
  log_.WriteAll();
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_TRUE(absl::StrContains(lines[1], R"("on_behalf_of":"c")"));
  EXPECT_TRUE(absl::StrContains(lines[1], R"("count":2)"));
}

TEST_F(CallLogTest, TheRestOfACallersLinesNamesNoCallerOfARelay) {
  for (int i = 0; i < 30; ++i) {
    CallLine line = Denied("a", "x");
    line.on_behalf_of = "caller-" + std::to_string(i);
    log_.Add(std::move(line), kLogStart);
  }
  log_.WriteAll();
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 21U);
  EXPECT_TRUE(absl::StrContains(lines[20], R"("count":10)"));
  EXPECT_FALSE(absl::StrContains(lines[20], "on_behalf_of"));
}

TEST_F(CallLogTest, AlikeRefusedCallsWithinASecondAreOneLineThatKeepsThePeerAndTheRequestIdOfTheFirst) {
  CallLine later = Denied("a", "x");
  later.request_id = "id 2";
  later.peer = "ipv4:10.0.0.1:2";
  log_.Add(Denied("a", "x"), kLogStart);
  log_.Add(later, kLogStart + milliseconds(999));
  EXPECT_EQ(log_.due(), kLogStart + seconds(1));
  log_.WriteDue(kLogStart + milliseconds(999));
  log_.WriteDue(kLogStart + seconds(1));
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(FieldsOf(lines[0]),
            R"("method":"CreateToken","request_id":"id 1","caller":"a","listener":"pod",)"
            R"("peer":"ipv4:10.0.0.1:1","code":"PERMISSION_DENIED","reason":"NOT_PERMITTED","detail":"x",)"
            R"("duration_ms":0,"count":2})");
}

TEST_F(CallLogTest, ACallersDistinctRefusedCallsAreTwentyLinesAtOnceAndOneLineOfTheRest) {
  for (int i = 0; i < 1000; ++i) log_.Add(Denied("a", "x" + std::to_string(i)), kLogStart);
  log_.Add(Denied("b", "x"), kLogStart);
  log_.WriteAll();
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 22U);
  EXPECT_EQ(FieldsOf(lines[20]),
            R"("caller":"a","listener":"pod","peer":"ipv4:10.0.0.1:1","code":"PERMISSION_DENIED",)"
            R"("reason":"NOT_PERMITTED","count":980})");
  EXPECT_TRUE(absl::StrContains(lines[21], R"("caller":"b")"));
}

TEST_F(CallLogTest, InTheLongRunACallerHasTwoDistinctLinesASecondAndOneOfTheRest) {
  for (int ms = 0; ms < 100'000; ms += 10) {
    log_.Add(Denied("a", "x" + std::to_string(ms)), kLogStart + milliseconds(ms));
    log_.WriteDue(kLogStart + milliseconds(ms));
  }
  log_.WriteAll();
  const auto lines = Lines();
  EXPECT_LE(lines.size(), 20U + 2 * 100 + 100);
  EXPECT_GE(lines.size(), 2U * 100);
}

TEST_F(CallLogTest, ReportsEachCallToTheStatusPageAtOnce) {
  telemetry::RecentActivity recent;
  CallLog log("pod", &recent);
  CallLine served = Served();
  served.duration_ms = 20;
  log.Add(served, kLogStart);
  CallLine checked = Served();
  checked.method = "GetCaller";
  log.Add(checked, kLogStart);
  for (int i = 0; i < 3; ++i) {
    CallLine denied = Denied("a", "x");
    denied.end = telemetry::CallEnd::kRefused;
    log.Add(denied, kLogStart);
  }
  const auto report = recent.Get();
  ASSERT_EQ(report.refusals.size(), 1U);
  EXPECT_EQ(report.refusals[0].count, 3U);
  EXPECT_EQ(report.refusals[0].listener, "pod");
  EXPECT_EQ(report.refusals[0].peer, "ipv4:10.0.0.1");
  EXPECT_EQ(report.refusals[0].reason, "NOT_PERMITTED");
  ASSERT_EQ(report.callers.size(), 1U);
  EXPECT_EQ(report.callers[0].counts.calls, 5U);
  ASSERT_TRUE(report.minutes.back().latency);
  EXPECT_EQ(report.minutes.back().latency->longest, milliseconds(20));
}

TEST_F(CallLogTest, AllCallersThatNoGrantNamesAndAllUnknownOnesHaveOneAllowanceEach) {
  for (int i = 0; i < 1000; ++i) {
    CallLine unnamed = Denied("nobody" + std::to_string(i), "x");
    unnamed.allowance = Allowance::kShared;
    log_.Add(std::move(unnamed), kLogStart);
    CallLine unknown = Denied("", "x");
    unknown.code = Code::kUnauthenticated;
    unknown.reason = "CALLER_UNKNOWN";
    unknown.peer = "ipv4:10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ":1";
    log_.Add(std::move(unknown), kLogStart);
  }
  log_.WriteAll();
  const auto lines = Lines();
  EXPECT_EQ(lines.size(), 2U * 21);
  EXPECT_EQ(std::ranges::count_if(
                lines, [](const std::string& line) { return absl::StrContains(line, R"("count":980)"); }),
            2);
}

}  // namespace
}  // namespace tokend::rpc
