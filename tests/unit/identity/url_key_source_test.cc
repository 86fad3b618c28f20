#include "daemon/identity/url_key_source.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/loop/curl_loop.h"
#include "tests/fakes/http_server.h"
#include "tests/fakes/test_certificate.h"
#include "tests/unit/identity/jwt_fixture.h"

// Keys from a real server that speaks TLS, and what becomes of the calls that wait for them.
namespace tokend::identity {
namespace {

using fakes::JwkSet;
using fakes::SignToken;
using fakes::TokenKey;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kPatience{20};
constexpr char kPath[] = "/openid/v1/jwks";

// The loop that fetches. It outlives the sources, and observers outlive it.
class RunningLoop {
 public:
  RunningLoop() { loop_.Start(); }
  ~RunningLoop() { loop_.Stop(); }
  RunningLoop(const RunningLoop&) = delete;
  RunningLoop& operator=(const RunningLoop&) = delete;

  operator loop::CurlLoop&() { return loop_; }  // NOLINT(google-explicit-constructor)

 private:
  loop::CurlLoop loop_;
};

// Serves one JWK Set, or whatever else the test says.
class Issuer : public fakes::Handler {
 public:
  explicit Issuer(const std::string& key_set, const std::vector<std::string>& hosts = {"127.0.0.1"})
      : certificate_(fakes::MakeTestCertificate({.hosts = hosts})),
        base_(testing::TempDir() + "issuer-" + std::to_string(getpid())) {
    reply_.body = key_set;
    std::ofstream(base_ + "-ca.pem") << certificate_.ca_pem;
    fakes::HttpServerOptions options;
    options.certificate_pem = certificate_.certificate_pem;
    options.private_key_pem = certificate_.private_key_pem;
    options.protocols = {fakes::Protocol::kHttp2, fakes::Protocol::kHttp1};
    server_ = std::make_unique<fakes::HttpServer>(std::move(options), *this);
  }
  ~Issuer() {
    server_->Stop();
    for (const char* file : {"-ca.pem", "-token"}) std::remove((base_ + file).c_str());
  }
  Issuer(const Issuer&) = delete;
  Issuer& operator=(const Issuer&) = delete;

  config::JwksUrl Url() const {
    return {.url = "https://127.0.0.1:" + std::to_string(server_->port()) + kPath,
            .ca_file = base_ + "-ca.pem",
            .token_file = ""};
  }
  config::JwksUrl UrlWithToken(const std::string& token) const {
    std::ofstream(base_ + "-token") << token;
    config::JwksUrl url = Url();
    url.token_file = base_ + "-token";
    return url;
  }

  void Answer(fakes::Reply reply) {
    const std::lock_guard lock(mutex_);
    reply_ = std::move(reply);
  }
  void Answer(const std::string& key_set) { Answer(fakes::Reply{.headers = {}, .body = key_set}); }

  std::vector<fakes::Request> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  fakes::HttpServer& server() { return *server_; }

 private:
  void OnAccepted() override {}
  void OnClosed() override {}
  std::optional<fakes::Reply> OnHeader(fakes::Request&) override { return std::nullopt; }
  fakes::Reply OnRequest(const fakes::Request& request) override {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
    return reply_;
  }

  const fakes::TestCertificate certificate_;
  const std::string base_;
  mutable std::mutex mutex_;
  fakes::Reply reply_;
  std::vector<fakes::Request> requests_;
  std::unique_ptr<fakes::HttpServer> server_;
};

// What an observer was told, one after another.
class Outcomes {
 public:
  FetchObserver Observer() {
    return [this](const Result<KeySource::Keys>& fetched) {
      const std::lock_guard lock(mutex_);
      outcomes_.push_back(fetched.status());
      came_.notify_all();
    };
  }
  // The first `count`, once there are as many.
  std::vector<Status> Await(std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(came_.wait_for(lock, kPatience, [&] { return outcomes_.size() >= count; }));
    return outcomes_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<Status> outcomes_;
};

KeySource::Keys Renewed(KeySource& source) {
  std::promise<KeySource::Keys> answered;
  source.Renew([&answered](KeySource::Keys keys) { answered.set_value(std::move(keys)); });
  std::future<KeySource::Keys> keys = answered.get_future();
  if (keys.wait_for(kPatience) != std::future_status::ready) std::abort();
  return keys.get();
}

template <class Condition>
bool Eventually(Condition holds) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(2));
  }
  return true;
}

KeyFetchTimes OnlyWhenAsked(milliseconds least_apart = milliseconds(0)) {
  return {.period = hours(1), .least_apart = least_apart, .first_retry = hours(1), .longest = seconds(10)};
}

std::string SetOf(const TokenKey& key, const std::string& kid) {
  return JwkSet({key.Jwk(R"(,"kid":")" + kid + "\"")});
}

std::string TokenOf(const TokenKey& key, const std::string& kid) {
  return SignToken(key, "ES256", Header("ES256", R"(,"kid":")" + kid + "\""), Claims());
}

std::future<Result<Caller>> Begin(const Authenticator& authenticator, const std::string& token) {
  auto answered = std::make_shared<std::promise<Result<Caller>>>();
  std::future<Result<Caller>> caller = answered->get_future();
  authenticator.Authenticate(With({"Bearer " + token}),
                             [answered](Result<Caller> answer) { answered->set_value(std::move(answer)); });
  return caller;
}

Result<Caller> Await(std::future<Result<Caller>> caller) {
  if (caller.wait_for(kPatience) != std::future_status::ready) std::abort();
  return caller.get();
}

class Caching : public testing::Test {
 protected:
  std::unique_ptr<JwtAuthenticator> Make(const Issuer& issuer, KeyFetchTimes times) {
    return std::make_unique<JwtAuthenticator>(
        "tokens", Trusting(),
        std::make_unique<UrlKeySource>(issuer.Url(), times, outcomes_.Observer(), loop_), clock_);
  }

  Outcomes outcomes_;
  RunningLoop loop_;
  StandingClock clock_;
  const TokenKey old_ = TokenKey::Ec("P-256");
  const TokenKey new_ = TokenKey::Ec("P-256");
};

TEST(UrlKeySource, FetchesItsKeysAtTheStart) {
  RunningLoop loop;
  Issuer issuer(SetOf(EcKey(), "a"));
  UrlKeySource source(issuer.Url(), OnlyWhenAsked(hours(1)), nullptr, loop);
  ASSERT_NE(Renewed(source), nullptr);
  EXPECT_EQ(source.Current()->size(), 1U);
  ASSERT_EQ(issuer.requests().size(), 1U);
  EXPECT_EQ(issuer.requests()[0].method, "GET");
  EXPECT_EQ(issuer.requests()[0].path, kPath);
  EXPECT_FALSE(issuer.requests()[0].authorization);
}

TEST(UrlKeySource, SendsItsTokenAndReadsItAgainEachTime) {
  RunningLoop loop;
  Issuer issuer(SetOf(EcKey(), "a"));
  UrlKeySource source(issuer.UrlWithToken("first\n"), OnlyWhenAsked(), nullptr, loop);
  ASSERT_NE(Renewed(source), nullptr);
  EXPECT_EQ(issuer.requests().back().authorization, "Bearer first");
  issuer.UrlWithToken("second");
  ASSERT_NE(Renewed(source), nullptr);
  EXPECT_EQ(issuer.requests().back().authorization, "Bearer second");
}

TEST(UrlKeySource, FetchesAgainByItself) {
  RunningLoop loop;
  Issuer issuer(SetOf(EcKey(), "a"));
  KeyFetchTimes times = OnlyWhenAsked(hours(1));
  times.period = milliseconds(1);
  const UrlKeySource source(issuer.Url(), times, nullptr, loop);
  EXPECT_TRUE(Eventually([&] { return issuer.requests().size() >= 3; }));
}

TEST(UrlKeySource, AsksNoProxy) {
  RunningLoop loop;
  ASSERT_EQ(setenv("https_proxy", "http://127.0.0.1:1", 1), 0);
  ASSERT_EQ(setenv("all_proxy", "http://127.0.0.1:1", 1), 0);
  Issuer issuer(SetOf(EcKey(), "a"));
  UrlKeySource source(issuer.Url(), OnlyWhenAsked(), nullptr, loop);
  EXPECT_NE(Renewed(source), nullptr);
  unsetenv("https_proxy");
  unsetenv("all_proxy");
}

TEST(UrlKeySource, TakesNothingButAKeySetFromTheRightServer) {
  struct BadAnswer {
    fakes::Reply reply;
    std::string error;
  };
  const std::string good = SetOf(EcKey(), "a");
  for (const BadAnswer& bad : std::vector<BadAnswer>{
           {{.status = 404, .headers = {}, .body = good}, "the answer has status 404"},
           {{.status = 204, .headers = {}, .body = ""}, "the answer has status 204"},
           {{.status = 302, .headers = {{"location", kPath}}, .body = good}, "the answer has status 302"},
           {{.status = 500, .headers = {}, .body = good}, "the answer has status 500"},
           {{.headers = {}, .body = "<html>quoted</html>"},
            "the answer is not a JWK Set: a JSON object without repeated keys whose \"keys\" is a list"},
           {{.headers = {}, .body = R"({"keys":[]})"},
            "the answer has no key that verifies tokens: RSA of 2048 to 8192 bits, or EC on P-256, P-384 or "
            "P-521"},
           {{.headers = {}, .body = std::string(kMaxKeySetBytes + 1, ' ')}, "the answer is too large"},
       }) {
    Issuer issuer("");
    issuer.Answer(bad.reply);
    Outcomes outcomes;
    RunningLoop loop;
    UrlKeySource source(issuer.Url(), OnlyWhenAsked(), outcomes.Observer(), loop);
    EXPECT_EQ(outcomes.Await(1)[0].message(), bad.error);
    EXPECT_EQ(source.Current(), nullptr);
    EXPECT_EQ(issuer.requests().size(), 1U);
  }
}

TEST(UrlKeySource, TrustsOnlyTheConfiguredAuthorityAndTheRightHost) {
  Issuer issuer(SetOf(EcKey(), "a"));
  const Issuer another_host(SetOf(EcKey(), "a"), {"other.example"});
  config::JwksUrl by_another_authority = issuer.Url();
  by_another_authority.ca_file = "/etc/ssl/certs/ca-certificates.crt";
  for (const config::JwksUrl& url : {by_another_authority, another_host.Url()}) {
    Outcomes outcomes;
    RunningLoop loop;
    const UrlKeySource source(url, OnlyWhenAsked(), outcomes.Observer(), loop);
    const std::string error(outcomes.Await(1)[0].message());
    const bool other_authority = url.ca_file == by_another_authority.ca_file;
    EXPECT_TRUE(error.starts_with("127.0.0.1:")) << error;
    EXPECT_TRUE(error.ends_with(other_authority
                                    ? ": its certificate was refused: unable to get local issuer certificate"
                                    : ": its certificate was refused: IP address mismatch"))
        << error;
    EXPECT_EQ(source.Current(), nullptr);
    EXPECT_FALSE(source.fetched()->usable);
    EXPECT_EQ(source.fetched()->age, std::nullopt);
    EXPECT_EQ(source.fetched()->error, error);
  }
}

TEST(UrlKeySource, SaysWhyItsTokenCannotBeSent) {
  const Issuer issuer("");
  for (const char* token : {"", "two words", "a\nb", "\x01"}) {
    Outcomes outcomes;
    RunningLoop loop;
    const UrlKeySource source(issuer.UrlWithToken(token), OnlyWhenAsked(), outcomes.Observer(), loop);
    const std::string message(outcomes.Await(1)[0].message());
    EXPECT_EQ(message.find(issuer.UrlWithToken(token).token_file), 0U) << message;
  }
  EXPECT_TRUE(issuer.requests().empty());
}

TEST(UrlKeySource, ServesOldKeysWhileTheServerIsDownButNotForever) {
  RunningLoop loop;
  Issuer issuer(SetOf(EcKey(), "a"));
  KeyFetchTimes times = OnlyWhenAsked();
  times.max_age = seconds(1);
  UrlKeySource source(issuer.Url(), times, nullptr, loop);
  ASSERT_NE(Renewed(source), nullptr);
  const KeySource::Keys first = source.Current();
  issuer.server().Stop();
  EXPECT_EQ(Renewed(source), first);
  EXPECT_TRUE(Eventually([&] { return source.Current() == nullptr; }));
  EXPECT_EQ(Renewed(source), nullptr);
}

TEST(UrlKeySource, GetsItsKeysOnceTheServerIsThere) {
  Issuer issuer(SetOf(EcKey(), "a"));
  issuer.server().Stop();
  KeyFetchTimes times = OnlyWhenAsked(milliseconds(20));
  times.first_retry = milliseconds(1);
  Outcomes outcomes;
  RunningLoop loop;
  const UrlKeySource source(issuer.Url(), times, outcomes.Observer(), loop);
  EXPECT_FALSE(outcomes.Await(3)[2].ok());
  EXPECT_EQ(source.Current(), nullptr);
  issuer.server().Start();
  EXPECT_TRUE(Eventually([&] { return source.Current() != nullptr; }));
  EXPECT_TRUE(source.fetched()->usable);
  EXPECT_TRUE(source.fetched()->age.has_value());
  EXPECT_EQ(source.fetched()->error, "");
}

TEST(UrlKeySource, EndsAFetchThatTakesTooLong) {
  RunningLoop loop;
  Issuer issuer("");
  issuer.Answer(fakes::Reply{.action = fakes::Action::kBlackHole, .headers = {}, .body = ""});
  KeyFetchTimes times = OnlyWhenAsked();
  times.longest = milliseconds(100);
  UrlKeySource source(issuer.Url(), times, nullptr, loop);
  EXPECT_EQ(Renewed(source), nullptr);
}

TEST(UrlKeySource, AnswersWhoWaitsWhenItEnds) {
  RunningLoop loop;
  Issuer issuer("");
  issuer.Answer(fakes::Reply{.action = fakes::Action::kBlackHole, .headers = {}, .body = ""});
  KeyFetchTimes times = OnlyWhenAsked();
  times.longest = hours(1);
  auto source = std::make_unique<UrlKeySource>(issuer.Url(), times, nullptr, loop);
  ASSERT_TRUE(Eventually([&] { return issuer.requests().size() == 1; }));
  std::promise<KeySource::Keys> answer;
  std::future<KeySource::Keys> answered = answer.get_future();
  source->Renew([&answer](KeySource::Keys keys) { answer.set_value(std::move(keys)); });
  EXPECT_EQ(answered.wait_for(seconds(0)), std::future_status::timeout);
  source.reset();
  ASSERT_EQ(answered.wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(answered.get(), nullptr);
}

TEST(UrlKeySource, MayEndByTheHandOfWhoWaited) {
  RunningLoop loop;
  Issuer issuer(SetOf(EcKey(), "a"));
  issuer.Answer(fakes::Reply{.headers = {}, .body = SetOf(EcKey(), "a"), .delay = milliseconds(20)});
  auto source = std::make_shared<UrlKeySource>(issuer.Url(), OnlyWhenAsked(), nullptr, loop);
  std::promise<void> end;
  const std::future<void> ended = end.get_future();
  source->Renew([end = std::move(end), &source](const KeySource::Keys&) mutable {
    source.reset();
    end.set_value();
  });
  EXPECT_EQ(ended.wait_for(kPatience), std::future_status::ready);
}

void ExitWhileTheThreadStillRuns() {
  static std::promise<void> exiting;
  static RunningLoop loop;
  {
    Issuer issuer(SetOf(EcKey(), "a"));
    auto source = std::make_shared<UrlKeySource>(issuer.Url(), OnlyWhenAsked(), nullptr, loop);
    std::promise<void> end;
    const std::future<void> ended = end.get_future();
    // Holds the thread until the process has begun to end.
    std::shared_ptr<void> last(nullptr, [](void*) {
      exiting.get_future().wait();
      std::this_thread::sleep_for(milliseconds(50));
      std::fputs("the thread has ended\n", stderr);
    });
    source->Renew([&source, end = std::move(end), last = std::move(last)](const KeySource::Keys&) mutable {
      source.reset();
      end.set_value();
    });
    ended.wait();
  }
  std::atexit([] { exiting.set_value(); });
  std::exit(0);
}

TEST(UrlKeySourceDeathTest, TheProcessEndsAfterAThreadWhoseSourceEndedByItsHand) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(ExitWhileTheThreadStillRuns(), testing::ExitedWithCode(0), "the thread has ended");
}

TEST(UrlKeySource, HoldsABoundedNumberOfCalls) {
  RunningLoop loop;
  Issuer issuer("");
  issuer.Answer(fakes::Reply{.action = fakes::Action::kBlackHole, .headers = {}, .body = ""});
  std::atomic<int> answered = 0;
  {
    UrlKeySource source(issuer.Url(), OnlyWhenAsked(), nullptr, loop);
    ASSERT_TRUE(Eventually([&] { return issuer.requests().size() == 1; }));
    for (std::size_t i = 0; i < UrlKeySource::kMaxWaiting; ++i) {
      source.Renew([&answered](const KeySource::Keys&) { ++answered; });
    }
    EXPECT_EQ(answered, 0);
    source.Renew([&answered](const KeySource::Keys&) { ++answered; });
    EXPECT_EQ(answered, 1);
  }
  EXPECT_TRUE(Eventually([&] { return answered == static_cast<int>(UrlKeySource::kMaxWaiting) + 1; }));
}

TEST(UrlKeySource, AnswersWhoWaitsWhereTheLoopHasStopped) {
  loop::CurlLoop loop;
  int answered = 0;
  const auto count = [&answered](const KeySource::Keys& keys) { answered += keys == nullptr ? 1 : 0; };
  {
    UrlKeySource source({.url = "https://127.0.0.1:1/", .ca_file = "", .token_file = ""}, OnlyWhenAsked(),
                        nullptr, loop);
    source.Renew(count);
    EXPECT_EQ(answered, 0);
  }
  loop.Stop();
  EXPECT_EQ(answered, 1);
}

TEST(UrlKeySource, LetsTheLoopTurnBetweenTwoCallsThatItAnswers) {
  RunningLoop loop;
  Issuer issuer("");
  issuer.Answer(fakes::Reply{.headers = {}, .body = SetOf(EcKey(), "a"), .delay = milliseconds(100)});
  UrlKeySource source(issuer.Url(), OnlyWhenAsked(), nullptr, loop);
  // Loop thread only.
  std::string turns;
  std::promise<void> all;
  source.Renew([&](const KeySource::Keys&) {
    turns += "1";
    static_cast<loop::CurlLoop&>(loop).Post([&] { turns += "x"; });
  });
  source.Renew([&](const KeySource::Keys&) {
    turns += "2";
    all.set_value();
  });
  ASSERT_EQ(all.get_future().wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(turns, "1x2");
}

TEST_F(Caching, WaitsForTheFirstKeys) {
  Issuer issuer("");
  issuer.Answer(fakes::Reply{.headers = {}, .body = SetOf(old_, "old"), .delay = milliseconds(50)});
  const auto authenticator = Make(issuer, OnlyWhenAsked(hours(1)));
  EXPECT_TRUE(Await(Begin(*authenticator, TokenOf(old_, "old"))).ok());
}

TEST_F(Caching, KnowsNobodyWithoutKeys) {
  Issuer issuer("");
  const auto authenticator = Make(issuer, OnlyWhenAsked(hours(1)));
  for (int i = 0; i < 2; ++i) {
    const auto caller = Await(Begin(*authenticator, TokenOf(old_, "old")));
    EXPECT_EQ(caller.status().code(), absl::StatusCode::kUnauthenticated);
    EXPECT_EQ(caller.status().message(), "the issuer's keys are not available");
  }
}

TEST_F(Caching, FetchesOnceForAKeyThatItDoesNotKnow) {
  Issuer issuer(SetOf(old_, "old"));
  const auto authenticator = Make(issuer, OnlyWhenAsked());
  ASSERT_TRUE(Await(Begin(*authenticator, TokenOf(old_, "old"))).ok());
  issuer.Answer(fakes::Reply{.headers = {}, .body = SetOf(new_, "new"), .delay = milliseconds(200)});
  std::vector<std::future<Result<Caller>>> callers;
  for (int i = 0; i < 50; ++i) callers.push_back(Begin(*authenticator, TokenOf(new_, "new")));
  for (auto& caller : callers) EXPECT_TRUE(Await(std::move(caller)).ok());
  EXPECT_EQ(issuer.requests().size(), 2U);
}

TEST_F(Caching, FetchesAtMostOnceAMinuteForKeysThatItDoesNotKnow) {
  static_assert(KeyFetchTimes{}.least_apart == std::chrono::minutes(1));
  Issuer issuer(SetOf(old_, "old"));
  const auto authenticator = Make(issuer, OnlyWhenAsked(hours(1)));
  ASSERT_TRUE(Await(Begin(*authenticator, TokenOf(old_, "old"))).ok());
  issuer.Answer(SetOf(new_, "new"));
  EXPECT_TRUE(Await(Begin(*authenticator, TokenOf(new_, "new"))).ok());  // the first of this minute
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(
        Ask(*authenticator, With({"Bearer " + TokenOf(new_, "kid" + std::to_string(i))})).status().message(),
        "the issuer's key set has no key for the token");
  }
  EXPECT_EQ(issuer.requests().size(), 2U);
}

TEST_F(Caching, FetchesNothingForATokenThatIsRefusedAnyway) {
  Issuer issuer(SetOf(old_, "old"));
  const auto authenticator = Make(issuer, OnlyWhenAsked());
  ASSERT_TRUE(Await(Begin(*authenticator, TokenOf(old_, "old"))).ok());
  const std::string unsigned_token = fakes::SigningInput(Header("none"), Claims()) + ".eA";
  const std::string without_name = SignToken(old_, "ES256", Header("ES256"), Claims("", ""));
  for (const std::string& token : {without_name, unsigned_token, std::string("a.b.c")}) {
    EXPECT_FALSE(Ask(*authenticator, With({"Bearer " + token})).ok());
  }
  EXPECT_EQ(issuer.requests().size(), 1U);
}

TEST_F(Caching, FetchesAKeyThatReplacedAnotherOneUnderTheSameId) {
  Issuer issuer(SetOf(old_, "same"));
  const auto authenticator = Make(issuer, OnlyWhenAsked());
  ASSERT_TRUE(Await(Begin(*authenticator, TokenOf(old_, "same"))).ok());
  issuer.Answer(SetOf(new_, "same"));
  EXPECT_TRUE(Await(Begin(*authenticator, TokenOf(new_, "same"))).ok());
  const TokenKey of_another_kind = TokenKey::Ec("P-384");
  issuer.Answer(SetOf(of_another_kind, "same"));
  const std::string token =
      SignToken(of_another_kind, "ES384", Header("ES384", R"(,"kid":"same")"), Claims());
  EXPECT_TRUE(Await(Begin(*authenticator, token)).ok());
  EXPECT_EQ(issuer.requests().size(), 3U);
}

TEST_F(Caching, FetchesAKeyThatReplacedAnotherOneWhereKeysHaveNoId) {
  Issuer issuer(JwkSet({old_.Jwk()}));
  const auto authenticator = Make(issuer, OnlyWhenAsked());
  const auto by = [](const TokenKey& key) { return SignToken(key, "ES256", Header("ES256"), Claims()); };
  ASSERT_TRUE(Await(Begin(*authenticator, by(old_))).ok());
  issuer.Answer(JwkSet({new_.Jwk()}));
  EXPECT_TRUE(Await(Begin(*authenticator, by(new_))).ok());
}

TEST_F(Caching, FetchesAtMostOnceAMinuteForSignaturesThatFail) {
  Issuer issuer(SetOf(old_, "old"));
  const auto authenticator = Make(issuer, OnlyWhenAsked(hours(1)));
  ASSERT_TRUE(Await(Begin(*authenticator, TokenOf(old_, "old"))).ok());
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(Await(Begin(*authenticator, TokenOf(new_, "old"))).status().message(),
              "the token's signature does not verify with a key of the issuer");
  }
  EXPECT_EQ(issuer.requests().size(), 2U);
}

TEST_F(Caching, ForgetsATokenWhoseKeyIsGone) {
  Issuer issuer(SetOf(old_, "old"));
  const auto authenticator = Make(issuer, OnlyWhenAsked());
  const std::string token = TokenOf(old_, "old");
  ASSERT_TRUE(Await(Begin(*authenticator, token)).ok());
  ASSERT_TRUE(Ask(*authenticator, With({"Bearer " + token})).ok());
  issuer.Answer(SetOf(new_, "new"));
  ASSERT_TRUE(Await(Begin(*authenticator, TokenOf(new_, "new"))).ok());
  EXPECT_FALSE(Await(Begin(*authenticator, token)).ok());
}

TEST_F(Caching, KeepsTheSetWhereItsKeysAreTheSame) {
  Issuer issuer(SetOf(old_, "old"));
  const auto authenticator = Make(issuer, OnlyWhenAsked());
  ASSERT_TRUE(Await(Begin(*authenticator, TokenOf(old_, "old"))).ok());
  const KeySource::Keys first = authenticator->keys();
  ASSERT_FALSE(Await(Begin(*authenticator, TokenOf(new_, "new"))).ok());
  ASSERT_EQ(issuer.requests().size(), 2U);
  EXPECT_EQ(authenticator->keys(), first);
}

TEST_F(Caching, AnswersWhoWaitsWhenTheAuthenticatorEnds) {
  Issuer issuer("");
  issuer.Answer(fakes::Reply{.action = fakes::Action::kBlackHole, .headers = {}, .body = ""});
  auto authenticator = Make(issuer, OnlyWhenAsked());
  auto caller = Begin(*authenticator, TokenOf(old_, "old"));
  authenticator.reset();
  EXPECT_EQ(Await(std::move(caller)).status().code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(Caching, AnswersWithinTheLongestWait) { EXPECT_LT(KeyFetchTimes{}.longest, kLongestWait); }

}  // namespace
}  // namespace tokend::identity
