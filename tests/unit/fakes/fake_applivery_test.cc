#include "tests/fakes/fake_applivery.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <map>
#include <memory>

#include "tests/unit/fakes/curl_client.h"

namespace tokend::fakes {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Optional;
using SteadyClock = std::chrono::steady_clock;

constexpr milliseconds kLong = seconds(20);

std::unique_ptr<CurlClient> ClientOf(const FakeApplivery& fake, Protocol protocol) {
  return std::make_unique<CurlClient>(fake.base_url(), fake.ca_pem(), protocol);
}

// What holds whichever protocol is spoken.
class FakeAppliveryOver : public testing::TestWithParam<Protocol> {
 protected:
  CurlAnswer PostWith(Fault fault) {
    fake_.Script("ios-app", {std::move(fault)});
    return ClientOf(fake_, GetParam())->Post("ios-app");
  }

  FakeApplivery fake_;
};

INSTANTIATE_TEST_SUITE_P(Protocols, FakeAppliveryOver, testing::Values(Protocol::kHttp1, Protocol::kHttp2),
                         [](const auto& protocol) {
                           return protocol.param == Protocol::kHttp2 ? "Http2" : "Http1";
                         });

TEST_P(FakeAppliveryOver, MintsATokenAndRemembersIt) {
  const CurlAnswer answer = ClientOf(fake_, GetParam())->Post("ios-app");
  EXPECT_EQ(answer.code, CURLE_OK);
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.headers, HasSubstr("content-type: application/json"));

  const std::vector<Post> posts = fake_.posts();
  ASSERT_EQ(posts.size(), 1U);
  EXPECT_EQ(posts[0].organization, "acme");
  EXPECT_EQ(posts[0].application, "ios-app");
  EXPECT_EQ(posts[0].body, kBody);
  EXPECT_THAT(posts[0].description, Optional(std::string("for the build")));
  EXPECT_THAT(posts[0].scopes, Optional(ElementsAre("sdk")));
  EXPECT_THAT(posts[0].api_key, Optional(0U));
  EXPECT_EQ(posts[0].connection, 1U);
  EXPECT_EQ(posts[0].protocol, GetParam());

  const std::vector<MintedToken> tokens = fake_.tokens();
  ASSERT_EQ(tokens.size(), 1U);
  EXPECT_THAT(tokens[0].id, MatchesRegex("[0-9a-f]+"));
  EXPECT_EQ(tokens[0].id.size(), 24U);
  EXPECT_THAT(tokens[0].bearer, MatchesRegex("fake-bearer-[0-9a-f]+"));
  EXPECT_LE(tokens[0].bearer.size(), 128U);
  EXPECT_EQ(answer.body, R"({"status":true,"data":{"id":")" + tokens[0].id + R"(","organization":")" +
                             ObjectIdOf("acme") + R"(","application":")" + ObjectIdOf("ios-app") +
                             R"(","description":"for the build","bearer":")" + tokens[0].bearer +
                             R"(","scopes":["sdk"]}})");
}

TEST_P(FakeAppliveryOver, RefusesAsThePageSays) {
  const auto client = ClientOf(fake_, GetParam());
  const auto expect = [](const CurlAnswer& answer, long status, const std::string& code) {
    EXPECT_EQ(answer.code, CURLE_OK);
    EXPECT_EQ(answer.status, status);
    EXPECT_THAT(answer.body, HasSubstr(R"({"status":false,"error":{"code":)" + code + ","));
  };
  expect(client->Post("missing"), 404, "3001");
  expect(client->Post("ios-app", "{"), 400, "5014");
  client->content_type = "text/plain";
  expect(client->Post("ios-app"), 400, "5014");
  client->content_type = "application/json";
  client->authorization = "Bearer other";
  expect(client->Post("ios-app"), 401, "4004");
  client->authorization = "";
  expect(client->Post("ios-app"), 401, "4002");
  EXPECT_EQ(fake_.counts().posts, 5U);
  EXPECT_EQ(fake_.counts().stray_requests, 0U);

  client->authorization = "Bearer fake-api-key";
  expect(client->PostTo("/v1/elsewhere"), 404, "3001");
  EXPECT_EQ(fake_.counts().posts, 5U);
  EXPECT_EQ(fake_.counts().stray_requests, 1U);
  EXPECT_EQ(fake_.counts().tokens, 0U);
}

TEST_P(FakeAppliveryOver, KeepsAConnection) {
  const auto client = ClientOf(fake_, GetParam());
  for (int i = 0; i < 10; ++i) EXPECT_EQ(client->Post("ios-app").status, 200);
  EXPECT_EQ(fake_.counts().posts, 10U);
  EXPECT_EQ(fake_.counts().tokens, 10U);
  EXPECT_EQ(fake_.counts().connections, 1U);
  EXPECT_EQ(fake_.counts().open_connections, 1U);
}

TEST_P(FakeAppliveryOver, TellsWhichKeyCame) {
  fake_.SetApiKeys({"old", "new"});
  const auto client = ClientOf(fake_, GetParam());
  client->authorization = "Bearer new";
  EXPECT_EQ(client->Post("ios-app").status, 200);
  client->authorization = "Bearer fake-api-key";
  EXPECT_EQ(client->Post("ios-app").status, 401);
  EXPECT_THAT(fake_.posts()[0].api_key, Optional(1U));
  EXPECT_FALSE(fake_.posts()[1].api_key);
}

TEST_P(FakeAppliveryOver, FollowsAScriptOneRequestAtATime) {
  fake_.Script("ios-app", {Fault::Error(503, 1), Fault::None(), Fault::Error(403, 1)});
  fake_.Script("android", {Fault::Error(500, 1), Fault::Error(409, 1)}, ScriptEnd::kRepeatLast);
  const auto client = ClientOf(fake_, GetParam());
  for (const long status : {503, 200, 403, 200}) EXPECT_EQ(client->Post("ios-app").status, status);
  for (const long status : {500, 409, 409}) EXPECT_EQ(client->Post("android").status, status);
}

TEST_P(FakeAppliveryOver, AnswersWithAnyStatus) {
  const auto client = ClientOf(fake_, GetParam());
  for (const int status : {201, 202, 302, 400, 401, 403, 404, 409, 422, 429, 500, 502, 503}) {
    fake_.Script("ios-app", {Fault::Status(status, "as told")});
    const CurlAnswer answer = client->Post("ios-app");
    EXPECT_EQ(answer.code, CURLE_OK);
    EXPECT_EQ(answer.status, status);
    EXPECT_EQ(answer.body, "as told");
  }
  fake_.Script("ios-app", {Fault::Status(204, "")});
  EXPECT_EQ(client->Post("ios-app").status, 204);
  EXPECT_EQ(client->Post("ios-app").status, 200);
  EXPECT_EQ(fake_.counts().connections, 1U);
  EXPECT_EQ(fake_.counts().tokens, 1U);
}

TEST_P(FakeAppliveryOver, SaysWhenToTryAgain) {
  EXPECT_THAT(PostWith(Fault::RateLimited("7")).headers, HasSubstr("retry-after: 7\r\n"));
  const CurlAnswer bare = PostWith(Fault::RateLimited(""));
  EXPECT_EQ(bare.status, 429);
  EXPECT_THAT(bare.headers, testing::Not(HasSubstr("retry-after")));
}

TEST_P(FakeAppliveryOver, CountsARedirectThatIsFollowed) {
  const auto client = ClientOf(fake_, GetParam());
  fake_.Script("ios-app", {Fault::Redirect(307), Fault::Redirect(302)});
  EXPECT_EQ(client->Post("ios-app").status, 307);
  EXPECT_EQ(fake_.counts().stray_requests, 0U);
  curl_easy_setopt(client->easy(), CURLOPT_FOLLOWLOCATION, 1L);
  EXPECT_EQ(client->Post("ios-app").status, 404);
  EXPECT_EQ(fake_.counts().stray_requests, 1U);
}

TEST_P(FakeAppliveryOver, ChangesASuccessAsTold) {
  const CurlAnswer text = PostWith(Fault::SuccessReplacing("true", "\"true\""));
  EXPECT_EQ(text.status, 200);
  EXPECT_THAT(text.body, HasSubstr(R"({"status":"true","data":{"id":")" + fake_.tokens().back().id));
  EXPECT_THAT(PostWith(Fault::SuccessReplacing("{bearer}", std::string(129, 'b'))).body,
              HasSubstr(std::string(129, 'b')));
  EXPECT_EQ(fake_.counts().tokens, 2U);
  EXPECT_EQ(PostWith(Fault::Success("{\"status\":true")).body, "{\"status\":true");
  EXPECT_EQ(fake_.counts().tokens, 2U);
  EXPECT_GT(PostWith(Fault::Oversized(3'000'000)).body.size(), 3'000'000U);
}

TEST_P(FakeAppliveryOver, EchoesTheKeyWhenTold) {
  const CurlAnswer answer = PostWith(Fault::EchoAuthorization(400));
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.headers, HasSubstr("x-authorization: Bearer fake-api-key"));
  EXPECT_THAT(answer.body, HasSubstr("Bearer fake-api-key"));
}

TEST_P(FakeAppliveryOver, WaitsBeforeItAnswers) {
  const auto begin = SteadyClock::now();
  EXPECT_EQ(PostWith(Fault::None().After(milliseconds(150))).status, 200);
  EXPECT_GE(SteadyClock::now() - begin, milliseconds(150));
  EXPECT_EQ(fake_.peak_delayed(), 1U);
}

TEST_P(FakeAppliveryOver, NeverAnswersFromABlackHole) {
  fake_.Script("ios-app", {Fault::Of(Action::kBlackHole)});
  const auto client = ClientOf(fake_, GetParam());
  curl_easy_setopt(client->easy(), CURLOPT_TIMEOUT_MS, 300L);
  const CurlAnswer answer = client->Post("ios-app");
  EXPECT_EQ(answer.code, CURLE_OPERATION_TIMEDOUT);
  EXPECT_EQ(answer.headers, "");
  EXPECT_EQ(fake_.counts().posts, 1U);
  EXPECT_EQ(fake_.counts().tokens, 1U);
}

TEST_P(FakeAppliveryOver, DropsAfterTheWholePostWithoutAnAnswer) {
  for (const Action action : {Action::kDrop, Action::kCut, Action::kReset, Action::kListenerGone}) {
    const std::size_t before = fake_.counts().posts;
    const CurlAnswer answer = PostWith(Fault::Of(action));
    EXPECT_THAT(answer.code, AnyOf(CURLE_GOT_NOTHING, CURLE_RECV_ERROR, CURLE_HTTP2, CURLE_HTTP2_STREAM,
                                   CURLE_PARTIAL_FILE, CURLE_SEND_ERROR))
        << static_cast<int>(action);
    EXPECT_EQ(answer.headers, "");
    EXPECT_EQ(fake_.counts().posts, before + 1);
    EXPECT_EQ(fake_.counts().tokens, before + 1);
  }
}

TEST_P(FakeAppliveryOver, ClosesItsListenerOnlyWhenTold) {
  const auto client = ClientOf(fake_, GetParam());
  EXPECT_EQ(client->Post("ios-app").status, 200);
  fake_.Script("ios-app", {Fault::Of(Action::kListenerGone)});
  EXPECT_NE(client->Post("ios-app").code, CURLE_OK);
  EXPECT_EQ(fake_.counts().posts, 2U);
  EXPECT_EQ(client->Post("ios-app").code, CURLE_COULDNT_CONNECT);
  fake_.Restart();
  EXPECT_EQ(ClientOf(fake_, GetParam())->Post("ios-app").status, 200);
  EXPECT_EQ(fake_.counts().connections, 2U);
}

TEST_P(FakeAppliveryOver, BreaksOffWithinAnAnswer) {
  const CurlAnswer header = PostWith(Fault::Of(Action::kHeaderThenDrop));
  EXPECT_NE(header.code, CURLE_OK);
  EXPECT_EQ(header.status, 200);
  EXPECT_EQ(header.body, "");

  const CurlAnswer half = PostWith(Fault::Of(Action::kHalfBodyThenDrop));
  EXPECT_NE(half.code, CURLE_OK);
  EXPECT_EQ(half.status, 200);
  EXPECT_THAT(half.body, MatchesRegex(R"(\{"status":true,.*[^}])"));
  EXPECT_EQ(fake_.counts().tokens, 2U);
}

TEST_P(FakeAppliveryOver, ClosesAfterAnAnswerWhenTold) {
  fake_.Script("ios-app", {Fault::Of(Action::kAnswerThenClose)});
  const auto client = ClientOf(fake_, GetParam());
  EXPECT_EQ(client->Post("ios-app").status, 200);
  EXPECT_TRUE(fake_.WaitUntil([](const Counts& counts) { return counts.open_connections == 0; }, kLong));
  EXPECT_EQ(client->Post("ios-app").status, 200);
  EXPECT_EQ(fake_.counts().connections, 2U);
}

TEST_P(FakeAppliveryOver, SpeaksNoHttpWhenTold) {
  EXPECT_THAT(PostWith(Fault::Of(Action::kMalformed)).code,
              AnyOf(CURLE_UNSUPPORTED_PROTOCOL, CURLE_WEIRD_SERVER_REPLY, CURLE_HTTP2, CURLE_RECV_ERROR,
                    CURLE_GOT_NOTHING, CURLE_HTTP2_STREAM));
  EXPECT_EQ(fake_.counts().posts, 1U);
}

TEST_P(FakeAppliveryOver, AnswersBeforeTheBodyWhenTold) {
  fake_.Script("ios-app", {Fault::Error(401, 4004).BeforeBody()});
  const auto client = ClientOf(fake_, GetParam());
  const CurlAnswer answer =
      client->Post("ios-app", R"({"description":")" + std::string(900'000, 'x') + "\"}");
  EXPECT_EQ(answer.status, 401);
  EXPECT_THAT(answer.body, HasSubstr("4004"));
  EXPECT_EQ(fake_.counts().posts, 0U);
  EXPECT_EQ(fake_.counts().unread_posts, 1U);
  EXPECT_EQ(fake_.counts().tokens, 0U);
  EXPECT_EQ(client->Post("ios-app").status, 200);
}

TEST_P(FakeAppliveryOver, DropsBeforeTheBodyWhenTold) {
  const CurlAnswer answer = PostWith(Fault::Of(Action::kReset).BeforeBody());
  EXPECT_NE(answer.code, CURLE_OK);
  EXPECT_EQ(answer.status, 0);
  EXPECT_EQ(fake_.counts().posts, 0U);
  EXPECT_EQ(fake_.counts().unread_posts, 1U);
}

TEST_P(FakeAppliveryOver, FailsNewConnectionsWhenTold) {
  const std::map<ConnectionFault, std::vector<CURLcode>> expected = {
      {ConnectionFault::kClose, {CURLE_SSL_CONNECT_ERROR}},
      {ConnectionFault::kReset, {CURLE_SSL_CONNECT_ERROR, CURLE_COULDNT_CONNECT}},
      {ConnectionFault::kGarbage, {CURLE_SSL_CONNECT_ERROR}},
      {ConnectionFault::kSilence, {CURLE_OPERATION_TIMEDOUT, CURLE_SSL_CONNECT_ERROR}}};
  for (const auto& [fault, codes] : expected) {
    fake_.SetConnectionFault(fault);
    const auto client = ClientOf(fake_, GetParam());
    curl_easy_setopt(client->easy(), CURLOPT_CONNECTTIMEOUT_MS, 300L);
    EXPECT_THAT(codes, testing::Contains(client->Post("ios-app").code)) << static_cast<int>(fault);
  }
  fake_.SetConnectionFault(ConnectionFault::kNone);
  EXPECT_EQ(ClientOf(fake_, GetParam())->Post("ios-app").status, 200);
  EXPECT_EQ(fake_.counts().posts, 1U);
  EXPECT_EQ(fake_.counts().connections, 5U);
}

TEST_P(FakeAppliveryOver, RefusesConnectionsBetweenStopAndRestart) {
  const std::uint16_t port = fake_.port();
  const auto client = ClientOf(fake_, GetParam());
  EXPECT_EQ(client->Post("ios-app").status, 200);
  fake_.Stop();
  EXPECT_EQ(fake_.counts().open_connections, 0U);
  EXPECT_EQ(client->Post("ios-app").code, CURLE_COULDNT_CONNECT);
  fake_.Restart();
  EXPECT_EQ(fake_.port(), port);
  EXPECT_EQ(client->Post("ios-app").status, 200);
  EXPECT_EQ(fake_.counts().posts, 2U);
}

TEST_P(FakeAppliveryOver, StopsListeningAndKeepsWhatIsOpen) {
  const auto open = ClientOf(fake_, GetParam());
  EXPECT_EQ(open->Post("ios-app").status, 200);
  fake_.StopListening();
  EXPECT_EQ(open->Post("ios-app").status, 200);
  EXPECT_EQ(ClientOf(fake_, GetParam())->Post("ios-app").code, CURLE_COULDNT_CONNECT);
  fake_.Restart();
  fake_.CloseConnections();
  EXPECT_EQ(open->Post("ios-app").status, 200);
  EXPECT_EQ(fake_.counts().connections, 2U);
}

TEST_P(FakeAppliveryOver, FailsVerificationWithAnotherHostsCertificate) {
  FakeAppliveryOptions options;
  options.certificate.hosts = {"wrong.example"};
  FakeApplivery wrong(std::move(options));
  EXPECT_EQ(ClientOf(wrong, GetParam())->Post("ios-app").code, CURLE_PEER_FAILED_VERIFICATION);
  CurlClient distrusting(fake_.base_url(), wrong.ca_pem(), GetParam());
  EXPECT_EQ(distrusting.Post("ios-app").code, CURLE_PEER_FAILED_VERIFICATION);
  EXPECT_EQ(wrong.counts().posts + fake_.counts().posts, 0U);
}

TEST(FakeApplivery, ResetsAStreamAndKeepsTheConnection) {
  FakeApplivery fake;
  const auto client = ClientOf(fake, Protocol::kHttp2);
  EXPECT_EQ(client->Post("ios-app").status, 200);
  // REFUSED_STREAM and HTTP_1_1_REQUIRED make libcurl try again, which this client's body refuses.
  for (const std::uint32_t error : {0U, 2U, 8U, 11U}) {
    fake.Script("ios-app", {Fault::StreamReset(error)});
    const CurlAnswer answer = client->Post("ios-app");
    EXPECT_EQ(answer.code, CURLE_HTTP2_STREAM) << error;
    EXPECT_EQ(answer.headers, "");
  }
  EXPECT_EQ(fake.counts().posts, 5U);
  EXPECT_EQ(fake.counts().tokens, 5U);
  EXPECT_EQ(fake.counts().connections, 1U);
  for (const std::uint32_t error : {7U, 13U}) {
    fake.Script("ios-app", {Fault::StreamReset(error)});
    EXPECT_EQ(client->Post("ios-app").code, CURLE_SEND_FAIL_REWIND) << error;
  }
  EXPECT_EQ(fake.counts().posts, 7U);
  EXPECT_EQ(fake.counts().tokens, 5U);
}

TEST(FakeApplivery, ResetsTheStreamAfterAnEarlyAnswerWhenTold) {
  FakeApplivery fake;
  fake.Script("ios-app", {Fault::Error(401, 4004).BeforeBodyThenReset()});
  const auto client = ClientOf(fake, Protocol::kHttp2);
  const CurlAnswer answer =
      client->Post("ios-app", R"({"description":")" + std::string(900'000, 'x') + "\"}");
  EXPECT_EQ(answer.code, CURLE_HTTP2_STREAM);
  EXPECT_EQ(fake.counts().posts, 0U);
  EXPECT_EQ(fake.counts().unread_posts, 1U);
  EXPECT_EQ(client->Post("ios-app").status, 200);
  EXPECT_EQ(fake.counts().connections, 1U);
}

TEST(FakeApplivery, GoesAwayBelowTheStream) {
  FakeApplivery fake;
  const auto client = ClientOf(fake, Protocol::kHttp2);
  EXPECT_EQ(client->Post("ios-app").status, 200);
  fake.Script("ios-app", {Fault::Of(Action::kGoAwayBelow)});
  EXPECT_THAT(client->Post("ios-app").code, AnyOf(CURLE_SEND_FAIL_REWIND, CURLE_HTTP2, CURLE_HTTP2_STREAM));
  EXPECT_EQ(fake.counts().posts, 2U);
  EXPECT_EQ(fake.counts().tokens, 1U);
}

TEST(FakeApplivery, SpeaksOnlyWhatItOffers) {
  FakeAppliveryOptions options;
  options.protocols = {Protocol::kHttp1};
  FakeApplivery http1(options);
  EXPECT_EQ(ClientOf(http1, Protocol::kHttp2)->Post("ios-app").status, 200);
  EXPECT_EQ(http1.posts().at(0).protocol, Protocol::kHttp1);

  options.protocols = {Protocol::kHttp2};
  FakeApplivery http2(options);
  EXPECT_EQ(ClientOf(http2, Protocol::kHttp1)->Post("ios-app").code, CURLE_SSL_CONNECT_ERROR);
  EXPECT_EQ(ClientOf(http2, Protocol::kHttp2)->Post("ios-app").status, 200);
}

TEST(FakeApplivery, GivesUpAWaitThatIsNotFulfilled) {
  FakeApplivery fake;
  EXPECT_FALSE(fake.WaitForPosts(1, milliseconds(20)));
  EXPECT_TRUE(fake.WaitForPosts(0, milliseconds(0)));
}

TEST(FakeApplivery, RefusesAPortThatIsTaken) {
  FakeApplivery fake;
  FakeAppliveryOptions options;
  options.port = fake.port();
  EXPECT_THROW(FakeApplivery second(options), std::runtime_error);
}

// Many transfers at once on one multi handle.
class Crowd {
 public:
  Crowd(const FakeApplivery& fake, int size, long connections) : multi_(curl_multi_init()) {
    curl_multi_setopt(multi_, CURLMOPT_MAX_CONCURRENT_STREAMS, 1000L);
    curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, connections);
    for (int i = 0; i < size; ++i) {
      clients_.push_back(ClientOf(fake, Protocol::kHttp2));
      CurlClient& client = *clients_.back();
      curl_easy_setopt(client.easy(), CURLOPT_PIPEWAIT, 1L);
      curl_easy_setopt(client.easy(), CURLOPT_TIMEOUT_MS, 60'000L);
      client.Prepare("ios-app");
      curl_multi_add_handle(multi_, client.easy());
    }
  }
  ~Crowd() {
    for (const auto& client : clients_) curl_multi_remove_handle(multi_, client->easy());
    clients_.clear();
    curl_multi_cleanup(multi_);
  }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  // Runs the transfers until this holds or none is left; each is bounded.
  void RunUntil(const std::function<bool()>& holds) {
    for (int running = 1; running > 0 && !holds();) {
      curl_multi_perform(multi_, &running);
      if (running > 0) curl_multi_poll(multi_, nullptr, 0, 10, nullptr);
      int left = 0;
      while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
        codes_[message->data.result]++;
      }
    }
  }

  const std::map<CURLcode, int>& codes() const { return codes_; }

 private:
  CURLM* multi_;
  std::vector<std::unique_ptr<CurlClient>> clients_;
  std::map<CURLcode, int> codes_;
};

TEST(FakeApplivery, HoldsFiveHundredStreamsOnAConnection) {
  FakeAppliveryOptions options;
  options.max_concurrent_streams = 1000;
  FakeApplivery fake(std::move(options));
  fake.Script("ios-app", {Fault::Of(Action::kBlackHole)}, ScriptEnd::kRepeatLast);
  Crowd crowd(fake, 500, 1);
  crowd.RunUntil([&] { return fake.counts().posts == 500; });
  EXPECT_EQ(fake.counts().posts, 500U);
  EXPECT_EQ(fake.counts().connections, 1U);
  EXPECT_TRUE(crowd.codes().empty());
}

TEST(FakeApplivery, HoldsAThousandDelayedRequestsAtOnce) {
  FakeAppliveryOptions options;
  options.max_concurrent_streams = 1000;
  options.delay = std::chrono::minutes(10);
  FakeApplivery fake(std::move(options));
  Crowd crowd(fake, 1000, 4);
  crowd.RunUntil([&] { return fake.peak_delayed() == 1000; });
  EXPECT_EQ(fake.peak_delayed(), 1000U);
  EXPECT_TRUE(crowd.codes().empty());
}

TEST(FakeApplivery, AnswersAThousandDelayedRequests) {
  FakeAppliveryOptions options;
  options.max_concurrent_streams = 1000;
  options.delay = milliseconds(100);
  FakeApplivery fake(std::move(options));
  Crowd crowd(fake, 1000, 4);
  const auto begin = SteadyClock::now();
  crowd.RunUntil([] { return false; });
  EXPECT_GE(SteadyClock::now() - begin, milliseconds(100));
  EXPECT_THAT(crowd.codes(), ElementsAre(testing::Pair(CURLE_OK, 1000)));
  EXPECT_EQ(fake.counts().posts, 1000U);
  EXPECT_EQ(fake.counts().tokens, 1000U);
}

// A socket of our own, to see what libcurl hides.
class PlainFake : public testing::Test {
 protected:
  PlainFake() : fake_(Plain()), fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval bound = {.tv_sec = 20, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
  }
  ~PlainFake() override { close(fd_); }

  static FakeAppliveryOptions Plain() {
    FakeAppliveryOptions options;
    options.transport = Transport::kPlain;
    return options;
  }

  void Connect() const {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(fake_.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }

  void Send(const std::string& bytes) const {
    ASSERT_EQ(send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }

  // Until what was read ends so, or nothing more comes. `errno` says why it ended: 0 is FIN.
  std::string ReadUntil(const std::string& end) const {
    std::string text;
    char byte = 0;
    ssize_t size = 0;
    errno = 0;
    while ((size = recv(fd_, &byte, 1, 0)) == 1) {
      text += byte;
      if (!end.empty() && text.size() >= end.size() && text.substr(text.size() - end.size()) == end)
        return text;
    }
    if (size == 0) errno = 0;
    return text;
  }

  static std::string Header(const std::string& more) {
    return "POST /v1/organizations/acme/apps/ios-app/tokens HTTP/1.1\r\nHost: localhost\r\n"
           "Authorization: Bearer fake-api-key\r\nContent-Type: application/json; charset=utf-8\r\n" +
           more + "\r\n";
  }

  FakeApplivery fake_;
  int fd_;
};

TEST_F(PlainFake, EndsWithFinOrWithRstAsTold) {
  fake_.Script("ios-app", {Fault::Of(Action::kCut)});
  Connect();
  Send(Header("Content-Length: 2\r\n") + "{}");
  EXPECT_EQ(ReadUntil(""), "");
  EXPECT_EQ(errno, 0);

  close(fd_);
  fd_ = socket(AF_INET, SOCK_STREAM, 0);
  fake_.Script("ios-app", {Fault::Of(Action::kReset)});
  Connect();
  Send(Header("Content-Length: 2\r\n") + "{}");
  EXPECT_EQ(ReadUntil(""), "");
  EXPECT_EQ(errno, ECONNRESET);
  EXPECT_EQ(fake_.counts().posts, 2U);
}

TEST_F(PlainFake, AsksForABodyThatWaits) {
  Connect();
  Send(Header("Content-Length: 2\r\nExpect: 100-continue\r\n"));
  EXPECT_EQ(ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(fake_.counts().posts, 0U);
  Send("{}");
  EXPECT_THAT(ReadUntil("}}"), HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(fake_.counts().posts, 1U);
}

TEST_F(PlainFake, CountsNoPostWhoseBodyIsIncomplete) {
  Connect();
  Send(Header("Content-Length: 3\r\n") + "{}");
  shutdown(fd_, SHUT_WR);
  EXPECT_EQ(ReadUntil(""), "");
  EXPECT_EQ(fake_.counts().posts, 0U);
  EXPECT_EQ(fake_.counts().connections, 1U);
}

TEST_F(PlainFake, ReadsChunksByteByByteAndClosesWhenAsked) {
  Connect();
  const std::string request = Header("Transfer-Encoding: chunked\r\nConnection: close\r\n") +
                              "1\r\n{\r\nA\r\n\"scopes\":[\r\n2\r\n]}\r\n0\r\n\r\n";
  for (const char byte : request) Send(std::string(1, byte));
  const std::string answer = ReadUntil("");
  EXPECT_EQ(errno, 0);
  EXPECT_THAT(answer, HasSubstr("connection: close\r\n"));
  EXPECT_THAT(answer, HasSubstr("\"status\":true"));
  EXPECT_EQ(fake_.posts().at(0).body, R"({"scopes":[]})");
}

TEST_F(PlainFake, RefusesWhatIsNoHttp) {
  Connect();
  Send("hello\r\n\r\n");
  EXPECT_THAT(ReadUntil(""), HasSubstr("HTTP/1.1 400 "));
  EXPECT_EQ(fake_.counts().posts, 0U);
}

TEST_F(PlainFake, AnswersPipelinedRequestsInOrder) {
  fake_.Script("ios-app", {Fault::Error(503, 1).After(milliseconds(30)), Fault::Error(403, 2)});
  Connect();
  const std::string request = Header("Content-Length: 2\r\n") + "{}";
  Send(request + request);
  EXPECT_THAT(ReadUntil("}}"), HasSubstr(" 503 "));
  EXPECT_THAT(ReadUntil("}}"), HasSubstr(" 403 "));
}

}  // namespace
}  // namespace tokend::fakes
