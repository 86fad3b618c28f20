#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "daemon/identity/jwt_authenticator.h"
#include "daemon/identity/mtls_authenticator.h"
#include "tests/fakes/test_tokens.h"

// Measures what it costs to identify a caller by its certificate, which the TLS stack has verified, or by its
// token.
namespace tokend::identity {
namespace {

constexpr char kHeader[] = R"({"alg":"ALGORITHM","kid":"3Rn3TLeKGC7nHgNQ9cS0IUvfLHlJhDuU1pZQ0k5h0sA"})";
// Tokens like those of Kubernetes.
constexpr char kClaims[] =
    R"({"aud":["tokend"],"exp":4000000000,"iat":1700000000,"iss":"https://kubernetes.default.svc","kubernetes.io":)"
    R"({"namespace":"shop","pod":{"name":"checkout-6d8f","uid":"0d1a0f0b-6a0b-4f5e-9f57-6f1c2f5e3c11"},)"
    R"("serviceaccount":{"name":"checkout","uid":"9f57aaaa-6a0b-4f5e-9f57-6f1c2f5e3c11"}},"nbf":1700000000,)"
    R"("sub":"system:serviceaccount:shop:checkout"})";

enum class Cached { kNo, kYes };

class Issuer {
 public:
  Issuer(fakes::TokenKey key, const std::string& algorithm) {
    std::string header = kHeader;
    header.replace(header.find("ALGORITHM"), 9, algorithm);
    token_ = fakes::SignToken(key, algorithm, header, kClaims);
    key_set_ = fakes::JwkSet({key.Jwk(R"(,"kid":"3Rn3TLeKGC7nHgNQ9cS0IUvfLHlJhDuU1pZQ0k5h0sA")")});
    configuration_.issuer = "https://kubernetes.default.svc";
    configuration_.audience = "tokend";
    configuration_.caller_template = "{sub}";
  }

  Evidence Call() const {
    Evidence evidence{.peer = "ipv4:10.0.0.7:4711"};
    evidence.authorization.emplace_back("Bearer " + token_);
    return evidence;
  }
  std::unique_ptr<KeySource> Keys() const {
    return std::make_unique<FixedKeySource>(KeySet::Parse(key_set_).value());
  }
  const config::JwtAuthentication& configuration() const { return configuration_; }

 private:
  std::string token_;
  std::string key_set_;
  config::JwtAuthentication configuration_;
};

// Gives a different key set each time, so that the cache of verified tokens never applies.
class OtherKeysEachTime final : public KeySource {
 public:
  explicit OtherKeysEachTime(const Issuer& issuer) : sets_{issuer.Keys(), issuer.Keys()} {}

  Keys Current() const override {
    turn_ = !turn_;
    return sets_[turn_ ? 1 : 0]->Current();
  }
  void Renew(Then then) override { then(Current()); }

 private:
  const std::unique_ptr<KeySource> sets_[2];
  mutable bool turn_ = false;
};

void Tell(benchmark::State& state, const Issuer& issuer, Cached cached) {
  std::unique_ptr<KeySource> keys = issuer.Keys();
  if (cached == Cached::kNo) keys = std::make_unique<OtherKeysEachTime>(issuer);
  const JwtAuthenticator authenticator("bench", issuer.configuration(), std::move(keys), loop::SystemClock());
  for (auto _ : state) {
    authenticator.Authenticate(issuer.Call(), [&state](Result<Caller> caller) {
      if (!caller.ok()) state.SkipWithError("refused");
      benchmark::DoNotOptimize(caller);
    });
  }
}

const Issuer& Rs256() {
  static const Issuer issuer(fakes::TokenKey::Rsa(2048), "RS256");
  return issuer;
}
const Issuer& Es256() {
  static const Issuer issuer(fakes::TokenKey::Ec("P-256"), "ES256");
  return issuer;
}

void TellsByARs256Token(benchmark::State& state) { Tell(state, Rs256(), Cached::kNo); }
void TellsByAKnownRs256Token(benchmark::State& state) { Tell(state, Rs256(), Cached::kYes); }
void TellsByAnEs256Token(benchmark::State& state) { Tell(state, Es256(), Cached::kNo); }
void TellsByAKnownEs256Token(benchmark::State& state) { Tell(state, Es256(), Cached::kYes); }

void TellsByACertificate(benchmark::State& state) {
  const MtlsAuthenticator authenticator("bench", {});
  const Evidence evidence{.peer = "ipv4:10.0.0.7:4711",
                          .uri_sans = {"spiffe://prod.example/ns/shop/sa/checkout"},
                          .certificate_not_after = std::chrono::system_clock::time_point::max()};
  for (auto _ : state) {
    Evidence given{.peer = evidence.peer,
                   .uri_sans = evidence.uri_sans,
                   .certificate_not_after = evidence.certificate_not_after};
    authenticator.Authenticate(std::move(given), [&state](Result<Caller> caller) {
      if (!caller.ok()) state.SkipWithError("refused");
      benchmark::DoNotOptimize(caller);
    });
  }
}
BENCHMARK(TellsByACertificate);
BENCHMARK(TellsByARs256Token);
BENCHMARK(TellsByAKnownRs256Token);
BENCHMARK(TellsByAnEs256Token);
BENCHMARK(TellsByAKnownEs256Token);

}  // namespace
}  // namespace tokend::identity
