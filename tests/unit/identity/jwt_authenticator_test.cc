#include "daemon/identity/jwt_authenticator.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "daemon/identity/make_authenticator.h"
#include "tests/unit/identity/jwt_fixture.h"

namespace tokend::identity {
namespace {

using fakes::Base64Url;
using fakes::JwkSet;
using fakes::SigningInput;
using fakes::SignToken;
using fakes::TokenKey;

// Of a key set with one EC key, which no key id names.
std::string Signed(const std::string& claims, const std::string& header = Header("ES256")) {
  return SignToken(EcKey(), "ES256", header, claims);
}

std::string WhatIsWrongWith(const std::string& claims, config::JwtAuthentication jwt = Trusting()) {
  return Trust(JwkSet({EcKey().Jwk()}), std::move(jwt)).WhatIsWrong(Signed(claims));
}

std::string WhatIsWrongWithHeader(const std::string& header) {
  return Trust(JwkSet({EcKey().Jwk()})).WhatIsWrong(Signed(Claims(), header));
}

// Claims that the given ones replace altogether.
std::string Raw(const std::string& members) { return "{" + members + "}"; }

TEST(JwtAuthenticator, NamesTheCallerByTheTokensSubject) {
  const Trust trust(JwkSet({EcKey().Jwk()}));
  const auto caller = trust.Judge(Signed(Claims()));
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->name(), "ci:builder");
  EXPECT_EQ(caller->authentication(), Authentication::kJwt);
  EXPECT_EQ(caller->listener(), "tokens");
  EXPECT_EQ(caller->peer(), "ipv4:10.0.0.1:4711");
}

TEST(JwtAuthenticator, TakesEachOfTheNineAlgorithms) {
  for (const std::string algorithm : {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}) {
    const Trust trust(JwkSet({RsaKey().Jwk()}));
    EXPECT_EQ(trust.WhatIsWrong(SignToken(RsaKey(), algorithm, Header(algorithm), Claims())), "")
        << algorithm;
  }
  const std::vector<std::pair<std::string, std::string>> curves = {
      {"ES256", "P-256"}, {"ES384", "P-384"}, {"ES512", "P-521"}};
  for (const auto& [algorithm, curve] : curves) {
    const TokenKey key = TokenKey::Ec(curve);
    const Trust trust(JwkSet({key.Jwk()}));
    EXPECT_EQ(trust.WhatIsWrong(SignToken(key, algorithm, Header(algorithm), Claims())), "") << algorithm;
  }
}

TEST(JwtAuthenticator, TakesTheSchemeInAnyCaseAndOneBlank) {
  const Trust trust(JwkSet({EcKey().Jwk()}));
  const std::string token = Signed(Claims());
  for (const char* scheme : {"Bearer ", "bearer ", "BEARER "}) {
    EXPECT_TRUE(Ask(trust.authenticator(), With({scheme + token})).ok()) << scheme;
  }
  for (const std::string& value :
       {"Bearer  " + token, "Bearer\t" + token, " Bearer " + token, "Bearer " + token + " ", "Bearer" + token,
        token, std::string("Bearer "), std::string("Bearer"), std::string(), "Basic " + token,
        "Bearer " + token + "," + token, "Bearer Bearer " + token}) {
    EXPECT_EQ(Ask(trust.authenticator(), With({value})).status().code(), absl::StatusCode::kUnauthenticated);
  }
}

TEST(JwtAuthenticator, WantsTheMetadataExactlyOnce) {
  const Trust trust(JwkSet({EcKey().Jwk()}));
  const std::string good = "Bearer " + Signed(Claims());
  EXPECT_TRUE(Ask(trust.authenticator(), With({good})).ok());
  EXPECT_EQ(Ask(trust.authenticator(), With({})).status().message(), "no authorization metadata was sent");
  EXPECT_EQ(Ask(trust.authenticator(), With({good, good})).status().message(),
            "several authorization metadata were sent");
}

TEST(JwtAuthenticator, RefusesATokenWithoutASignature) {
  const std::string what = "the token's algorithm is not one of RS, PS and ES with 256, 384 and 512";
  const Trust trust(JwkSet({EcKey().Jwk()}));
  for (const char* none : {"none", "None", "NONE", "nOnE"}) {
    const std::string input = SigningInput(Header(none), Claims());
    EXPECT_EQ(trust.WhatIsWrong(input + "."), "the token is not a JWS in compact form");
    EXPECT_EQ(trust.WhatIsWrong(input + "." + Base64Url("x")), what);
  }
}

TEST(JwtAuthenticator, RefusesAMessageCodeKeyedWithThePublicKey) {
  const Trust trust(JwkSet({RsaKey().Jwk(R"(,"kid":"a")")}));
  for (const std::string algorithm : {"HS256", "HS384", "HS512"}) {
    for (const std::string& key : {RsaKey().PublicPem(), RsaKey().Modulus(), RsaKey().Jwk()}) {
      const std::string input = SigningInput(Header(algorithm, R"(,"kid":"a")"), Claims());
      EXPECT_EQ(trust.WhatIsWrong(input + "." + Base64Url(fakes::Hmac(algorithm, key, input))),
                "the token's algorithm is not one of RS, PS and ES with 256, 384 and 512");
    }
  }
}

TEST(JwtAuthenticator, RefusesOtherAlgorithms) {
  for (const char* algorithm :
       {"EdDSA", "ES256K", "RS1", "es256", "ES256 ", "", "RSA-OAEP", "dir", "RS2560"}) {
    EXPECT_EQ(WhatIsWrongWithHeader(Header(algorithm)),
              "the token's algorithm is not one of RS, PS and ES with 256, 384 and 512")
        << algorithm;
  }
  EXPECT_NE(WhatIsWrongWithHeader("{}"), "");
  EXPECT_NE(WhatIsWrongWithHeader(R"({"alg":null})"), "");
  EXPECT_NE(WhatIsWrongWithHeader(R"({"alg":["ES256"]})"), "");
}

TEST(JwtAuthenticator, RefusesAnExtensionThatMustBeUnderstood) {
  for (const char* members : {R"(,"crit":["exp"])", R"(,"crit":["b64"],"b64":false)", R"(,"b64":false)",
                              R"(,"b64":true)", R"(,"crit":[])", R"(,"crit":null)"}) {
    EXPECT_EQ(WhatIsWrongWithHeader(Header("ES256", members)), "the token's header asks for an extension")
        << members;
  }
}

TEST(JwtAuthenticator, TakesOnlyTypesThatProveWhoCalls) {
  for (const char* type : {"JWT", "jwt", "JOSE", "at+jwt", "AT+JWT", "application/at+jwt", "application/JWT",
                           "Application/AT+jwt"}) {
    EXPECT_EQ(WhatIsWrongWithHeader(Header("ES256", R"(,"typ":")" + std::string(type) + "\"")), "") << type;
  }
  for (const char* type :
       {R"("logout+jwt")", R"("dpop+jwt")", R"("application/dpop+jwt")", R"("application/")",
        R"("application/application/jwt")", R"("text/jwt")", R"("")", "1", "null"}) {
    EXPECT_EQ(WhatIsWrongWithHeader(Header("ES256", R"(,"typ":)" + std::string(type))),
              "the token's type is not that of a JWT or an access token")
        << type;
  }
}

TEST(JwtAuthenticator, GoesByNoKeyThatTheTokenBrings) {
  const TokenKey own = TokenKey::Ec("P-256");
  const Trust trust(JwkSet({EcKey().Jwk(R"(,"kid":"a")")}));
  for (const std::string& members :
       {R"(,"jwk":)" + own.Jwk(), R"(,"kid":"a","jwk":)" + own.Jwk(),
        std::string(R"(,"kid":"a","jku":"https://127.0.0.1:1/keys")"),
        std::string(R"(,"kid":"a","x5u":"https://127.0.0.1:1/c","x5c":["MIIB"])")}) {
    EXPECT_EQ(trust.WhatIsWrong(SignToken(own, "ES256", Header("ES256", members), Claims())),
              "the token's signature does not verify with a key of the issuer");
    EXPECT_EQ(trust.WhatIsWrong(SignToken(EcKey(), "ES256", Header("ES256", members), Claims())), "");
  }
}

TEST(JwtAuthenticator, RefusesKeysTwiceInHeaderAndClaims) {
  EXPECT_NE(WhatIsWrongWithHeader(R"({"alg":"none","alg":"ES256"})"), "");
  EXPECT_NE(WhatIsWrongWithHeader(R"({"alg":"ES256","x":{"a":1,"a":2}})"), "");
  EXPECT_NE(WhatIsWrongWithHeader(R"({"alg":"ES256","\u0061lg":"ES256"})"), "");
  EXPECT_EQ(WhatIsWrongWith(Claims(R"(,"sub":"root")")),
            "the token's claims are not a JSON object without repeated keys");
  EXPECT_NE(WhatIsWrongWith(Claims(R"(,"x":[{"a":1,"a":1}])")), "");
  EXPECT_EQ(WhatIsWrongWith(Claims(R"(,"x":[{"a":1},{"a":1}])")), "");
}

TEST(JwtAuthenticator, TakesNamesOfUpTo512Bytes) {
  EXPECT_EQ(WhatIsWrongWith(Claims("", std::string(512, 'a'))), "");
}

TEST(JwtAuthenticator, WantsTheIssuerToTheLetter) {
  const std::string rest = R"("aud":"tokend","sub":"a","exp":)" + std::to_string(kNow + 9);
  for (const char* issuer : {R"("https://issuer.example/")", R"("HTTPS://issuer.example")", R"("")", "null",
                             "1", R"(["https://issuer.example"])", R"("https://issuer.example\u0000")"}) {
    EXPECT_EQ(WhatIsWrongWith(Raw(R"("iss":)" + std::string(issuer) + "," + rest)),
              "the token's issuer (iss) is not the configured one");
  }
  EXPECT_NE(WhatIsWrongWith(Raw(rest)), "");
}

TEST(JwtAuthenticator, WantsTheAudienceAloneOrAmongOthers) {
  const auto with = [](const std::string& audience) {
    return WhatIsWrongWith(
        Raw(R"("iss":"https://issuer.example","sub":"a","exp":)" + std::to_string(kNow + 9) + audience));
  };
  EXPECT_EQ(with(R"(,"aud":"tokend")"), "");
  EXPECT_EQ(with(R"(,"aud":["other","tokend"])"), "");
  for (const char* audience :
       {"", R"(,"aud":"other")", R"(,"aud":[])", R"(,"aud":["other"])", R"(,"aud":["tokend",1])",
        R"(,"aud":[["tokend"]])", R"(,"aud":{"tokend":true})", R"(,"aud":null)", R"(,"aud":"tokend ")",
        R"(,"aud":"tokend,other")"}) {
    EXPECT_EQ(with(audience), "the token's audience (aud) is not the configured one") << audience;
  }
}

TEST(JwtAuthenticator, TakesATokenUntilAMinuteAfterItExpires) {
  Trust trust(JwkSet({EcKey().Jwk()}));
  const std::string token = Signed(Claims());  // expires at kNow + 600
  for (const double still : {kNow + 0.0, kNow + 600.0, kNow + 659.9}) {
    trust.clock().Set(still);
    EXPECT_EQ(trust.WhatIsWrong(token), "") << still;
  }
  for (const double too_late : {kNow + 660.0, kNow + 1e6}) {
    trust.clock().Set(too_late);
    EXPECT_EQ(trust.WhatIsWrong(token), "the token has expired");
    Trust fresh(JwkSet({EcKey().Jwk()}));
    fresh.clock().Set(too_late);
    EXPECT_EQ(fresh.WhatIsWrong(token), "the token has expired") << "never seen before";
  }
}

TEST(JwtAuthenticator, WantsATimeAtWhichTheTokenExpires) {
  const std::string rest = R"("iss":"https://issuer.example","aud":"tokend","sub":"a")";
  EXPECT_EQ(WhatIsWrongWith(Raw(rest)), "the token has no valid time of expiry (exp)");
  for (const char* time :
       {R"("1800000600")", "null", "[1800000600]", "-1", "1e300", "1800000600000000", "true"}) {
    EXPECT_EQ(WhatIsWrongWith(Raw(rest + R"(,"exp":)" + time)), "the token has no valid time of expiry (exp)")
        << time;
  }
  EXPECT_NE(WhatIsWrongWith(Raw(rest + R"(,"exp":1e999)")), "");
  EXPECT_NE(WhatIsWrongWith(Raw(rest + R"(,"exp":123456789012345678901234567890)")), "");
  EXPECT_EQ(WhatIsWrongWith(Raw(rest + R"(,"exp":1800000600.5)")), "");
  EXPECT_EQ(WhatIsWrongWith(Raw(rest + R"(,"exp":1.8000006e9)")), "");
}

TEST(JwtAuthenticator, RefusesATokenOfTheFuture) {
  const auto at = [](long long time) { return std::to_string(kNow + time); };
  EXPECT_EQ(WhatIsWrongWith(Claims(R"(,"nbf":)" + at(60))), "");
  EXPECT_EQ(WhatIsWrongWith(Claims(R"(,"nbf":)" + at(61))), "the token is not valid yet");
  EXPECT_EQ(WhatIsWrongWith(Claims(R"(,"nbf":)" + at(60) + ".5")), "the token is not valid yet");
  EXPECT_EQ(WhatIsWrongWith(Claims(R"(,"iat":)" + at(60))), "");
  EXPECT_EQ(WhatIsWrongWith(Claims(R"(,"iat":)" + at(61))),
            "the token's time of issue (iat) lies in the future");
  for (const char* key : {"nbf", "iat"}) {
    for (const char* time : {R"("1")", "null", "-5", "[]"}) {
      EXPECT_NE(WhatIsWrongWith(Claims(R"(,")" + std::string(key) + R"(":)" + time)), "") << key << time;
    }
  }
}

TEST(JwtAuthenticator, GivesOnlyNamesThatACallerMayHave) {
  for (const std::string& subject :
       {std::string("*"), std::string("ci:*"), std::string("a b"), std::string("a\\nb"),
        std::string("a\\u0000b"), std::string("\\u001b[31m"), std::string("\xC3\xA4"),
        std::string("a\\u202eb"), std::string("\\u007f"), std::string(513, 'a')}) {
    EXPECT_EQ(WhatIsWrongWith(Claims("", subject)), "the token's claims do not give a valid caller name")
        << subject;
  }
  EXPECT_EQ(WhatIsWrongWith(Claims("", "")), "the token lacks a claim that the caller's name needs");
  EXPECT_EQ(WhatIsWrongWith(Claims("", std::string(256, 'a'))), "");
}

TEST(JwtAuthenticator, SpeaksNoOtherKindsNames) {
  for (const char* subject : {"spiffe://prod.example/a", "dns:host.example", "unix:checkout", "unix:"}) {
    EXPECT_EQ(WhatIsWrongWith(Claims("", subject)),
              "the token's claims give a name that is reserved for another kind of authentication")
        << subject;
  }
}

TEST(JwtAuthenticator, SpeaksSpiffeNamesOfItsTrustDomainAlone) {
  config::JwtAuthentication jwt = Trusting();
  jwt.trust_domain = "prod.example";
  EXPECT_EQ(WhatIsWrongWith(Claims("", "spiffe://prod.example/ns/shop/sa/checkout"), jwt), "");
  EXPECT_EQ(WhatIsWrongWith(Claims("", "ci:builder"), jwt), "");
  for (const char* subject :
       {"spiffe://prod.example", "spiffe://prod.example/", "spiffe://prod.example/a/../b",
        "spiffe://prod.example//a", "spiffe://prod.example.evil/a", "spiffe://other.example/a",
        "spiffe://prod.example/a?b", "spiffe://prod.example:80/a", "dns:host.example", "unix:checkout"}) {
    EXPECT_EQ(WhatIsWrongWith(Claims("", subject), jwt),
              "the token's claims give a name that is reserved for another kind of authentication")
        << subject;
  }
}

TEST(JwtAuthenticator, GivesNoNamesOutsideOfATrustDomainThatKeepsIssuersApart) {
  config::JwtAuthentication jwt = Trusting();
  jwt.trust_domain = "prod.example";
  jwt.only_trust_domain = true;
  EXPECT_EQ(WhatIsWrongWith(Claims("", "spiffe://prod.example/ns/shop/sa/checkout"), jwt), "");
  EXPECT_EQ(WhatIsWrongWith(Claims("", "ci:builder"), jwt),
            "the token's claims give a name outside the listener's trust domain");
}

TEST(JwtAuthenticator, MakesTheNameOfWhateverClaimsItIsTold) {
  const std::string kubernetes =
      R"(,"kubernetes.io":{"namespace":"shop","serviceaccount":{"name":"checkout"},)"
      R"("count":3,"none":null},"a/b":"slash","https://x/y":"url")";
  const auto name = [&](const std::string& text) -> std::string {
    config::JwtAuthentication jwt = Trusting();
    jwt.caller_template = text;
    const auto caller = Trust(JwkSet({EcKey().Jwk()}), jwt).Judge(Signed(Claims(kubernetes)));
    return caller.ok() ? caller->name() : std::string(caller.status().message());
  };
  const std::string lacks = "the token lacks a claim that the caller's name needs";
  EXPECT_EQ(name("{sub}"), "ci:builder");
  EXPECT_EQ(name("k8s:{/kubernetes.io/namespace}/{/kubernetes.io/serviceaccount/name}"), "k8s:shop/checkout");
  EXPECT_EQ(name("{sub}@{iss}"), "ci:builder@https://issuer.example");
  EXPECT_EQ(name("{/a~1b}"), "slash");
  EXPECT_EQ(name("{a/b}"), "slash");
  EXPECT_EQ(name("{https://x/y}"), "url");
  for (const char* text :
       {"{nothing}", "{kubernetes.io}", "{/kubernetes.io/count}", "{/kubernetes.io/none}",
        "{/kubernetes.io/namespace/name}", "{/sub/0}", "{exp}", "{kubernetes.io/namespace}"}) {
    EXPECT_EQ(name(text), lacks) << text;
  }
}

TEST(JwtAuthenticator, RefusesASignatureThatIsNotTheKeys) {
  const std::string what = "the token's signature does not verify with a key of the issuer";
  const Trust trust(JwkSet({EcKey().Jwk(R"(,"kid":"a")")}));
  const std::string header = Header("ES256", R"(,"kid":"a")");
  const std::string input = SigningInput(header, Claims());
  const std::string signature = EcKey().Sign("ES256", input);
  ASSERT_EQ(trust.WhatIsWrong(input + "." + Base64Url(signature)), "");
  for (std::string wrong :
       {std::string(64, '\0'), signature.substr(0, 63), signature + '\0', signature.substr(0, 32),
        EcKey().SignDer("ES256", input), signature.substr(32) + signature.substr(0, 32),
        TokenKey::Ec("P-256").Sign("ES256", input), EcKey().Sign("ES384", input), std::string(64, '\xff')}) {
    EXPECT_EQ(trust.WhatIsWrong(input + "." + Base64Url(wrong)), what);
  }
  EXPECT_EQ(trust.WhatIsWrong(SigningInput(header, Claims("", "ci:root")) + "." + Base64Url(signature)),
            what);
  EXPECT_EQ(trust.WhatIsWrong(SigningInput(Header("ES256", R"(,"kid":"a","x":1)"), Claims()) + "." +
                              Base64Url(signature)),
            what);
}

TEST(JwtAuthenticator, RefusesAKeyOfAnotherTypeThanTheAlgorithms) {
  const std::string what = "the token's signature does not verify with a key of the issuer";
  const TokenKey p384 = TokenKey::Ec("P-384");
  const Trust trust(JwkSet({EcKey().Jwk(R"(,"kid":"ec")"), p384.Jwk(R"(,"kid":"p384")"),
                            RsaKey().Jwk(R"(,"kid":"rsa","alg":"RS256")")}));
  const auto judge = [&](const TokenKey& key, const char* digest, const char* algorithm, const char* kid) {
    const std::string header = Header(algorithm, R"(,"kid":")" + std::string(kid) + "\"");
    return trust.WhatIsWrong(SignToken(key, digest, header, Claims()));
  };
  EXPECT_EQ(judge(RsaKey(), "RS256", "RS256", "rsa"), "");
  EXPECT_EQ(judge(RsaKey(), "RS256", "RS256", "ec"), what);
  EXPECT_EQ(judge(EcKey(), "ES256", "ES256", "rsa"), what);
  EXPECT_EQ(judge(RsaKey(), "PS256", "PS256", "rsa"), what) << "the key says which algorithm it is for";
  EXPECT_EQ(judge(RsaKey(), "RS512", "RS512", "rsa"), what);
  EXPECT_EQ(judge(p384, "ES256", "ES256", "p384"), what) << "the curve is the algorithm's";
  EXPECT_EQ(judge(EcKey(), "ES384", "ES384", "ec"), what);
}

TEST(JwtAuthenticator, KnowsNoKeyThatTheSetDoesNotHave) {
  const Trust trust(JwkSet({EcKey().Jwk(R"(,"kid":"a")")}));
  for (const char* kid : {R"("b")", R"("")", R"("A")", R"("a\u0000")", R"("../../etc/passwd")"}) {
    const std::string token = Signed(Claims(), Header("ES256", R"(,"kid":)" + std::string(kid)));
    EXPECT_EQ(trust.WhatIsWrong(token), "the issuer's key set has no key for the token") << kid;
  }
  for (const char* kid : {"null", "1", R"(["a"])", "{}"}) {
    const std::string token = Signed(Claims(), Header("ES256", R"(,"kid":)" + std::string(kid)));
    EXPECT_EQ(trust.WhatIsWrong(token), "the token's key id is not a text") << kid;
  }
}

TEST(JwtAuthenticator, TriesEachKeyThatFitsForATokenWithoutKeyId) {
  const TokenKey other = TokenKey::Ec("P-256");
  const Trust one(JwkSet({EcKey().Jwk(R"(,"kid":"a")"), RsaKey().Jwk(R"(,"kid":"b")")}));
  EXPECT_EQ(one.WhatIsWrong(Signed(Claims())), "");
  const Trust two(JwkSet({other.Jwk(R"(,"kid":"a")"), EcKey().Jwk(R"(,"kid":"b")")}));
  EXPECT_EQ(two.WhatIsWrong(Signed(Claims())), "");
  EXPECT_EQ(two.WhatIsWrong(SignToken(other, "ES256", Header("ES256"), Claims())), "");
  EXPECT_EQ(two.WhatIsWrong(Signed(Claims(), Header("ES256", R"(,"kid":"b")"))), "");
  EXPECT_EQ(two.WhatIsWrong(SignToken(TokenKey::Ec("P-256"), "ES256", Header("ES256"), Claims())),
            "the token's signature does not verify with a key of the issuer");
}

TEST(JwtAuthenticator, TriesEachKeyOfOneId) {
  const TokenKey other = TokenKey::Ec("P-256");
  const Trust trust(JwkSet({other.Jwk(R"(,"kid":"a")"), EcKey().Jwk(R"(,"kid":"a")")}));
  EXPECT_EQ(trust.WhatIsWrong(Signed(Claims(), Header("ES256", R"(,"kid":"a")"))), "");
}

TEST(JwtAuthenticator, HoldsTokensTo8KiB) {
  const Trust trust(JwkSet({EcKey().Jwk()}));
  const auto padded = [](std::size_t size) {
    const std::string overhead = Signed(Claims(R"(,"x":"")"));
    return Signed(Claims(R"(,"x":")" + std::string((size - overhead.size()) / 4 * 3, 'x') + "\""));
  };
  const std::string largest = padded(8192);
  ASSERT_LE(largest.size(), 8192U);
  EXPECT_GT(largest.size(), 8180U);
  EXPECT_EQ(trust.WhatIsWrong(largest), "");
  EXPECT_EQ(trust.WhatIsWrong(padded(8210)), "the token is larger than 8 KiB");
}

class JwksFile {
 public:
  explicit JwksFile(const std::string& text)
      : path_(testing::TempDir() + "jwks-" + std::to_string(getpid())) {
    Write(text);
  }
  ~JwksFile() { std::remove(path_.c_str()); }
  JwksFile(const JwksFile&) = delete;
  JwksFile& operator=(const JwksFile&) = delete;

  void Write(const std::string& text) const { std::ofstream(path_) << text; }
  const std::string& path() const { return path_; }

  config::Listener Listener() const {
    config::Listener listener;
    listener.name = "tokens";
    config::JwtAuthentication jwt = Trusting();
    jwt.jwks = config::JwksFile{path_};
    listener.authentication = jwt;
    return listener;
  }

 private:
  std::string path_;
};

TEST(MakeAuthenticator, KeepsAJwtAuthenticatorUntilItsConfigurationOrKeysChange) {
  const JwksFile file(JwkSet({EcKey().Jwk()}));
  const auto first = MakeAuthenticator(file.Listener(), nullptr).value();
  EXPECT_EQ(MakeAuthenticator(file.Listener(), first).value(), first);

  config::Listener other = file.Listener();
  std::get<config::JwtAuthentication>(other.authentication).audience = "another";
  EXPECT_NE(MakeAuthenticator(other, first).value(), first);

  file.Write(JwkSet({RsaKey().Jwk()}));
  const auto second = MakeAuthenticator(file.Listener(), first).value();
  EXPECT_NE(second, first);
  EXPECT_EQ(MakeAuthenticator(file.Listener(), second).value(), second);
}

TEST(MakeAuthenticator, NamesAKeySetFileThatCannotBeUsed) {
  const JwksFile file("");
  const auto error = [&] {
    const auto made = MakeAuthenticator(file.Listener(), nullptr);
    return std::string(made.status().message());
  };
  for (const char* text : {"", "{}", "not JSON with a secret", "[]", R"({"keys":{}})"}) {
    file.Write(text);
    EXPECT_EQ(error(), file.path() +
                           ": is not a JWK Set: a JSON object without repeated keys whose \"keys\" is "
                           "a list");
  }
  file.Write(R"({"keys":[]})");
  EXPECT_EQ(error(), file.path() +
                         ": has no key that verifies tokens: RSA of 2048 to 8192 bits, or EC on P-256, "
                         "P-384 or P-521");
  file.Write(std::string((256U << 10U) + 1, ' '));
  EXPECT_EQ(error(), file.path() + ": is larger than 256 KiB");
  std::remove(file.path().c_str());
  EXPECT_EQ(error(), file.path() + ": cannot be read: No such file or directory");
}

}  // namespace
}  // namespace tokend::identity
