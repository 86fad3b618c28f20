#include "daemon/identity/key_set.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/unit/identity/jwt_fixture.h"

namespace tokend::identity {
namespace {

using fakes::Base64Url;
using fakes::JwkSet;
using fakes::TokenKey;

// How many keys of the set can be used; 0 where it has none or is no set.
std::size_t Usable(const std::vector<std::string>& jwks) {
  const auto set = KeySet::Parse(JwkSet(jwks));
  return set.ok() ? (*set)->size() : 0;
}

std::string WithoutMembers(const std::string& members) { return R"({"keys":[],)" + members + "}"; }

TEST(KeySet, HasTheKeysThatCanVerify) {
  EXPECT_EQ(Usable({RsaKey().Jwk(), EcKey().Jwk(), TokenKey::Ec("P-384").Jwk(), TokenKey::Ec("P-521").Jwk()}),
            4U);
  for (const char* members : {R"(,"use":"sig")", R"(,"use":"jwt-svid")", R"(,"key_ops":["verify"])",
                              R"(,"key_ops":["sign","verify"])", R"(,"alg":"ES256")", R"(,"kid":"")",
                              R"(,"x5c":["MIIB"],"x5t":"a","unknown":{"a":[1]})"}) {
    EXPECT_EQ(Usable({EcKey().Jwk(members)}), 1U) << members;
  }
}

TEST(KeySet, SkipsTheKeysThatCannot) {
  const std::string ed25519 =
      R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})";
  for (const std::string& jwk : {ed25519,
                                 std::string(R"({"kty":"oct","k":"AAAA"})"),
                                 std::string(R"({"kty":"new"})"),
                                 std::string("{}"),
                                 std::string("null"),
                                 std::string("[]"),
                                 std::string("\"EC\""),
                                 EcKey().Jwk(R"(,"use":"enc")"),
                                 EcKey().Jwk(R"(,"use":"x509-svid")"),
                                 EcKey().Jwk(R"(,"use":1)"),
                                 EcKey().Jwk(R"(,"key_ops":["sign"])"),
                                 EcKey().Jwk(R"(,"key_ops":[])"),
                                 EcKey().Jwk(R"(,"key_ops":"verify")"),
                                 EcKey().Jwk(R"(,"alg":"ES384")"),
                                 EcKey().Jwk(R"(,"alg":"RS256")"),
                                 EcKey().Jwk(R"(,"alg":"HS256")"),
                                 EcKey().Jwk(R"(,"alg":null)"),
                                 EcKey().Jwk(R"(,"kid":1)"),
                                 RsaKey().Jwk(R"(,"alg":"ES256")"),
                                 RsaKey().Jwk(R"(,"alg":"RSA-OAEP")"),
                                 TokenKey::Ec("secp256k1").Jwk(),
                                 TokenKey::Rsa(1024).Jwk()}) {
    EXPECT_EQ(Usable({jwk}), 0U) << jwk;
    EXPECT_EQ(Usable({jwk, EcKey().Jwk(), jwk}), 1U) << jwk;
  }
}

TEST(KeySet, SaysHowManyKeysItLeavesOutAndWhy) {
  const auto said = [](const std::vector<std::string>& jwks) {
    return KeySet::Parse(JwkSet(jwks)).value()->left_out();
  };
  EXPECT_EQ(said({EcKey().Jwk(), RsaKey().Jwk()}), "");
  EXPECT_EQ(said({EcKey().Jwk(R"(,"use":"enc")"), EcKey().Jwk(), TokenKey::Rsa(1024).Jwk(),
                  EcKey().Jwk(R"(,"use":"enc")")}),
            "3 of 4 keys left out: 1 RSA outside 2048 to 8192 bits, 2 for another use");
  for (const auto& [jwk, why] : std::vector<std::pair<std::string, std::string>>{
           {"null", "not a JSON object"},
           {R"({"kty":"OKP","crv":"Ed25519","x":"AAAA"})", "neither RSA nor EC"},
           {TokenKey::Ec("secp256k1").Jwk(), "on another curve than P-256, P-384 and P-521"},
           {R"({"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"})", "with numbers that make no key"},
           {EcKey().Jwk(R"(,"alg":"EdDSA")"), "for another algorithm"},
           {EcKey().Jwk(R"(,"kid":1)"), "with a key id that is not a text"}}) {
    EXPECT_EQ(said({EcKey().Jwk(), jwk}), "1 of 2 keys left out: 1 " + why);
  }
}

TEST(KeySet, SkipsKeysWhoseNumbersAreNoKey) {
  const auto rsa = [](const std::string& n, const std::string& e) {
    return R"({"kty":"RSA","n":")" + Base64Url(n) + R"(","e":")" + Base64Url(e) + "\"}";
  };
  const std::string modulus = RsaKey().Modulus();
  EXPECT_EQ(Usable({rsa(modulus, "\x01\x00\x01")}), 0U) << "a C string, cut at its NUL";
  const std::string exponent("\x01\x00\x01", 3);
  EXPECT_EQ(Usable({rsa(modulus, exponent)}), 1U);
  EXPECT_EQ(Usable({rsa('\0' + modulus, exponent)}), 1U) << "some write the sign's byte";
  for (const std::string& bad_exponent : {std::string(), std::string(1, '\0'), std::string("\x01"),
                                          std::string("\x02"), std::string(9, '\x03')}) {
    EXPECT_EQ(Usable({rsa(modulus, bad_exponent)}), 0U);
  }
  EXPECT_EQ(Usable({rsa(modulus.substr(1), exponent)}), 0U) << "2040 bits";
  EXPECT_EQ(Usable({rsa(std::string(256, '\0') + "\x01", exponent)}), 0U);
  EXPECT_EQ(Usable({rsa(std::string(1025, '\xff'), exponent)}), 0U) << "8200 bits";
  EXPECT_EQ(Usable({R"({"kty":"RSA","n":"a=","e":"AQAB"})", R"({"kty":"RSA","e":"AQAB"})"}), 0U);

  const auto ec = [](const std::string& x, const std::string& y) {
    return R"({"kty":"EC","crv":"P-256","x":")" + Base64Url(x) + R"(","y":")" + Base64Url(y) + "\"}";
  };
  EXPECT_EQ(Usable({ec(std::string(32, '\x01'), std::string(32, '\x01'))}), 0U) << "not on the curve";
  EXPECT_EQ(Usable({ec(std::string(32, '\0'), std::string(32, '\0'))}), 0U) << "at infinity";
  EXPECT_EQ(Usable({ec(std::string(31, '\x01'), std::string(32, '\x01'))}), 0U);
  EXPECT_EQ(Usable({ec("", "")}), 0U);
}

TEST(KeySet, IsAJwkSetAndNothingElse) {
  for (const std::string& text :
       {std::string(), std::string("null"), std::string("[]"), std::string("{}"),
        std::string(R"({"keys":null})"), std::string(R"({"keys":"none"})"),
        std::string(R"({"keys":{"0":{}}})"), EcKey().Jwk(), WithoutMembers(R"("keys":[])"),
        JwkSet({EcKey().Jwk(R"(,"kty":"RSA")")}), JwkSet({EcKey().Jwk()}) + "x",
        "\xEF\xBB\xBF\xEF\xBB\xBF" + JwkSet({EcKey().Jwk()}),
        JwkSet({EcKey().Jwk(R"(,"kid":")"
                            "\xff"
                            "\"")})}) {
    const auto set = KeySet::Parse(text);
    EXPECT_EQ(set.status().message(),
              "is not a JWK Set: a JSON object without repeated keys whose \"keys\" is a list")
        << text;
  }
}

TEST(KeySet, IsBounded) {
  EXPECT_EQ(Usable(std::vector<std::string>(100, EcKey().Jwk())), 100U);
  EXPECT_EQ(KeySet::Parse(JwkSet(std::vector<std::string>(101, EcKey().Jwk()))).status().message(),
            "has more than 100 keys");
  EXPECT_EQ(KeySet::Parse(std::string(kMaxKeySetBytes + 1, ' ')).status().message(),
            "is larger than 256 KiB");
  std::string deep = JwkSet({EcKey().Jwk(R"(,"a":)" + std::string(64, '[') + std::string(64, ']'))});
  EXPECT_FALSE(KeySet::Parse(deep).ok());
}

TEST(KeySet, HasAnIdOfItsOwnAndADigestOfItsText) {
  const auto first = KeySet::Parse(JwkSet({EcKey().Jwk()})).value();
  const auto same = KeySet::Parse(JwkSet({EcKey().Jwk()})).value();
  const auto other = KeySet::Parse(JwkSet({RsaKey().Jwk()})).value();
  EXPECT_NE(first->id(), same->id());
  EXPECT_EQ(first->digest(), same->digest());
  EXPECT_NE(first->digest(), other->digest());
}

}  // namespace
}  // namespace tokend::identity
