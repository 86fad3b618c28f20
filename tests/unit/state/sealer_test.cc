#include "daemon/state/redis/sealer.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <set>
#include <string>
#include <vector>

namespace tokend::state {
namespace {

const std::string kId = "6f1c1f64-0000-4000-8000-000000000001";

Token TokenOf(const std::string& bearer, std::vector<std::string> scopes = {"beta", "sdk"}) {
  Token token;
  token.id = "0123456789abcdef01234567";
  token.organization = "aaaaaaaaaaaaaaaaaaaaaaaa";
  token.description = "größer";
  token.scopes = std::move(scopes);
  token.bearer = Bearer(bearer);
  return token;
}

class Sealing : public testing::Test {
 protected:
  std::string Seal(const Token& token, std::string_view request_id, std::string_view caller) const {
    return sealer_.Seal(token, request_id, caller).value();
  }

  const Sealer sealer_{Secret(std::string(32, 'k'))};
};

TEST_F(Sealing, OpensWhatItSealedAsItWas) {
  for (const auto& scopes : std::vector<std::vector<std::string>>{{}, {"sdk"}, {"beta", "sdk", "x"}}) {
    const auto opened = sealer_.Open(Seal(TokenOf("the-bearer", scopes), kId, "ci"), kId, "ci");
    ASSERT_TRUE(opened.ok());
    const Token& token = **opened;
    EXPECT_EQ(token.id, "0123456789abcdef01234567");
    EXPECT_EQ(token.organization, "aaaaaaaaaaaaaaaaaaaaaaaa");
    EXPECT_EQ(token.application, "");
    EXPECT_EQ(token.description, "größer");
    EXPECT_EQ(token.scopes, scopes);
    EXPECT_EQ(token.bearer.Expose(), "the-bearer");
  }
}

TEST_F(Sealing, ShowsNothingOfTheToken) {
  const std::string sealed = Seal(TokenOf("the-bearer"), kId, "ci");
  for (const char* part : {"the-bearer", "0123456789abcdef01234567", "sdk"}) {
    EXPECT_EQ(sealed.find(part), std::string::npos) << part;
  }
}

TEST_F(Sealing, NeverSealsTwiceAlike) {
  std::set<std::string> sealed;
  for (int i = 0; i < 1000; ++i) sealed.insert(Seal(TokenOf("b"), kId, "ci").substr(1, 12));
  EXPECT_EQ(sealed.size(), 1000U);
}

TEST_F(Sealing, OpensForNoOtherRequestOrCaller) {
  const std::string sealed = Seal(TokenOf("b"), "ab", "c");
  EXPECT_TRUE(sealer_.Open(sealed, "ab", "c").ok());
  EXPECT_FALSE(sealer_.Open(sealed, "a", "bc").ok());
  EXPECT_FALSE(sealer_.Open(sealed, "ab", "d").ok());
  EXPECT_FALSE(sealer_.Open(sealed, "abc", "").ok());
}

TEST_F(Sealing, OpensUnderNoOtherKey) {
  const Sealer other{Secret(std::string(32, 'x'))};
  EXPECT_FALSE(other.Open(Seal(TokenOf("b"), kId, "ci"), kId, "ci").ok());
}

TEST_F(Sealing, OpensNothingThatWasChangedOrCut) {
  const std::string sealed = Seal(TokenOf("b"), kId, "ci");
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(sealer_.Open(changed, kId, "ci").ok()) << i;
    EXPECT_FALSE(sealer_.Open(sealed.substr(0, i), kId, "ci").ok()) << i;
  }
  EXPECT_FALSE(sealer_.Open(sealed + "x", kId, "ci").ok());
}

}  // namespace
}  // namespace tokend::state
