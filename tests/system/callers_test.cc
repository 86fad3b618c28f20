#include <gmock/gmock.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "tests/fakes/test_tokens.h"
#include "tests/system/fixture.h"

// How the real daemon identifies callers by their tokens and by their Unix users.
namespace tokend::system {
namespace {

using fakes::JwkSet;
using fakes::SignToken;
using fakes::TokenKey;
using testing::HasSubstr;
using testing::Not;

class Callers : public SystemTest {
 protected:
  std::string TokenBy(const TokenKey& key, const std::string& subject = "ci",
                      const std::string& expires = "4000000000") const {
    return SignToken(key, "ES256", R"({"alg":"ES256"})",
                     R"({"iss":"https://issuer.example","aud":"tokend","sub":")" + subject + R"(","exp":)" +
                         expires + "}");
  }
  Answered CreateWith(const std::vector<std::string>& authorization) const {
    return client_->CreateWith(authorization, RequestFor("ios-app"));
  }
  void StartWithKeySetFile() {
    WriteFile(folder_ / "jwks.json", JwkSet({first_.Jwk()}));
    Tokend::Options options;
    options.listeners =
        "  - name: local\n    address: 127.0.0.1:0\n    authentication: {jwt: {issuer: "
        "\"https://issuer.example\", audience: tokend, jwks_file: " +
        (folder_ / "jwks.json") + "}}\n";
    Start(options);
  }

  const TokenKey first_ = TokenKey::Ec("P-256");
  const TokenKey second_ = TokenKey::Ec("P-256");
};

TEST_F(Callers, WithATokenAreNamedByItsSubject) {
  StartWithKeySetFile();
  const std::string token = TokenBy(first_);
  const Answered answered = CreateWith({"Bearer " + token});
  ASSERT_EQ(answered.code, 0) << answered.message;
  EXPECT_THAT(LastRecord("token.issued"), HasSubstr(R"("caller":{"name":"ci","authentication":"jwt")"));
  for (const auto& bad : std::vector<std::vector<std::string>>{
           {}, {"Bearer " + token, "Bearer " + token}, {"Bearer " + TokenBy(second_)}, {"Bearer a.b.c"}}) {
    const Answered refused = CreateWith(bad);
    EXPECT_EQ(refused.code, 16) << refused.message;
    EXPECT_EQ(refused.reason, "CALLER_UNKNOWN");
  }
  EXPECT_EQ(CreateWith({"Bearer " + TokenBy(first_, "stranger")}).reason, "NOT_PERMITTED");
  EXPECT_THAT(tokend_->log(), Not(HasSubstr(token)));
  EXPECT_THAT(tokend_->audit(), Not(HasSubstr(token)));
}

TEST_F(Callers, WithAnExpiredTokenAreToldSoIfItWasGood) {
  StartWithKeySetFile();
  const Answered expired = CreateWith({"Bearer " + TokenBy(first_, "ci", "1000000000")});
  EXPECT_EQ(expired.reason, "CALLER_UNKNOWN");
  EXPECT_EQ(expired.message, "the token has expired; call again with a new one");
  const Answered forged = CreateWith({"Bearer " + TokenBy(second_, "ci", "1000000000")});
  EXPECT_EQ(forged.reason, "CALLER_UNKNOWN");
  EXPECT_EQ(forged.message, CreateWith({}).message);
  EXPECT_THAT(forged.message, Not(HasSubstr("expired")));
}

TEST_F(Callers, WithATokenAreVerifiedByTheKeySetInTheFile) {
  StartWithKeySetFile();
  ASSERT_EQ(CreateWith({"Bearer " + TokenBy(first_)}).code, 0);
  WriteFile(folder_ / "jwks.json", JwkSet({second_.Jwk()}));
  tokend_->process().Signal(SIGHUP);
  EXPECT_TRUE(Eventually([&] { return CreateWith({"Bearer " + TokenBy(second_)}).code == 0; }));
  EXPECT_EQ(CreateWith({"Bearer " + TokenBy(first_)}).reason, "CALLER_UNKNOWN");
}

}  // namespace
}  // namespace tokend::system
