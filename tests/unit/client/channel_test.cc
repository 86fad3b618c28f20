#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <fstream>

#include "client/client.h"
#include "tests/unit/client/certificates.h"
#include "tests/unit/client/fake_tokend.h"

namespace tokend::client {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

void Write(const std::string& path, const std::string& content) { std::ofstream(path) << content; }

TEST(Address, MayBeAUnixSocketOrHostAndPort) {
  for (const char* address : {"unix:///run/tokend/tokend.sock", "localhost:8443", "127.0.0.1:1",
                              "[::1]:65535", "tokend.platform.svc:8443", "10.0.0.1:8443"}) {
    EXPECT_TRUE(Client::Connect({.address = address}).ok()) << address;
  }
}

TEST(Address, IsRefusedInAnyOtherForm) {
  for (const char* address : {"",
                              "host",
                              "host:",
                              ":1",
                              "host:0",
                              "host:65536",
                              "host:1x",
                              "host:+1",
                              "::1:80",
                              "[::1]",
                              "[host]:1",
                              "dns:///host:1",
                              "https://host:1",
                              "unix:relative",
                              "unix://relative",
                              "unix:///a?b",
                              "unix:///a%62",
                              "unix:///a b",
                              "a/b:1",
                              "host:1 "}) {
    const Status status = Client::Connect({.address = address}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << address;
    EXPECT_THAT(std::string(status.message()), StartsWith("address:")) << address;
  }
  EXPECT_FALSE(Client::Connect({.address = "unix:///" + std::string(107, 'a')}).ok());
}

TEST(Timeout, IsBetweenAMillisecondAndADay) {
  using std::chrono::milliseconds;
  for (const milliseconds timeout :
       {milliseconds(-1), milliseconds(0), milliseconds(kMaxTimeout) + milliseconds(1)}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Client::Connect({.timeout = timeout}).status()));
  }
}

// For calls that find no connection.
constexpr std::chrono::milliseconds kSoon{500};

class Tls : public testing::Test {
 protected:
  Tls() {
    Write(ca_file_, ca_.CertificatePem());
    Write(certificate_file_, client_.CertificatePem());
    Write(key_file_, client_.KeyPem());
  }

  std::shared_ptr<grpc::ServerCredentials> ServerCredentials(grpc_ssl_client_certificate_request_type request,
                                                             const Identity& identity) const {
    grpc::SslServerCredentialsOptions options(request);
    options.pem_root_certs = ca_.CertificatePem();
    options.pem_key_cert_pairs = {{identity.KeyPem(), identity.CertificatePem()}};
    return grpc::SslServerCredentials(options);
  }
  std::shared_ptr<grpc::ServerCredentials> ServerCredentials() const {
    return ServerCredentials(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, server_);
  }
  std::shared_ptr<grpc::ServerCredentials> MutualCredentials() const {
    return ServerCredentials(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, server_);
  }

  static std::string AddressOf(const FakeTokend& tokend) {
    return "127.0.0.1:" + std::to_string(tokend.port());
  }

  Result<Token> Create(const Options& options) {
    Result<Client> client = Client::Connect(options);
    if (!client.ok()) return client.status();
    return client->CreateToken({.application = "ios-app"});
  }

  fakes::TemporaryFolder folder_;
  Identity ca_ = MakeIdentity("DNS:ca");
  Identity server_ = MakeIdentity("IP:127.0.0.1", &ca_);
  Identity client_ = MakeIdentity("URI:spiffe://prod.example/ns/shop/sa/checkout", &ca_);
  std::string ca_file_ = folder_ / "ca.pem";
  std::string certificate_file_ = folder_ / "client.pem";
  std::string key_file_ = folder_ / "client.key";
};

TEST_F(Tls, TrustsTheCaFile) {
  const FakeTokend tokend("127.0.0.1:0", ServerCredentials());
  const Result<Token> token = Create({.address = AddressOf(tokend), .ca_file = ca_file_});
  EXPECT_TRUE(token.ok()) << token.status();
}

TEST_F(Tls, RefusesAServerOfAnotherCa) {
  const FakeTokend tokend("127.0.0.1:0", ServerCredentials());
  Write(ca_file_, MakeIdentity("DNS:another").CertificatePem());
  EXPECT_TRUE(absl::IsUnavailable(
      Create({.address = AddressOf(tokend), .ca_file = ca_file_, .timeout = kSoon}).status()));
  EXPECT_THAT(tokend.calls(), IsEmpty());
}

TEST_F(Tls, RefusesAServerOfAnotherName) {
  const Identity other = MakeIdentity("DNS:other.example", &ca_);
  const FakeTokend tokend("127.0.0.1:0", ServerCredentials(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, other));
  EXPECT_TRUE(absl::IsUnavailable(
      Create({.address = AddressOf(tokend), .ca_file = ca_file_, .timeout = kSoon}).status()));
  EXPECT_THAT(tokend.calls(), IsEmpty());
}

TEST_F(Tls, NeverFallsBackToPlaintextOnceAnyOfItsFilesIsGiven) {
  const FakeTokend plaintext("127.0.0.1:0");
  Write(folder_ / "token", "a.b.c\n");
  for (Options options : {
           Options{.address = AddressOf(plaintext), .ca_file = ca_file_},
           Options{.address = AddressOf(plaintext), .token_file = folder_ / "token"},
           Options{.address = AddressOf(plaintext),
           .certificate_file = certificate_file_,
           .private_key_file = key_file_},
       }) {
    options.timeout = kSoon;
    EXPECT_TRUE(absl::IsUnavailable(Create(options).status()));
  }
  EXPECT_THAT(plaintext.calls(), IsEmpty());
}

TEST_F(Tls, IsLeftOutOnLoopbackWithoutItsFiles) {
  const FakeTokend plaintext("127.0.0.1:0");
  EXPECT_TRUE(Create({.address = AddressOf(plaintext)}).ok());
}

TEST_F(Tls, AsksNoProxyOfTheEnvironment) {
  const FakeTokend tokend("127.0.0.1:0", ServerCredentials());
  constexpr std::array kVariables{"grpc_proxy", "https_proxy", "http_proxy"};
  for (const char* variable : kVariables) setenv(variable, "http://127.0.0.1:1", 1);
  const Result<Token> token =
      Create({.address = AddressOf(tokend), .ca_file = ca_file_, .timeout = std::chrono::seconds(5)});
  for (const char* variable : kVariables) unsetenv(variable);
  EXPECT_TRUE(token.ok()) << token.status();
}

TEST_F(Tls, SendsNoTokenThatTheDaemonWouldRefuseForItsSize) {
  const FakeTokend tokend("127.0.0.1:0", ServerCredentials());
  Write(folder_ / "token", std::string(15 * 1024 + 1, 'a'));
  const Status status =
      Create({.address = AddressOf(tokend), .ca_file = ca_file_, .token_file = folder_ / "token"}).status();
  EXPECT_EQ(DetailsOf(status).reason, "INVALID_REQUEST");
  EXPECT_THAT(tokend.calls(), IsEmpty());
}

TEST_F(Tls, ShowsTheClientsCertificate) {
  const FakeTokend tokend("127.0.0.1:0", MutualCredentials());
  const Result<Token> token = Create({.address = AddressOf(tokend),
                                      .ca_file = ca_file_,
                                      .certificate_file = certificate_file_,
                                      .private_key_file = key_file_});
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(tokend.calls()[0].peer_identity, "spiffe://prod.example/ns/shop/sa/checkout");
}

TEST_F(Tls, FailsWithoutACertificateWhereOneIsRequired) {
  const FakeTokend tokend("127.0.0.1:0", MutualCredentials());
  EXPECT_TRUE(absl::IsUnavailable(
      Create({.address = AddressOf(tokend), .ca_file = ca_file_, .timeout = kSoon}).status()));
  EXPECT_THAT(tokend.calls(), IsEmpty());
}

TEST_F(Tls, SendsTheTokenFileAsItStandsAtEachAttempt) {
  FakeTokend tokend("127.0.0.1:0", ServerCredentials());
  const std::string token_file = folder_ / "token";
  Write(token_file, "first.jwt\n");
  Client client =
      *Client::Connect({.address = AddressOf(tokend), .ca_file = ca_file_, .token_file = token_file});
  ASSERT_TRUE(client.CreateToken({.application = "ios-app"}).ok());
  Write(token_file, "second.jwt");
  ASSERT_TRUE(client.GetCaller().ok());
  const auto calls = tokend.calls();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].authorization, "Bearer first.jwt");
  EXPECT_EQ(calls[1].authorization, "Bearer second.jwt");

  std::filesystem::remove(token_file);
  EXPECT_TRUE(absl::IsInvalidArgument(client.GetCaller().status()));
  EXPECT_EQ(tokend.calls().size(), 2U);
}

struct BadFiles {
  std::string name;
  std::string option;  // the error names it
  Options options;     // with names of files in the folder
};

void PrintTo(const BadFiles& bad, std::ostream* out) { *out << bad.name; }

class TlsFiles : public Tls, public testing::WithParamInterface<BadFiles> {};

TEST_P(TlsFiles, AreJudgedBeforeTheFirstCall) {
  Write(folder_ / "garbage", "not PEM");
  Write(folder_ / "empty", "");
  Write(folder_ / "two-lines", "a\nb\n");
  Write(folder_ / "token", "a.b.c");
  Write(folder_ / "other.key", server_.KeyPem());
  Write(folder_ / "encrypted.key", client_.EncryptedKeyPem());
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  Options options = GetParam().options;
  if (options.address.starts_with("unix:")) options.address = "unix://" + (folder_ / "tokend.sock");
  for (std::string* file :
       {&options.ca_file, &options.certificate_file, &options.private_key_file, &options.token_file}) {
    if (!file->empty()) *file = folder_ / *file;
  }
  const Status status = Client::Connect(options).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), StartsWith(GetParam().option));
  EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr("garbage")));
}

constexpr char kHost[] = "tokend.example:8443";

INSTANTIATE_TEST_SUITE_P(
    Bad, TlsFiles,
    testing::Values(
        BadFiles{"MissingCa", "ca:", {.address = kHost, .ca_file = "missing"}},
        BadFiles{"FolderForCa", "ca:", {.address = kHost, .ca_file = "."}},
        BadFiles{"PipeForCa", "ca:", {.address = kHost, .ca_file = "pipe"}},
        BadFiles{"GarbageForCa", "ca:", {.address = kHost, .ca_file = "garbage"}},
        BadFiles{"CertificateAlone", "cert and key:", {.address = kHost, .certificate_file = "client.pem"}},
        BadFiles{"KeyAlone", "cert and key:", {.address = kHost, .private_key_file = "client.key"}},
        BadFiles{"GarbageForCertificate",
                 "cert:",
                 {.address = kHost, .certificate_file = "garbage", .private_key_file = "client.key"}},
        BadFiles{"GarbageForKey",
                 "key:",
                 {.address = kHost, .certificate_file = "client.pem", .private_key_file = "garbage"}},
        BadFiles{"EncryptedKey",
                 "key:",
                 {.address = kHost, .certificate_file = "client.pem", .private_key_file = "encrypted.key"}},
        BadFiles{"AnothersKey",
                 "key:",
                 {.address = kHost, .certificate_file = "client.pem", .private_key_file = "other.key"}},
        BadFiles{"MissingToken", "token-file:", {.address = kHost, .token_file = "missing"}},
        BadFiles{"EmptyToken", "token-file:", {.address = kHost, .token_file = "empty"}},
        BadFiles{"TokenOfTwoLines", "token-file:", {.address = kHost, .token_file = "two-lines"}},
        BadFiles{"TokenOverAUnixSocket", "address:", {.token_file = "token"}},
        BadFiles{"CaForAUnixSocket", "address:", {.ca_file = "ca.pem"}}),
    [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace tokend::client
