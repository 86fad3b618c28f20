#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <thread>
#include <vector>

#include "tests/system/fixture.h"

// Rate limits of the real daemon, and how it treats an upstream that fails.
namespace tokend::system {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Limits : public SystemTest {
 protected:
  Ended WhoAmI() const {
    return RunProgram({Program("tokenctl"), "--address", tokend_->address(), "--output", "json", "whoami"});
  }

  double Metric(const std::string& name) const {
    const std::string page = tokend_->Get("/metrics");
    const std::size_t at = page.find("\n" + name + " ");
    return at == std::string::npos ? -1 : std::stod(page.substr(at + name.size() + 2));
  }
};

TEST_F(Limits, ASpentLimitIsRefusedWithTheTimeAtWhichItHolds) {
  Tokend::Options options;
  options.grant = "      limits: [{name: burst, tokens: 1, per: 2s, burst: 2}]\n";
  Start(options);
  EXPECT_EQ(Create("ios-app").code, kOk);
  EXPECT_EQ(Create("ios-app").code, kOk);
  const Answered spent = Create("ios-app");
  EXPECT_EQ(spent.code, 8);
  EXPECT_EQ(spent.reason, "RATE_LIMITED");
  EXPECT_THAT(spent.bytes, HasSubstr("everyone/burst"));
  ASSERT_TRUE(spent.retry_after);
  EXPECT_GT(*spent.retry_after, milliseconds(0));
  EXPECT_LE(*spent.retry_after, seconds(2));
  EXPECT_THAT(WhoAmI().out, AllOf(HasSubstr("\"name\":\"burst\""), HasSubstr("\"retry_after\":\"1.")));
  EXPECT_EQ(Metric("tokend_limit_refusals_total{limit=\"everyone/burst\"}"), 1);
  EXPECT_TRUE(Eventually([&] {
    return LastRecord("request.limited").find("\"detail\":\"spent: everyone/burst\"") != std::string::npos;
  }));

  std::this_thread::sleep_for(*spent.retry_after);
  EXPECT_EQ(Create("ios-app").code, kOk);
}

TEST_F(Limits, CallsWaitForTheOrganizationsLimit) {
  Tokend::Options options;
  options.organization = "        limits: [{name: upstream, tokens: 10, per: 1s, burst: 1}]\n";
  Start(options);
  const auto start = std::chrono::steady_clock::now();
  for (const Answered& answered :
       client_->CreateMany(11, 11, [](std::size_t) { return RequestFor("ios-app"); })) {
    EXPECT_EQ(answered.code, kOk);
  }
  EXPECT_GE(std::chrono::steady_clock::now() - start, seconds(1));
  EXPECT_EQ(Metric("tokend_turn_wait_seconds_count"), 10);
  EXPECT_EQ(Metric("tokend_turn_queue_length{organization=\"acme\"}"), 0);
}

TEST_F(Limits, AKeyThatUpstreamRejectsIsSeenAndItsChangeEndsTheCoolingAtOnce) {
  Start();
  applivery_->SetApiKeys({"second-key"});
  EXPECT_EQ(Create("ios-app").reason, "UPSTREAM_KEY_REJECTED");
  EXPECT_EQ(Create("ios-app").reason, "UPSTREAM_KEY_REJECTED");
  EXPECT_EQ(applivery_->counts().posts, 1U) << "one POST shows it; the next call is not sent";
  EXPECT_THAT(LastRecord("token.refused"),
              AllOf(HasSubstr("UPSTREAM_KEY_REJECTED"), HasSubstr("\"key_generation\":1")));
  constexpr char kTrouble[] = "organization acme: upstream rejects the API key: replace it";
  EXPECT_THAT(tokend_->Get("/readyz"), AllOf(HasSubstr("200 OK"), HasSubstr(kTrouble)));
  EXPECT_THAT(tokend_->Get("/status.json"),
              AllOf(HasSubstr(kTrouble), HasSubstr("\"block\":\"key_rejected\"")));
  EXPECT_EQ(Metric("tokend_upstream_key_rejected{organization=\"acme\"}"), 1);

  // The pause for the rejected key still lasts, so only the new key can end it.
  for (int i = 0; i < 2; ++i) {
    std::this_thread::sleep_for(milliseconds(1100) * (1 << i));
    EXPECT_EQ(Create("ios-app").reason, "UPSTREAM_KEY_REJECTED");
  }
  WriteFile(folder_ / "api-key.new", "second-key\n");
  std::filesystem::rename(folder_ / "api-key.new", folder_ / "api-key");
  ASSERT_TRUE(Eventually([&] { return !LastRecord("key.reloaded").empty(); }));
  EXPECT_EQ(Create("ios-app").code, kOk);
  EXPECT_THAT(tokend_->Get("/readyz"), Not(HasSubstr(kTrouble)));
  EXPECT_THAT(tokend_->Get("/status.json"), AllOf(Not(HasSubstr(kTrouble)), HasSubstr("\"key_generation\":2"),
                                                  Not(HasSubstr("second-key"))));
  EXPECT_EQ(Metric("tokend_upstream_key_rejected{organization=\"acme\"}"), 0);
}

// Callers that retry at once after every failure, with an upstream that alternates between working and
// failing.
class Flapping : public Limits {
 protected:
  using Fault = fakes::Fault;

  static constexpr int kCallers = 40;
  static constexpr double kPerSecond = 200;  // the organization's limit
  static constexpr double kBurst = 50;

  void StartCallers() {
    for (int i = 0; i < kCallers; ++i) {
      callers_.emplace_back([this] {
        const RawClient client(tokend_->address());
        while (!stop_) {
          const Answered answered = client.Create(RequestFor("ios-app"), seconds(2));
          (answered.code == kOk ? done_ : failed_)++;
        }
      });
    }
  }

  void StopCallers() {
    stop_ = true;
    for (std::thread& caller : callers_) caller.join();
  }

  std::atomic<bool> stop_ = false;
  std::atomic<int> done_ = 0;
  std::atomic<int> failed_ = 0;
  std::vector<std::thread> callers_;
};

TEST_F(Flapping, StaysWithinLimitsAndIsBackWithinFiveSecondsOfTheHealing) {
  const bool full = std::getenv("TOKEND_LONG_TESTS") != nullptr;
  const seconds length = full ? seconds(120) : seconds(20);
  Tokend::Options options;
  options.organization = "        limits: [{name: upstream, tokens: 200, per: 1s, burst: 50}]\n";
  options.upstream = "    timeout: 1s\n";
  Start(options);
  const auto start = std::chrono::steady_clock::now();
  StartCallers();
  const std::vector<std::vector<Fault>> phases = {
      {},
      {Fault::Status(503, "down", "text/plain")},
      {},
      {Fault::RateLimited("1")},
      {Fault::Of(fakes::Action::kBlackHole)},
      {},
      {Fault::Of(fakes::Action::kReset)},
  };
  for (std::size_t i = 0; std::chrono::steady_clock::now() - start < length; ++i) {
    applivery_->Script("ios-app", phases[i % phases.size()], fakes::ScriptEnd::kRepeatLast);
    std::this_thread::sleep_for(seconds(2));
  }
  applivery_->Script("ios-app", {});
  const int before = done_;
  std::this_thread::sleep_for(seconds(5));
  const int at_five = done_;
  std::this_thread::sleep_for(seconds(2));
  const int at_seven = done_;
  StopCallers();
  const std::chrono::duration<double> ran = std::chrono::steady_clock::now() - start;
  const auto counts = applivery_->counts();
  const auto posts = static_cast<double>(counts.posts + counts.unread_posts);
  std::cout << "posts " << posts << " in " << ran.count() << " s, limit " << kPerSecond * ran.count() + kBurst
            << "; answered " << done_ << ", failed " << failed_ << ", retries "
            << Metric("tokend_upstream_retries_total") << "; " << (at_five - before)
            << " in the 5 s after the healing, " << (at_seven - at_five) / 2.0 << " a second then\n";
  EXPECT_LE(posts, kPerSecond * ran.count() + kBurst);
  EXPECT_GE(at_seven - at_five, 2 * kPerSecond / 2) << "half of the limit at least";
}

}  // namespace
}  // namespace tokend::system
