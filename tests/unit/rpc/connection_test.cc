#include "daemon/rpc/connection.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/rpc/server_fixture.h"

// What single clients come to that speak HTTP/2 by hand.
namespace tokend::rpc {
namespace {

using fakes::http2::Frame;
using fakes::http2::HeaderBlock;
using fakes::http2::Headers;
using fakes::http2::Http2Client;
using fakes::http2::Message;
using fakes::http2::Number;
using fakes::http2::Reply;
using fakes::http2::RequestHeaders;
using fakes::http2::Wire;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Contains;
using testing::Key;
using testing::Not;

constexpr char kGetCallerPath[] = "/tokend.v1.TokenService/GetCaller";
constexpr char kCreateTokenPath[] = "/tokend.v1.TokenService/CreateToken";
constexpr char kCheckPath[] = "/grpc.health.v1.Health/Check";
constexpr char kWatchPath[] = "/grpc.health.v1.Health/Watch";
constexpr char kReflectionPath[] = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

constexpr int kOk = 0;
constexpr int kInvalidArgument = 3;
constexpr int kDeadlineExceeded = 4;
constexpr int kResourceExhausted = 8;
constexpr int kUnimplemented = 12;
constexpr int kInternal = 13;
constexpr int kUnavailable = 14;

class ConnectionTest : public ServerTest {
 protected:
  void Listen() { Start({UnixListener()}); }

  // A request's head alone.
  static std::string Head(std::uint32_t stream, const Headers& headers, bool ends = false) {
    return fakes::http2::HeaderFrames(stream, headers, ends ? NGHTTP2_FLAG_END_STREAM : 0);
  }

  // Whether the server still answers others.
  void ExpectWell() {
    Wire wire(UnixAddress());
    Http2Client client(wire);
    EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);
  }
};

// gRPC over HTTP/2.

TEST_F(ConnectionTest, AnswersWithHeadersAMessageAndTrailers) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  const Reply reply = client.Call(kGetCallerPath, "");
  EXPECT_EQ(reply.headers.at(":status"), "200");
  EXPECT_EQ(reply.headers.at("content-type"), "application/grpc");
  EXPECT_EQ(reply.code(), kOk);
  v1::GetCallerResponse caller;
  ASSERT_TRUE(caller.ParseFromString(reply.message()));
  EXPECT_EQ(caller.caller(), "dev");
}

TEST_F(ConnectionTest, ServesARequestWithoutTe) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  Headers headers = RequestHeaders(kGetCallerPath);
  std::erase_if(headers, [](const auto& header) { return header.first == "te"; });
  const std::uint32_t stream = client.NextStream();
  wire.Send(Head(stream, headers) + Frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, Message("")));
  EXPECT_EQ(client.Await(stream).code(), kOk);
}

TEST_F(ConnectionTest, AnswersWhatIsNoGrpcByAnHttpStatus) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  for (const auto& [method, type, status] : std::vector<std::tuple<std::string, std::string, std::string>>{
           {"POST", "application/json", "415"},
           {"POST", "application/grpcx", "415"},
           {"POST", "application/grpc+json", "415"},
           {"POST", "", "415"},
           {"GET", "", "415"},
           {"GET", "application/grpc", "405"},
           {"PUT", "application/grpc", "405"}}) {
    Headers headers = {
        {":method", method}, {":scheme", "http"}, {":path", kGetCallerPath}, {":authority", "a"}};
    if (!type.empty()) headers.emplace_back("content-type", type);
    const std::uint32_t stream = client.NextStream();
    wire.Send(Head(stream, headers, true));
    const Reply reply = client.Await(stream);
    EXPECT_EQ(reply.headers.at(":status"), status) << method << " " << type;
    EXPECT_THAT(reply.headers, Not(Contains(Key("grpc-status"))));
  }
}

TEST_F(ConnectionTest, RefusesATimeoutOfAnotherFormAndBadBase64ForThatCallAlone) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  for (const Headers& more : {Headers{{"grpc-timeout", "1s"}}, Headers{{"grpc-timeout", "123456789S"}},
                              Headers{{"grpc-timeout", "1S"}, {"grpc-timeout", ""}},
                              Headers{{"a-bin", "%%%"}}, Headers{{"grpc-trace-bin", "Z"}}}) {
    for (const char* path : {kGetCallerPath, kCheckPath}) {
      const Reply reply = client.Call(path, "", more);
      EXPECT_EQ(reply.code(), kInvalidArgument) << more.front().first;
      EXPECT_EQ(ErrorInfoOf(reply).reason(), "INVALID_REQUEST");
    }
  }
  EXPECT_EQ(issuer_.refusals().size(), 5U);
  for (const char* value : {"Zm9v", "Zg==", "Zg", "Zg==,Zm8"}) {
    EXPECT_EQ(client.Call(kGetCallerPath, "", {{"a-bin", value}, {"grpc-timeout", "10S"}}).code(), kOk)
        << value;
  }
}

TEST_F(ConnectionTest, TakesNoCompressedMessageAndSaysWhatItTakes) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  const std::uint32_t stream = client.NextStream();
  wire.Send(Head(stream, RequestHeaders(kGetCallerPath, {{"grpc-encoding", "gzip"}})) +
            Frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, Message("xxxx", 1)));
  const Reply reply = client.Await(stream);
  EXPECT_EQ(reply.code(), kUnimplemented);
  EXPECT_EQ(reply.headers.at("grpc-accept-encoding"), "identity");
  EXPECT_THAT(reply.headers, Not(Contains(Key("grpc-status-details-bin"))));
  EXPECT_EQ(client.Call(kGetCallerPath, "", {{"grpc-encoding", "gzip"}}).code(), kOk);  // not compressed
}

TEST_F(ConnectionTest, TakesOneMessageForAUnaryCall) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  for (const auto& [data, code] : {std::pair{std::string(), kUnimplemented},
                                   {Message("") + Message(""), kUnimplemented},
                                   {Message("").substr(0, 3), kInternal},
                                   {Message("abcdef").substr(0, 8), kInternal},
                                   {std::string("\2\0\0\0\0", 5), kInternal}}) {
    const std::uint32_t stream = client.NextStream();
    wire.Send(Head(stream, RequestHeaders(kGetCallerPath)) +
              Frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, data));
    EXPECT_EQ(client.Await(stream).code(), code) << data.size();
  }
  EXPECT_TRUE(issuer_.refusals().empty());
}

TEST_F(ConnectionTest, AnswersBeforeTheRequestsEndAndSparesTheClientTheRest) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  const std::uint32_t stream = client.NextStream();
  wire.Send(Head(stream, RequestHeaders(kCreateTokenPath)) +
            Frame(NGHTTP2_DATA, 0, stream, std::string("\0\0\1\0\1", 5)));  // announces 64 KiB and one byte
  EXPECT_EQ(client.Await(stream).code(), kResourceExhausted);
  EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);
  EXPECT_FALSE(client.reply(stream).reset.has_value() && *client.reply(stream).reset != NGHTTP2_NO_ERROR);
}

TEST_F(ConnectionTest, RefusesMetadataOver16KiBForThatCallAlone) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  EXPECT_EQ(client.Call(kGetCallerPath, "", {{"x", std::string(10000, 'x')}}).code(), kOk);
  for (const Headers& more : {Headers{{"x", std::string(16300, 'x')}},
                              Headers{{"a", std::string(8000, 'x')}, {"b", std::string(8500, 'x')}}}) {
    const Reply reply = client.Call(kGetCallerPath, "", more);
    EXPECT_EQ(reply.code(), kResourceExhausted);
    EXPECT_THAT(reply.headers, Not(Contains(Key("grpc-status-details-bin"))));
  }
  // The size is judged before anything else, wherever the content type stands.
  const std::uint32_t stream = client.NextStream();
  wire.Send(Head(stream,
                 {{":method", "POST"},
                  {":scheme", "http"},
                  {":path", kGetCallerPath},
                  {":authority", "a"},
                  {"x", std::string(16300, 'x')},
                  {"content-type", "application/grpc"}},
                 true));
  EXPECT_EQ(client.Await(stream).code(), kResourceExhausted);
  EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);
}

TEST_F(ConnectionTest, EndsTheConnectionForAHeaderBlockOver64KiB) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  wire.Send(Head(1, RequestHeaders(kGetCallerPath, {{"a", std::string(30000, 'x')},
                                                    {"b", std::string(30000, 'x')},
                                                    {"c", std::string(10000, 'x')}})));
  EXPECT_TRUE(client.Until([&] { return !client.goaways().empty(); }));
  EXPECT_EQ(client.goaways().front().first, std::uint32_t{NGHTTP2_ENHANCE_YOUR_CALM});
  EXPECT_TRUE(wire.AwaitClose());
  Eventually([&] { return Closed("pod", "header_block") == 1; });
  ExpectWell();
}

TEST_F(ConnectionTest, PassesADeadlineOnAndEndsACallThatHasPassedIt) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  const std::uint32_t stream =
      client.Begin(kCreateTokenPath, GoodRequest().SerializeAsString(), {{"grpc-timeout", "300m"}});
  const auto pending = issuer_.Next();
  EXPECT_LT(pending->deadline() - std::chrono::steady_clock::now(), milliseconds(301));
  EXPECT_EQ(client.Await(stream).code(), kDeadlineExceeded);
  EXPECT_TRUE(pending->WaitCancelled());
  EXPECT_EQ(server_->calls_in_flight(), 1U);
  pending->Reply(issue::Abandoned{});
  Eventually([&] { return server_->calls_in_flight() == 0; });
  EXPECT_EQ(CallsEnded("tokend.v1.TokenService/CreateToken", "DEADLINE_EXCEEDED"), 1U);
}

TEST_F(ConnectionTest, TakesAResetForACancellation) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  const std::uint32_t stream = client.Begin(kCreateTokenPath, GoodRequest().SerializeAsString());
  const auto pending = issuer_.Next();
  client.Send(NGHTTP2_RST_STREAM, 0, stream, Number(NGHTTP2_CANCEL, 4));
  EXPECT_TRUE(pending->WaitCancelled());
  pending->Reply(ReleasedFor(pending->request()));
  Eventually([&] { return server_->calls_in_flight() == 0; });
  EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);
  EXPECT_EQ(CallsEnded("tokend.v1.TokenService/CreateToken", "CANCELLED"), 1U);
}

TEST_F(ConnectionTest, TakesTheEndOfAConnectionForTheCancellationOfItsCalls) {
  Listen();
  std::shared_ptr<PendingRequest> pending;
  {
    Wire wire(UnixAddress());
    Http2Client client(wire);
    client.Begin(kCreateTokenPath, GoodRequest().SerializeAsString());
    pending = issuer_.Next();
  }
  EXPECT_TRUE(pending->WaitCancelled());
  Eventually([&] { return Closed("pod", "client") + Closed("pod", "transport") == 1; });
  EXPECT_EQ(server_->calls_in_flight(), 1U);
  pending->Reply(ReleasedFor(pending->request()));
  Eventually([&] { return server_->calls_in_flight() == 0; });
}

TEST_F(ConnectionTest, TakesAnAnswerThatCannotBeWrittenForTheCancellationOfItsCall) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  const std::uint32_t stream = client.Begin(kCreateTokenPath, GoodRequest().SerializeAsString());
  const auto pending = issuer_.Next();
  ASSERT_EQ(shutdown(wire.socket(), SHUT_RD), 0);
  // The server resets the stream for this, and can tell nobody.
  client.Send(NGHTTP2_WINDOW_UPDATE, 0, stream, Number(0x7FFFFFFF, 4));
  EXPECT_TRUE(pending->WaitCancelled());
  pending->Reply(ReleasedFor(pending->request()));
  ExpectWell();
}

TEST_F(ConnectionTest, ServesAClientThatResetsStreamsWhichItNeverBegan) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  const std::uint32_t running = client.Begin(kCreateTokenPath, GoodRequest().SerializeAsString());
  const auto pending = issuer_.Next();
  for (int i = 0; i < 100; ++i) {
    client.Send(NGHTTP2_RST_STREAM, 0, client.NextStream(), Number(NGHTTP2_CANCEL, 4));
  }
  EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);
  pending->Reply(ReleasedFor(pending->request()));
  EXPECT_EQ(client.Await(running).code(), kOk);
}

TEST_F(ConnectionTest, ACallsPlaceIsGivenBackBeforeItsClientHasReadTheReply) {
  config_.server.max_in_flight = 1;
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire, {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}}, Http2Client::Window::kLeave);
  client.Begin(kCreateTokenPath, GoodRequest().SerializeAsString());
  const auto pending = issuer_.Next();
  pending->Reply(ReleasedFor(pending->request()));
  Eventually([&] { return server_->calls_in_flight() == 0; });
  ExpectWell();
}

// Flow control.

TEST_F(ConnectionTest, TellsItsBoundsInItsSettings) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  ASSERT_TRUE(client.Until([&] { return !client.settings().empty(); }));
  EXPECT_EQ(client.settings().at(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS), bounds::kMaxStreams);
  EXPECT_EQ(client.settings().at(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE), bounds::kMaxHeaderBlockBytes);
  EXPECT_EQ(client.settings().at(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE), std::uint32_t{bounds::kStreamWindow});
  EXPECT_EQ(client.settings().at(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES), 1U);
}

#if defined(__SANITIZE_THREAD__)
constexpr int kLongMessages = 10;  // it takes some 0.3 s to judge each that gRPC's client sends
#else
constexpr int kLongMessages = 100;
#endif

TEST_F(ConnectionTest, ServesManyLongMessagesThatComeInterleaved) {
  Listen();
  const Channel channel = ConnectUnix();
  v1::CreateTokenRequest request = GoodRequest();
  request.set_description(std::string(60 * 1024, 'x'));  // too long for a description, not for a message
  std::vector<std::unique_ptr<Creation>> creations;
  for (int i = 0; i < kLongMessages; ++i) creations.push_back(std::make_unique<Creation>(channel, request));
  for (const auto& creation : creations) {
    EXPECT_EQ(creation->Status().error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << creation->Status().error_message();
  }
}

TEST_F(ConnectionTest, EndsTheConnectionOfAClientThatSendsTooMuchOfUnfinishedRequests) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  client.set_polite(false);  // it keeps the windows of before the settings
  std::string frames;
  for (std::uint32_t stream = 1; stream < 80; stream += 2) {
    frames += Head(stream, RequestHeaders(kCreateTokenPath));
    const std::string part = Message(std::string(60000, 'x')).substr(0, 50000);
    for (std::size_t at = 0; at < part.size(); at += 16384) {
      frames += Frame(NGHTTP2_DATA, 0, stream, part.substr(at, 16384));
    }
  }
  wire.Send(frames);
  EXPECT_TRUE(wire.AwaitClose());
  Eventually([&] { return Closed("pod", "held_requests") == 1; });
  ExpectWell();
}

TEST_F(ConnectionTest, BoundsWhatTheClientsOfAListenerSendOfUnfinishedRequests) {
  Listen();
  std::vector<std::unique_ptr<Wire>> wires;
  const Headers large = {{"authorization", std::string(15000, 'x')}};
  const std::size_t each = 60 * 15000;
  for (std::size_t sent = 0; sent < bounds::kMaxListenerRequestBytes + 4 * each; sent += each) {
    wires.push_back(std::make_unique<Wire>(UnixAddress()));
    const Http2Client client(*wires.back());
    for (std::uint32_t i = 0; i < 60; ++i) {
      wires.back()->Send(Head(2 * i + 1, RequestHeaders(kCreateTokenPath, large)));
    }
  }
  Eventually([&] { return Closed("pod", "held_requests") >= 1; });
  EXPECT_LE(Closed("pod", "held_requests"), 8U);
  ExpectWell();
}

TEST_F(ConnectionTest, ServesLongMessagesThatWereBegunBeforeTheClientKnewItsWindow) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  v1::CreateTokenRequest request = GoodRequest();
  request.set_description(std::string(60 * 1000, 'x'));
  const std::string message = Message(request.SerializeAsString());
  constexpr std::size_t kBegun = 8000;
  std::vector<std::uint32_t> streams;
  for (int i = 0; i < 8; ++i) {
    streams.push_back(client.NextStream());
    wire.Send(Head(streams.back(), RequestHeaders(kCreateTokenPath)) +
              Frame(NGHTTP2_DATA, 0, streams.back(), message.substr(0, kBegun)));
  }
  for (const std::uint32_t stream : streams) {
    ASSERT_TRUE(client.Until(
        [&] { return client.window_granted(stream) + bounds::kStreamWindow >= message.size(); }));
    for (std::size_t at = kBegun; at < message.size(); at += 10000) {
      client.Send(NGHTTP2_DATA, at + 10000 >= message.size() ? NGHTTP2_FLAG_END_STREAM : 0, stream,
                  message.substr(at, 10000));
    }
    EXPECT_EQ(client.Await(stream).code(), kInvalidArgument);
  }
}

TEST_F(ConnectionTest, KeepsCallsWaitingWhileAnswersAreNotRead) {
  // Each answer is large, so that some are more than may be queued.
  config::Grant grant = MobileGrant();
  for (int i = 0; i < 4000; ++i) grant.applications.push_back("an-application-of-many-" + std::to_string(i));
  current_.Set(std::make_shared<issue::ConfigSnapshot>(
      issue::ConfigSnapshot{"", {{grant}, {{"acme", config::KeyFile{"/key"}}}}}));
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire, {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}}, Http2Client::Window::kLeave);
  std::vector<std::uint32_t> streams;
  for (int i = 0; i < 50; ++i) streams.push_back(client.Begin(kGetCallerPath, ""));
  Eventually([&] { return CallsEnded("tokend.v1.TokenService/GetCaller", "OK") >= 2; });
  client.Send(NGHTTP2_PING, 0, 0, "12345678");  // what came before it is taken
  ASSERT_TRUE(client.Until([&] { return client.pings_answered() == 1; }));
  EXPECT_LT(CallsEnded("tokend.v1.TokenService/GetCaller", "OK"), 10U);

  // They are served as soon as the client reads.
  client.Send(NGHTTP2_SETTINGS, 0, 0, Number(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 2) + Number(1U << 30U, 4));
  client.Send(NGHTTP2_WINDOW_UPDATE, 0, 0, Number(1U << 30U, 4));
  for (const std::uint32_t stream : streams) EXPECT_EQ(client.Await(stream).code(), kOk);
}

TEST_F(ConnectionTest, RefusesStreamsPastTheMaximumThatAClientCouldNotKnow) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  client.set_polite(false);  // it has not acknowledged the settings
  std::vector<std::uint32_t> streams;
  for (std::uint32_t i = 0; i < bounds::kMaxStreams + 2; ++i) {
    streams.push_back(client.Begin(kCreateTokenPath, GoodRequest().SerializeAsString()));
  }
  EXPECT_TRUE(client.Until([&] { return client.reply(streams.back()).reset.has_value(); }));
  EXPECT_EQ(client.reply(streams.back()).reset, std::uint32_t{NGHTTP2_REFUSED_STREAM});
  EXPECT_FALSE(client.reply(streams[bounds::kMaxStreams - 1]).reset);
  for (std::uint32_t i = 0; i < bounds::kMaxStreams; ++i) {
    const auto pending = issuer_.Next();
    pending->Reply(ReleasedFor(pending->request()));
  }
  EXPECT_EQ(client.Await(streams[0]).code(), kOk);
}

TEST_F(ConnectionTest, EndsTheConnectionOfAClientThatBeginsMoreStreamsThanItWasTold) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);
  issuer_.AnswerBy([](const auto&) {});  // never
  for (std::uint32_t i = 0; i < bounds::kMaxStreams + 1; ++i) {
    client.Begin(kCreateTokenPath, GoodRequest().SerializeAsString());
  }
  EXPECT_TRUE(wire.AwaitClose());
  Eventually([&] { return Closed("pod", "protocol") == 1; });
  ExpectWell();
}

// Floods.

TEST_F(ConnectionTest, AnswersWhatRunsAndTakesNoMoreOfAClientThatResetsTooMuch) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  const std::uint32_t running = client.Begin(kCreateTokenPath, GoodRequest().SerializeAsString());
  const auto pending = issuer_.Next();
  std::string frames;
  for (int i = 0; i < 1100; ++i) {
    const std::uint32_t stream = client.NextStream();
    frames += Head(stream, RequestHeaders(kGetCallerPath)) +
              Frame(NGHTTP2_RST_STREAM, 0, stream, Number(NGHTTP2_CANCEL, 4));
  }
  wire.Send(frames);
  ASSERT_TRUE(client.Until([&] { return !client.goaways().empty(); }));
  EXPECT_EQ(client.goaways().front().first, std::uint32_t{NGHTTP2_ENHANCE_YOUR_CALM});
  const std::uint32_t late = client.Begin(kGetCallerPath, "");
  pending->Reply(ReleasedFor(pending->request()));
  EXPECT_EQ(client.Await(running).code(), kOk);
  EXPECT_TRUE(wire.AwaitClose());
  EXPECT_EQ(client.reply(late).code(), -1);
  Eventually([&] { return Closed("pod", "resets") == 1; });
  ExpectWell();
}

TEST_F(ConnectionTest, BeginsNoCallThatItsGoAwayDisowns) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  const std::uint32_t running = client.Begin(kCreateTokenPath, GoodRequest().SerializeAsString());
  const auto first = issuer_.Next();
  std::set<std::string> begun;
  issuer_.AnswerBy([&begun](const auto& pending) { begun.insert(pending->request().request_id()); });
  std::string frames;
  for (int i = 0; i < 1500; ++i) {
    const std::uint32_t stream = client.NextStream();
    frames += Head(stream, RequestHeaders(kGetCallerPath)) +
              Frame(NGHTTP2_RST_STREAM, 0, stream, Number(NGHTTP2_CANCEL, 4));
  }
  std::map<std::string, std::uint32_t> streams;
  for (std::uint32_t i = 0; i < 120; ++i) {  // each within its first window, together more than is ignored
    v1::CreateTokenRequest request = GoodRequest();
    request.set_request_id("0123abcd-4567-89ab-cdef-000000000" + std::to_string(100 + i));
    request.set_description(std::string(200, 'x'));
    const std::uint32_t stream = client.NextStream();
    streams[request.request_id()] = stream;
    frames += fakes::http2::Request(stream, kCreateTokenPath, request.SerializeAsString(),
                                    {{"x", std::string(1500, 'x')}});
  }
  wire.Send(frames);
  ASSERT_TRUE(client.Until([&] { return !client.goaways().empty(); }));
  first->Reply(ReleasedFor(first->request()));
  EXPECT_EQ(client.Await(running).code(), kOk);
  server_.reset();  // what it has begun, it has begun by now
  for (const auto& [request_id, stream] : streams) {
    EXPECT_EQ(begun.contains(request_id), stream <= client.goaways().front().second) << stream;
  }
}

TEST_F(ConnectionTest, CountsStreamsThatTheClientMakesTheServerReset) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  for (int i = 0; i < 1100 && !wire.closed(); ++i) {
    wire.Send(Head(client.NextStream(), RequestHeaders(kGetCallerPath, {{"Upper", "case"}})));
  }
  ASSERT_TRUE(client.Until([&] { return !client.goaways().empty(); }));
  EXPECT_TRUE(wire.AwaitClose());
  Eventually([&] { return Closed("pod", "resets") == 1; });
}

TEST_F(ConnectionTest, DoesNotCountResetsWhoseDeadlineHasPassed) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  issuer_.AnswerBy([](const auto&) {});  // never
  for (int round = 0; round < 30; ++round) {
    std::vector<std::uint32_t> streams;
    for (int i = 0; i < 100; ++i) {
      streams.push_back(
          client.Begin(kCreateTokenPath, GoodRequest().SerializeAsString(), {{"grpc-timeout", "1m"}}));
    }
    for (const std::uint32_t stream : streams) {
      ASSERT_EQ(client.Await(stream).code(), kDeadlineExceeded);
      client.Send(NGHTTP2_RST_STREAM, 0, stream, Number(NGHTTP2_CANCEL, 4));
    }
  }
  EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);
  EXPECT_TRUE(client.goaways().empty());
}

TEST_F(ConnectionTest, ServesThousandsOfCallsOfAClientThatResetsEachAfterItsAnswer) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  for (int i = 0; i < 4000; ++i) {
    const std::uint32_t stream = client.Begin(kGetCallerPath, "");
    ASSERT_EQ(client.Await(stream).code(), kOk) << i;
    client.Send(NGHTTP2_RST_STREAM, 0, stream, Number(NGHTTP2_NO_ERROR, 4));
  }
  EXPECT_TRUE(client.goaways().empty());
}

class FrameFloodTest : public ConnectionTest,
                       public testing::WithParamInterface<std::pair<const char*, std::string>> {};

TEST_P(FrameFloodTest, EndsTheConnectionAndNothingElse) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  // A stream that is open, and one that was reset.
  wire.Send(Head(1, RequestHeaders(kCreateTokenPath)) + Head(3, RequestHeaders(kCreateTokenPath)) +
            Frame(NGHTTP2_RST_STREAM, 0, 3, Number(NGHTTP2_CANCEL, 4)));
  const auto begin = std::chrono::steady_clock::now();
  std::string frames;
  while (frames.size() < 64U * 1024) frames += GetParam().second;
  bool open = true;
  while (open && std::chrono::steady_clock::now() - begin < kPatience) open = wire.Blast(frames);
  EXPECT_FALSE(open);
  Eventually([&] {
    return Closed("pod", "control_frames") + Closed("pod", "ignored_bytes") + Closed("pod", "protocol") == 1;
  });
  ExpectWell();
}

INSTANTIATE_TEST_SUITE_P(
    Of, FrameFloodTest,
    testing::Values(std::pair{"Ping", Frame(NGHTTP2_PING, 0, 0, "12345678")},
                    std::pair{"PingAnswer", Frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "12345678")},
                    std::pair{"Settings", Frame(NGHTTP2_SETTINGS, 0, 0, "")},
                    std::pair{"Priority", Frame(NGHTTP2_PRIORITY, 0, 5, std::string(5, '\0'))},
                    std::pair{"WindowUpdate", Frame(NGHTTP2_WINDOW_UPDATE, 0, 1, Number(1, 4))},
                    std::pair{"WindowUpdateOfAResetStream", Frame(NGHTTP2_WINDOW_UPDATE, 0, 3, Number(1, 4))},
                    std::pair{"EmptyData", Frame(NGHTTP2_DATA, 0, 1, "")},
                    std::pair{"PaddedData", Frame(NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1,
                                                  std::string(1, '\xFF') + std::string(255, '\0'))},
                    std::pair{"DataOfAResetStream", Frame(NGHTTP2_DATA, 0, 3, "x")},
                    std::pair{"HeadersOfAResetStream",
                              Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 3, HeaderBlock({{"a", "b"}}))},
                    std::pair{"Reset", Frame(NGHTTP2_RST_STREAM, 0, 3, Number(NGHTTP2_CANCEL, 4))},
                    std::pair{"UnknownType", Frame(0xBE, 0, 0, std::string(100, 'x'))},
                    std::pair{"EmptyUnknownType", Frame(0xBE, 0, 0, "")}),
    [](const auto& flood) { return flood.param.first; });

TEST_F(ConnectionTest, WatchesHealthForTwoStreamsOfAConnectionAndNoMore) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  const std::uint32_t first = client.Begin(kWatchPath, "");
  const std::uint32_t second = client.Begin(kWatchPath, std::string("\x0a\x16") + kService);
  const Reply third = client.Call(kWatchPath, "");
  EXPECT_EQ(third.code(), kUnavailable);
  EXPECT_EQ(ErrorInfoOf(third).reason(), "OVERLOADED");
  ASSERT_TRUE(client.Until([&] { return client.reply(first).message() == "\x08\x01"; }));
  ASSERT_TRUE(client.Until([&] { return client.reply(second).message() == "\x08\x01"; }));
  server_->SetServing(Serving::kNo);
  EXPECT_TRUE(
      client.Until([&] { return client.reply(first).data == Message("\x08\x01") + Message("\x08\x02"); }));
  client.Send(NGHTTP2_RST_STREAM, 0, second, Number(NGHTTP2_CANCEL, 4));
  const std::uint32_t fourth = client.Begin(kWatchPath, "other");
  EXPECT_EQ(client.Await(fourth).code(), kInvalidArgument);
  const std::uint32_t unknown = client.Begin(kWatchPath, std::string("\x0a\x05other"));
  EXPECT_TRUE(client.Until([&] { return client.reply(unknown).message() == "\x08\x03"; }));
}

TEST_F(ConnectionTest, AnswersHealthOfAnUnknownServiceAsNotFound) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  EXPECT_EQ(client.Call(kCheckPath, std::string("\x0a\x05other")).code(), 5);
  EXPECT_EQ(client.Call(kCheckPath, std::string("\x0a\x05")).code(), kInvalidArgument);
}

TEST_F(ConnectionTest, AnswersReflectionHoweverManyQuestionsAStreamAsks) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  const std::uint32_t stream = client.NextStream();
  wire.Send(Head(stream, RequestHeaders(kReflectionPath)));
  const std::string question = Message(std::string("\x3a\x01*"));
  std::size_t answered = 0;
  for (int i = 0; i < 1000; ++i) {  // more than the stream's first window holds
    client.Send(NGHTTP2_DATA, 0, stream, question);
    ASSERT_TRUE(client.Until([&] { return client.reply(stream).data.size() > answered; })) << i;
    answered = client.reply(stream).data.size();
  }
  client.Send(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, "");
  EXPECT_EQ(client.Await(stream).code(), kOk);
}

TEST_F(ConnectionTest, EndsAReflectionStreamThatSendsRubbish) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  EXPECT_EQ(client.Call(kReflectionPath, "\xFF\xFF").code(), kInvalidArgument);
  const std::uint32_t stream = client.NextStream();
  wire.Send(Head(stream, RequestHeaders(kReflectionPath)) +
            Frame(NGHTTP2_DATA, 0, stream, Message(std::string("\x3a\x01*")) + Message("x", 1)));
  EXPECT_EQ(client.Await(stream).code(), kUnimplemented);
}

// Times, made short.

class ShortTimesTest : public ConnectionTest {
 protected:
  static constexpr milliseconds kShort{200};
};

TEST_F(ShortTimesTest, AClientThatSaysNothingIsClosed) {
  times_.handshake = kShort;
  Listen();
  Wire silent(UnixAddress());
  Wire half(UnixAddress());
  half.Send(fakes::http2::kPreface.substr(0, 10));
  EXPECT_TRUE(silent.AwaitClose());
  EXPECT_TRUE(half.AwaitClose());
  Eventually([&] { return Closed("pod", "handshake_timeout") == 2; });
}

TEST_F(ShortTimesTest, AClientThatDoesNotAcknowledgeTheSettingsIsClosed) {
  times_.settings = kShort;
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  client.set_polite(false);
  EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);
  EXPECT_TRUE(wire.AwaitClose());
  Eventually([&] { return Closed("pod", "settings_timeout") == 1; });
}

TEST_F(ShortTimesTest, ARequestThatNeverEndsIsEndedAndNothingElse) {
  times_.request = kShort;
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  const std::uint32_t stream = client.NextStream();
  wire.Send(Head(stream, RequestHeaders(kCreateTokenPath)) +
            Frame(NGHTTP2_DATA, 0, stream, Message("abcdef").substr(0, 8)));
  EXPECT_EQ(client.Await(stream).code(), kDeadlineExceeded);
  EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);
}

TEST_F(ShortTimesTest, AStreamOfMessagesThatSendsNoneIsEnded) {
  times_.request = kShort;
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  const std::uint32_t stream = client.NextStream();
  wire.Send(Head(stream, RequestHeaders(kReflectionPath)));
  EXPECT_EQ(client.Await(stream).code(), kDeadlineExceeded);
  EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);
}

TEST_F(ShortTimesTest, AnAnswerThatIsNotReadIsEndedAndNothingElse) {
  times_.answer = kShort;
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire, {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}}, Http2Client::Window::kLeave);
  const std::uint32_t stream = client.Begin(kGetCallerPath, "");
  EXPECT_TRUE(client.Until([&] { return client.reply(stream).reset.has_value(); }));
  EXPECT_EQ(client.Call("/no/method", "").code(), kUnimplemented);
}

TEST_F(ShortTimesTest, AConnectionThatShowsNoCallerIsEnded) {
  times_.unknown_caller = kShort;
  config::Listener listener = UnixListener();
  listener.authentication = config::UnixAuthentication{{{geteuid() + 1, "unix:other"}}};
  Start({listener});
  Wire wire(UnixAddress());
  Http2Client client(wire);
  EXPECT_EQ(client.Call(kCheckPath, "").code(), kOk);
  wire.Send(Head(client.NextStream(), RequestHeaders(kGetCallerPath)));  // a request that it does not end
  EXPECT_TRUE(client.Until([&] { return wire.closed(); }));
  EXPECT_EQ(client.goaways().size(), 2U);
  Eventually([&] { return Closed("pod", "no_caller") == 1; });
}

TEST_F(ShortTimesTest, AConnectionOfAKnownCallerStays) {
  times_.unknown_caller = milliseconds(1);
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);
  EXPECT_TRUE(client.goaways().empty());
}

TEST_F(ShortTimesTest, AnIdleConnectionIsEndedInGoodOrder) {
  times_.idle = kShort;
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);
  EXPECT_TRUE(client.Until([&] { return wire.closed(); }));
  ASSERT_EQ(client.goaways().size(), 2U);
  EXPECT_EQ(client.goaways()[0], (std::pair<std::uint32_t, std::uint32_t>(NGHTTP2_NO_ERROR, 0x7FFFFFFF)));
  EXPECT_EQ(client.goaways()[1], (std::pair<std::uint32_t, std::uint32_t>(NGHTTP2_NO_ERROR, 1)));
  Eventually([&] { return Closed("pod", "idle") == 1; });
}

TEST_F(ShortTimesTest, AnOldConnectionIsRetiredAndItsCallsAreServedToTheirEnd) {
  times_.age = kShort;
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  const std::uint32_t running = client.Begin(kCreateTokenPath, GoodRequest().SerializeAsString());
  const auto pending = issuer_.Next();
  ASSERT_TRUE(client.Until([&] { return !client.goaways().empty(); }));
  EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);  // of a client that does not heed it
  pending->Reply(ReleasedFor(pending->request()));
  EXPECT_EQ(client.Await(running).code(), kOk);
  EXPECT_TRUE(wire.AwaitClose());
  Eventually([&] { return Closed("pod", "age") == 1; });
}

TEST_F(ShortTimesTest, AClientThatDoesNotAnswerPingsIsClosed) {
  times_.keepalive = kShort;
  times_.keepalive_answer = kShort;
  Listen();
  Wire alive(UnixAddress());
  Http2Client polite(alive);
  Wire wire(UnixAddress());
  Http2Client dead(wire);
  ASSERT_TRUE(dead.Until([&] { return !dead.settings().empty(); }));
  dead.set_polite(false);
  EXPECT_TRUE(polite.Until([&] { return Closed("pod", "keepalive") == 1; }, seconds(30)) ||
              Closed("pod", "keepalive") == 1);
  EXPECT_EQ(polite.Call(kGetCallerPath, "").code(), kOk);
}

// A stop.

TEST_F(ConnectionTest, ServesWhatRunsWhenDrainingAndRefusesAClientThatGoesOn) {
  Start({UnixListener(), TcpListener()});
  Wire wire(UnixAddress());
  Http2Client client(wire);
  const std::uint32_t running = client.Begin(kCreateTokenPath, GoodRequest().SerializeAsString());
  const auto pending = issuer_.Next();
  EXPECT_EQ(TcpConnectError(PortOf(server_->addresses()[1])), 0);

  server_->Drain();
  EXPECT_NE(access(SocketPath().c_str(), F_OK), 0);
  EXPECT_EQ(TcpConnectError(PortOf(server_->addresses()[1])), ECONNREFUSED);
  // The client has been told once it has answered the ping behind the first GOAWAY.
  ASSERT_TRUE(client.Until([&] { return !client.goaways().empty(); }));
  EXPECT_EQ(client.goaways().front().second, 0x7FFFFFFFU);
  Reply late;
  Eventually([&] {
    late = client.Call(kGetCallerPath, "");
    return late.code() != kOk;
  });
  EXPECT_EQ(late.code(), kUnavailable);
  EXPECT_EQ(ErrorInfoOf(late).reason(), "SHUTTING_DOWN");
  EXPECT_EQ(issuer_.refusals().back().reason, Reason::kShuttingDown);
  EXPECT_EQ(client.Call(kCheckPath, "").message(), "\x08\x02");
  server_->SetServing(Serving::kYes);
  EXPECT_EQ(client.Call(kCheckPath, "").message(), "\x08\x02");
  EXPECT_EQ(client.goaways().size(), 1U);

  EXPECT_FALSE(server_->WaitDrained(std::chrono::steady_clock::now()));
  pending->Reply(ReleasedFor(pending->request()));
  EXPECT_EQ(client.Await(running).code(), kOk);
  EXPECT_TRUE(wire.AwaitClose());
  EXPECT_TRUE(server_->WaitDrained(std::chrono::steady_clock::now() + kPatience));
  EXPECT_EQ(Closed("pod", "drain"), 1U);
}

TEST_F(ConnectionTest, ADrainedClientThatHeedsItIsClosedAtOnceWhereNothingRuns) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);
  const std::uint32_t watch = client.Begin(kWatchPath, "");
  ASSERT_TRUE(client.Until([&] { return !client.reply(watch).data.empty(); }));
  server_->Drain();
  EXPECT_TRUE(client.Until([&] { return wire.closed(); }));
  EXPECT_EQ(client.goaways().size(), 2U);
  EXPECT_EQ(client.reply(watch).data, Message("\x08\x01") + Message("\x08\x02"));
  EXPECT_EQ(client.reply(watch).code(), kUnavailable);
  EXPECT_EQ(ErrorInfoOf(client.reply(watch)).reason(), "SHUTTING_DOWN");
  EXPECT_TRUE(server_->WaitDrained(std::chrono::steady_clock::now() + kPatience));
}

TEST_F(ConnectionTest, EveryCallGetsAStatusWithDetailsWhenTheDaemonEndsIt) {
  Listen();
  Wire wire(UnixAddress());
  Http2Client client(wire);
  const std::uint32_t running = client.Begin(kCreateTokenPath, GoodRequest().SerializeAsString());
  const auto pending = issuer_.Next();
  const std::uint32_t incomplete = client.NextStream();
  wire.Send(Head(incomplete, RequestHeaders(kCreateTokenPath)));
  client.Send(NGHTTP2_PING, 0, 0, "12345678");
  ASSERT_TRUE(client.Until([&] { return client.pings_answered() == 1; }));
  std::thread stopper([&] { server_->Stop(seconds(10)); });
  const Reply reply = client.Await(running);
  EXPECT_EQ(reply.code(), 2);
  EXPECT_EQ(ErrorInfoOf(reply).reason(), "OUTCOME_UNKNOWN");
  EXPECT_EQ(reply.headers.at("grpc-retry-pushback-ms"), "-1");
  EXPECT_EQ(ErrorInfoOf(client.Await(incomplete)).reason(), "SHUTTING_DOWN");
  EXPECT_TRUE(pending->WaitCancelled());
  EXPECT_TRUE(wire.AwaitClose());
  stopper.join();
}

// Shares of a listener's connections.

TEST_F(ConnectionTest, OneAddressCannotTakeAllConnectionsFromTheOthers) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 80;  // 40 connections
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  Start({TcpListener()});
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  std::vector<std::unique_ptr<Wire>> greedy;
  for (int i = 0; i < 60; ++i)
    greedy.push_back(std::make_unique<Wire>(server_->addresses()[0], std::nullopt, "127.0.0.2"));
  // Its own oldest gave way, and others have places.
  EXPECT_TRUE(greedy.front()->AwaitClose());
  for (int i = 0; i < 9; ++i) {
    Wire wire(server_->addresses()[0], std::nullopt, "127.0.0.3");
    Http2Client client(wire);
    EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);
  }
  EXPECT_GE(Closed("local", "share"), 30U);
}

TEST_F(ConnectionTest, AProxysAddressHasNoMoreConnectionsThanItsListener) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 80;  // 40 connections
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  config::Listener listener = TcpListener();
  listener.max_connections_per_peer = 1000;
  Start({listener});
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  std::vector<std::unique_ptr<Wire>> wires;
  for (int i = 0; i < 100; ++i) wires.push_back(std::make_unique<Wire>(server_->addresses()[0]));
  Http2Client client(*wires.back());
  EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);
  EXPECT_EQ(Metric("tokend_connections{listener=\"local\"}"), 40U);
}

TEST_F(ConnectionTest, AProxysAddressMayHaveAsManyConnectionsAsItsListenerSays) {
  config::Listener listener = TcpListener();
  listener.max_connections_per_peer = 3;
  Start({listener});
  std::vector<std::unique_ptr<Wire>> wires;
  for (int i = 0; i < 3; ++i) wires.push_back(std::make_unique<Wire>(server_->addresses()[0]));
  Http2Client kept(*wires[1]);
  const std::uint32_t running = kept.Begin(kCreateTokenPath, GoodRequest().SerializeAsString());
  const auto pending = issuer_.Next();
  Wire fourth(server_->addresses()[0]);
  EXPECT_TRUE(wires[0]->AwaitClose());  // the oldest without a call
  Http2Client client(fourth);
  EXPECT_EQ(client.Call(kGetCallerPath, "").code(), kOk);
  pending->Reply(ReleasedFor(pending->request()));
  EXPECT_EQ(kept.Await(running).code(), kOk);
}

}  // namespace
}  // namespace tokend::rpc
