#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <string>

#include "tests/system/fixture.h"

// What a restart knows of request_ids.
namespace tokend::system {
namespace {

using std::chrono::minutes;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class LedgerAfterARestart : public SystemTest {
 protected:
  void Restart() {
    EXPECT_EQ(Stop(), 0);
    tokend_->Restart();
    client_ = std::make_unique<RawClient>(tokend_->address());
  }
  void MoveLogAway() { std::filesystem::rename(folder_ / "audit.jsonl", folder_ / "audit.jsonl.1"); }
  void ExpectQuarantine() {
    const Answered again = Create("ios-app", kRequestId);
    EXPECT_EQ(again.reason, "LIMITS_UNAVAILABLE");
    EXPECT_THAT(again.message, HasSubstr("quarantine"));
    EXPECT_GT(again.retry_after.value_or(minutes(0)), minutes(5));
    EXPECT_LE(again.retry_after.value_or(minutes(60)), minutes(10));
    EXPECT_EQ(Create("ios-app").code, kOk) << "an id of the daemon's own has had no token";
    EXPECT_THAT(tokend_->Get("/readyz"), AllOf(HasSubstr("200 OK"), HasSubstr("ledger: quarantine")));
    EXPECT_THAT(tokend_->Get("/status.json"), HasSubstr("quarantine"));
    EXPECT_THAT(tokend_->Get("/metrics"), Not(HasSubstr("tokend_ledger_quarantine_seconds 0\n")));
    const std::string begun = LineWith(tokend_->log(), {"ledger.quarantine_began"});
    EXPECT_EQ(Field(begun, "level"), "warning");
  }
  void ExpectNoQuarantine() {
    EXPECT_THAT(tokend_->Get("/readyz"), HasSubstr("ledger: ok"));
    EXPECT_THAT(tokend_->Get("/metrics"), HasSubstr("tokend_ledger_quarantine_seconds 0\n"));
  }
};

TEST_F(LedgerAfterARestart, ARequestIdDoesNotMintAgainThoughTheLogWasMovedAway) {
  Start();
  ASSERT_EQ(Create("ios-app", kRequestId).code, kOk);
  MoveLogAway();
  // A call during the repair of the log fails.
  ASSERT_TRUE(Eventually([this] { return Create("ios-app").code == kOk; }));
  ASSERT_EQ(Create("ios-app").code, kOk);
  ExpectNoQuarantine();
  const std::size_t tokens = applivery_->tokens().size();
  Restart();
  ExpectQuarantine();
  EXPECT_EQ(applivery_->tokens().size(), tokens + 1) << "that of the call without a request_id";
}

TEST_F(LedgerAfterARestart, ARequestIdDoesNotMintAgainThoughTheLogWasMovedAwayMeanwhile) {
  Start();
  ASSERT_EQ(Create("ios-app", kRequestId).code, kOk);
  EXPECT_EQ(Stop(), 0);
  MoveLogAway();
  tokend_->Restart();
  client_ = std::make_unique<RawClient>(tokend_->address());
  ExpectQuarantine();
  Restart();
  ExpectQuarantine();
  EXPECT_EQ(applivery_->tokens().size(), 3U);
}

TEST_F(LedgerAfterARestart, AWholeLogRefusesNothing) {
  Start();
  ExpectNoQuarantine();
  ASSERT_EQ(Create("ios-app", kRequestId).code, kOk);
  Restart();
  ExpectNoQuarantine();
  EXPECT_EQ(Create("ios-app", kRequestId).reason, "OUTCOME_UNKNOWN");
  EXPECT_EQ(Create("ios-app", "018f3b2a-0000-7000-8000-0123456789ac").code, kOk);
}

TEST_F(LedgerAfterARestart, ARetryIsKnownThoughThePolicyHasChanged) {
  Start();
  ASSERT_EQ(Create("ios-app", kRequestId).code, kOk);
  std::string config = ReadFile(tokend_->config_file());
  const std::string scopes = "default_scopes: [sdk]";
  config.replace(config.find(scopes), scopes.size(),
                 "default_scopes: [beta]\n      description: \"{caller}: {description}\"");
  WriteFile(tokend_->config_file(), config);
  Restart();
  const Answered again = Create("ios-app", kRequestId);
  EXPECT_EQ(again.reason, "OUTCOME_UNKNOWN") << "its token was created";
  EXPECT_FALSE(again.audit_sequence.empty());
  EXPECT_EQ(Create("android-app", kRequestId).reason, "REQUEST_ID_REUSED");
  EXPECT_EQ(applivery_->tokens().size(), 1U);
}

TEST_F(LedgerAfterARestart, StandardOutputAloneKnowsNothingOfAnEarlierRun) {
  Tokend::Options options;
  options.audit = "stdout: {}";
  Start(options);
  ExpectQuarantine();
  EXPECT_THAT(LineWith(tokend_->log(), {"config.warning", "audit.stdout"}), HasSubstr("restart"));
}

}  // namespace
}  // namespace tokend::system
