// A relay, which holds no API key, and a central tokend of two replicas that share one Redis. Whichever part
// is killed, a request_id has at most one token, and both the relay and the centre have a record of every
// bearer that a caller got.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/fakes/own_hosts.h"
#include "tests/fakes/redis_server.h"
#include "tests/fakes/silent_proxy.h"
#include "tests/fakes/test_authority.h"
#include "tests/system/account.h"
#include "tests/system/fixture.h"
#include "tests/system/process_memory.h"

namespace tokend::system {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

constexpr char kTraceparent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr char kTraceId[] = "0af7651916cd43dd8448eb211c80319c";
constexpr char kCentre[] = "centre.test";
constexpr char kCentralKey[] = "the-key-that-no-relay-may-hold";
constexpr std::array<const char*, 2> kAddresses = {"127.0.0.1", "127.0.0.2"};

bool IsLong() { return std::getenv("TOKEND_LONG_TESTS") != nullptr; }

std::string NumberedId(std::size_t number) {
  std::string digits = std::to_string(number);
  digits.insert(0, 12 - digits.size(), '0');
  return "018f3b2a-0000-7000-8000-" + digits;
}

// The newest record of this event with this request_id.
std::string RecordOf(const std::vector<std::string>& records, const std::string& event,
                     const std::string& request_id) {
  std::string last;
  for (const std::string& record : records) {
    if (Field(record, "event") == event && Field(record, "request_id") == request_id) last = record;
  }
  return last;
}

enum class Centre { kRuns, kIsDown };

class RelayPath : public testing::Test {
 protected:
  RelayPath() : redis_({.settings = {"--appendonly", "yes", "--appendfsync", "always"}}) {
    fakes::FakeAppliveryOptions applivery;
    applivery.transport = fakes::Transport::kPlain;
    applivery.delay = milliseconds(2);
    applivery.api_keys = {kCentralKey};
    applivery_ = std::make_unique<fakes::FakeApplivery>(applivery);
    // Marks this Redis as used before. In a new one, the first replica would wait for others.
    redis_.Ask({"HSET", "{tokend}:epoch", "id", "first", "created", "0", "quarantine", "0"});
    for (std::size_t i = 0; i < kAddresses.size(); ++i) {
      proxies_[i] = std::make_unique<fakes::SilentProxy>(centre_[i] / "centre.sock", kAddresses[i],
                                                         i == 0 ? 0 : proxies_[0]->port());
    }
  }

  // Starts the path. Skips the test where the system does not let it have hosts of its own.
  void Start(Centre centre = Centre::kRuns) {
    if (centre == Centre::kRuns) StartCentre();
    StartRelay();
  }

  void StartCentre() {
    for (std::size_t i = 0; i < replicas_.size(); ++i) StartReplica(i);
  }

  void StartReplica(std::size_t i) {
    const fakes::TemporaryFolder& folder = centre_[i];
    WriteIdentity(folder, "server", authority_.Issue(std::string("DNS:") + kCentre));
    WriteFile(folder / "ca.crt", authority_.certificate());
    WriteFile(folder / "encryption-key", std::string(32, 'k'), 0400);
    Tokend::Options options;
    options.key = kCentralKey;
    options.base_url = applivery_->base_url();
    options.upstream = "    allow_http: true\n";
    options.listeners = "  - name: relays\n    address: unix://" + (folder / "centre.sock") +
                        "\n    tls: {certificate_file: " + (folder / "server.crt") +
                        ", private_key_file: " + (folder / "server.key") +
                        ", client_ca_file: " + (folder / "ca.crt") + "}\n    authentication: {mtls: {}}\n";
    options.grant = "      description: \"{request_id}\"\n";
    options.more = "state: {redis: {address: \"" + redis_.address() +
                   "\", encryption_key_file: " + (folder / "encryption-key") +
                   "}}\nrequests: {remember: 1h}\n";
    replicas_[i] = std::make_unique<Tokend>(folder, options);
  }

  void StartRelay() {
    relay_identity_ = authority_.Issue("URI:spiffe://test.example/relay");
    WriteIdentity(folder_, "relay", relay_identity_);
    WriteFile(folder_ / "ca.crt", authority_.certificate());
    Tokend::Options options;
    options.centre = "    address: " + std::string(kCentre) + ":" + std::to_string(proxies_[0]->port()) +
                     "\n    tls: {ca_file: " + (folder_ / "ca.crt") +
                     ", certificate_file: " + (folder_ / "relay.crt") +
                     ", private_key_file: " + (folder_ / "relay.key") + "}\n";
    options.grant = "      organizations: [acme]\n";
    options.more = "requests: {remember: 1h}\n";
    const bool permitted = WithBothReplicas([&] { relay_ = std::make_unique<Tokend>(folder_, options); });
    if (!permitted) GTEST_SKIP() << "needs CAP_SYS_ADMIN, for an /etc/hosts of its own";
    ASSERT_TRUE(relay_) << "the relay does not start";
    client_ = std::make_unique<RawClient>(relay_->address());
  }

  void RestartRelay() {
    relay_->process().Wait();
    WithBothReplicas([&] { relay_->Restart(); });
    client_ = std::make_unique<RawClient>(relay_->address());
  }

  void RestartReplica(std::size_t i) {
    replicas_[i]->process().Wait();
    replicas_[i]->Restart();
  }

  // Runs it in a thread in which the centre's name has the addresses of both replicas.
  static bool WithBothReplicas(const std::function<void()>& run) {
    bool permitted = false;
    std::thread([&] {
      std::string hosts = "127.0.0.1 localhost\n";
      for (const char* address : kAddresses) hosts += std::string(address) + " " + kCentre + "\n";
      const fakes::OwnHosts own(hosts);
      permitted = own.permitted();
      if (!permitted) return;
      try {
        run();
      } catch (const std::exception& error) {
        ADD_FAILURE() << error.what();
      }
    }).join();
    return permitted;
  }

  static void WriteIdentity(const fakes::TemporaryFolder& folder, const std::string& name,
                            const fakes::Identity& identity) {
    WriteFile(folder / (name + ".crt"), identity.certificate);
    WriteFile(folder / (name + ".key"), identity.private_key);
  }

  // Whether a later call may get the token.
  static bool IsPassing(const Answered& answered) {
    return answered.code == kUnavailable || answered.reason == "RATE_LIMITED";
  }
  Answered Ask(const std::string& request_id) {
    Answered answered;
    EXPECT_TRUE(Eventually(
        [&] {
          answered = client_->Create(RequestFor("ios-app", request_id));
          return !IsPassing(answered);
        },
        seconds(60)));
    return answered;
  }

  std::vector<std::vector<std::string>> CentreLogs() const {
    return {AuditRecords(centre_[0] / ""), AuditRecords(centre_[1] / "")};
  }
  std::vector<std::string> CentreRecords() const {
    std::vector<std::string> all;
    for (const auto& log : CentreLogs()) all.insert(all.end(), log.begin(), log.end());
    return all;
  }

  // Stops everything. Expects that the logs of relay and centre, Applivery's tokens and all answers agree.
  void ExpectBooksBalance(const std::vector<Answered>& answers) {
    client_.reset();
    relay_->process().Signal(SIGTERM);
    EXPECT_EQ(relay_->process().Wait(), 0);
    for (const auto& replica : replicas_) {
      replica->process().Signal(SIGTERM);
      EXPECT_EQ(replica->process().Wait(), 0);
    }
    Account relay;
    Account centre;
    for (const Answered& one : answers) {
      relay.Add(one);
      centre.Add(one);
    }
    relay.Expect(AuditRecords(folder_ / ""), applivery_->tokens());
    centre.ExpectOfAll(CentreLogs(), applivery_->tokens());
    for (const fakes::TemporaryFolder* folder : {&folder_, &centre_[0], &centre_[1]}) {
      ExpectVerifies(*folder / "");
    }
    std::cout << "       " << Account::Header() << "\nrelay  " << relay.Row() << "\ncentre " << centre.Row()
              << "\n";
  }

  const fakes::TestAuthority authority_;
  fakes::RedisServer redis_;
  std::unique_ptr<fakes::FakeApplivery> applivery_;
  fakes::TemporaryFolder folder_;  // the relay's
  std::array<fakes::TemporaryFolder, 2> centre_;
  std::array<std::unique_ptr<fakes::SilentProxy>, 2> proxies_;
  std::array<std::unique_ptr<Tokend>, 2> replicas_;
  fakes::Identity relay_identity_;
  std::unique_ptr<Tokend> relay_;
  std::unique_ptr<RawClient> client_;
};

TEST_F(RelayPath, BothLogsTellOfOneTokenByOneRequestId) {
  Start();
  if (IsSkipped()) return;
  const auto request = RequestFor("ios-app", kRequestId);
  const Answered first = client_->CreateAs({{"traceparent", kTraceparent}}, request);
  ASSERT_EQ(first.code, kOk) << first.message;
  const Answered again = client_->CreateAs({{"traceparent", kTraceparent}}, request);
  ASSERT_EQ(again.code, kOk) << again.message;
  EXPECT_TRUE(again.response.replayed());
  EXPECT_EQ(again.response.token().bearer(), first.response.token().bearer());
  EXPECT_EQ(applivery_->counts().posts, 1U);

  const auto own = AuditRecords(folder_ / "");
  const auto central = CentreRecords();
  for (const char* event : {"token.intended", "token.issued"}) {
    const std::string here = RecordOf(own, event, kRequestId);
    const std::string there = RecordOf(central, event, kRequestId);
    EXPECT_THAT(here, HasSubstr("\"caller\":{\"name\":\"ci\""));
    EXPECT_THAT(here, Not(HasSubstr("on_behalf_of")));
    EXPECT_THAT(there, HasSubstr("\"caller\":{\"name\":\"spiffe://test.example/relay\""));
    EXPECT_EQ(Field(there, "on_behalf_of"), "ci");
    EXPECT_EQ(Field(here, "trace"), kTraceId);
    EXPECT_EQ(Field(there, "trace"), kTraceId);
    EXPECT_EQ(Field(here, "digest"), Field(there, "digest"));
  }
  EXPECT_NE(Field(RecordOf(own, "token.intended", kRequestId), "digest"), "");
  const std::vector<std::string> call = {"\"event\":\"call\"", kRequestId, kTraceId};
  EXPECT_TRUE(Eventually([&] { return !LineWith(relay_->log(), call).empty(); }));
  EXPECT_TRUE(Eventually([&] {
    return !LineWith(replicas_[0]->log() + replicas_[1]->log(),
                     {call[0], call[1], call[2], "\"on_behalf_of\":\"ci\""})
                .empty();
  }));
  ExpectBooksBalance({first, again});
}

// Where a program with failpoints ends itself: see daemon/issue/attempt.cc. The first three are tried in
// every run.
constexpr std::array<const char*, 7> kAttemptStates = {
    "intent.durable:1", "answered:1",       "outcome.durable:1", "intent.handed:1",
    "post.handed:1",    "outcome.handed:1", "released:1"};

std::span<const char* const> AttemptStates() {
  return std::span(kAttemptStates).first(IsLong() ? kAttemptStates.size() : 3);
}

TEST_F(RelayPath, ARelayThatEndsInAnyStateGetsItsCallerTheOneTokenOnceItRunsAgain) {
  Start();
  if (IsSkipped()) return;
  std::vector<Answered> answers;
  std::size_t number = 0;
  for (const char* failpoint : AttemptStates()) {
    SCOPED_TRACE(failpoint);
    relay_->process().Signal(SIGTERM);
    relay_->process().Wait();
    WithBothReplicas([&] { relay_->TryRestart("tokend-failpoints", {{"TOKEND_FAILPOINT", failpoint}}); });
    const std::string id = NumberedId(++number);
    answers.push_back(RawClient(relay_->address()).Create(RequestFor("ios-app", id)));
    // At "released" the answer has left the relay, so it may arrive.
    if (std::string_view(failpoint) != "released:1") {
      EXPECT_NE(answers.back().code, kOk);
    }
    ASSERT_EQ(relay_->process().Wait(), -SIGKILL) << "not reached";
    RestartRelay();
    answers.push_back(Ask(id));
    EXPECT_EQ(answers.back().code, kOk) << answers.back().reason << " " << answers.back().message;
    EXPECT_EQ(applivery_->counts().posts, number);
  }
  ExpectBooksBalance(answers);
}

TEST_F(RelayPath, AReplicaThatEndsInAnyStateCostsNoSecondToken) {
  Start();
  if (IsSkipped()) return;
  std::vector<Answered> answers;
  std::size_t number = 0;
  for (const char* failpoint : AttemptStates()) {
    SCOPED_TRACE(failpoint);
    replicas_[0]->process().Signal(SIGTERM);
    replicas_[0]->process().Wait();
    ASSERT_TRUE(replicas_[0]->TryRestart("tokend-failpoints", {{"TOKEND_FAILPOINT", failpoint}}));
    for (int call = 0; replicas_[0]->process().running() && call < 20; ++call) {
      answers.push_back(client_->Create(RequestFor("ios-app", NumberedId(++number))));
      const Answered& last = answers.back();
      EXPECT_TRUE(last.code == kOk || last.reason == "OUTCOME_UNKNOWN") << last.reason << " " << last.message;
    }
    ASSERT_EQ(replicas_[0]->process().Wait(), -SIGKILL) << "not reached";
    RestartReplica(0);
  }
  ExpectBooksBalance(answers);
}

TEST_F(RelayPath, KillsAtRandomMomentsMakeNoSecondToken) {
  const int kills = IsLong() ? 300 : 4;
  const unsigned seed = std::random_device()();
  std::cout << "seed " << seed << ", " << kills << " kills\n";
  std::mt19937 random(seed);
  Start();
  if (IsSkipped()) return;
  std::vector<Answered> answers;
  std::size_t number = 0;
  constexpr std::size_t kCalls = 60;
  for (int kill = 0; kill < kills; ++kill) {
    const auto victim = static_cast<std::size_t>(kill) % 4;  // a replica, the relay or the connections
    const std::size_t first = number;
    number += kCalls;
    std::jthread killer([&, posts = applivery_->counts().posts + random() % 40] {
      applivery_->WaitForPosts(posts, seconds(20));
      if (victim < 2) replicas_[victim]->process().Signal(SIGKILL);
      if (victim == 2) relay_->process().Signal(SIGKILL);
      if (victim == 3) proxies_[random() % 2]->ResetAll();
    });
    auto answered = client_->CreateMany(
        kCalls, 8, [&](std::size_t i) { return RequestFor("ios-app", NumberedId(first + i)); });
    killer.join();
    if (victim < 2) RestartReplica(victim);
    if (victim == 2) RestartRelay();
    for (std::size_t i = 0; i < kCalls; ++i) {
      answers.push_back(answered[i]);
      if (victim == 3) {
        EXPECT_EQ(answered[i].code, kOk) << "a lost connection costs no call: " << answered[i].reason;
      }
      if (answered[i].code == kOk) continue;
      answers.push_back(Ask(NumberedId(first + i)));
      const Answered& again = answers.back();
      EXPECT_TRUE(again.code == kOk || (victim < 2 && again.reason == "OUTCOME_UNKNOWN"))
          << "victim " << victim << ": " << again.reason << " " << again.message;
    }
  }
  ExpectBooksBalance(answers);
}

TEST_F(RelayPath, ADrainOfAReplicaCostsNoCall) {
  Start();
  if (IsSkipped()) return;
  std::jthread drain([&] {
    applivery_->WaitForPosts(50, seconds(20));
    replicas_[0]->process().Signal(SIGTERM);
    EXPECT_EQ(replicas_[0]->process().Wait(), 0);
    replicas_[0]->Restart();
  });
  const auto answers =
      client_->CreateMany(400, 8, [](std::size_t i) { return RequestFor("ios-app", NumberedId(i)); });
  drain.join();
  for (const Answered& one : answers) EXPECT_EQ(one.code, kOk) << one.reason << " " << one.message;
  EXPECT_EQ(applivery_->counts().posts, 400U);
  ExpectBooksBalance(answers);
}

TEST_F(RelayPath, NoFileVariableOrMemoryOfARelayHoldsTheKey) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer keeps what is freed, and maps terabytes";
#endif
  if (geteuid() != 0) GTEST_SKIP() << "only root may read another process's memory";
  Start();
  if (IsSkipped()) return;
  for (std::size_t i = 0; i < 20; ++i) ASSERT_EQ(Ask(NumberedId(i)).code, kOk);
  const pid_t pid = relay_->process().pid();
  EXPECT_GT(CountInMemory(pid, "spiffe://test.example/"), 0U) << "memory was not read at all";
  EXPECT_EQ(CountInMemory(pid, kCentralKey), 0U);
  EXPECT_GT(CountInMemory(replicas_[0]->process().pid(), kCentralKey), 0U);
  EXPECT_THAT(ReadFile("/proc/" + std::to_string(pid) + "/environ"), Not(HasSubstr(kCentralKey)));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ / "")) {
    if (entry.is_regular_file()) {
      EXPECT_THAT(ReadFile(entry.path()), Not(HasSubstr(kCentralKey))) << entry.path();
    }
  }
}

TEST_F(RelayPath, StolenCredentialsOfARelayMintOnlyWhatTheCentreGrantsIt) {
  Start();
  if (IsSkipped()) return;
  const RawClient thief(
      "unix:" + (centre_[0] / "centre.sock"),
      TlsFiles{authority_.certificate(), relay_identity_.certificate, relay_identity_.private_key}, kCentre);
  EXPECT_EQ(thief.Create(RequestFor("ios-app")).code, kOk);
  const std::vector<std::pair<std::string, std::string>> claims = {{"tokend-on-behalf-of", "unix:root"}};
  v1::CreateTokenRequest other_scope = RequestFor("ios-app");
  other_scope.add_scopes("admin");
  EXPECT_EQ(thief.CreateAs(claims, other_scope).code, kPermissionDenied);
  v1::CreateTokenRequest other_organization = RequestFor("ios-app");
  other_organization.set_organization("other");
  EXPECT_EQ(thief.CreateAs(claims, other_organization).code, kPermissionDenied);

  // A request_id that the relay has used for its own caller is another one to anybody else.
  const Answered mine = Ask(kRequestId);
  const Answered theirs = thief.CreateAs(claims, RequestFor("ios-app", kRequestId));
  ASSERT_EQ(theirs.code, kOk) << theirs.message;
  EXPECT_NE(theirs.response.token().bearer(), mine.response.token().bearer());
}

TEST_F(RelayPath, ARelayServesWithoutItsCentreAndUsesItOnceItIsThere) {
  Start(Centre::kIsDown);
  if (IsSkipped()) return;
  const Answered early = client_->Create(RequestFor("ios-app"), seconds(3));
  EXPECT_EQ(early.code, kUnavailable);
  EXPECT_EQ(early.reason, "UPSTREAM_UNAVAILABLE") << early.message;
  const std::string ready = relay_->Get("/readyz");
  EXPECT_THAT(ready, HasSubstr("HTTP/1.1 200"));
  EXPECT_THAT(ready, HasSubstr("central tokend"));
  EXPECT_THAT(relay_->Get("/metrics"), HasSubstr("\ntokend_upstream_reachable 0\n"));

  StartCentre();
  const Answered later = Ask(kRequestId);
  EXPECT_EQ(later.code, kOk) << later.reason;
  EXPECT_THAT(relay_->Get("/metrics"), HasSubstr("\ntokend_upstream_reachable 1\n"));
  ExpectBooksBalance({early, later});
}

}  // namespace
}  // namespace tokend::system
