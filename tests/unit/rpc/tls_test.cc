#include <gmock/gmock.h>

#include <chrono>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "tests/unit/rpc/server_fixture.h"

// What the TLS of a listener takes and refuses.
namespace tokend::rpc {
namespace {

using fakes::http2::Http2Client;
using fakes::http2::Reply;
using fakes::http2::TlsClient;
using fakes::http2::Wire;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;

constexpr char kGetCallerPath[] = "/tokend.v1.TokenService/GetCaller";
constexpr char kCreateTokenPath[] = "/tokend.v1.TokenService/CreateToken";
constexpr int kUnauthenticated = 16;

class TlsTest : public ServerTest {
 protected:
  void Listen() { Start({MtlsListener(authority_)}); }

  TlsClient ClientWith(const std::string& names, seconds valid_for = std::chrono::hours(1)) const {
    const fakes::Identity identity = authority_.Issue(names, valid_for);
    return {.certificate_pem = identity.certificate, .private_key_pem = identity.private_key};
  }
  TlsClient Good() const { return ClientWith("URI:" + std::string(kSpiffeId)); }

  // Whether a call goes through, with the handshake done anew.
  bool IsServed(const TlsClient& tls) const {
    try {
      Wire wire(server_->addresses()[0], tls);
      Http2Client client(wire);
      return client.Call(kGetCallerPath, "").code() == 0;
    } catch (const std::runtime_error&) {
      return false;
    }
  }

  std::uint64_t FailedHandshakes() const { return Metric("tokend_tls_handshakes_failed_total"); }

  const fakes::TestAuthority authority_;
};

TEST_F(TlsTest, TakesTls12AndTls13AndNothingOlder) {
  Listen();
  for (const auto& [version, is_served] : {std::pair{TLS1_3_VERSION, true},
                                           {TLS1_2_VERSION, true},
                                           {TLS1_1_VERSION, false},
                                           {TLS1_VERSION, false}}) {
    TlsClient tls = Good();
    tls.newest_version = version;
    EXPECT_EQ(IsServed(tls), is_served) << version;
  }
}

TEST_F(TlsTest, SpeaksHttp2AloneAndNeedsToBeAskedForIt) {
  Listen();
  for (const auto& [protocol, is_served] :
       {std::pair{"h2", true}, {"http/1.1", false}, {"h2c", false}, {"h", false}, {"", false}}) {
    TlsClient tls = Good();
    tls.protocol = protocol;
    EXPECT_EQ(IsServed(tls), is_served) << protocol;
  }
  Eventually([&] { return FailedHandshakes() == 4; });
}

TEST_F(TlsTest, ResumesNoSessionSoThatEachConnectionShowsItsCertificate) {
  Listen();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient tls = Good();
    tls.newest_version = version;
    Wire first(server_->addresses()[0], tls);
    Http2Client client(first);
    ASSERT_EQ(client.Call(kGetCallerPath, "").code(), 0);
    EXPECT_FALSE(first.has_session_ticket());
    tls.resumed = first.session();
    Wire second(server_->addresses()[0], tls);
    EXPECT_FALSE(second.is_resumed()) << version;
  }
}

TEST_F(TlsTest, AConnectionEndsWithTheCertificateThatLetItIn) {
  Listen();
  Wire wire(server_->addresses()[0], ClientWith("URI:" + std::string(kSpiffeId), seconds(3)));
  Http2Client client(wire);
  const std::uint32_t running = client.Begin(kCreateTokenPath, GoodRequest().SerializeAsString());
  const auto pending = issuer_.Next();
  // Less than a minute is left, so the client is told at once to make a new connection.
  ASSERT_TRUE(client.Until([&] { return !client.goaways().empty(); }));
  EXPECT_EQ(client.goaways().front().second, 0x7FFFFFFFU);
  EXPECT_EQ(client.Call(kGetCallerPath, "").code(), 0);
  // One that does not heed it is unknown once the certificate has ended.
  Reply late;
  Eventually([&] {
    late = client.Call(kGetCallerPath, "");
    return late.code() != 0;
  });
  EXPECT_EQ(late.code(), kUnauthenticated);
  EXPECT_EQ(ErrorInfoOf(late).reason(), "CALLER_UNKNOWN");
  pending->Reply(ReleasedFor(pending->request()));
  EXPECT_EQ(client.Await(running).code(), 0);
  EXPECT_TRUE(wire.AwaitClose());
  Eventually([&] { return Closed("cluster", "certificate") == 1; });
}

TEST_F(TlsTest, ServesAClientWhoseCertificateEndsAfterTheYear2262) {
  Listen();
  EXPECT_TRUE(IsServed(ClientWith("URI:" + std::string(kSpiffeId), std::chrono::years(300))));
}

TEST_F(TlsTest, AClientMayChangeItsKeysNowAndThenAndNotMoreOften) {
  Listen();
  Wire wire(server_->addresses()[0], Good());
  Http2Client client(wire);
  EXPECT_TRUE(wire.UpdateKeys(10));
  EXPECT_EQ(client.Call(kGetCallerPath, "").code(), 0);
  wire.UpdateKeys(200);
  EXPECT_TRUE(wire.AwaitClose());
  EXPECT_TRUE(IsServed(Good()));
}

TEST_F(TlsTest, SaysInTheLogWhoseClientCertificateWasRefusedAndWhy) {
  Listen();
  const fakes::TestAuthority other;
  const fakes::Identity foreign = other.Issue("DNS:a.example");
  const fakes::Identity expired = authority_.Issue("DNS:a.example", seconds(-60));
  const fakes::Identity for_servers = authority_.IssueForServers("DNS:a.example");
  for (const auto& [identity, words, subject] :
       {std::tuple{foreign, "verify 7 certificate signature failure", "CN=tests"},
        {expired, "verify 10 certificate has expired", "CN=tests"},
        {for_servers, "verify 26 unsuitable certificate purpose", "CN=tests"},
        {fakes::Identity{}, "peer did not return a certificate", ""}}) {
    testing::internal::CaptureStderr();
    const std::uint64_t before = FailedHandshakes();
    EXPECT_FALSE(
        IsServed({.certificate_pem = identity.certificate, .private_key_pem = identity.private_key}));
    Eventually([&] { return FailedHandshakes() == before + 1; });
    server_.reset();
    EXPECT_THAT(testing::internal::GetCapturedStderr(),
                AllOf(HasSubstr("\"listener\":\"cluster\",\"peer\":\"ipv4:127.0.0.1:"), HasSubstr(words),
                      HasSubstr("\"subject\":\"" + std::string(subject) + "\"")));
    Listen();
  }
}

TEST_F(TlsTest, ClientsWithoutACertificateDoNotHideOneThatWasRefused) {
  Listen();
  const fakes::Identity expired = authority_.Issue("DNS:a.example", seconds(-60));
  testing::internal::CaptureStderr();
  EXPECT_FALSE(IsServed({}));
  Eventually([&] { return FailedHandshakes() == 1; });
  EXPECT_FALSE(IsServed({.certificate_pem = expired.certificate, .private_key_pem = expired.private_key}));
  Eventually([&] { return FailedHandshakes() == 2; });
  server_.reset();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("certificate has expired"));
}

TEST_F(TlsTest, OneAddressMayBeginSoManyHandshakesASecondAndOthersAreServed) {
  Listen();
  std::vector<std::unique_ptr<Wire>> wires;
  for (int i = 0; i < 400; ++i) {
    wires.push_back(std::make_unique<Wire>(server_->addresses()[0], std::nullopt, "127.0.0.2"));
  }
  EXPECT_TRUE(IsServed(Good()));
  EXPECT_GE(Closed("cluster", "handshake_rate"), 100U);
}

TEST_F(TlsTest, HandshakesThatNeverEndDoNotKeepOthersOut) {
  Listen();
  std::vector<std::unique_ptr<Wire>> silent;
  for (int i = 0; i < 300; ++i) {
    silent.push_back(std::make_unique<Wire>(server_->addresses()[0], std::nullopt,
                                            "127.0.0." + std::to_string(2 + i / 90)));
  }
  EXPECT_TRUE(IsServed(Good()));
  EXPECT_GE(Closed("cluster", "handshake_rate"), 300U - bounds::kMaxHandshakes);
}

// What a listener takes as its own certificate.
class ServerCertificate : public TlsTest {
 protected:
  Result<std::shared_ptr<const TlsContext>> Read(const fakes::Identity& leaf, const std::string& above = "",
                                                 const std::string& client_ca = "") const {
    return TlsContext::Read({WriteFile("tls.crt", leaf.certificate + above),
                             WriteFile("tls.key", leaf.private_key),
                             client_ca.empty() ? "" : WriteFile("ca.crt", client_ca)});
  }

  const fakes::Identity leaf_ = authority_.Issue("DNS:localhost");
};

TEST_F(ServerCertificate, IsTakenWithTheChainAboveIt) {
  EXPECT_TRUE(Read(leaf_).ok());
  EXPECT_TRUE(Read(leaf_, authority_.certificate()).ok());
  EXPECT_TRUE(Read(leaf_, authority_.certificate(), authority_.certificate()).ok());
}

TEST_F(ServerCertificate, IsTakenWithAChainThatIsSentInSeveralTurns) {
  std::string above;
  for (int i = 0; i < 100; ++i) above += authority_.certificate();
  ASSERT_GT(above.size(), 40'000U);
  const auto read = Read(leaf_, above);
  EXPECT_TRUE(read.ok()) << read.status();
}

TEST_F(ServerCertificate, IsRefusedWhereEveryHandshakeWithItsChainWouldFail) {
  const fakes::TestAuthority weak = fakes::TestAuthority::WithShortKey();
  const fakes::Identity of_weak = weak.Issue("DNS:localhost");
  for (const auto& read : {Read(leaf_, weak.certificate()), Read(of_weak, weak.certificate()),
                           Read(leaf_, authority_.IssueWeaklySigned("DNS:above").certificate),
                           Read(authority_.IssueWeaklySigned("DNS:localhost")),
                           Read(authority_.IssueWithShortKey("DNS:localhost")),
                           Read(authority_.IssueOnUnknownCurve("DNS:localhost")),
                           // OpenSSL completes the chain with the CA of the clients.
                           Read(of_weak, "", weak.certificate())}) {
    ASSERT_FALSE(read.ok());
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(folder_ / "tls.crt"));
  }
}

TEST_F(ServerCertificate, ShowsInTheMetricsWhenItExpires) {
  const auto before = std::chrono::floor<seconds>(std::chrono::system_clock::now()).time_since_epoch();
  Listen();
  const auto shown = seconds(Metric("tokend_tls_certificate_not_after_seconds{listener=\"cluster\"}"));
  EXPECT_GE(shown, before + std::chrono::hours(1));
  EXPECT_LE(shown, before + std::chrono::hours(1) + seconds(60));
}

}  // namespace
}  // namespace tokend::rpc
