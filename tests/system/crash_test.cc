// Kills the real daemon with SIGKILL. Every token that it may have created is in its log, and it never
// creates that token again.
#include <gmock/gmock.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <random>
#include <thread>

#include "tests/system/account.h"
#include "tests/system/fixture.h"

namespace tokend::system {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

class Crash : public SystemTest {
 protected:
  void Kill() {
    tokend_->process().Signal(SIGKILL);
    ASSERT_EQ(tokend_->process().Wait(), -SIGKILL);
  }
};

TEST_F(Crash, IntentLeftOpenIsEndedAsUnknownBeforeTheNextStartServes) {
  Start();
  applivery_->Script("ios-app", {fakes::Fault::Of(fakes::Action::kBlackHole)});
  std::jthread call([&] { Create("ios-app", kRequestId); });
  ASSERT_TRUE(applivery_->WaitForPosts(1, std::chrono::seconds(10)));
  Kill();
  call.join();
  tokend_->Restart();
  EXPECT_THAT(tokend_->events(),
              ElementsAre("daemon.started", "token.intended", "token.unknown", "daemon.started"));
  const std::string unknown = LastRecord("token.unknown");
  EXPECT_EQ(Field(unknown, "reason"), "daemon_stopped");
  EXPECT_EQ(Field(unknown, "request_id"), kRequestId);
  EXPECT_THAT(unknown, HasSubstr("\"intent\":2,"));
  EXPECT_THAT(tokend_->Get("/metrics"), HasSubstr("tokend_tokens_total{outcome=\"unknown\"} 1\n"));
  EXPECT_THAT(tokend_->Get("/status.json"), HasSubstr("\"unaccounted\":{\"count\":1,"));
  EXPECT_THAT(tokend_->Get("/status.json"), HasSubstr("\"request_id\":\"" + std::string(kRequestId) + "\""));

  tokend_->process().Signal(SIGTERM);
  ASSERT_EQ(tokend_->process().Wait(), 0);
  tokend_->Restart();
  EXPECT_THAT(tokend_->Get("/metrics"), HasSubstr("tokend_tokens_total{outcome=\"unknown\"} 0\n")) << "twice";
}

TEST_F(Crash, RequestIdThatWasIntendedBeforeIsNeverSentAgain) {
  Start();
  ASSERT_EQ(Create("ios-app", kRequestId).code, 0);
  Kill();
  tokend_->Restart();
  const RawClient client(tokend_->address());
  const Answered again = client.Create(RequestFor("ios-app", kRequestId));
  EXPECT_EQ(again.reason, "OUTCOME_UNKNOWN");
  EXPECT_EQ(again.audit_sequence, "3");
  EXPECT_EQ(again.pushback, "-1");
  EXPECT_EQ(client.Create(RequestFor("other-app", kRequestId)).reason, "REQUEST_ID_REUSED");
  EXPECT_EQ(applivery_->counts().posts, 1U);
}

// Kills the daemon at random moments under load. Afterwards the log has every token that the upstream minted
// as issued, unknown or withheld, it has a record for every bearer that a caller got, and the daemon has sent
// no request_id twice.
TEST_F(Crash, EveryTokenIsAccountedForAfterKillsAtRandomMoments) {
  const int kills = std::getenv("TOKEND_LONG_TESTS") != nullptr ? 500 : 12;
  const unsigned seed = std::random_device()();
  std::cout << "seed " << seed << ", " << kills << " kills\n";
  std::mt19937 random(seed);
  fakes::FakeAppliveryOptions slow;
  slow.delay = milliseconds(5);
  Tokend::Options options;
  options.grant = "      description: \"{request_id}\"\n";
  Start(options, slow);

  Account account;
  for (int kill = 0; kill < kills; ++kill) {
    const RawClient client(tokend_->address());
    // Wait for a random number of POSTs, not for a time, so that a slow daemon gets as far as a fast one.
    std::jthread killer([&, posts = applivery_->counts().posts + random() % 80] {
      applivery_->WaitForPosts(posts, std::chrono::seconds(20));
      tokend_->process().Signal(SIGKILL);
    });
    const auto answered = client.CreateMany(400, 16, [](std::size_t) { return RequestFor("ios-app"); });
    killer.join();
    tokend_->process().Wait();
    for (const Answered& one : answered) account.Add(one);
    tokend_->Restart();
  }
  ASSERT_EQ(Stop(), 0);

  account.Expect(AuditRecords(folder_ / ""), applivery_->tokens());
  ExpectVerifies(folder_ / "");
  std::cout << kills << " kills:\n" << Account::Header() << "\n" << account.Row() << "\n";
  EXPECT_GT(account.released(), 0U);
}

}  // namespace
}  // namespace tokend::system
