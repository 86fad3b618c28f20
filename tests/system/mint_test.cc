#include <gmock/gmock.h>

#include <csignal>
#include <set>
#include <thread>

#include "absl/strings/escaping.h"
#include "tests/fakes/http2_client.h"
#include "tests/fakes/test_authority.h"
#include "tests/system/fixture.h"

namespace tokend::system {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kCreateTokenPath[] = "/tokend.v1.TokenService/CreateToken";

class Mint : public SystemTest {};

TEST_F(Mint, TokenComesBackOverAUnixSocketAndIsRecorded) {
  Start();
  const Answered answered = Create("ios-app", kRequestId);
  ASSERT_EQ(answered.code, 0) << answered.message;
  const auto& token = answered.response.token();
  ASSERT_EQ(applivery_->tokens().size(), 1U);
  EXPECT_EQ(token.bearer(), applivery_->tokens()[0].bearer);
  EXPECT_EQ(token.id(), applivery_->tokens()[0].id);
  EXPECT_EQ(answered.response.request_id(), kRequestId);
  EXPECT_FALSE(answered.response.replayed());
  EXPECT_THAT(tokend_->events(), ElementsAre("daemon.started", "token.intended", "token.issued"));
  const std::string issued = LastRecord("token.issued");
  EXPECT_THAT(issued, HasSubstr("\"seq\":" + std::to_string(answered.response.audit_sequence()) + ","));
  EXPECT_THAT(issued, HasSubstr("\"caller\":{\"name\":\"ci\",\"authentication\":\"none\",\"listener\":"
                                "\"local\",\"peer\":\"unix:uid="));
  EXPECT_EQ(issued.find(token.bearer()), std::string::npos);
}

TEST_F(Mint, SameRequestIdGetsTheSameToken) {
  Start();
  const Answered first = Create("ios-app", kRequestId);
  const Answered again = Create("ios-app", kRequestId);
  EXPECT_EQ(again.response.token().bearer(), first.response.token().bearer());
  EXPECT_TRUE(again.response.replayed());
  EXPECT_EQ(applivery_->counts().posts, 1U);
}

TEST_F(Mint, CallersOfMutualTlsAreTheirSpiffeIds) {
  const fakes::TestAuthority authority;
  const auto server = authority.Issue("DNS:localhost,IP:127.0.0.1");
  WriteFile(folder_ / "tls.crt", server.certificate);
  WriteFile(folder_ / "tls.key", server.private_key);
  WriteFile(folder_ / "ca.crt", authority.certificate());
  Tokend::Options options;
  options.listeners =
      "  - name: local\n    address: 127.0.0.1:0\n    tls: {certificate_file: " + (folder_ / "tls.crt") +
      ", private_key_file: " + (folder_ / "tls.key") + ", client_ca_file: " + (folder_ / "ca.crt") +
      "}\n    authentication: {mtls: {}}\n";
  Start(options);
  const auto caller = authority.Issue("URI:spiffe://test.example/ns/ci/sa/builder");
  const RawClient client(tokend_->address(),
                         TlsFiles{authority.certificate(), caller.certificate, caller.private_key});
  const Answered answered = client.Create(RequestFor("ios-app"));
  ASSERT_EQ(answered.code, 0) << answered.message;
  EXPECT_THAT(LastRecord("token.issued"),
              HasSubstr("\"name\":\"spiffe://test.example/ns/ci/sa/builder\",\"authentication\":\"mtls\""));

  const auto stranger = authority.Issue("URI:spiffe://other.example/x");
  const RawClient denied(tokend_->address(),
                         TlsFiles{authority.certificate(), stranger.certificate, stranger.private_key});
  EXPECT_EQ(denied.Create(RequestFor("ios-app")).reason, "NOT_PERMITTED");

  const auto nobody = authority.Issue("URI:spiffe://a/1,URI:spiffe://a/2");
  const RawClient unknown(tokend_->address(),
                          TlsFiles{authority.certificate(), nobody.certificate, nobody.private_key});
  EXPECT_EQ(unknown.Create(RequestFor("ios-app")).reason, "CALLER_UNKNOWN");
}

TEST_F(Mint, KeyFromTheEnvironmentIsGoneFromTheProcess) {
  Tokend::Options options;
  options.api_key = "{env: APPLIVERY_API_KEY}";
  options.environment = {{"APPLIVERY_API_KEY", options.key}, {"OTHER", "stays"}};
  Start(options);
  EXPECT_EQ(Create("ios-app").code, 0);
  const std::string environment = ReadFile("/proc/" + std::to_string(tokend_->process().pid()) + "/environ");
  EXPECT_THAT(environment, HasSubstr("OTHER=stays"));
  EXPECT_EQ(environment.find(options.key), std::string::npos);
}

TEST_F(Mint, ThousandCallsTwoHundredAtATimeAreAnsweredWithoutAThreadEach) {
  fakes::FakeAppliveryOptions slow;
  slow.delay = milliseconds(100);
  Tokend::Options options;
  options.audit += ", deadline: 1m";  // so that no call fails because the disk is busy
  Start(options, slow);
  std::set<std::string> bearers;
  std::size_t most_threads = 0;
  std::jthread watch([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      std::size_t threads = 0;
      std::error_code gone;
      for ([[maybe_unused]] const auto& thread : std::filesystem::directory_iterator(
               "/proc/" + std::to_string(tokend_->process().pid()) + "/task", gone)) {
        ++threads;
      }
      most_threads = std::max(most_threads, threads);
      std::this_thread::yield();
    }
  });
  const auto answered = client_->CreateMany(1000, 200, [](std::size_t) { return RequestFor("ios-app"); });
  watch.request_stop();
  watch.join();
  for (const Answered& one : answered) {
    ASSERT_EQ(one.code, 0) << one.reason << " " << one.message;
    bearers.insert(one.response.token().bearer());
  }
  EXPECT_EQ(bearers.size(), 1000U);
  EXPECT_EQ(applivery_->counts().posts, 1000U);
  EXPECT_LT(most_threads, 40U);
  std::cout << "threads at most: " << most_threads
            << ", upstream connections: " << applivery_->counts().connections << "\n";
}

TEST_F(Mint, CallsPastTheMaximumInFlightAreOverloadedAtOnce) {
  Tokend::Options options;
  options.more = "server: {max_in_flight: 2}\n";
  fakes::FakeAppliveryOptions slow;
  slow.delay = milliseconds(500);
  Start(options, slow);
  const auto answered = client_->CreateMany(6, 6, [](std::size_t) { return RequestFor("ios-app"); });
  int overloaded = 0;
  for (const Answered& one : answered) {
    if (one.code == 0) continue;
    ++overloaded;
    EXPECT_EQ(one.reason, "OVERLOADED");
    EXPECT_TRUE(one.retry_after);
  }
  EXPECT_EQ(overloaded, 4);
  EXPECT_EQ(applivery_->counts().posts, 2U);
}

TEST_F(Mint, DrainsOnSigtermAndExitsZero) {
  Start();
  applivery_->Script("ios-app", {fakes::Fault::None().After(milliseconds(700))},
                     fakes::ScriptEnd::kRepeatLast);
  Answered running;
  std::jthread call([&] { running = Create("ios-app"); });
  // This client ignores GOAWAY and starts another call.
  fakes::http2::Wire wire(tokend_->address());
  fakes::http2::Http2Client stubborn(wire);
  const std::uint32_t slow = stubborn.Begin(kCreateTokenPath, RequestFor("ios-app").SerializeAsString());
  ASSERT_TRUE(applivery_->WaitForPosts(2, std::chrono::seconds(10)));
  tokend_->process().Signal(SIGTERM);
  ASSERT_TRUE(Eventually([&] { return !LineWith(tokend_->log(), {"\"event\":\"draining\""}).empty(); }));
  ASSERT_TRUE(Eventually([&] { return !std::filesystem::exists(folder_ / "tokend.sock"); }));
  fakes::http2::Reply refused;
  ASSERT_TRUE(Eventually([&] {
    refused = stubborn.Call("/tokend.v1.TokenService/GetCaller", "");
    return refused.code() != 0;
  }));
  EXPECT_EQ(refused.code(), 14);
  std::string details;
  ASSERT_TRUE(absl::Base64Unescape(refused.headers["grpc-status-details-bin"], &details));
  EXPECT_THAT(details, HasSubstr("SHUTTING_DOWN"));
  EXPECT_THAT(details, HasSubstr("google.rpc.RetryInfo"));
  call.join();
  EXPECT_EQ(running.code, 0) << running.message;
  EXPECT_EQ(stubborn.Await(slow).code(), 0);
  EXPECT_EQ(tokend_->process().Wait(), 0);
  EXPECT_EQ(tokend_->events().back(), "checkpoint");
  EXPECT_FALSE(LastRecord("daemon.stopped").empty());
}

TEST_F(Mint, CallsThatOutliveTheDrainAreEndedWithTheirRecord) {
  Tokend::Options options;
  options.more = "server: {drain: 300ms}\n";
  Start(options);
  applivery_->Script("ios-app", {fakes::Fault::Of(fakes::Action::kBlackHole)});
  Answered running;
  std::jthread call([&] { running = Create("ios-app"); });
  ASSERT_TRUE(applivery_->WaitForPosts(1, std::chrono::seconds(10)));
  tokend_->process().Signal(SIGTERM);
  call.join();
  EXPECT_EQ(running.reason, "OUTCOME_UNKNOWN");
  EXPECT_EQ(tokend_->process().Wait(), 0);
  EXPECT_THAT(tokend_->events(), ElementsAre("daemon.started", "token.intended", "token.unknown",
                                             "daemon.stopped", "checkpoint"));
}

TEST_F(Mint, CallerThatLeavesAfterTheIntentGetsItsTokenByRequestIdLater) {
  Start();
  applivery_->Script("ios-app", {fakes::Fault::None().After(milliseconds(600))});
  const Answered left = client_->Create(RequestFor("ios-app", kRequestId), milliseconds(200));
  EXPECT_EQ(left.code, 4);  // DEADLINE_EXCEEDED
  const Answered later = Create("ios-app", kRequestId);
  ASSERT_EQ(later.code, 0) << later.message;
  EXPECT_EQ(later.response.token().bearer(), applivery_->tokens().at(0).bearer);
  EXPECT_EQ(applivery_->counts().posts, 1U);
}

TEST_F(Mint, SecondDaemonOnTheSameAuditLogFailsToStart) {
  Start();
  std::string other = ReadFile(tokend_->config_file());
  other.replace(other.find("tokend.sock"), 11, "second.sock");
  WriteFile(folder_ / "second.yaml", other);
  const Ended ended = RunProgram({Program("tokend"), "--config", folder_ / "second.yaml"});
  EXPECT_EQ(ended.exit, 1);
  EXPECT_THAT(ended.err, HasSubstr("audit"));
  EXPECT_EQ(Create("ios-app").code, 0);
}

TEST(Commands, BadUsageAndBadConfigurationExitWithTwo) {
  const fakes::TemporaryFolder folder;
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{Program("tokend")}, {Program("tokend"), "--confg", "x"}}) {
    const Ended ended = RunProgram(command);
    EXPECT_EQ(ended.exit, 2);
    EXPECT_THAT(ended.err, testing::StartsWith("tokend: "));
  }
  EXPECT_EQ(RunProgram({Program("tokend"), "--config", folder / "absent.yaml"}).exit, 2);
  WriteFile(folder / "bad.yaml", "listenrs: []\nupstream: 7\n");
  const Ended ended = RunProgram({Program("tokend"), "check", "--config", folder / "bad.yaml"});
  EXPECT_EQ(ended.exit, 2);
  EXPECT_EQ(ended.out, "");
  EXPECT_THAT(ended.err, HasSubstr("bad.yaml:1:1: error:"));
  EXPECT_THAT(ended.err, HasSubstr("listeners"));
  EXPECT_THAT(ended.err, HasSubstr("bad.yaml:2:11: error:"));
}

TEST(Commands, CheckSaysTheWarningsAfterTheErrors) {
  const fakes::TemporaryFolder folder;
  WriteFile(folder / "bad.yaml", "audit: {stdout: {}}\nlistenrs: []\n");
  const Ended ended = RunProgram({Program("tokend"), "check", "--config", folder / "bad.yaml"});
  EXPECT_EQ(ended.exit, 2);
  const std::size_t warning = ended.err.find("bad.yaml:1:1: warning: audit: without fingerprint_key_file");
  ASSERT_NE(warning, std::string::npos) << ended.err;
  EXPECT_GT(warning, ended.err.rfind(" error: "));
}

TEST(Commands, VersionIsPrintedAndExitsWithZero) {
  const Ended ended = RunProgram({Program("tokend"), "--version"});
  EXPECT_EQ(ended.exit, 0);
  EXPECT_EQ(ended.out.substr(0, 7), "tokend ");
}

}  // namespace
}  // namespace tokend::system
