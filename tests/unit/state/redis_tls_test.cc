#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/state/redis/connection.h"
#include "daemon/state/redis/secrets.h"
#include "tests/fakes/redis_server.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/fakes/test_authority.h"
#include "tests/fakes/turned_loop.h"

namespace tokend::state {
namespace {

using fakes::RedisServer;
using std::chrono::seconds;

const RedisScript kTlsGreeting("return 'hello'", RedisScript::Kind::kGreeting);
const RedisScript kLong("return ARGV[1]");

class RedisTls : public testing::Test {
 protected:
  RedisTls() {
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to connections that the server has closed
    fakes::WriteSecret(folder_ / "ca", authority_.certificate());
  }

  // Writes a certificate and its key as NAME.crt and NAME.key.
  void Write(const std::string& name, const fakes::Identity& identity) const {
    fakes::WriteSecret(folder_ / (name + ".crt"), identity.certificate);
    fakes::WriteSecret(folder_ / (name + ".key"), identity.private_key);
  }
  // A Redis whose certificate has these names.
  std::unique_ptr<RedisServer> Serve(const std::string& names, const std::string& clients = "no",
                                     seconds valid_for = std::chrono::hours(1),
                                     std::vector<std::string> more = {}) {
    Write("server", authority_.Issue(names, valid_for));
    std::vector<std::string> settings = {
        "--tls-cert-file",    folder_ / "server.crt", "--tls-key-file",     folder_ / "server.key",
        "--tls-ca-cert-file", folder_ / "ca",         "--tls-auth-clients", clients};
    settings.insert(settings.end(), more.begin(), more.end());
    return std::make_unique<RedisServer>(RedisServer::Options{RedisServer::Door::kTls, std::move(settings)});
  }
  config::ClientTls WithCa() const { return {.ca_file = folder_ / "ca"}; }

  void Connect(const RedisServer& server, config::ClientTls tls, const std::string& host = "127.0.0.1") {
    connection_ = std::make_unique<RedisConnection>(
        loop_, RedisConnection::Options{
                   .address = config::TcpAddress{host, static_cast<std::uint16_t>(server.port())},
                   .tls = std::move(tls),
                   .reply_timeout = seconds(10)});
  }
  Result<RedisReply> Run(const RedisScript& script, const std::string& argument = "") {
    std::optional<Result<RedisReply>> seen;
    connection_->Run(script, {"key"}, {argument},
                     [&seen](Result<RedisReply> reply) { seen = std::move(reply); });
    EXPECT_TRUE(loop_.RunUntil([&seen] { return seen.has_value(); }));
    return seen.value_or(absl::InternalError("never"));
  }
  // Greets until the answer is as wanted.
  bool Greets(const std::function<bool(const Status&)>& is_wanted) {
    const auto end = std::chrono::steady_clock::now() + seconds(20);
    while (std::chrono::steady_clock::now() < end) {
      if (is_wanted(Run(kTlsGreeting).status())) return true;
      loop_.RunFor(std::chrono::milliseconds(5));
    }
    return false;
  }
  bool Connected() {
    return Greets([](const Status& status) { return status.ok(); });
  }
  // Why there is no connection, once that is known.
  std::string Why() {
    std::string why;
    EXPECT_TRUE(Greets([&why](const Status& status) {
      why = std::string(status.message());
      return why != "there is no connection to Redis yet";
    }));
    return why;
  }

  fakes::TemporaryFolder folder_;
  const fakes::TestAuthority authority_;
  fakes::TurnedLoop loop_;
  std::unique_ptr<RedisConnection> connection_;
};

TEST_F(RedisTls, RunsScripts) {
  const auto server = Serve("IP:127.0.0.1");
  Connect(*server, WithCa());
  ASSERT_TRUE(Connected());
  // More than one TLS record in both directions.
  const std::string text(200'000, 'x');
  const Result<RedisReply> reply = Run(kLong, text);
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(std::get<std::string>(reply->value), text);
}

TEST_F(RedisTls, ChecksTheName) {
  const auto server = Serve("DNS:localhost,DNS:redis.example");
  Connect(*server, WithCa(), "localhost");
  EXPECT_TRUE(Connected());
  Connect(*server, WithCa());
  EXPECT_EQ(Why(), "TLS with Redis failed: IP address mismatch");
}

TEST_F(RedisTls, ChecksWhoIssuedTheCertificate) {
  const auto server = Serve("IP:127.0.0.1");
  const fakes::TestAuthority other;
  fakes::WriteSecret(folder_ / "other", other.certificate());
  Connect(*server, {.ca_file = folder_ / "other"});
  EXPECT_NE(Why().find("TLS with Redis failed: "), std::string::npos);
  Connect(*server, {});
  EXPECT_EQ(Why(), "TLS with Redis failed: self-signed certificate in certificate chain")
      << "the system's CAs";
}

TEST_F(RedisTls, RefusesAnExpiredCertificateAndTakesTheNextOne) {
  auto server = Serve("IP:127.0.0.1", "no", -seconds(60));
  Connect(*server, WithCa());
  EXPECT_EQ(Why(), "TLS with Redis failed: certificate has expired");
  Write("server", authority_.Issue("IP:127.0.0.1"));
  server->Kill();
  server->Start();
  EXPECT_TRUE(Connected());
}

TEST_F(RedisTls, ShowsItsCertificateWhereRedisAsksForOne) {
  const auto server = Serve("IP:127.0.0.1", "yes");
  Write("client", authority_.Issue("DNS:tokend"));
  config::ClientTls tls = WithCa();
  tls.certificate_file = folder_ / "client.crt";
  tls.private_key_file = folder_ / "client.key";
  Connect(*server, tls);
  EXPECT_TRUE(Connected());
  Connect(*server, WithCa());
  EXPECT_TRUE(Greets([](const Status& status) {
    return status.message().find("certificate required") != std::string::npos;
  })) << Why();
}

TEST_F(RedisTls, SpeaksNoOlderProtocolThanTls12) {
  const auto old = Serve("IP:127.0.0.1", "no", std::chrono::hours(1), {"--tls-protocols", "TLSv1.1"});
  Connect(*old, WithCa());
  EXPECT_NE(Why().find("TLS with Redis failed: "), std::string::npos);
  const auto server = Serve("IP:127.0.0.1", "no", std::chrono::hours(1), {"--tls-protocols", "TLSv1.2"});
  Connect(*server, WithCa());
  EXPECT_TRUE(Connected());
}

TEST_F(RedisTls, SaysThatTheServerSpeaksNoTls) {
  const RedisServer plain({.door = RedisServer::Door::kTcp});
  Connect(plain, WithCa());
  // Redis answers only if there is the end of a line among the random bytes of TLS's first message.
  const std::string why = Why();
  EXPECT_EQ(why.rfind("TLS with Redis failed: ", 0), 0U) << why;
}

TEST_F(RedisTls, ReadsItsFilesAtEachAttemptToConnect) {
  const auto server = Serve("IP:127.0.0.1");
  const fakes::TestAuthority other;
  fakes::WriteSecret(folder_ / "mine", other.certificate());
  Connect(*server, {.ca_file = folder_ / "mine"});
  ASSERT_NE(Why(), "");
  fakes::WriteSecret(folder_ / "mine", authority_.certificate());
  EXPECT_TRUE(Connected());
}

TEST_F(RedisTls, FilesAreJudgedBeforeTheDaemonStarts) {
  fakes::WriteSecret(folder_ / "key", std::string(32, 'k'));
  Write("client", authority_.Issue("DNS:tokend"));
  Write("other", authority_.Issue("DNS:tokend"));
  const auto judged = [this](config::ClientTls tls) {
    const auto secrets = ReadRedisSecrets({.address = {},
                                           .username = {},
                                           .password_file = {},
                                           .tls = std::move(tls),
                                           .encryption_key_file = folder_ / "key"});
    return std::string(secrets.status().message());
  };
  const std::string certificate = folder_ / "client.crt";
  EXPECT_EQ(judged({folder_ / "ca", certificate, folder_ / "client.key"}), "");
  EXPECT_EQ(judged({folder_ / "ca", certificate, folder_ / "other.key"}),
            (folder_ / "other.key") + " is not the private key of " + certificate);
  EXPECT_EQ(judged({folder_ / "key", "", ""}),
            (folder_ / "key") + " must hold one or more complete certificates in PEM");
  EXPECT_EQ(judged({"", certificate, folder_ / "ca"}),
            (folder_ / "ca") + " must hold an unencrypted private key in PEM");
}

}  // namespace
}  // namespace tokend::state
