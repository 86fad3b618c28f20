#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/identity/mtls_authenticator.h"
#include "tests/unit/identity/jwt_fixture.h"

// What somebody might send who wants in without a token, or to learn or break something. Each case is
// UNAUTHENTICATED in words that repeat nothing of it.
namespace tokend::identity {
namespace {

using fakes::Base64Url;
using fakes::Hmac;
using fakes::SigningInput;
using fakes::SignToken;
using fakes::TokenKey;
using std::string_literals::operator""s;

struct Case {
  std::string name;
  std::vector<std::string> authorization;
};

// Stands in each part that the sender chooses; no answer may hold it.
constexpr char kMark[] = "quoted";

std::string HeaderOf(std::string_view algorithm, const std::string& members = "") {
  return Header(algorithm, R"(,"kid":"ec","quoted":"quoted")" + members);
}

std::string MarkedClaims(const std::string& members = "") {
  return Claims(R"(,"quoted":"quoted")" + members);
}

class Cases {
 public:
  void Value(const std::string& name, std::string value) { Values(name, {std::move(value)}); }
  void Values(const std::string& name, std::vector<std::string> values) {
    cases_.push_back({name, std::move(values)});
  }
  void Token(const std::string& name, const std::string& token) { Value(name, "Bearer " + token); }
  // Everything but the header is right.
  void SignedHeader(const std::string& name, const std::string& header) {
    Token("header: " + name, SignToken(EcKey(), "ES256", header, MarkedClaims()));
  }
  // Everything but the claims is right.
  void SignedClaims(const std::string& name, const std::string& claims) {
    Token("claims: " + name, SignToken(EcKey(), "ES256", HeaderOf("ES256"), claims));
  }
  // Everything but the signature is right.
  void Signature(const std::string& name, const std::string& signature) {
    Token("signature: " + name, SigningInput(HeaderOf("ES256"), MarkedClaims()) + "." + Base64Url(signature));
  }

  std::vector<Case> Take() { return std::move(cases_); }

 private:
  std::vector<Case> cases_;
};

std::string Good() { return SignToken(EcKey(), "ES256", HeaderOf("ES256"), MarkedClaims()); }

void AddMetadata(Cases& cases) {
  const std::string good = Good();
  cases.Values("no metadata", {});
  cases.Values("the same twice", {"Bearer " + good, "Bearer " + good});
  cases.Values("a good one and an empty one", {"Bearer " + good, ""});
  cases.Values("an empty one and a good one", {"", "Bearer " + good});
  cases.Values("a hundred", std::vector<std::string>(100, "Bearer " + good));
  const std::vector<std::string> values = {"",
                                           " ",
                                           "Bearer",
                                           "Bearer ",
                                           "bearer",
                                           "Bearer  " + good,
                                           "Bearer\t" + good,
                                           "Bearer\n" + good,
                                           "Bearer\0"s + good,
                                           " Bearer " + good,
                                           "Bearer " + good + " ",
                                           "Bearer " + good + "\n",
                                           "Bearer " + good + "\r\nx-caller: root",
                                           "Bearer " + good + "\0"s,
                                           "Bearer " + good + ",",
                                           "Bearer," + good,
                                           "Bearer=" + good,
                                           "Bearer: " + good,
                                           "Bearer \"" + good + "\"",
                                           "Bearer token=" + good,
                                           "Basic " + good,
                                           "Basic cXVvdGVkOnF1b3RlZA==",
                                           "Negotiate YII=",
                                           "DPoP " + good,
                                           "JWT " + good,
                                           good,
                                           "Bеarer " + good,
                                           "BearerBearer " + good,
                                           "Bearer Bearer " + good,
                                           "quoted",
                                           std::string(1U << 20U, 'A'),
                                           "Bearer " + std::string(1U << 20U, 'A'),
                                           "Bearer " + std::string(1U << 20U, '.'),
                                           "Bearer " + std::string(8193, 'A'),
                                           std::string(100, '\0'),
                                           std::string(100, '\xff')};
  for (std::size_t i = 0; i < values.size(); ++i) cases.Value("value " + std::to_string(i), values[i]);
}

void AddShapes(Cases& cases) {
  const std::string good = Good();
  const std::size_t first = good.find('.');
  const std::size_t second = good.rfind('.');
  const std::string header = good.substr(0, first);
  const std::string payload = good.substr(first + 1, second - first - 1);
  const std::string signature = good.substr(second + 1);
  const std::vector<std::string> tokens = {
      ".", "..", "...", "....", "a", "a.b", "a.b.c", header, header + ".", header + "." + payload,
      header + "." + payload + ".", header + ".." + signature, "." + payload + "." + signature, good + ".",
      "." + good, good + "." + signature, header + "." + payload + "." + signature + "=",
      header + "=." + payload + "." + signature, header + "." + payload + "=." + signature,
      header + "." + payload + "." + signature + "AA", header + "." + payload + "." + signature + "A",
      header + "." + payload + "." + signature.substr(1), header + "." + payload.substr(1) + "." + signature,
      header.substr(1) + "." + payload + "." + signature, header + "\0."s + payload + "." + signature,
      header + ".\0"s + payload + "." + signature, good.substr(0, good.size() / 2),
      header + "." + payload + "." + signature.substr(0, 43), "+" + good, good + "/", header + " ." + payload,
      signature + "." + payload + "." + header, payload + "." + header + "." + signature,
      Base64Url("quoted") + "." + payload + "." + signature, "%65%79" + good,
      // JWE, in five parts
      Base64Url(R"({"alg":"RSA-OAEP","enc":"A256GCM"})") + ".a.b.c.d",
      Base64Url(R"({"alg":"dir"})") + "..a.b.c",
      // JSON serialization instead of the compact one
      R"({"payload":")" + payload + R"(","protected":")" + header + R"(","signature":")" + signature + "\"}",
      R"({"payload":")" + payload + R"(","signatures":[{"protected":")" + header + R"(","signature":")" +
          signature + "\"}]}"};
  for (std::size_t i = 0; i < tokens.size(); ++i) cases.Token("shape " + std::to_string(i), tokens[i]);
  for (std::size_t cut : {1U, 10U, 30U, 60U, 90U, 120U, 150U, 180U}) {
    cases.Token("cut after " + std::to_string(cut), good.substr(0, cut));
    cases.Token("without its last " + std::to_string(cut), good.substr(0, good.size() - cut));
  }
  for (std::size_t flipped : {2U, 20U, 40U, 70U, 100U, 130U}) {
    std::string changed = good;
    changed[flipped] = changed[flipped] == 'A' ? 'B' : 'A';
    cases.Token("another character at " + std::to_string(flipped), changed);
  }
}

void AddAlgorithms(Cases& cases) {
  for (const char* algorithm :
       {"none",   "None",  "nONE",   "NONE",         "HS256",  "HS384",  "HS512", "EdDSA", "Ed25519",
        "ES256K", "es256", "ES-256", "ES256\\u0000", "ES256 ", " ES256", "RS1",   "RS0",   "ES128",
        "PS",     "RS",    "",       "quoted",       "A128KW", "dir"}) {
    cases.SignedHeader("alg " + std::string(algorithm), HeaderOf(algorithm));
    cases.Token("unsigned alg " + std::string(algorithm),
                SigningInput(HeaderOf(algorithm), MarkedClaims()) + ".");
  }
  const std::vector<std::pair<std::string, std::string>> keys = {
      {"PEM", RsaKey().PublicPem()},
      {"PEM without its newline", RsaKey().PublicPem().substr(0, 450)},
      {"modulus", RsaKey().Modulus()},
      {"JWK", RsaKey().Jwk()},
      {"n", Base64Url(RsaKey().Modulus())},
      {"EC PEM", EcKey().PublicPem()},
      {"nothing", ""},
      {"kid", "rsa"}};
  for (const char* algorithm : {"HS256", "HS384", "HS512"}) {
    for (const auto& [name, key] : keys) {
      for (const char* kid : {"rsa", "ec"}) {
        const std::string input =
            SigningInput(Header(algorithm, R"(,"kid":")" + std::string(kid) + "\""), MarkedClaims());
        cases.Token(std::string(algorithm) + " keyed with the " + name + " for " + kid,
                    input + "." + Base64Url(Hmac(algorithm, key, input)));
      }
    }
  }
  for (const char* algorithm : {"RS256", "PS256", "RS384", "PS512", "ES384", "ES512"}) {
    cases.SignedHeader("an EC signature as " + std::string(algorithm), HeaderOf(algorithm));
    cases.Token("RSA as " + std::string(algorithm) + " by the EC key's id",
                SignToken(RsaKey(), "RS256", HeaderOf(algorithm), MarkedClaims()));
  }
  const std::string rsa_as_es256 = Header("ES256", R"(,"kid":"rsa")");
  cases.Token("an RSA signature as ES256", SignToken(RsaKey(), "RS256", rsa_as_es256, MarkedClaims()));
  const std::string rs_as_ps = Header("PS256", R"(,"kid":"rsa")");
  cases.Token("PKCS #1 as PSS", SignToken(RsaKey(), "RS256", rs_as_ps, MarkedClaims()));
  const std::string ps_as_rs = Header("RS256", R"(,"kid":"rsa")");
  cases.Token("PSS as PKCS #1", SignToken(RsaKey(), "PS256", ps_as_rs, MarkedClaims()));
  cases.Token("SHA-512 as SHA-256", SignToken(RsaKey(), "RS512", ps_as_rs, MarkedClaims()));
  for (const std::string& bytes :
       {std::string(256, '\0'), std::string(256, '\xff'), std::string("\x01"), RsaKey().Modulus(),
        std::string(255, '\0') + '\x01', std::string(512, '\0')}) {
    cases.Token("RSA signature of " + std::to_string(bytes.size()) + " bytes",
                SigningInput(ps_as_rs, MarkedClaims()) + "." + Base64Url(bytes));
    cases.Token("PSS signature of " + std::to_string(bytes.size()) + " bytes",
                SigningInput(rs_as_ps, MarkedClaims()) + "." + Base64Url(bytes));
  }
}

void AddSignatures(Cases& cases) {
  const std::string input = SigningInput(HeaderOf("ES256"), MarkedClaims());
  const std::string good = EcKey().Sign("ES256", input);
  // The order of P-256, which r and s must be below.
  const std::string order =
      "\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"
      "\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51"s;
  const std::string zero(32, '\0');
  const std::string one = std::string(31, '\0') + '\x01';
  cases.Signature("all zero", std::string(64, '\0'));
  cases.Signature("r zero", zero + good.substr(32));
  cases.Signature("s zero", good.substr(0, 32) + zero);
  cases.Signature("ones", one + one);
  cases.Signature("r is the order", order + good.substr(32));
  cases.Signature("s is the order", good.substr(0, 32) + order);
  cases.Signature("both the order", order + order);
  cases.Signature("all ones", std::string(64, '\xff'));
  cases.Signature("DER", EcKey().SignDer("ES256", input));
  cases.Signature("half", good.substr(0, 32));
  cases.Signature("one byte less", good.substr(0, 63));
  cases.Signature("one byte more", good + '\0');
  cases.Signature("a byte before", '\0' + good);
  cases.Signature("each number a byte longer", '\0' + good.substr(0, 32) + '\0' + good.substr(32));
  cases.Signature("turned round", good.substr(32) + good.substr(0, 32));
  cases.Signature("twice", good + good);
  cases.Signature("of 6 KiB", std::string(5000, 'A'));
  cases.Signature("of other claims", EcKey().Sign("ES256", SigningInput(HeaderOf("ES256"), Claims())));
  cases.Signature("by another key", TokenKey::Ec("P-256").Sign("ES256", input));
  cases.Signature("of another digest", EcKey().Sign("ES512", input));
  cases.Signature("of the claims alone", EcKey().Sign("ES256", Base64Url(MarkedClaims())));
  cases.Signature("of what is encoded", EcKey().Sign("ES256", HeaderOf("ES256") + "." + MarkedClaims()));
}

void AddHeaders(Cases& cases) {
  const TokenKey own = TokenKey::Ec("P-256");
  const std::string jwk = own.Jwk();
  for (const std::string& members :
       {R"(,"jwk":)" + jwk, R"(,"jku":"https://127.0.0.1:1/quoted")"s,
        R"(,"x5u":"https://127.0.0.1:1/quoted")"s, R"(,"jku":"file:///etc/passwd")"s, R"(,"x5c":["quoted"])"s,
        R"(,"x5t":"quoted")"s}) {
    cases.Token("by a key that it brings: " + members.substr(2, 3),
                SignToken(own, "ES256", HeaderOf("ES256", members), MarkedClaims()));
    cases.Token("by a key that it alone names: " + members.substr(2, 3),
                SignToken(own, "ES256", Header("ES256", R"(,"kid":"quoted")" + members), MarkedClaims()));
  }
  for (const char* members : {R"(,"crit":["b64"],"b64":false)",
                              R"(,"b64":false)",
                              R"(,"b64":true)",
                              R"(,"crit":[])",
                              R"(,"crit":["exp"])",
                              R"(,"crit":"quoted")",
                              R"(,"crit":null)",
                              R"(,"crit":["quoted"],"quoted2":1)",
                              R"(,"typ":"logout+jwt")",
                              R"(,"typ":"quoted")",
                              R"(,"typ":null)",
                              R"(,"typ":["JWT"])",
                              R"(,"alg":"ES256")",
                              R"(,"kid":"ec")",
                              R"(,"\u0061lg":"none")",
                              R"(,"a":{"b":1,"b":2})",
                              R"(,"a":1e999)",
                              R"(,"a":"\ud800")",
                              R"(,"a":"\x")",
                              R"(,"a":01)",
                              R"(,"a":+1)",
                              R"(,"a":.5)",
                              R"(,"a":NaN)",
                              R"(,"a":'b')",
                              R"(,a:1)",
                              R"(,"a":1,)",
                              ",\"a\":\"\n\"",
                              ",\"a\":\"\xff\"",
                              ",\"a\":\"\xc0\xaf\"",
                              ",/**/\"a\":1"}) {
    cases.SignedHeader("with " + std::string(members), HeaderOf("ES256", members));
  }
  for (const std::string& header :
       {"{}"s,
        "[]"s,
        "null"s,
        "\"quoted\""s,
        "1"s,
        "{"s,
        R"({"alg":"ES256")"s,
        R"({"alg":"ES256"}})"s,
        R"({"alg":"ES256"}{"alg":"ES256"})"s,
        R"([{"alg":"ES256"}])"s,
        R"({"alg":null})"s,
        R"({"alg":1})"s,
        R"({"alg":["ES256"]})"s,
        R"({"alg":{"":"ES256"}})"s,
        R"({"ALG":"ES256"})"s,
        R"({"typ":"JWT"})"s,
        R"({"alg":"ES256","kid":null})"s,
        R"({"alg":"ES256","kid":1})"s,
        R"({"alg":"ES256","kid":["ec"]})"s,
        R"({"alg":"ES256","kid":""})"s,
        R"({"alg":"ES256","kid":"EC"})"s,
        R"({"alg":"ES256","kid":"ec\u0000"})"s,
        R"({"alg":"ES256","kid":"' OR 1=1 --"})"s,
        R"({"alg":"ES256","kid":"../../../dev/null"})"s,
        R"({"alg":"ES256","kid":"|quoted"})"s,
        R"({"alg":"ES256"})"s + '\0',
        '\0' + R"({"alg":"ES256"})"s,
        R"({"alg":"ES256","x":)"s + std::string(40, '[') + std::string(40, ']') + "}",
        R"({"alg":"ES256","x":)"s + std::string(2000, '[') + std::string(2000, ']') + "}",
        R"({"alg":"ES256","x":)"s + std::string(3000, '{'),
        "\xEF\xBB\xBF\xEF\xBB\xBF{\"alg\":\"ES256\"}"s,
        std::string(3000, ' '),
        std::string(3000, '"')}) {
    cases.SignedHeader("instead " + header.substr(0, 40), header);
  }
}

void AddClaims(Cases& cases) {
  const std::string right =
      R"("iss":"https://issuer.example","aud":"tokend","sub":"quoted","exp":1800000600)";
  const auto without = [&right](const std::string& piece, const std::string& instead = "") {
    std::string text = right;
    text.replace(text.find(piece), piece.size(), instead);
    return "{" + text + "}";
  };
  for (const char* exp : {R"("exp":1799999939)", R"("exp":0)", R"("exp":-1)", R"("exp":"1800000600")",
                          R"("exp":null)", R"("exp":true)", R"("exp":[1800000600])", R"("exp":1e308)",
                          R"("exp":1e999)", R"("exp":9223372036854775808)", R"("exp":18446744073709551616)",
                          R"("exp":1e15)", R"("exp":"2100-01-01")", R"("Exp":1800000600)"}) {
    cases.SignedClaims(exp, without(R"("exp":1800000600)", exp));
  }
  for (const char* issuer :
       {R"("iss":"https://quoted.example")", R"("iss":"https://issuer.example/")", R"("iss":"")",
        R"("iss":null)", R"("iss":["https://issuer.example"])", R"("ISS":"https://issuer.example")",
        R"("iss":"https://issuer.example\u0000")", R"("iss":"https://issuer.example.quoted")"}) {
    cases.SignedClaims(issuer, without(R"("iss":"https://issuer.example")", issuer));
  }
  for (const char* audience :
       {R"("aud":"quoted")", R"("aud":"")", R"("aud":null)", R"("aud":[])", R"("aud":["quoted"])",
        R"("aud":["tokend",1])", R"("aud":[["tokend"]])", R"("aud":{"tokend":1})", R"("aud":"Tokend")",
        R"("aud":"tokend\u0000")", R"("aud":"*")", R"("aud":true)"}) {
    cases.SignedClaims(audience, without(R"("aud":"tokend")", audience));
  }
  for (const char* subject :
       {R"("sub":"*")", R"("sub":"**")", R"("sub":"quoted:*")", R"("sub":"")", R"("sub":null)", R"("sub":7)",
        R"("sub":["quoted"])", R"("sub":{"a":"quoted"})", R"("sub":"a b")", R"("sub":"a\tb")",
        R"("sub":"a\nb")", R"("sub":"a\u0000b")", R"("sub":"\u001b[2Jquoted")", R"("sub":"\u202equoted")",
        R"("sub":"qu\u00f6ted")", R"("sub":"spiffe://quoted.example/a")", R"("sub":"dns:quoted")",
        R"("sub":"unix:quoted")", R"("Sub":"quoted")"}) {
    cases.SignedClaims(subject, without(R"("sub":"quoted")", subject));
  }
  cases.SignedClaims("a name of 513 bytes", without("quoted", std::string(513, 'q')));
  for (const char* member :
       {R"(,"nbf":1800000061)", R"(,"nbf":"0")", R"(,"nbf":null)", R"(,"nbf":-1)", R"(,"nbf":1e300)",
        R"(,"iat":1800000061)", R"(,"iat":"0")", R"(,"iat":{})", R"(,"sub":"root")", R"(,"s\u0075b":"root")",
        R"(,"exp":1800000600)", R"(,"a":{"b":{"c":1,"c":1}})", R"(,"a":"\ud800")", ",\"a\":\"\xff\"",
        R"(,"a":1,)", R"(}{"sub":"root")", R"(} )"}) {
    cases.SignedClaims(member, "{" + right + member + "}");
  }
  for (const std::string& claims :
       {"{}"s,
        "[]"s,
        "null"s,
        "quoted"s,
        "\"quoted\""s,
        "{"s,
        "1"s,
        " "s,
        "\0"s,
        "{" + right,
        right,
        "[{" + right + "}]",
        "{" + right + "}\0"s,
        "{" + right + "}}",
        "\0{"s + right + "}",
        "{" + right + R"(,"a":)" + std::string(100, '[') + std::string(100, ']') + "}",
        "{" + right + R"(,"a":)" + std::string(2500, '[') + std::string(2500, ']') + "}",
        std::string(5000, '['),
        std::string(5000, '{'),
        SignToken(EcKey(), "ES256", HeaderOf("ES256"), Claims())}) {
    cases.SignedClaims("instead " + claims.substr(0, 30), claims);
  }
}

std::vector<Case> AllCases() {
  Cases cases;
  AddMetadata(cases);
  AddShapes(cases);
  AddAlgorithms(cases);
  AddSignatures(cases);
  AddHeaders(cases);
  AddClaims(cases);
  return cases.Take();
}

std::string KeySetText() {
  return fakes::JwkSet({EcKey().Jwk(R"(,"kid":"ec")"), RsaKey().Jwk(R"(,"kid":"rsa")")});
}

bool IsPrintableAscii(std::string_view text) {
  for (const char c : text) {
    if (c < ' ' || c > '~') return false;
  }
  return true;
}

TEST(HostileCredentials, LeaveAGoodOneGood) {
  const Trust trust(KeySetText());
  EXPECT_EQ(trust.WhatIsWrong(Good()), "");
}

TEST(HostileCredentials, AreUnauthenticatedInWordsThatRepeatNothing) {
  const Trust trust(KeySetText());
  const std::vector<Case> cases = AllCases();
  EXPECT_GE(cases.size(), 300U);
  for (const Case& hostile : cases) {
    const Result<Caller> caller = Ask(trust.authenticator(), With(hostile.authorization));
    EXPECT_EQ(caller.status().code(), absl::StatusCode::kUnauthenticated) << hostile.name;
    const std::string words(caller.status().message());
    EXPECT_FALSE(words.empty()) << hostile.name;
    EXPECT_LT(words.size(), 100U) << hostile.name;
    EXPECT_TRUE(IsPrintableAscii(words)) << hostile.name;
    EXPECT_EQ(words.find(kMark), std::string::npos) << hostile.name;
  }
  EXPECT_EQ(trust.WhatIsWrong(Good()), "") << "after all of them";
}

TEST(HostileCredentials, OfCertificatesAreUnauthenticatedInWordsThatRepeatNothing) {
  const MtlsAuthenticator authenticator("cluster", {});
  const std::string good = "spiffe://prod.example/a";
  std::vector<std::pair<std::vector<std::string>, std::vector<std::string>>> cases = {
      {{good, good}, {}},
      {{good, "spiffe://quoted.example/b"}, {}},
      {{good, ""}, {}},
      {{"", ""}, {"quoted"}}};
  for (const std::string& id : {""s,
                                "spiffe://"s,
                                "spiffe:///quoted"s,
                                "spiffe://quoted"s,
                                "spiffe://quoted/"s,
                                "spiffe://quoted//a"s,
                                "spiffe://quoted/./a"s,
                                "spiffe://quoted/a/.."s,
                                "spiffe://quoted:80/a"s,
                                "spiffe://a@quoted/a"s,
                                "spiffe://quoted/a?b"s,
                                "spiffe://quoted/a#b"s,
                                "spiffe://quoted/%61"s,
                                "spiffe://Quoted/a"s,
                                "SPIFFE://quoted/a"s,
                                "spiffe://quoted/a b"s,
                                "spiffe://quoted/a\0b"s,
                                "spiffe://quoted/a\n"s,
                                "spiffe://quoted/*"s,
                                "spiffe://quoted/\xC3\xA4"s,
                                "https://quoted/a"s,
                                "urn:quoted:a"s,
                                "spiffe://quoted/" + std::string(2048, 'a'),
                                "spiffe://" + std::string(256, 'q') + "/a"}) {
    cases.push_back({{id}, {}});
    cases.push_back({{id}, {"quoted.example"}});
  }
  for (const std::string& host :
       {""s, "*"s, "*.quoted"s, "quoted.*"s, "quoted."s, ".quoted"s, "quoted..a"s, "-quoted"s, "quoted_a"s,
        "quoted a"s, "quoted\0a"s, "quoted\n"s, "quoted:80"s, "quoted/a"s, "qu\xC3\xB6ted"s,
        std::string(64, 'q'), std::string(254, 'q')}) {
    cases.push_back({{}, {host}});
  }
  for (const auto& [uri_sans, dns_sans] : cases) {
    const Result<Caller> caller =
        Ask(authenticator, {.peer = "ipv4:10.0.0.1:4711", .uri_sans = uri_sans, .dns_sans = dns_sans});
    EXPECT_EQ(caller.status().code(), absl::StatusCode::kUnauthenticated) << testing::PrintToString(uri_sans);
    EXPECT_EQ(std::string(caller.status().message()).find(kMark), std::string::npos);
  }
}

}  // namespace
}  // namespace tokend::identity
