#include "daemon/upstream/central_credentials.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

#include "daemon/config/contents.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/fakes/test_authority.h"

namespace tokend::upstream {
namespace {

class CentralCredentialsTest : public testing::Test {
 protected:
  CentralCredentialsTest() {
    Write("ca", authority_.certificate());
    UseIdentity(authority_.Issue("DNS:relay"));
    Write("token", "a-token\n");
    options_.tls = {folder_ / "ca", folder_ / "certificate", folder_ / "key"};
    options_.token_file = folder_ / "token";
  }

  void Write(const std::string& name, const std::string& text) { fakes::WriteSecret(folder_ / name, text); }
  void UseIdentity(const fakes::Identity& identity) {
    Write("certificate", identity.certificate);
    Write("key", identity.private_key);
  }

  void ExpectError(const std::string& key, const std::string& message) {
    const Result<CentralCredentials> read = ReadCentralCredentials(options_);
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(config::KeyOf(read.status()), key);
    EXPECT_EQ(read.status().message(), folder_.path().string() + "/" + message);
  }

  fakes::TemporaryFolder folder_;
  fakes::TestAuthority authority_;
  config::TokendUpstream options_;
};

TEST_F(CentralCredentialsTest, AreWhatTheFilesHold) {
  const Result<CentralCredentials> read = ReadCentralCredentials(options_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_NE(read->identity, nullptr);
  ASSERT_NE(read->token, nullptr);
  EXPECT_EQ(read->token->Expose(), "a-token");
}

TEST_F(CentralCredentialsTest, AreNotReadForPlaintext) {
  options_.plaintext = true;
  Write("token", "");
  const Result<CentralCredentials> read = ReadCentralCredentials(options_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->identity, nullptr);
  EXPECT_EQ(read->token, nullptr);
}

TEST_F(CentralCredentialsTest, OthersMayReadTheTokenAndNotTheKey) {
  chmod(options_.token_file.c_str(), 0644);
  EXPECT_TRUE(ReadCentralCredentials(options_).ok());
  chmod(options_.tls.private_key_file.c_str(), 0644);
  ExpectError("upstream.tokend.tls.private_key_file", "key: may be read by others: chmod o-r");
}

TEST_F(CentralCredentialsTest, AreRefusedWithTheFileAndWhatIsWrong) {
  Write("token", "two words");
  ExpectError("upstream.tokend.token_file",
              "token: must hold the key alone: one line of printable ASCII without spaces");
  Write("key", authority_.Issue("DNS:other").private_key);
  ExpectError("upstream.tokend.tls.private_key_file", "key is not the private key of the certificate");
  Write("key", "none");
  ExpectError("upstream.tokend.tls.private_key_file", "key must hold an unencrypted private key in PEM");
  UseIdentity(authority_.IssueWithShortKey("DNS:relay"));
  ExpectError("upstream.tokend.tls.certificate_file",
              "certificate has a key that is too short or a signature that is too weak; create a new "
              "certificate");
  Write("certificate", "none");
  ExpectError("upstream.tokend.tls.certificate_file",
              "certificate must hold one or more complete certificates in PEM");
  Write("ca", "none");
  ExpectError("upstream.tokend.tls.ca_file", "ca must hold one or more complete certificates in PEM");
}

TEST_F(CentralCredentialsTest, AFileThatCannotBeUsedLeavesThemAsTheyAre) {
  using namespace std::chrono_literals;
  const CentralCredentialFiles::TimePoint start{1h};
  CentralCredentialFiles files(options_, *ReadCentralCredentials(options_));
  files.RereadIfChanged(start);
  EXPECT_EQ(files.generation(), 0u);
  // The certificate is replaced before its key.
  const fakes::Identity next = authority_.Issue("DNS:next");
  const auto before = files.current().identity;
  Write("certificate", next.certificate);
  files.RereadIfChanged(start + 1s);
  EXPECT_EQ(files.generation(), 0u);
  EXPECT_EQ(files.current().identity, before);
  Write("key", next.private_key);
  files.RereadIfChanged(start + 1999ms);
  EXPECT_EQ(files.generation(), 0u);
  files.RereadIfChanged(start + 2s);
  EXPECT_EQ(files.generation(), 1u);
  EXPECT_NE(files.current().identity, before);
  Write("token", "another\n");
  files.Reread();
  EXPECT_EQ(files.generation(), 2u);
}

}  // namespace
}  // namespace tokend::upstream
