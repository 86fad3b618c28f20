#include "daemon/audit/fingerprint.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/fakes/temporary_folder.h"

namespace tokend::audit {
namespace {

class FingerprintTest : public testing::Test {
 protected:
  Result<Fingerprinter> WithKey(const std::string& key) {
    std::ofstream(path_, std::ios::binary) << key;
    return Fingerprinter::FromFile(path_);
  }

  const fakes::TemporaryFolder folder_;
  const std::string path_ = folder_ / "key";
};

// From RFC 4231, test case 6: the key is longer than HMAC's block.
TEST_F(FingerprintTest, IsHmacSha256OfTheBearerUnderTheFilesBytes) {
  const Result<Fingerprinter> fingerprinter = WithKey(std::string(131, '\xaa'));
  ASSERT_TRUE(fingerprinter.ok());
  EXPECT_EQ(fingerprinter->Of(Bearer("Test Using Larger Than Block-Size Key - Hash Key First")),
            "hmac-sha256:60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

// echo -n 'tokend fingerprint key id' | openssl dgst -sha256 -mac hmac -macopt key:kkk… prints this.
TEST_F(FingerprintTest, NamesItsKeyByTheFirstEightDigitsOfAFixedTextsHmac) {
  EXPECT_EQ(WithKey(std::string(32, 'k'))->KeyName(), "47d6dd70");
  EXPECT_NE(WithKey(std::string(32, 'l'))->KeyName(), "47d6dd70");
}

TEST_F(FingerprintTest, TakesAKeyOf32BytesOrMore) {
  EXPECT_FALSE(WithKey("").ok());
  EXPECT_FALSE(WithKey(std::string(31, 'k')).ok());
  EXPECT_TRUE(WithKey(std::string(32, 'k')).ok());
  EXPECT_TRUE(WithKey(std::string(4096, 'k')).ok());
  EXPECT_FALSE(WithKey(std::string(4097, 'k')).ok());
  EXPECT_FALSE(Fingerprinter::FromFile(path_ + ".missing").ok());
}

TEST_F(FingerprintTest, DiffersUnderEachNewKey) {
  const Bearer bearer("bearer");
  const Fingerprinter one = Fingerprinter::WithNewKey();
  EXPECT_EQ(one.Of(bearer), one.Of(bearer));
  EXPECT_NE(one.Of(bearer), Fingerprinter::WithNewKey().Of(bearer));
}

}  // namespace
}  // namespace tokend::audit
