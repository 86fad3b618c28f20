#include <dirent.h>
#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <future>
#include <ostream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "daemon/loop/curl_http_client.h"
#include "tests/fakes/fake_applivery.h"
#include "tests/unit/loop/asking_client.h"

// The HTTP client against a server that speaks TLS, and what libcurl makes of HTTP/2's ways to fail.
namespace tokend::loop {
namespace {

using fakes::Action;
using fakes::FakeApplivery;
using fakes::FakeAppliveryOptions;
using fakes::Fault;
using fakes::Protocol;
using std::chrono::milliseconds;

constexpr char kApplication[] = "ios-app";

std::string WriteCa(const FakeApplivery& server) {
  std::string path = testing::TempDir() + "ca_" + std::to_string(getpid()) + ".pem";
  std::ofstream(path) << server.ca_pem();
  return path;
}

HttpClientOptions TlsOptions(const FakeApplivery& server) {
  HttpClientOptions options = Options();
  options.allow_http = false;
  options.ca_file = WriteCa(server);
  options.timeout = milliseconds(20000);
  return options;
}

std::string Url(const FakeApplivery& server) {
  return server.base_url() + "/v1/organizations/acme/apps/" + kApplication + "/tokens";
}

FakeAppliveryOptions Speaking(Protocol protocol) {
  FakeAppliveryOptions options;
  options.api_keys = {"key"};
  if (protocol == Protocol::kHttp1) options.protocols = {Protocol::kHttp1};
  return options;
}

std::size_t Begun(const FakeApplivery& server) {
  const fakes::Counts counts = server.counts();
  return counts.posts + counts.unread_posts;
}

struct Case {
  std::string name;
  Fault fault;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Unanswered : public testing::TestWithParam<std::tuple<Protocol, Case>> {
 protected:
  void ExpectOnePostEach(std::vector<std::future<HttpAnswer>> answers, std::size_t posts_before) {
    const std::size_t count = answers.size();
    for (std::future<HttpAnswer>& pending : answers) {
      ASSERT_EQ(pending.wait_for(kPatience), std::future_status::ready);
      const HttpAnswer answer = pending.get();
      EXPECT_EQ(answer.sent, Sent::kYes) << answer.error;
      EXPECT_EQ(answer.ending, Ending::kBroken) << answer.error;
    }
    EXPECT_EQ(Begun(server_), posts_before + count);
    EXPECT_EQ(server_.counts().stray_requests, 0u);
  }

  void Script(std::size_t count) {
    server_.Script(kApplication, std::vector<Fault>(count, std::get<1>(GetParam()).fault));
  }

  FakeApplivery server_{Speaking(std::get<0>(GetParam()))};
  Client client_{TlsOptions(server_)};
};

TEST_P(Unanswered, OnAFreshConnectionIsOnePost) {
  Script(1);
  ExpectOnePostEach(client_.BeginMany(1, Url(server_)), 0);
}

TEST_P(Unanswered, OnAReusedConnectionIsOnePost) {
  ASSERT_EQ(client_.Ask(Url(server_)).status, 200);
  Script(1);
  ExpectOnePostEach(client_.BeginMany(1, Url(server_)), 1);
}

TEST_P(Unanswered, AmongTenAtOnceIsOnePostEach) {
  ASSERT_EQ(client_.Ask(Url(server_)).status, 200);
  Script(10);
  ExpectOnePostEach(client_.BeginMany(10, Url(server_)), 1);
}

// With a delay, so that all ten are read before the first fails.
Fault Late(const Fault& fault) { return fault.After(milliseconds(100)); }

std::vector<Case> ConnectionFaults() {
  return {
      {"Drop", Late(Fault::Of(Action::kDrop))},
      {"Cut", Late(Fault::Of(Action::kCut))},
      {"Reset", Late(Fault::Of(Action::kReset))},
      {"GoAwayBelow", Late(Fault::Of(Action::kGoAwayBelow))},
      {"Malformed", Late(Fault::Of(Action::kMalformed))},
      {"HeaderThenDrop", Late(Fault::Of(Action::kHeaderThenDrop))},
      {"HalfBodyThenDrop", Late(Fault::Of(Action::kHalfBodyThenDrop))},
  };
}

std::vector<Case> StreamFaults() {
  std::vector<Case> cases;
  for (std::uint32_t error = 0; error <= 13; ++error) {
    cases.push_back({"StreamReset" + std::to_string(error), Late(Fault::StreamReset(error))});
  }
  return cases;
}

std::string CaseName(const testing::TestParamInfo<std::tuple<Protocol, Case>>& test) {
  const auto& [protocol, fault] = test.param;
  return (protocol == Protocol::kHttp2 ? "Http2" : "Http1") + fault.name;
}

INSTANTIATE_TEST_SUITE_P(Connection, Unanswered,
                         testing::Combine(testing::Values(Protocol::kHttp2, Protocol::kHttp1),
                                          testing::ValuesIn(ConnectionFaults())),
                         CaseName);
INSTANTIATE_TEST_SUITE_P(Stream, Unanswered,
                         testing::Combine(testing::Values(Protocol::kHttp2),
                                          testing::ValuesIn(StreamFaults())),
                         CaseName);

TEST(CurlHttpClientTls, SpeaksHttp2WhereOffered) {
  FakeApplivery server(Speaking(Protocol::kHttp2));
  Client client(TlsOptions(server));
  EXPECT_EQ(client.Ask(Url(server)).status, 200);
  ASSERT_EQ(server.posts().size(), 1u);
  EXPECT_EQ(server.posts()[0].protocol, Protocol::kHttp2);
  EXPECT_EQ(server.posts()[0].body, kBody);
}

TEST(CurlHttpClientTls, KnowsThatItSentWhereTheConnectionDropsAndNobodyListensAnyMore) {
  for (const Protocol protocol : {Protocol::kHttp1, Protocol::kHttp2}) {
    FakeApplivery server(Speaking(protocol));
    Client client(TlsOptions(server));
    EXPECT_EQ(client.Ask(Url(server)).status, 200);
    server.Script(kApplication, {Fault::Of(Action::kListenerGone)});
    EXPECT_EQ(client.Ask(Url(server)).sent, Sent::kYes);
    EXPECT_EQ(Begun(server), 2u);
    EXPECT_EQ(client.Ask(Url(server)).sent, Sent::kNo);
  }
}

TEST(CurlHttpClientTls, TakesAnAnswerThatComesBeforeTheBodyWasRead) {
  for (const Protocol protocol : {Protocol::kHttp1, Protocol::kHttp2}) {
    FakeApplivery server(Speaking(protocol));
    Client client(TlsOptions(server));
    server.Script(kApplication, {Fault::Error(403, 1).BeforeBody(), Fault::Error(403, 1).BeforeBody()});
    for (int i = 0; i < 2; ++i) {
      const HttpAnswer answer = client.Ask(Url(server));
      EXPECT_EQ(answer.status, 403);
      EXPECT_EQ(answer.ending, Ending::kComplete) << answer.error;
    }
    EXPECT_EQ(Begun(server), 2u);
  }
}

// Why a connection was refused, after "localhost:PORT: ".
std::string WhyRefused(const FakeAppliveryOptions& server_options, const HttpClientOptions& changes = {}) {
  FakeApplivery server(server_options);
  HttpClientOptions options = TlsOptions(server);
  if (!changes.ca_file.empty()) options.ca_file = changes.ca_file;
  Client client(options);
  const HttpAnswer answer = client.Ask(Url(server));
  EXPECT_EQ(answer.sent, Sent::kNo);
  EXPECT_EQ(answer.ending, Ending::kBroken);
  EXPECT_EQ(Begun(server), 0u);
  const std::string where = "localhost:" + std::to_string(server.port()) + ": ";
  EXPECT_TRUE(answer.error.starts_with(where)) << answer.error;
  return answer.error.substr(std::min(where.size(), answer.error.size()));
}

TEST(CurlHttpClientTls, SendsNothingToAServerOfAnotherCaAndSaysSo) {
  const FakeApplivery other;
  HttpClientOptions options;
  options.ca_file = testing::TempDir() + "other_ca_" + std::to_string(getpid()) + ".pem";
  std::ofstream(options.ca_file) << other.ca_pem();
  EXPECT_EQ(WhyRefused({}, options), "its certificate was refused: unable to get local issuer certificate");
}

TEST(CurlHttpClientTls, SendsNothingToAServerOfAnotherNameAndSaysSo) {
  FakeAppliveryOptions server;
  server.certificate.hosts = {"elsewhere.test"};
  EXPECT_EQ(WhyRefused(server), "its certificate was refused: hostname mismatch");
}

TEST(CurlHttpClientTls, SendsNothingToAServerThatHasItsNameInTheSubjectAlone) {
  FakeAppliveryOptions server;
  server.certificate = {.hosts = {}, .common_name = "localhost"};
  EXPECT_EQ(WhyRefused(server), "its certificate was refused: hostname mismatch");
}

TEST(CurlHttpClientTls, SendsNothingToAServerWhoseCertificateIsOutOfDateAndSaysSo) {
  FakeAppliveryOptions server;
  server.certificate.until = std::chrono::seconds(-60);
  EXPECT_EQ(WhyRefused(server), "its certificate was refused: certificate has expired");
  server.certificate.from = std::chrono::hours(1);
  server.certificate.until = std::chrono::hours(2);
  EXPECT_EQ(WhyRefused(server), "its certificate was refused: certificate is not yet valid");
}

TEST(CurlHttpClientTls, TakesAServerByItsAddress) {
  FakeAppliveryOptions server_options = Speaking(Protocol::kHttp2);
  server_options.certificate.hosts = {"127.0.0.1"};
  FakeApplivery server(server_options);
  Client client(TlsOptions(server));
  const std::string port = std::to_string(server.port());
  EXPECT_EQ(client.Ask("https://127.0.0.1:" + port + "/v1/organizations/acme/apps/ios-app/tokens").status,
            200);
  EXPECT_EQ(client.Ask("https://localhost:" + port + "/v1/organizations/acme/apps/ios-app/tokens").sent,
            Sent::kNo);
}

TEST(CurlHttpClientTls, SendsNothingWithoutAReadableCa) {
  HttpClientOptions options;
  options.ca_file = "/absent/ca.pem";
  EXPECT_EQ(WhyRefused({}, options), "Problem with the SSL CA cert (path? access rights?)");
}

// Connections that carry no further request.

// The connections of the POSTs, in the order in which the server has read them.
std::vector<std::uint64_t> ConnectionsOf(const FakeApplivery& server) {
  std::vector<std::uint64_t> connections;
  for (const fakes::Post& post : server.posts()) connections.push_back(post.connection);
  return connections;
}

class Retirement : public testing::TestWithParam<Protocol> {};

INSTANTIATE_TEST_SUITE_P(Protocols, Retirement, testing::Values(Protocol::kHttp1, Protocol::kHttp2),
                         [](const testing::TestParamInfo<Protocol>& test) {
                           return test.param == Protocol::kHttp2 ? "Http2" : "Http1";
                         });

TEST_P(Retirement, APostThatTimedOutIsTheLastOnItsConnection) {
  FakeApplivery server(Speaking(GetParam()));
  HttpClientOptions options = TlsOptions(server);
  options.timeout = milliseconds(500);
  Client client(options);
  EXPECT_EQ(client.Ask(Url(server)).status, 200);
  server.Script(kApplication, {Fault::Of(Action::kBlackHole)});
  EXPECT_EQ(client.Ask(Url(server)).sent, Sent::kYes);
  EXPECT_EQ(client.Ask(Url(server)).status, 200);
  EXPECT_EQ(client.Ask(Url(server)).status, 200);
  EXPECT_EQ(ConnectionsOf(server), (std::vector<std::uint64_t>{1, 1, 2, 2}));
  EXPECT_TRUE(server.WaitUntil([](const auto& counts) { return counts.open_connections == 1; }, kPatience));
}

TEST_P(Retirement, APostThatWasResetIsTheLastOnItsConnection) {
  FakeApplivery server(Speaking(GetParam()));
  Client client(TlsOptions(server));
  server.Script(kApplication, {Fault::StreamReset(2)});
  EXPECT_EQ(client.Ask(Url(server)).sent, Sent::kYes);
  EXPECT_EQ(client.Ask(Url(server)).status, 200);
  EXPECT_EQ(ConnectionsOf(server), (std::vector<std::uint64_t>{1, 2}));
}

TEST_P(Retirement, APostThatWasRefusedIsNotTheLastOnItsConnection) {
  FakeApplivery server(Speaking(GetParam()));
  Client client(TlsOptions(server));
  server.Script(kApplication, {Fault::Error(500, 1), Fault::Error(403, 1)});
  EXPECT_EQ(client.Ask(Url(server)).status, 500);
  EXPECT_EQ(client.Ask(Url(server)).status, 403);
  EXPECT_EQ(client.Ask(Url(server)).status, 200);
  EXPECT_EQ(ConnectionsOf(server), (std::vector<std::uint64_t>{1, 1, 1}));
}

TEST(CurlHttpClientTls, APostThatWaitedForAStreamGoesElsewhereOnceTheConnectionHasFailed) {
  FakeAppliveryOptions server_options = Speaking(Protocol::kHttp2);
  server_options.max_concurrent_streams = 1;
  FakeApplivery server(server_options);
  HttpClientOptions options = TlsOptions(server);
  options.max_connections = 1;
  Client client(options);
  server.Script(kApplication, {Fault::StreamReset(2).After(milliseconds(1000))});
  std::future<HttpAnswer> failing = client.Begin(Url(server));
  ASSERT_TRUE(server.WaitForPosts(1, kPatience));
  // One: until the server's settings have come, libcurl would put several on the second connection.
  std::future<HttpAnswer> waiting = client.Begin(Url(server));
  EXPECT_EQ(failing.get().ending, Ending::kBroken);
  const HttpAnswer answer = waiting.get();
  EXPECT_EQ(answer.status, 200) << answer.error << (answer.sent == Sent::kYes ? ", sent" : ", not sent");
  EXPECT_EQ(ConnectionsOf(server), (std::vector<std::uint64_t>{1, 2}));
}

TEST_P(Retirement, AConnectionEndsWithItsLastRequest) {
  FakeApplivery server(Speaking(GetParam()));
  HttpClientOptions options = TlsOptions(server);
  options.connection_max_requests = 3;
  Client client(options);
  for (int i = 0; i < 7; ++i) EXPECT_EQ(client.Ask(Url(server)).status, 200);
  EXPECT_EQ(ConnectionsOf(server), (std::vector<std::uint64_t>{1, 1, 1, 2, 2, 2, 3}));
}

TEST_P(Retirement, NoConnectionHasMoreThanItsRequestsWhenManyRunAtOnce) {
  constexpr int kRequests = 200;
  constexpr std::size_t kMost = 7;
  FakeApplivery server(Speaking(GetParam()));
  HttpClientOptions options = TlsOptions(server);
  options.connection_max_requests = kMost;
  options.max_connections = 20;
  Client client(options);
  for (auto& answer : client.BeginMany(kRequests, Url(server))) EXPECT_EQ(answer.get().status, 200);
  EXPECT_EQ(Begun(server), static_cast<std::size_t>(kRequests)) << "one POST for each request";
  const std::vector<std::uint64_t> connections = ConnectionsOf(server);
  for (const std::uint64_t connection : connections) {
    EXPECT_LE(static_cast<std::size_t>(std::ranges::count(connections, connection)), kMost);
  }
}

TEST_P(Retirement, AServerThatEndsConnectionsGracefullyLeavesNoRequestWithoutAnAnswer) {
  FakeAppliveryOptions server_options = Speaking(GetParam());
  server_options.max_requests_per_connection = 30;
  server_options.delay = milliseconds(1);
  FakeApplivery server(server_options);
  HttpClientOptions options = TlsOptions(server);
  options.connection_max_requests = 20;
  options.max_connections = 20;
  Client client(options);
  constexpr std::size_t kRounds = 25;
  constexpr int kAtOnce = 20;
  for (std::size_t i = 0; i < kRounds; ++i) {
    for (auto& answer : client.BeginMany(kAtOnce, Url(server))) EXPECT_EQ(answer.get().status, 200);
  }
  EXPECT_EQ(Begun(server), kRounds * kAtOnce) << "one POST for each request";
}

TEST_P(Retirement, NoRequestBeginsOnAConnectionThatIsTooOld) {
  FakeApplivery server(Speaking(GetParam()));
  HttpClientOptions options = TlsOptions(server);
  options.connection_max_age = milliseconds(50);
  Client client(options);
  server.Script(kApplication, {Fault::None().After(options.connection_max_age)});
  EXPECT_EQ(client.Ask(Url(server)).status, 200);
  EXPECT_EQ(client.Ask(Url(server)).status, 200);
  EXPECT_EQ(ConnectionsOf(server), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_TRUE(server.WaitUntil([](const auto& counts) { return counts.open_connections == 1; }, kPatience));
}

TEST_P(Retirement, ARequestForANewConnectionOpensOneThatLaterRequestsUse) {
  FakeApplivery server(Speaking(GetParam()));
  Client client(TlsOptions(server));
  EXPECT_EQ(client.Ask(Url(server)).status, 200);
  EXPECT_EQ(client.Begin(Url(server), kBody, HttpPost::Connection::kNew).get().status, 200);
  EXPECT_EQ(client.Ask(Url(server)).status, 200);
  EXPECT_EQ(ConnectionsOf(server), (std::vector<std::uint64_t>{1, 2, 2}));
}

// How many connections so many requests at once take, from a standing start, and whether all are under way
// together.
struct Burst {
  std::size_t connections;
  std::size_t together;
};

Burst MeasureBurst(Protocol protocol, std::size_t requests, std::size_t max_connections) {
  FakeAppliveryOptions server_options = Speaking(protocol);
  server_options.delay = milliseconds(6000);  // longer than a busy machine needs for all handshakes
  FakeApplivery server(server_options);
  HttpClientOptions options = TlsOptions(server);
  options.max_connections = max_connections;
  Client client(options);
  for (auto& answer : client.BeginMany(static_cast<int>(requests), Url(server))) {
    EXPECT_EQ(answer.get().status, 200);
  }
  EXPECT_EQ(server.counts().posts, requests);
  return {server.counts().connections, server.peak_delayed()};
}

TEST(CurlHttpClientTls, TakesFewConnectionsOfHttp2ForManyRequests) {
  const Burst burst = MeasureBurst(Protocol::kHttp2, 256, 256);
  EXPECT_LE(burst.connections, 3u);
  EXPECT_EQ(burst.together, 256u);
}

TEST(CurlHttpClientTls, TakesAConnectionOfHttp1ForEachRequest) {
  const Burst burst = MeasureBurst(Protocol::kHttp1, 32, 32);
  EXPECT_EQ(burst.connections, 32u);
  EXPECT_EQ(burst.together, 32u);
}

TEST(CurlHttpClientTls, ManyLargeAnswersAtOnceComeWhole) {
  FakeApplivery server(Speaking(Protocol::kHttp2));
  const std::string body(60000, 'b');
  const std::size_t kAnswers = 100;
  server.Script(kApplication,
                std::vector<Fault>(kAnswers, Fault::Status(502, body).After(milliseconds(200))));
  Client client(TlsOptions(server));
  for (auto& answered : client.BeginMany(kAnswers, Url(server))) {
    ASSERT_EQ(answered.wait_for(kPatience), std::future_status::ready);
    const HttpAnswer answer = answered.get();
    EXPECT_EQ(answer.ending, Ending::kComplete) << answer.error;
    EXPECT_EQ(answer.body.size(), body.size());
  }
}

// With a buffer smaller than a DATA frame, libcurl 7.88 would hold the answers behind a large one for ever.
TEST(CurlHttpClientTls, AnswersBehindALargeOneComeAtOnce) {
  FakeApplivery server(Speaking(Protocol::kHttp2));
  Client client(TlsOptions(server));
  ASSERT_EQ(client.Ask(Url(server)).status, 200);
  for (const std::size_t size : {9000UL, 16384UL, 16385UL, 20000UL, 33000UL, 60000UL}) {
    server.Script(kApplication, {Fault::Status(502, std::string(size, 'b')).After(milliseconds(100)),
                                 Fault::Status(502, "short").After(milliseconds(100)),
                                 Fault::Status(502, "short too").After(milliseconds(100))});
    for (auto& answered : client.BeginMany(3, Url(server))) {
      ASSERT_EQ(answered.wait_for(kPatience), std::future_status::ready) << "behind " << size << " bytes";
      const HttpAnswer answer = answered.get();
      EXPECT_EQ(answer.ending, Ending::kComplete)
          << answer.body.size() << " bytes behind " << size << ": " << answer.error;
    }
  }
}

// How many TCP segments with data this process has received on connections to its own port.
std::uint32_t SegmentsReceived(std::uint16_t port) {
  std::uint32_t segments = 0;
  DIR* const descriptors = opendir("/proc/self/fd");
  while (const dirent* const entry = readdir(descriptors)) {
    const int socket = std::atoi(entry->d_name);
    sockaddr_in local{};
    socklen_t size = sizeof local;
    if (getsockname(socket, reinterpret_cast<sockaddr*>(&local), &size) != 0) continue;
    tcp_info info{};
    size = sizeof info;
    if (local.sin_family != AF_INET || ntohs(local.sin_port) != port) continue;
    if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) == 0) segments += info.tcpi_data_segs_in;
  }
  closedir(descriptors);
  return segments;
}

TEST(CurlHttpClientTls, TheRequestsOfATurnLeaveTogether) {
  FakeApplivery server(Speaking(Protocol::kHttp2));
  Client client(TlsOptions(server));
  ASSERT_EQ(client.Ask(Url(server)).status, 200);
  const std::uint32_t before = SegmentsReceived(server.port());
  constexpr std::size_t kRequests = 40;
  server.Script(kApplication,
                std::vector<Fault>(kRequests, Fault::Status(200, "{}").After(milliseconds(500))));
  std::vector<std::future<HttpAnswer>> answers;
  client.Run([&] {
    for (std::size_t i = 0; i < kRequests; ++i) answers.push_back(client.Begin(Url(server)));
  });
  for (auto& answer : answers) EXPECT_EQ(answer.get().status, 200);
  // A segment of its own for each header and each body would make twice as many as there are requests.
  // Libcurl also resets each stream after its answer.
  EXPECT_LT(SegmentsReceived(server.port()) - before, kRequests * 3 / 2);
}

}  // namespace
}  // namespace tokend::loop
