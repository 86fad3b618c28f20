#include "daemon/upstream/applivery.h"

#include <curl/curl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tests/fakes/scripted_http_client.h"
#include "tests/unit/upstream/receipts.h"

namespace tokend::upstream {
namespace {

class FakeLoop final : public loop::EventLoop {
 public:
  void Post(loop::Task task) override { tasks.push_back(std::move(task)); }
  loop::TimerId After(std::chrono::nanoseconds, loop::Task) override { return {}; }
  void Cancel(loop::TimerId) override {}
  const loop::Clock& clock() const override { return loop::SystemClock(); }
  std::vector<loop::Task> tasks;
};

class AppliveryTest : public testing::Test {
 protected:
  static config::Applivery Options() {
    config::Applivery options;
    options.base_url = "https://api.example/base";
    return options;
  }
  static KeyRing Keys() {
    KeyRing keys;
    keys.emplace("acme", KeyInUse{std::make_shared<ApiKey>("key-of-acme"), {}, 1});
    keys.emplace("0123456789abcdef01234567", KeyInUse{std::make_shared<ApiKey>("key-of-other"), {}, 1});
    return keys;
  }

  void Mint(const MintRequest& request) {
    upstream_.Mint(audit::AuditLog::Receipt(7), request, [this](IntentReceipt receipt, MintOutcome outcome) {
      receipts_.push_back(receipt.sequence());
      outcomes_.push_back(std::move(outcome));
    });
  }
  const loop::HttpPost& Sent() { return client_.posted.at(0).request; }
  std::string Headers() {
    std::string text;
    for (const curl_slist* line = Sent().headers->get(); line != nullptr; line = line->next) {
      text.append(line->data).append("\n");
    }
    return text;
  }
  void Answer(int status, std::string_view body) {
    loop::HttpAnswer answer;
    answer.sent = loop::Sent::kYes;
    answer.ending = loop::Ending::kComplete;
    answer.status = status;
    answer.body = Secret(body);
    answer.latency = std::chrono::microseconds(250);
    std::exchange(client_.posted.at(0).done, nullptr)(std::move(answer));
  }

  std::unique_ptr<fakes::ScriptedHttpClient> made_ = std::make_unique<fakes::ScriptedHttpClient>();
  fakes::ScriptedHttpClient& client_ = *made_;
  FakeLoop loop_;
  std::vector<Upstream::Answered> answers_;
  AppliveryUpstream upstream_{Options(), Keys(), loop_, std::move(made_),
                              [this](const Upstream::Answered& answer) { answers_.push_back(answer); }};
  std::vector<std::uint64_t> receipts_;
  std::vector<MintOutcome> outcomes_;
};

TEST_F(AppliveryTest, PostsToTheDocumentedPath) {
  Mint({.organization = "acme", .application = "ios-app", .description = "", .scopes = {"sdk"}});
  EXPECT_EQ(Sent().url, "https://api.example/base/v1/organizations/acme/apps/ios-app/tokens");
}

TEST_F(AppliveryTest, SendsTheKeyOfTheOrganization) {
  Mint({.organization = "acme", .application = "ios-app", .description = "", .scopes = {"sdk"}});
  EXPECT_EQ(Headers(),
            "Authorization: Bearer key-of-acme\nContent-Type: application/json\nAccept: application/json\n"
            "Accept-Encoding: identity\nUser-Agent: tokend/" TOKEND_VERSION "\n");
}

TEST_F(AppliveryTest, SendsDescriptionAndScopes) {
  Mint({.organization = "acme", .application = "ios-app", .description = "d", .scopes = {"ci:write", "sdk"}});
  EXPECT_EQ(Sent().body, R"({"description":"d","scopes":["ci:write","sdk"]})");
}

TEST_F(AppliveryTest, LeavesOutAnEmptyDescription) {
  Mint({.organization = "acme", .application = "ios-app", .description = "", .scopes = {"sdk"}});
  EXPECT_EQ(Sent().body, R"({"scopes":["sdk"]})");
}

// Descriptions have no control characters: tests/unit/base/json_test.cc escapes them.
TEST_F(AppliveryTest, EscapesWhatJsonMustAndNothingElse) {
  Mint({.organization = "acme",
        .application = "ios-app",
        .description = "\"\\/\xc3\xa9\xf0\x9f\x98\x80",
        .scopes = {"sdk"}});
  EXPECT_EQ(Sent().body, "{\"description\":\"\\\"\\\\/\xc3\xa9\xf0\x9f\x98\x80\",\"scopes\":[\"sdk\"]}");
}

TEST_F(AppliveryTest, HandsTheReceiptBackWithTheOutcome) {
  Mint({.organization = "acme", .application = "ios-app", .description = "", .scopes = {"sdk"}});
  Answer(200, R"({"status":true,"data":{"id":"aaaaaaaaaaaaaaaaaaaaaaaa","bearer":"t"}})");
  ASSERT_EQ(outcomes_.size(), 1u);
  EXPECT_EQ(receipts_, std::vector<std::uint64_t>{7});
  EXPECT_TRUE(std::holds_alternative<Minted>(outcomes_[0].result));
  EXPECT_EQ(outcomes_[0].exchange.http_status, 200);
  EXPECT_EQ(outcomes_[0].exchange.latency, std::chrono::microseconds(250));
  EXPECT_EQ(outcomes_[0].exchange.key_generation, 1u);
}

TEST_F(AppliveryTest, TellsOfEachAnswer) {
  Mint({.organization = "acme", .application = "ios-app", .description = "", .scopes = {"sdk"}});
  Answer(503, "");
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].status, 503);
  EXPECT_EQ(answers_[0].latency, std::chrono::microseconds(250));
}

TEST_F(AppliveryTest, SendsNothingThatCannotStandInAUrlOrHasNoKey) {
  Mint({.organization = "unknown", .application = "ios-app", .description = "", .scopes = {"sdk"}});
  Mint({.organization = "acme", .application = "../x", .description = "", .scopes = {"sdk"}});
  Mint({.organization = "acme", .application = "a/b?c", .description = "", .scopes = {"sdk"}});
  EXPECT_TRUE(client_.posted.empty());
  EXPECT_TRUE(outcomes_.empty()) << "called from within Mint";
  for (loop::Task& task : loop_.tasks) task();
  ASSERT_EQ(outcomes_.size(), 3u);
  for (const MintOutcome& outcome : outcomes_) {
    EXPECT_TRUE(std::holds_alternative<Refused>(outcome.result));
    EXPECT_EQ(outcome.exchange.http_status, 0);
  }
}

TEST_F(AppliveryTest, AnOrganizationThatIsRemovedCanBeSentForWhileItIsHeld) {
  auto held = upstream_.Hold("acme");
  KeyRing changed = Keys();
  changed["acme"] = KeyInUse{std::make_shared<ApiKey>("second-key"), {}, 2};
  upstream_.UseKeys(changed);
  upstream_.UseKeys({});
  const MintRequest request{
      .organization = "acme", .application = "ios-app", .description = "", .scopes = {"sdk"}};
  Mint(request);
  EXPECT_THAT(Headers(), testing::HasSubstr("Bearer second-key\n"));

  held.reset();
  Mint(request);
  EXPECT_EQ(client_.posted.size(), 1u);
  EXPECT_EQ(upstream_.Hold("acme"), nullptr);
}

TEST_F(AppliveryTest, AnOrganizationThatComesBackWhileItIsHeldHasItsNewKey) {
  const auto held = upstream_.Hold("acme");
  upstream_.UseKeys({});
  KeyRing back;
  back.emplace("acme", KeyInUse{std::make_shared<ApiKey>("new-key"), {}, 1});
  upstream_.UseKeys(back);
  Mint({.organization = "acme", .application = "ios-app", .description = "", .scopes = {"sdk"}});
  EXPECT_THAT(Headers(), testing::HasSubstr("Bearer new-key\n"));
}

TEST_F(AppliveryTest, EndsWhatRunsWhenStopped) {
  Mint({.organization = "acme", .application = "ios-app", .description = "", .scopes = {"sdk"}});
  upstream_.Stop();
  ASSERT_EQ(outcomes_.size(), 1u);
  EXPECT_EQ(std::get<Refused>(outcomes_[0].result).failure.reason, Reason::kUpstreamUnavailable);
}

TEST_F(AppliveryTest, WithholdsABearerThatContainsTheKeyOfTheOrganization) {
  const auto bearer = [this](const std::string& text) -> std::string {
    client_.posted.clear();
    outcomes_.clear();
    Mint({.organization = "acme", .application = "ios-app", .description = "", .scopes = {"sdk"}});
    Answer(200, R"({"status":true,"data":{"id":"0123456789abcdef01234567","bearer":")" + text +
                    R"(","scopes":["sdk"]}})");
    if (std::holds_alternative<Minted>(outcomes_[0].result)) return "minted";
    const auto& unclear = std::get<Indeterminate>(outcomes_[0].result);
    EXPECT_EQ(unclear.failure.reason, Reason::kUpstreamInvalidResponse);
    EXPECT_NE(unclear.withheld, nullptr);
    return unclear.failure.detail;
  };
  const std::string detail = "upstream answered with the API key in the bearer";
  EXPECT_EQ(bearer("key-of-acme"), detail);
  EXPECT_EQ(bearer("x-key-of-acme-y"), detail);
  EXPECT_EQ(bearer("k\\u0065y-of-acme"), detail) << "an escape hides nothing";
  EXPECT_EQ(bearer("key-of-other"), "minted") << "another organization's";
}

TEST_F(AppliveryTest, AProbeNeedsANewConnectionAndNothingElseDoes) {
  Mint({.organization = "acme", .application = "ios-app", .description = "", .scopes = {"sdk"}});
  Mint({.organization = "acme",
        .application = "ios-app",
        .description = "",
        .scopes = {"sdk"},
        .is_probe = true});
  EXPECT_EQ(client_.posted.at(0).request.connection, loop::HttpPost::Connection::kAny);
  EXPECT_EQ(client_.posted.at(1).request.connection, loop::HttpPost::Connection::kNew);
}

TEST_F(AppliveryTest, SharesOneHeaderListAKey) {
  Mint({.organization = "acme", .application = "ios-app", .description = "", .scopes = {"sdk"}});
  Mint({.organization = "acme", .application = "other", .description = "", .scopes = {"sdk"}});
  EXPECT_EQ(client_.posted.at(0).request.headers, client_.posted.at(1).request.headers);
}

}  // namespace
}  // namespace tokend::upstream
