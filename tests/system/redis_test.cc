#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/fakes/own_network.h"
#include "tests/fakes/redis_server.h"
#include "tests/fakes/silent_proxy.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/fakes/test_authority.h"
#include "tests/system/fixture.h"

// Two real daemons that share one real Redis and one upstream.
namespace tokend::system {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr milliseconds kDeadline{5000};
// The time by which a busy machine may answer late.
constexpr milliseconds kGrace{1500};

bool Long() { return std::getenv("TOKEND_LONG_TESTS") != nullptr; }

std::string IdOf(std::size_t number) {
  std::string digits = std::to_string(number);
  digits.insert(0, 12 - digits.size(), '0');
  return "018f3b2a-0000-7000-8000-" + digits;
}

v1::CreateTokenRequest RequestOf(std::size_t number) {
  v1::CreateTokenRequest request = RequestFor("ios-app", IdOf(number));
  request.set_description(IdOf(number));
  return request;
}

fakes::FakeAppliveryOptions PlainApplivery() {
  fakes::FakeAppliveryOptions options;
  options.transport = fakes::Transport::kPlain;
  return options;
}

class Replicas : public testing::Test {
 protected:
  explicit Replicas(fakes::RedisServer::Options redis = {.settings = {"--appendonly", "yes", "--appendfsync",
                                                                      "always"}})
      : redis_(std::move(redis)), applivery_(PlainApplivery()) {
    // Marks this Redis as used before. In a new one, the first replica would wait for others.
    redis_.Ask({"HSET", "{tokend}:epoch", "id", "first", "created", "0", "quarantine", "0"});
  }

  // `address` is the address at which the replica reaches Redis.
  void Start(const std::string& address, const std::string& more = "", const std::string& grant = "",
             const std::string& remember = "1h") {
    auto replica = std::make_unique<Replica>();
    WriteFile(replica->folder / "encryption-key", std::string(32, 'k'), 0400);
    Tokend::Options options;
    options.base_url = applivery_.base_url();
    options.upstream = "    allow_http: true\n";
    options.grant = grant;
    options.more = "state: {redis: {address: \"" + address +
                   "\", encryption_key_file: " + (replica->folder / "encryption-key") + more +
                   "}}\nrequests: {remember: " + remember + "}\n";
    replica->tokend = std::make_unique<Tokend>(replica->folder, options);
    replica->client = std::make_unique<RawClient>(replica->tokend->address());
    replicas_.push_back(std::move(replica));
  }
  void StartTwo() {
    Start(redis_.address());
    Start(redis_.address());
  }

  RawClient& client(std::size_t replica) { return *replicas_[replica]->client; }
  Tokend& tokend(std::size_t replica) { return *replicas_[replica]->tokend; }

  // Whether it helps to ask again: on a busy machine a replica may lose the connection to Redis for a moment,
  // and its bucket of the caller's replays may be empty for a moment.
  static bool IsPassing(const Answered& answered) {
    return answered.reason == "LIMITS_UNAVAILABLE" || answered.reason == "RATE_LIMITED";
  }
  Answered Ask(std::size_t replica, const v1::CreateTokenRequest& request) {
    Answered answered;
    EXPECT_TRUE(Eventually([&] {
      answered = client(replica).Create(request, kDeadline);
      return !IsPassing(answered);
    }));
    return answered;
  }

  bool Reached(std::size_t replica) {
    return Eventually([&] { return tokend(replica).Get("/readyz").find("state: ok") != std::string::npos; });
  }

  // Expects at most one token for each id.
  void ExpectNoneTwice() const {
    std::map<std::string, int> minted;
    for (const fakes::MintedToken& token : applivery_.tokens()) ++minted[token.description];
    for (const auto& [id, count] : minted) EXPECT_EQ(count, 1) << id;
  }

  // Callers that send each id to both replicas at once, and again after a failure that is safe to retry.
  class Traffic {
   public:
    explicit Traffic(Replicas& test) : test_(test) {
      for (std::size_t caller = 0; caller < kCallers; ++caller) {
        threads_.emplace_back([this, caller] { Call(caller); });
      }
    }
    ~Traffic() { Stop(); }
    void Stop() {
      stopping_ = true;
      for (std::thread& thread : threads_) thread.join();
      threads_.clear();
    }

    std::size_t calls() const { return calls_; }
    std::size_t failures() const { return failures_; }
    std::map<std::size_t, std::set<std::string>> bearers() const { return bearers_; }
    milliseconds longest() const { return milliseconds(longest_ms_); }

   private:
    static constexpr std::size_t kCallers = 8;  // two callers for each id

    void Call(std::size_t caller) {
      for (std::size_t number = caller / 2; !stopping_; number += kCallers / 2) {
        for (int attempt = 0; attempt < 3 && !stopping_; ++attempt) {
          const auto begin = std::chrono::steady_clock::now();
          const Answered answered = test_.client(caller % 2).Create(RequestOf(number), kDeadline);
          const auto took =
              std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
          ++calls_;
          const std::lock_guard lock(mutex_);
          longest_ms_ = std::max<std::int64_t>(longest_ms_, took.count());
          if (answered.code == kOk) {
            bearers_[number].insert(answered.response.token().bearer());
            break;
          }
          ++failures_;
        }
      }
    }

    Replicas& test_;
    std::atomic<bool> stopping_{false};
    std::atomic<std::size_t> calls_{0};
    std::mutex mutex_;
    std::size_t failures_ = 0;
    std::int64_t longest_ms_ = 0;
    std::map<std::size_t, std::set<std::string>> bearers_;
    std::vector<std::thread> threads_;
  };

  // Disturbs Redis repeatedly while callers run, and checks the promises afterwards.
  void ExpectPromisesKept(const std::function<void()>& harm, const std::function<void()>& mend) {
    Traffic traffic(*this);
    for (int round = 0; round < (Long() ? 12 : 2); ++round) {
      const std::size_t before = traffic.calls();
      ASSERT_TRUE(Eventually([&] { return traffic.calls() > before + 40; }));
      harm();
      std::this_thread::sleep_for(milliseconds(round % 2 == 0 ? 400 : 2200));
      mend();
      ASSERT_TRUE(Reached(0));
      ASSERT_TRUE(Reached(1));
    }
    const std::size_t before = traffic.bearers().size();
    ASSERT_TRUE(Eventually([&] { return traffic.bearers().size() > before + 10; })) << "it works again";
    traffic.Stop();
    EXPECT_GT(traffic.failures(), 0U) << "the harm was felt";
    EXPECT_LE(traffic.longest(), kDeadline + kGrace);
    for (const auto& [number, bearers] : traffic.bearers()) EXPECT_EQ(bearers.size(), 1U) << number;
    ExpectNoneTwice();
    // A caller that got a token gets the same token again from either replica.
    for (const auto& [number, bearers] : traffic.bearers()) {
      if (number % 7 != 0) continue;
      for (std::size_t replica : {0U, 1U}) {
        const Answered again = Ask(replica, RequestOf(number));
        EXPECT_EQ(again.response.token().bearer(), *bearers.begin()) << number << " " << again.reason;
      }
    }
    std::cout << traffic.calls() << " calls, " << traffic.failures() << " failed, "
              << traffic.bearers().size() << " ids with a token, longest " << traffic.longest().count()
              << " ms\n";
  }

  struct Replica {
    fakes::TemporaryFolder folder;
    std::unique_ptr<Tokend> tokend;
    std::unique_ptr<RawClient> client;
  };

  fakes::RedisServer redis_;
  fakes::FakeApplivery applivery_;
  std::vector<std::unique_ptr<Replica>> replicas_;
};

TEST_F(Replicas, AnIdThatIsSentToBothAtOnceGetsOneTokenAndBothGetIt) {
  StartTwo();
  const std::size_t ids = Long() ? 5000 : 500;
  std::vector<std::vector<Answered>> answers(2);
  std::vector<std::thread> senders;
  for (std::size_t replica : {0U, 1U}) {
    senders.emplace_back([&, replica] { answers[replica] = client(replica).CreateMany(ids, 64, RequestOf); });
  }
  for (std::thread& sender : senders) sender.join();
  for (std::size_t i = 0; i < ids; ++i) {
    for (std::size_t replica : {0U, 1U}) {
      Answered& answer = answers[replica][i];
      if (IsPassing(answer)) answer = Ask(replica, RequestOf(i));
    }
    ASSERT_EQ(answers[0][i].code, kOk) << answers[0][i].reason;
    ASSERT_EQ(answers[1][i].code, kOk) << answers[1][i].reason;
    EXPECT_EQ(answers[0][i].response.token().bearer(), answers[1][i].response.token().bearer());
  }
  EXPECT_EQ(applivery_.counts().tokens, ids);
  EXPECT_EQ(applivery_.counts().posts, ids);
  ExpectNoneTwice();
}

TEST_F(Replicas, ARedisThatStandsStillLetsNothingHappenTwice) {
  StartTwo();
  ExpectPromisesKept([this] { redis_.Pause(); }, [this] { redis_.Resume(); });
}

TEST_F(Replicas, ARedisThatIsKilledLetsNothingHappenTwice) {
  StartTwo();
  ExpectPromisesKept([this] { redis_.Kill(); }, [this] { redis_.Start(); });
}

TEST_F(Replicas, ARedisWithoutMemoryLetsNothingHappenTwice) {
  StartTwo();
  ExpectPromisesKept(
      [this] {
        redis_.Ask({"CONFIG", "SET", "maxmemory", "1"});
      },
      [this] {
        redis_.Ask({"CONFIG", "SET", "maxmemory", "0"});
      });
}

TEST_F(Replicas, ANetworkThatIsCutLetsNothingHappenTwice) {
  fakes::SilentProxy network(redis_.socket());
  Start("127.0.0.1:" + std::to_string(network.port()));
  Start(redis_.address());
  ExpectPromisesKept([&] { network.Cut(); }, [&] { network.Mend(); });
}

// In a separate network namespace, in which Redis has its own address.
class ReplicasInANetwork : protected fakes::OwnNetwork, public Replicas {
 protected:
  ReplicasInANetwork()
      : Replicas({.settings = {"--appendonly", "yes", "--appendfsync", "always", "--protected-mode", "no",
                               "--port", "6379", "--bind", "127.0.0.1", std::string("-") + kAddress}}) {}
};

TEST_F(ReplicasInANetwork, AnAddressThatIsGoneLetsNothingHappenTwice) {
  if (!permitted()) GTEST_SKIP() << "a network namespace takes CAP_SYS_ADMIN";
  Start(std::string(kAddress) + ":6379");
  Start(redis_.address());
  ExpectPromisesKept([this] { TakeAddressAway(); }, [this] { GiveAddressBack(); });
}

// What a Redis with TLS, and a password, is started with.
class RedisTlsFiles {
 protected:
  RedisTlsFiles() {
    const fakes::TestAuthority authority;
    const fakes::Identity redis = authority.Issue("DNS:localhost");
    fakes::WriteSecret(files_ / "ca", authority.certificate());
    fakes::WriteSecret(files_ / "crt", redis.certificate);
    fakes::WriteSecret(files_ / "key", redis.private_key);
    fakes::WriteSecret(files_ / "password", "the-password");
  }
  fakes::RedisServer::Options options() const {
    return {fakes::RedisServer::Door::kTls,
            {"--tls-cert-file", files_ / "crt", "--tls-key-file", files_ / "key", "--tls-ca-cert-file",
             files_ / "ca", "--tls-auth-clients", "no", "--user", "tokend", "on", ">the-password", "~*",
             "+@all"}};
  }

  fakes::TemporaryFolder files_;
};

class ReplicasOverTls : protected RedisTlsFiles, public Replicas {
 protected:
  ReplicasOverTls() : Replicas(options()) {}
  std::string Keys() const {
    return ", username: tokend, password_file: " + (files_ / "password") +
           ", tls: {ca_file: " + (files_ / "ca") + "}";
  }
};

TEST_F(ReplicasOverTls, ShareTheirState) {
  const std::string address = "localhost:" + std::to_string(redis_.port());
  Start(address, Keys());
  Start(address, Keys());
  const Answered first = Ask(0, RequestOf(1));
  ASSERT_EQ(first.code, kOk) << first.reason;
  EXPECT_EQ(Ask(1, RequestOf(1)).response.token().bearer(), first.response.token().bearer());
  ExpectNoneTwice();
}

TEST_F(ReplicasOverTls, SayWhyTlsFailed) {
  Start(redis_.address(), Keys());
  EXPECT_TRUE(Eventually([&] { return !LineWith(tokend(0).log(), {"IP address mismatch"}).empty(); }));
  EXPECT_EQ(client(0).Create(RequestOf(1)).reason, "LIMITS_UNAVAILABLE");
}

TEST_F(Replicas, ThatDifferSayInWhat) {
  Start(redis_.address());
  Start(redis_.address(), "", "", "2h");
  const auto says = [this](std::size_t replica) {
    return tokend(replica).Get("/readyz").find("have another value of requests") != std::string::npos;
  };
  ASSERT_TRUE(Eventually([&] { return says(0) || says(1); }));
  const std::size_t differs = says(0) ? 0 : 1;
  EXPECT_FALSE(LineWith(tokend(differs).log(), {"redis.replicas_differ", "requests"}).empty());
  EXPECT_THAT(tokend(differs).Get("/status.json"), HasSubstr("have another value of requests"));
}

TEST_F(Replicas, ARedisThatComesBackEmptyIsInQuarantineAndKnowsWhatTheReplicasKnow) {
  StartTwo();
  std::vector<std::string> bearers;
  for (std::size_t i = 0; i < 50; ++i) {
    const Answered answered = Ask(i % 2, RequestOf(i));
    ASSERT_EQ(answered.code, kOk) << answered.reason;
    bearers.push_back(answered.response.token().bearer());
  }
  redis_.Kill();
  for (std::size_t replica : {0U, 1U}) {
    ASSERT_TRUE(Eventually([&] { return !LineWith(tokend(replica).log(), {"redis.unreachable"}).empty(); }));
  }
  const Answered refused = client(0).Create(RequestOf(1000));
  EXPECT_EQ(refused.reason, "LIMITS_UNAVAILABLE");
  EXPECT_TRUE(refused.retry_after);
  EXPECT_THAT(tokend(0).Get("/readyz"), AllOf(HasSubstr("200 OK"), HasSubstr("state: ")));
  EXPECT_THAT(tokend(0).Get("/readyz"), Not(HasSubstr("state: ok"))) << "it hits all replicas alike";
  redis_.StartEmpty();
  ASSERT_TRUE(Reached(0));
  ASSERT_TRUE(Reached(1));
  for (std::size_t i = 0; i < 50; ++i) {
    EXPECT_EQ(Ask((i + 1) % 2, RequestOf(i)).response.token().bearer(), bearers[i]);
  }
  const Answered quarantined = client(0).Create(RequestOf(1000));
  EXPECT_EQ(quarantined.reason, "LIMITS_UNAVAILABLE");
  EXPECT_GT(quarantined.retry_after.value_or(milliseconds(0)), std::chrono::minutes(50));
  EXPECT_THAT(quarantined.message, HasSubstr("quarantine"));
  for (std::size_t replica : {0U, 1U}) {
    EXPECT_THAT(tokend(replica).Get("/readyz"), AllOf(HasSubstr("200 OK"), HasSubstr("ledger: quarantine")));
    EXPECT_THAT(tokend(replica).Get("/metrics"), Not(HasSubstr("tokend_ledger_quarantine_seconds 0\n")));
    EXPECT_FALSE(LineWith(tokend(replica).log(), {"ledger.quarantine_began"}).empty());
  }
  EXPECT_EQ(Ask(1, RequestFor("ios-app")).code, kOk) << "an id of the daemon's own has had no token";
  ExpectNoneTwice();
}

TEST_F(Replicas, AReplicaThatIsKilledLeavesItsTokensToTheOther) {
  StartTwo();
  const Answered first = Ask(0, RequestOf(1));
  ASSERT_EQ(first.code, kOk);
  // One caller gets the token at once, the other as soon as Redis has it.
  ASSERT_EQ(Ask(1, RequestOf(1)).response.token().bearer(), first.response.token().bearer());
  tokend(0).process().Signal(SIGKILL);
  tokend(0).process().Wait();
  EXPECT_EQ(Ask(1, RequestOf(1)).response.token().bearer(), first.response.token().bearer());
  tokend(0).Restart();
  replicas_[0]->client = std::make_unique<RawClient>(tokend(0).address());
  EXPECT_EQ(Ask(0, RequestOf(1)).response.token().bearer(), first.response.token().bearer());
  ExpectNoneTwice();
}

TEST_F(Replicas, ARetryAtAReplicaWithAnotherPolicyGetsTheFirstToken) {
  Start(redis_.address());
  Start(redis_.address(), "", "      description: \"{caller}: {description}\"\n");
  const Answered first = Ask(0, RequestOf(1));
  ASSERT_EQ(first.code, kOk) << first.reason;
  EXPECT_EQ(Ask(1, RequestOf(1)).response.token().bearer(), first.response.token().bearer());
  EXPECT_EQ(applivery_.tokens().size(), 1U);
}

TEST_F(Replicas, LocalLimitsLetRequestsWithoutAnIdGoOn) {
  Start(redis_.address(), ", on_failure: local");
  redis_.Kill();
  ASSERT_TRUE(Eventually([&] { return !LineWith(tokend(0).log(), {"redis.unreachable"}).empty(); }));
  EXPECT_EQ(client(0).Create(RequestFor("ios-app")).code, kOk);
  EXPECT_EQ(client(0).Create(RequestOf(1)).reason, "LIMITS_UNAVAILABLE");
  EXPECT_THAT(tokend(0).Get("/readyz"), HasSubstr("200 OK"));
  EXPECT_THAT(tokend(0).Get("/metrics"), HasSubstr("tokend_redis_reachable 0\n"));
}

}  // namespace
}  // namespace tokend::system
