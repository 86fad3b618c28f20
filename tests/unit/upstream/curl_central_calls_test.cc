#include "daemon/upstream/curl_central_calls.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/fakes/test_authority.h"
#include "tests/unit/upstream/central_fixture.h"

namespace tokend::upstream {
namespace {

using fakes::Action;
using loop::Sent;
using Connection = loop::HttpPost::Connection;

std::string MessageOf(const CentralAnswer& answer) { return std::string(answer.message.Expose()); }

// Central tokends with TLS, whose certificates the relay's ca_file vouches for.
class CurlCentralCallsTls : public testing::Test {
 protected:
  CurlCentralCallsTls() {
    fakes::WriteSecret(folder_ / "ca.pem", authority_.certificate());
    fakes::WriteSecret(folder_ / "token", "first-token\n");
  }

  fakes::HttpServerOptions ServerOptions() const {
    const fakes::Identity identity = authority_.Issue(std::string("DNS:") + kCentreName);
    return {.certificate_pem = identity.certificate,
            .private_key_pem = identity.private_key,
            .protocols = {fakes::Protocol::kHttp2}};
  }

  config::TokendUpstream Options(std::uint16_t port) const {
    return {.address = config::TcpAddress{kCentreName, port},
            .tls = {.ca_file = folder_ / "ca.pem"},
            .server_name = kCentreName,
            .token_file = "",
            .timeout = std::chrono::seconds(20),
            .max_in_flight = 64};
  }

  // Options with a client certificate for this name.
  config::TokendUpstream OptionsAs(const std::string& client, std::uint16_t port) {
    UseCertificate(client);
    config::TokendUpstream options = Options(port);
    options.tls.certificate_file = folder_ / "relay.pem";
    options.tls.private_key_file = folder_ / "relay.key";
    return options;
  }

  void UseCertificate(const std::string& client) {
    const fakes::Identity identity = clients_.Issue("DNS:" + client);
    fakes::WriteSecret(folder_ / "relay.key", identity.private_key);
    fakes::WriteSecret(folder_ / "relay.pem", identity.certificate);
  }

  fakes::TemporaryFolder folder_;
  fakes::TestAuthority authority_;
  fakes::TestAuthority clients_;
  KnownNames names_{{"127.0.0.1"}};
};

TEST_F(CurlCentralCallsTls, SendsWhatGrpcNeedsAndTheToken) {
  FakeCentre centre(ServerOptions());
  config::TokendUpstream options = Options(centre.port());
  options.token_file = folder_ / "token";
  CallingRelay relay(options, &names_);
  const CentralAnswer answer = relay.Ask();
  EXPECT_EQ(answer.status, 0) << answer.error;
  EXPECT_EQ(MessageOf(answer), "token");
  EXPECT_EQ(answer.sent, Sent::kYes);
  EXPECT_TRUE(answer.connected);
  EXPECT_TRUE(answer.replica.has_value());
  EXPECT_GT(answer.latency.count(), 0);
  ASSERT_EQ(centre.requests().size(), 1u);
  const fakes::Request request = centre.requests()[0];
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/tokend.v1.TokenService/CreateToken");
  EXPECT_EQ(request.authority, kCentreName + (":" + std::to_string(centre.port())));
  EXPECT_EQ(request.body, FrameMessage("request"));
  EXPECT_EQ(request.authorization, "Bearer first-token");
  EXPECT_EQ(HeaderOf(request, "te"), "trailers");
  EXPECT_EQ(HeaderOf(request, "content-type"), "application/grpc");
  EXPECT_EQ(HeaderOf(request, "grpc-timeout"), "20000m");
  EXPECT_EQ(HeaderOf(request, "traceparent"), "00-1-2-01");
  EXPECT_EQ(HeaderOf(request, "user-agent"), "tokend/" TOKEND_VERSION);
  EXPECT_EQ(HeaderOf(request, "accept"), "");
}

TEST_F(CurlCentralCallsTls, BringsStatusAndDetailsOfAnErrorFromHeaderOrTrailer) {
  FakeCentre centre(ServerOptions());
  CallingRelay relay(Options(centre.port()), &names_);
  const std::string details("\x08\x07\x00\xff", 4);
  const std::string padded = absl::Base64Escape(details);
  fakes::Reply in_trailer = GrpcOk();
  in_trailer.body = "";
  in_trailer.trailers = {{"grpc-status", "7"}, {"grpc-status-details-bin", padded.substr(0, 6)}};
  centre.Answer(GrpcError("7", padded));
  centre.Answer(in_trailer);
  for (int i = 0; i < 2; ++i) {
    const CentralAnswer answer = relay.Ask();
    EXPECT_EQ(answer.status, 7) << answer.error;
    EXPECT_EQ(answer.details, details);
    EXPECT_EQ(answer.sent, Sent::kYes);
    EXPECT_TRUE(answer.message.empty());
  }
}

TEST_F(CurlCentralCallsTls, HasNoStatusWhereTheAnswerIsNotOne) {
  FakeCentre centre(ServerOptions());
  CallingRelay relay(Options(centre.port()), &names_);
  const auto expect = [&](const fakes::Reply& reply, const std::string& why) {
    centre.Answer(reply);
    const CentralAnswer answer = relay.Ask();
    EXPECT_EQ(answer.status, std::nullopt) << why;
    EXPECT_EQ(answer.sent, Sent::kYes) << why;
    EXPECT_TRUE(answer.message.empty()) << why;
    EXPECT_EQ(answer.error, kCentreName + (":" + std::to_string(centre.port())) + " at 127.0.0.1: " + why);
  };
  fakes::Reply reply = GrpcOk();
  reply.trailers.clear();
  expect(reply, "its answer has no valid grpc-status");
  reply = GrpcOk();
  reply.body += reply.body;
  expect(reply, "its answer is not one message without compression");
  reply = GrpcOk();
  reply.body[0] = '\x01';
  expect(reply, "its answer is not one message without compression");
  reply = GrpcOk(std::string(kMaxCentralMessage + 1, 'x'));
  expect(reply, "Answer body too large");
  reply = GrpcOk();
  reply.headers.emplace_back("padding", std::string(17000, 'x'));
  expect(reply, "Answer header too large");
  reply = GrpcOk();
  reply.trailers.emplace_back("padding", std::string(17000, 'x'));
  expect(reply, "Answer header too large");
  expect(GrpcError("7", "*"), "its grpc-status-details-bin is not base64");
  reply = GrpcOk();
  reply.status = 503;
  expect(reply, "it answered with HTTP status 503");
}

TEST_F(CurlCentralCallsTls, SendsNothingToAServerWithoutHttp2) {
  for (const bool has_alpn : {true, false}) {
    fakes::HttpServerOptions server = ServerOptions();
    server.protocols.clear();
    if (has_alpn) server.protocols = {fakes::Protocol::kHttp1};
    FakeCentre centre(server);
    CallingRelay relay(Options(centre.port()), &names_);
    const CentralAnswer answer = relay.Ask();
    EXPECT_EQ(answer.sent, Sent::kNo);
    EXPECT_FALSE(answer.connected);
    EXPECT_EQ(answer.status, std::nullopt);
    if (!has_alpn) {
      EXPECT_TRUE(answer.error.ends_with("it does not speak HTTP/2")) << answer.error;
    }
    EXPECT_TRUE(centre.requests().empty());
  }
}

TEST_F(CurlCentralCallsTls, SendsNothingToAServerOfAnotherName) {
  FakeCentre centre(ServerOptions());
  config::TokendUpstream options = Options(centre.port());
  options.server_name = "other.test";
  CallingRelay relay(options, &names_);
  const CentralAnswer answer = relay.Ask();
  EXPECT_EQ(answer.sent, Sent::kNo);
  EXPECT_FALSE(answer.connected);
  EXPECT_TRUE(answer.error.ends_with("127.0.0.1: its certificate was refused: hostname mismatch"))
      << answer.error;
  EXPECT_TRUE(centre.requests().empty());
}

TEST_F(CurlCentralCallsTls, ShowsItsCertificateAndTheNextOneOnceTheFilesChange) {
  fakes::HttpServerOptions server = ServerOptions();
  server.client_ca_pem = clients_.certificate();
  FakeCentre centre(server);
  CallingRelay relay(OptionsAs("relay-1", centre.port()), &names_);
  EXPECT_EQ(relay.Ask().status, 0);
  UseCertificate("relay-2");
  relay.Run([](CurlCentralCalls& calls) {
    EXPECT_EQ(calls.credentials_generation(), 0u);
    calls.RereadCredentials();
    EXPECT_EQ(calls.credentials_generation(), 1u);
    calls.RereadCredentials();
    EXPECT_EQ(calls.credentials_generation(), 1u);
  });
  for (int i = 0; i < 2; ++i) EXPECT_EQ(relay.Ask().status, 0);
  const std::vector<fakes::Request> requests = centre.requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].client, "relay-1");
  EXPECT_EQ(requests[1].client, "relay-2");
  EXPECT_EQ(requests[2].client, "relay-2");
  EXPECT_EQ(centre.connections(), 2u);
}

// A server may close the connection before its alert is read. Such a call counts as sent, and another one is
// made.
CentralAnswer AskUntilRefused(CallingRelay& relay) {
  CentralAnswer answer = relay.Ask();
  for (int i = 0; i < 100 && answer.sent == Sent::kYes; ++i) {
    EXPECT_EQ(answer.status, std::nullopt);
    answer = relay.Ask();
  }
  EXPECT_EQ(answer.sent, Sent::kNo);
  return answer;
}

TEST_F(CurlCentralCallsTls, HasSentNothingWhereTheServerRefusesItsCertificate) {
  fakes::HttpServerOptions server = ServerOptions();
  server.client_ca_pem = clients_.certificate();
  FakeCentre centre(server);
  {
    CallingRelay relay(Options(centre.port()), &names_);
    const CentralAnswer answer = AskUntilRefused(relay);
    EXPECT_FALSE(answer.connected);
    EXPECT_TRUE(
        answer.error.ends_with("it refuses the client's certificate: tlsv13 alert certificate required"))
        << answer.error;
  }
  const fakes::Identity foreign = fakes::TestAuthority().Issue("DNS:relay");
  const config::TokendUpstream options = OptionsAs("relay", centre.port());
  fakes::WriteSecret(folder_ / "relay.key", foreign.private_key);
  fakes::WriteSecret(folder_ / "relay.pem", foreign.certificate);
  CallingRelay relay(options, &names_);
  EXPECT_FALSE(AskUntilRefused(relay).connected);
  EXPECT_TRUE(centre.requests().empty());
  // A certificate that the server accepts is used at once.
  UseCertificate("relay-1");
  relay.Run([](CurlCentralCalls& calls) { calls.RereadCredentials(); });
  EXPECT_EQ(relay.Ask().status, 0);
}

TEST_F(CurlCentralCallsTls, SeesByItselfThatAFileHasChanged) {
  FakeCentre centre(ServerOptions());
  config::TokendUpstream options = Options(centre.port());
  options.token_file = folder_ / "token";
  CallingRelay relay(options, &names_);
  EXPECT_EQ(relay.Ask().status, 0);
  fakes::WriteSecret(folder_ / "token", "second-token");
  const auto deadline = std::chrono::steady_clock::now() + kAnswerPatience;
  while (centre.requests().back().authorization != "Bearer second-token") {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    const CentralAnswer answer = relay.Ask();
    EXPECT_EQ(answer.status, 0) << answer.error;
  }
  // A file that cannot be used changes nothing.
  fakes::WriteSecret(folder_ / "token", "");
  relay.Run([](CurlCentralCalls& calls) {
    calls.RereadCredentials();
    EXPECT_EQ(calls.credentials_generation(), 1u);
  });
  EXPECT_EQ(relay.Ask().status, 0);
  EXPECT_EQ(centre.requests().back().authorization, "Bearer second-token");
}

TEST_F(CurlCentralCallsTls, SendsAnUnansweredCallOnceAndSaysThatItWasSent) {
  FakeCentre centre(ServerOptions());
  CallingRelay relay(Options(centre.port()), &names_);
  EXPECT_EQ(relay.Ask().status, 0);
  std::size_t calls = 1;
  for (const Action action : {Action::kDrop, Action::kReset, Action::kGoAwayBelow, Action::kStreamReset,
                              Action::kHeaderThenDrop, Action::kHalfBodyThenDrop}) {
    fakes::Reply reply = GrpcOk();
    reply.action = action;
    reply.http2_error = 7;  // REFUSED_STREAM
    centre.Answer(reply);
    const CentralAnswer answer = relay.Ask();
    EXPECT_EQ(answer.sent, Sent::kYes);
    EXPECT_TRUE(answer.connected);
    EXPECT_EQ(answer.status, std::nullopt);
    EXPECT_NE(answer.error, "");
    EXPECT_EQ(centre.requests().size(), ++calls);
  }
  EXPECT_EQ(relay.Ask().status, 0);
}

TEST_F(CurlCentralCallsTls, RefusesWhatCannotStandInAHeader) {
  FakeCentre centre(ServerOptions());
  CallingRelay relay(Options(centre.port()), &names_);
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
           {"name", "a\r\nauthorization: b"}, {"na me", "a"}, {"grpc-timeout", "1S"}, {"name", ""}}) {
    CentralCall call = ACall();
    call.metadata = {{name, value}};
    const CentralAnswer answer = relay.Ask(std::move(call));
    EXPECT_EQ(answer.sent, Sent::kNo);
    EXPECT_EQ(answer.status, std::nullopt);
  }
  EXPECT_TRUE(centre.requests().empty());
}

// Two replicas at one port.
class TwoReplicas : public CurlCentralCallsTls {
 protected:
  fakes::HttpServerOptions Second() const {
    fakes::HttpServerOptions options = ServerOptions();
    options.host = "127.0.0.2";
    options.port = first_.port();
    return options;
  }

  FakeCentre first_{ServerOptions()};
  FakeCentre second_{Second()};
  KnownNames both_{{"127.0.0.1", "127.0.0.2"}};
};

TEST_F(TwoReplicas, GetCallsInTurnOverOneConnectionEach) {
  CallingRelay relay(Options(first_.port()), &both_);
  std::set<Replica> replicas;
  for (const CentralAnswer& answer : relay.AskMany(40)) {
    EXPECT_EQ(answer.status, 0) << answer.error;
    if (answer.replica) replicas.insert(*answer.replica);
  }
  EXPECT_EQ(replicas.size(), 2u);
  EXPECT_EQ(first_.requests().size(), 20u);
  EXPECT_EQ(second_.requests().size(), 20u);
  EXPECT_EQ(first_.connections(), 1u);
  EXPECT_EQ(second_.connections(), 1u);
}

TEST_F(TwoReplicas, ACallAvoidsTheReplicaThatItNames) {
  CallingRelay relay(Options(first_.port()), &both_);
  const std::optional<Replica> avoided = relay.Ask().replica;
  for (int i = 0; i < 3; ++i) {
    CentralCall call = ACall();
    call.avoid = avoided;
    EXPECT_NE(relay.Ask(std::move(call)).replica, avoided);
  }
  EXPECT_EQ(first_.requests().size() + second_.requests().size(), 4u);
  EXPECT_EQ(std::min(first_.requests().size(), second_.requests().size()), 1u);
}

TEST_F(TwoReplicas, ACallGoesToTheOtherWhereOneIsDead) {
  second_.server().Stop();
  CallingRelay relay(Options(first_.port()), &both_);
  for (const CentralAnswer& answer : relay.AskMany(10)) EXPECT_EQ(answer.status, 0) << answer.error;
  EXPECT_EQ(first_.requests().size(), 10u);
  first_.server().Stop();
  const CentralAnswer answer = relay.Ask();
  EXPECT_EQ(answer.sent, Sent::kNo);
  EXPECT_FALSE(answer.connected);
  EXPECT_TRUE(answer.error.ends_with("(Connection refused)")) << answer.error;
}

TEST_F(TwoReplicas, ComeAndGoWithTheName) {
  both_.Set({"127.0.0.1"});
  CallingRelay relay(Options(first_.port()), &both_);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(relay.Ask().status, 0);
  EXPECT_EQ(second_.requests().size(), 0u);
  both_.Set({"127.0.0.2"});
  // A lost connection has the name looked up again.
  fakes::Reply lost = GrpcOk();
  lost.action = Action::kDrop;
  first_.Answer(lost);
  EXPECT_EQ(relay.Ask().sent, Sent::kYes);
  const auto deadline = std::chrono::steady_clock::now() + kAnswerPatience;
  while (second_.requests().empty()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    relay.Ask();
  }
  relay.Run([](CurlCentralCalls& calls) { EXPECT_EQ(calls.replicas(), 1u); });
  // A look-up that fails keeps them.
  both_.Set({});
  second_.Answer(lost);
  EXPECT_EQ(relay.Ask().sent, Sent::kYes);
  const std::size_t before = both_.look_ups();
  while (both_.look_ups() == before) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    relay.Ask();
  }
  EXPECT_EQ(relay.Ask().status, 0);
}

TEST_F(CurlCentralCallsTls, ANewConnectionIsMadeWhereTheCallAsksForOne) {
  FakeCentre centre(ServerOptions());
  CallingRelay relay(Options(centre.port()), &names_);
  EXPECT_EQ(relay.Ask().status, 0);
  EXPECT_EQ(relay.Ask().status, 0);
  CentralCall call = ACall();
  call.connection = Connection::kNew;
  EXPECT_EQ(relay.Ask(std::move(call)).status, 0);
  std::vector<std::uint64_t> connections;
  for (const fakes::Request& request : centre.requests()) connections.push_back(request.connection);
  EXPECT_EQ(connections, (std::vector<std::uint64_t>{1, 1, 2}));
}

TEST_F(CurlCentralCallsTls, StopEndsACallThatWaitsForANameServerThatHangs) {
  names_.Hang();
  CallingRelay relay(Options(1), &names_);
  std::future<CentralAnswer> waiting = relay.Begin(ACall());
  relay.Stop();
  ASSERT_EQ(waiting.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  const CentralAnswer answer = waiting.get();
  EXPECT_EQ(answer.sent, Sent::kNo);
  EXPECT_EQ(answer.replica, std::nullopt);
  EXPECT_EQ(answer.error, "centre.test:1: stopped");
}

TEST_F(CurlCentralCallsTls, StopEndsACallThatRuns) {
  FakeCentre centre(ServerOptions());
  CallingRelay relay(Options(centre.port()), &names_);
  EXPECT_EQ(relay.Ask().status, 0);
  fakes::Reply silence = GrpcOk();
  silence.action = Action::kBlackHole;
  centre.Answer(silence);
  std::future<CentralAnswer> running = relay.Begin(ACall());
  const auto deadline = std::chrono::steady_clock::now() + kAnswerPatience;
  while (centre.requests().size() < 2) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  relay.Stop();
  ASSERT_EQ(running.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_EQ(running.get().sent, Sent::kYes);
}

// Plaintext: each call has a connection of its own.

void ExpectPlaintextWorks(const fakes::HttpServerOptions& server,
                          const std::function<config::Address(const FakeCentre&)>& address) {
  FakeCentre centre(server);
  fakes::TemporaryFolder folder;
  fakes::WriteSecret(folder / "token", "token-that-must-stay-here");
  config::TokendUpstream options;
  options.address = address(centre);
  options.plaintext = true;
  options.token_file = folder / "token";
  options.timeout = std::chrono::seconds(20);
  options.max_in_flight = 64;
  CallingRelay relay(options);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(relay.Ask().status, 0);
  for (const CentralAnswer& answer : relay.AskMany(100)) EXPECT_EQ(answer.status, 0) << answer.error;
  EXPECT_EQ(centre.connections(), 103u);
  for (const fakes::Request& request : centre.requests()) EXPECT_EQ(request.authorization, std::nullopt);
  fakes::Reply lost = GrpcOk();
  lost.action = Action::kDrop;
  centre.Answer(lost);
  const CentralAnswer answer = relay.Ask();
  EXPECT_EQ(answer.sent, Sent::kYes);
  EXPECT_EQ(centre.requests().size(), 104u);
  centre.server().StopListening();
  EXPECT_FALSE(relay.Ask().connected);
}

TEST(CurlCentralCalls, WorksOverAUnixSocket) {
  const fakes::TemporaryFolder folder;
  const std::string path = folder / "centre.sock";
  ExpectPlaintextWorks({.unix_socket = path, .protocols = {fakes::Protocol::kHttp2}},
                       [&](const FakeCentre&) { return config::UnixAddress{path}; });
}

TEST(CurlCentralCalls, WorksInPlaintextOnLoopback) {
  ExpectPlaintextWorks({.protocols = {fakes::Protocol::kHttp2}}, [](const FakeCentre& centre) {
    return config::TcpAddress{"127.0.0.1", centre.port()};
  });
}

}  // namespace
}  // namespace tokend::upstream
