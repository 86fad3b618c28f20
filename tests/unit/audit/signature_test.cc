#include "daemon/audit/signature.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/fakes/temporary_folder.h"

namespace tokend::audit {
namespace {

// RFC 8410, 10.3 and 10.1: a private key and its public one.
constexpr char kPrivate[] =
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
    "-----END PRIVATE KEY-----\n";
constexpr char kPublic[] =
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
    "-----END PUBLIC KEY-----\n";
constexpr char kOtherPublic[] =
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n"
    "-----END PUBLIC KEY-----\n";

class SignatureTest : public testing::Test {
 protected:
  std::string Write(const std::string& text) const {
    std::ofstream(folder_ / "key.pem") << text;
    return folder_ / "key.pem";
  }

  const std::string prev_ = std::string(64, 'a');
  fakes::TemporaryFolder folder_;
};

TEST_F(SignatureTest, IsVerifiedByItsKeyForItsSequenceAndHashAlone) {
  const Result<Signer> signer = Signer::FromFile(Write(kPrivate));
  ASSERT_TRUE(signer.ok()) << signer.status();
  const std::string signature = signer->Sign(7, prev_);
  EXPECT_EQ(signature.substr(0, 8), "ed25519:");
  const Result<Verifier> verifier = Verifier::FromFile(Write(kPublic));
  ASSERT_TRUE(verifier.ok()) << verifier.status();
  EXPECT_TRUE(verifier->Verifies(7, prev_, signature));
  EXPECT_FALSE(verifier->Verifies(8, prev_, signature));
  EXPECT_FALSE(verifier->Verifies(7, std::string(64, 'b'), signature));
  EXPECT_FALSE(Verifier::FromFile(Write(kOtherPublic))->Verifies(7, prev_, signature));
  for (std::size_t i = 0; i < signature.size(); ++i) {
    std::string changed = signature;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(verifier->Verifies(7, prev_, changed)) << i;
  }
  EXPECT_FALSE(verifier->Verifies(7, prev_, ""));
  EXPECT_FALSE(verifier->Verifies(7, prev_, signature + "="));
}

TEST_F(SignatureTest, TakesOnlyKeysOfEd25519) {
  for (const std::string& text : {std::string(""), std::string("no key"), std::string(kPublic)}) {
    const Result<Signer> signer = Signer::FromFile(Write(text));
    ASSERT_FALSE(signer.ok());
    EXPECT_NE(signer.status().message().find("must hold an Ed25519 private key"), std::string::npos);
  }
  EXPECT_FALSE(Verifier::FromFile(Write(kPrivate)).ok());
  EXPECT_FALSE(Signer::FromFile(folder_ / "none").ok());
}

}  // namespace
}  // namespace tokend::audit
