#include "daemon/loop/curl_http_client.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/loop/curl_loop.h"
#include "tests/unit/loop/asking_client.h"
#include "tests/unit/loop/name_server.h"
#include "tests/unit/loop/scripted_server.h"

namespace tokend::loop {
namespace {

using std::chrono::milliseconds;

std::string Text(const HttpAnswer& answer) { return std::string(answer.body.Expose()); }

// Answers every request on every connection.
void AnswerAll(Connection& connection) {
  while (connection.ReadRequest()) connection.Send(HttpAnswerText(200, "fine"));
}

// Holds those who wait until there are this many, and nobody after that.
class Crowd {
 public:
  explicit Crowd(int size) : size_(size) {}

  void Await() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return arrived_ >= size_; });
  }

 private:
  const int size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
};

TEST(CurlHttpClient, BringsStatusAndBody) {
  ScriptedServer server([](Connection& c) {
    c.ReadRequest();
    c.Send(HttpAnswerText(404, R"({"status":false})", "Retry-After: 7\r\n"));
  });
  Client client;
  const HttpAnswer answer = client.Ask(server.Url());
  EXPECT_EQ(answer.sent, Sent::kYes);
  EXPECT_EQ(answer.ending, Ending::kComplete);
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.retry_after, std::chrono::seconds(7));
  EXPECT_EQ(Text(answer), R"({"status":false})");
  EXPECT_EQ(answer.error, "");
  EXPECT_GT(answer.latency.count(), 0);
}

TEST(CurlHttpClient, SendsTheGivenHeadersAndBodyAndLittleElse) {
  ScriptedServer server(AnswerAll);
  Client client;
  client.Ask(server.Url());
  const std::string received = server.received();
  const std::string host = server.Url().substr(7, server.Url().size() - 7 - 5);
  EXPECT_EQ(received, "POST /path HTTP/1.1\r\nHost: " + host +
                          "\r\nAccept: */*\r\nContent-Type: application/json\r\nAuthorization: Bearer key\r\n"
                          "Content-Length: 18\r\n\r\n" +
                          kBody);
}

TEST(CurlHttpClient, SendsALargeBodyWholeAndWithoutAsking) {
  ScriptedServer server(AnswerAll);
  Client client;
  const HttpAnswer answer = client.Ask(server.Url(), std::string(CurlHttpClient::kMaxRequestBody, 'x'));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(server.received().find("Expect"), std::string::npos);
  EXPECT_EQ(server.posts(), 1);
}

TEST(CurlHttpClient, RefusesABodyThatIsEmptyOrTooLarge) {
  ScriptedServer server(AnswerAll);
  Client client;
  for (const std::size_t size : {std::size_t{0}, CurlHttpClient::kMaxRequestBody + 1}) {
    const HttpAnswer answer = client.Ask(server.Url(), std::string(size, 'x'));
    EXPECT_EQ(answer.sent, Sent::kNo);
    EXPECT_EQ(answer.ending, Ending::kBroken);
  }
  EXPECT_EQ(server.connections(), 0);
}

TEST(CurlHttpClient, BringsAnswersWhileTasksNeverCease) {
  ScriptedServer server(AnswerAll);
  std::atomic<bool> done = false;
  std::function<void()> again;
  Client client;  // ends before what its tasks use
  again = [&] {
    if (!done) client.loop().Post([&again] { again(); });
  };
  client.Run(again);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(client.Ask(server.Url()).status, 200);
  done = true;
}

TEST(CurlHttpClient, ReusesAConnection) {
  ScriptedServer server(AnswerAll);
  Client client;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(client.Ask(server.Url()).status, 200);
  EXPECT_EQ(server.connections(), 1);
  EXPECT_EQ(server.posts(), 5);
}

TEST(CurlHttpClient, ReusesNoConnectionWhereTheIdleTimeIsUnderASecond) {
  ScriptedServer server(AnswerAll);
  HttpClientOptions options = Options();
  options.connection_max_idle = milliseconds(999);
  Client client(options);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.Ask(server.Url()).status, 200);
  EXPECT_EQ(server.connections(), 3);
}

TEST(CurlHttpClient, ReusesNoConnectionThatIdledForLonger) {
  ScriptedServer server(AnswerAll);
  HttpClientOptions options = Options();
  options.connection_max_idle = milliseconds(1000);
  Client client(options);
  client.Ask(server.Url());
  client.Ask(server.Url());
  EXPECT_EQ(server.connections(), 1);
  std::this_thread::sleep_for(milliseconds(1010));  // what is tested is that time passes
  client.Ask(server.Url());
  EXPECT_EQ(server.connections(), 2);
}

// One POST, whatever the connection does with it.

void ExpectOneUnanswered(const HttpAnswer& answer, Sent sent) {
  EXPECT_EQ(answer.sent, sent);
  EXPECT_EQ(answer.ending, Ending::kBroken);
  EXPECT_EQ(answer.status, 0);
  EXPECT_NE(answer.error, "");
}

TEST(CurlHttpClient, SendsOnceWhereAFreshConnectionDrops) {
  ScriptedServer server([](Connection& c) { c.ReadRequest(); });
  Client client;
  ExpectOneUnanswered(client.Ask(server.Url()), Sent::kYes);
  EXPECT_EQ(server.posts(), 1);
}

TEST(CurlHttpClient, SendsOnceWhereAFreshConnectionIsReset) {
  ScriptedServer server([](Connection& c) {
    c.ReadRequest();
    c.Reset();
  });
  Client client;
  ExpectOneUnanswered(client.Ask(server.Url()), Sent::kYes);
  EXPECT_EQ(server.posts(), 1);
}

TEST(CurlHttpClient, SendsOnceWhereAReusedConnectionDrops) {
  for (const bool reset : {false, true}) {
    ScriptedServer server([reset](Connection& c) {
      c.ReadRequest();
      c.Send(HttpAnswerText(200, "fine"));
      c.ReadRequest();
      if (reset) c.Reset();
    });
    Client client;
    EXPECT_EQ(client.Ask(server.Url()).status, 200);
    ExpectOneUnanswered(client.Ask(server.Url()), Sent::kYes);
    EXPECT_EQ(server.posts(), 2) << "one for each call";
  }
}

TEST(CurlHttpClient, KnowsThatItSentWhereTheReusedConnectionDropsAndNobodyListensAnyMore) {
  ScriptedServer server([](Connection& c) {
    c.ReadRequest();
    c.Send(HttpAnswerText(200, "fine"));
    c.ReadRequest();
  });
  Client client;
  EXPECT_EQ(client.Ask(server.Url()).status, 200);
  server.StopListening();
  ExpectOneUnanswered(client.Ask(server.Url()), Sent::kYes);
  EXPECT_EQ(server.posts(), 2);
}

TEST(CurlHttpClient, SendsOnAFreshConnectionWhereTheIdleOneWasClosed) {
  ScriptedServer server([](Connection& c) {
    c.ReadRequest();
    c.Send(HttpAnswerText(200, "fine"));
  });
  Client client;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(client.Ask(server.Url()).status, 200);
    server.AwaitClosed();
  }
  EXPECT_EQ(server.posts(), 3);
}

TEST(CurlHttpClient, SendsOnceOnEachOfManyConnectionsThatDrop) {
  ScriptedServer server([](Connection& c) {
    c.ReadRequest();
    c.Send(HttpAnswerText(200, "fine"));
    c.ReadRequest();
  });
  Client client;
  for (int round = 0; round < 2; ++round) {
    for (auto& answer : client.BeginMany(30, server.Url())) EXPECT_EQ(answer.get().sent, Sent::kYes);
  }
  EXPECT_EQ(server.posts(), 60);
}

TEST(CurlHttpClient, SentNothingWhereNobodyListens) {
  ScriptedServer server(AnswerAll);
  server.StopListening();
  Client client;
  const HttpAnswer answer = client.Ask(server.Url());
  ExpectOneUnanswered(answer, Sent::kNo);
  const std::string server_at = server.Url().substr(std::string("http://").size());
  EXPECT_EQ(answer.error,
            server_at.substr(0, server_at.find('/')) + ": Couldn't connect to server (Connection refused)");
}

TEST(CurlHttpClient, SentNothingWhereTheNameDoesNotResolve) {
  Client client;
  const HttpAnswer answer = client.Ask("https://absent.test/");
  ExpectOneUnanswered(answer, Sent::kNo);
  EXPECT_EQ(answer.error, "absent.test:443: Couldn't resolve host name");
}

TEST(CurlHttpClient, SentNothingWhereTlsFails) {
  ScriptedServer server([](Connection& c) { c.Send(HttpAnswerText(200, "fine")); });
  Client client;
  ExpectOneUnanswered(client.Ask(server.Url("https")), Sent::kNo);
  EXPECT_EQ(server.received().find("key"), std::string::npos);
}

TEST(CurlHttpClient, SentNothingWhereTheTlsHandshakeStalls) {
  ScriptedServer server([](Connection& c) { c.AwaitClose(); });
  HttpClientOptions options = Options();
  options.connect_timeout = milliseconds(100);
  Client client(options);
  const HttpAnswer answer = client.Ask(server.Url("https"));
  ExpectOneUnanswered(answer, Sent::kNo);
  EXPECT_TRUE(answer.error.ends_with(": Timeout was reached")) << answer.error;
}

TEST(CurlHttpClient, GivesUpAfterTheTimeoutAndKnowsThatItSent) {
  ScriptedServer server([](Connection& c) {
    c.ReadRequest();
    c.AwaitClose();
  });
  HttpClientOptions options = Options();
  options.timeout = milliseconds(150);
  Client client(options);
  const HttpAnswer answer = client.Ask(server.Url());
  ExpectOneUnanswered(answer, Sent::kYes);
  EXPECT_GE(answer.latency, milliseconds(150));
  EXPECT_EQ(server.posts(), 1);
}

TEST(CurlHttpClient, KeepsTheStatusOfAnAnswerThatStalls) {
  ScriptedServer server([](Connection& c) {
    c.ReadRequest();
    c.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    c.AwaitClose();
  });
  HttpClientOptions options = Options();
  options.timeout = milliseconds(150);
  Client client(options);
  const HttpAnswer answer = client.Ask(server.Url());
  EXPECT_EQ(answer.ending, Ending::kBroken);
  EXPECT_EQ(answer.status, 200);
}

// Answers out of the ordinary.

TEST(CurlHttpClient, TakesAnAnswerThatComesBeforeTheBodyWasRead) {
  ScriptedServer server([](Connection& c) {
    c.ReadHeader();
    c.Send(HttpAnswerText(401, "no", "Connection: close\r\n"));
    c.AwaitClose();
  });
  Client client;
  const HttpAnswer answer = client.Ask(server.Url(), std::string(500000, 'x'));
  EXPECT_EQ(answer.status, 401);
  EXPECT_EQ(answer.ending, Ending::kComplete);
}

TEST(CurlHttpClient, IsNotMovedToSendAgainByAChallengeOrAnExpectation) {
  for (const int status : {401, 407, 417, 421, 425, 426, 503}) {
    ScriptedServer server([status](Connection& c) {
      while (c.ReadRequest()) {
        c.Send(HttpAnswerText(status, "no",
                              "WWW-Authenticate: Basic realm=x\r\nProxy-Authenticate: Basic realm=x\r\n"
                              "Upgrade: h2c\r\nRetry-After: 0\r\n"));
      }
    });
    Client client;
    EXPECT_EQ(client.Ask(server.Url()).status, status);
    EXPECT_EQ(server.posts(), 1);
  }
}

TEST(CurlHttpClient, FollowsNoRedirect) {
  ScriptedServer other(AnswerAll);
  for (const int status : {301, 302, 303, 307, 308}) {
    ScriptedServer server([&](Connection& c) {
      while (c.ReadRequest()) c.Send(HttpAnswerText(status, "", "Location: " + other.Url() + "\r\n"));
    });
    Client client;
    EXPECT_EQ(client.Ask(server.Url()).status, status);
    EXPECT_EQ(server.posts(), 1);
  }
  EXPECT_EQ(other.connections(), 0);
}

TEST(CurlHttpClient, SeesThroughInterimAnswers) {
  ScriptedServer server([](Connection& c) {
    c.ReadRequest();
    c.Send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nRetry-After: 5\r\n\r\n");
    c.Send(HttpAnswerText(201, "made"));
  });
  Client client;
  const HttpAnswer answer = client.Ask(server.Url());
  EXPECT_EQ(answer.status, 201);
  EXPECT_EQ(Text(answer), "made");
}

TEST(CurlHttpClient, HasNoStatusWhereOnlyAnInterimAnswerCame) {
  ScriptedServer server([](Connection& c) {
    c.ReadRequest();
    c.Send("HTTP/1.1 100 Continue\r\n\r\n");
  });
  Client client;
  ExpectOneUnanswered(client.Ask(server.Url()), Sent::kYes);
  EXPECT_EQ(server.posts(), 1);
}

TEST(CurlHttpClient, TakesABodyOfTheMostThatIsAllowed) {
  const std::string body(65536, 'b');
  ScriptedServer server([&](Connection& c) {
    c.ReadRequest();
    c.Send(HttpAnswerText(200, body));
  });
  Client client;
  const HttpAnswer answer = client.Ask(server.Url());
  EXPECT_EQ(answer.ending, Ending::kComplete);
  EXPECT_EQ(answer.body.size(), body.size());
}

TEST(CurlHttpClient, CutsOffABodyThatIsTooLarge) {
  for (const bool chunked : {false, true}) {
    ScriptedServer server([&](Connection& c) {
      c.ReadRequest();
      const std::string body(65536 + 1, 'b');
      if (!chunked) c.Send(HttpAnswerText(200, body));
      if (!chunked || !c.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")) return;
      while (c.Send("1000\r\n" + std::string(4096, 'b') + "\r\n")) {
      }
    });
    Client client;
    const HttpAnswer answer = client.Ask(server.Url());
    EXPECT_EQ(answer.ending, Ending::kTooLarge);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body.size(), 65536u);
    EXPECT_EQ(answer.sent, Sent::kYes);
    EXPECT_EQ(server.posts(), 1);
  }
}

TEST(CurlHttpClient, SeesThatAnAnswerBrokeOff) {
  const std::vector<std::string> answers = {
      "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
  };
  for (const std::string& text : answers) {
    ScriptedServer server([&](Connection& c) {
      c.ReadRequest();
      c.Send(text);
    });
    Client client;
    const HttpAnswer answer = client.Ask(server.Url());
    EXPECT_EQ(answer.ending, Ending::kBroken) << text;
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.sent, Sent::kYes);
    EXPECT_EQ(server.posts(), 1);
  }
}

TEST(CurlHttpClient, TakesNothingForAnAnswerThatIsNotHttp) {
  for (const char* text :
       {"plain words\r\n\r\n", "HTTP/0.9 what\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "\r\n\r\n"}) {
    ScriptedServer server([&](Connection& c) {
      c.ReadRequest();
      c.Send(text);
    });
    Client client;
    const HttpAnswer answer = client.Ask(server.Url());
    EXPECT_EQ(answer.ending, Ending::kBroken) << text;
    EXPECT_EQ(answer.sent, Sent::kYes);
    EXPECT_EQ(server.posts(), 1);
  }
}

TEST(CurlHttpClient, BoundsTheAnswersHeader) {
  const std::vector<std::function<std::string(int)>> lines = {
      [](int) { return "X: " + std::string(1000, 'x') + "\r\n"; },
      [](int) { return std::string("X: y\r\n"); },
      [](int i) { return i == 0 ? std::string("\r\n") : std::string("HTTP/1.1 100 Continue\r\n\r\n"); },
  };
  for (const auto& line : lines) {
    ScriptedServer server([&](Connection& c) {
      c.ReadRequest();
      c.Send("HTTP/1.1 100 Continue\r\n");
      for (int i = 0; i < 100000 && c.Send(line(i)); ++i) {
      }
      c.AwaitClose();
    });
    Client client;
    const HttpAnswer answer = client.Ask(server.Url());
    EXPECT_EQ(answer.ending, Ending::kBroken);
    EXPECT_EQ(answer.error, "Answer header too large");
  }
}

TEST(CurlHttpClient, DecodesNoContent) {
  ScriptedServer server([&](Connection& c) {
    c.ReadRequest();
    c.Send(HttpAnswerText(200, "not gzip at all", "Content-Encoding: gzip\r\n"));
  });
  Client client;
  const HttpAnswer answer = client.Ask(server.Url());
  EXPECT_EQ(answer.ending, Ending::kComplete);
  EXPECT_EQ(Text(answer), "not gzip at all");
}

TEST(CurlHttpClient, TellsAnEncodedBody) {
  const std::vector<std::pair<std::string, bool>> cases = {
      {"", false},
      {"Content-Encoding: identity\r\n", false},
      {"content-encoding: Identity\r\n", false},
      {"Content-Encoding:\r\n", false},
      {"content-encoding: gzip\r\n", true},
      {"Content-Encoding: identity\r\nContent-Encoding: br\r\n", true},
  };
  ScriptedServer server([&](Connection& c) {
    for (const auto& [header, encoded] : cases) {
      c.ReadRequest();
      c.Send(HttpAnswerText(200, "body", header));
    }
  });
  Client client;
  for (const auto& [header, encoded] : cases) {
    EXPECT_EQ(client.Ask(server.Url()).encoded, encoded) << header;
  }
}

TEST(CurlHttpClient, KeepsNoCookies) {
  ScriptedServer server([](Connection& c) {
    while (c.ReadRequest()) c.Send(HttpAnswerText(200, "", "Set-Cookie: a=b; Path=/\r\n"));
  });
  Client client;
  client.Ask(server.Url());
  client.Ask(server.Url());
  EXPECT_EQ(server.received().find("Cookie"), std::string::npos);
}

// Where a request may go.

TEST(CurlHttpClient, SendsNothingInCleartextUnlessAllowed) {
  ScriptedServer server(AnswerAll);
  HttpClientOptions options = Options();
  options.allow_http = false;
  Client client(options);
  const HttpAnswer answer = client.Ask(server.Url());
  ExpectOneUnanswered(answer, Sent::kNo);
  EXPECT_EQ(server.connections(), 0);
}

TEST(CurlHttpClient, SpeaksNoOtherProtocol) {
  Client client;
  for (const char* url :
       {"file:///etc/hostname", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "127.0.0.1", ""}) {
    EXPECT_EQ(client.Ask(url).sent, Sent::kNo) << url;
  }
}

TEST(CurlHttpClient, TakesNoProxyFromTheEnvironment) {
  ScriptedServer proxy(AnswerAll);
  ScriptedServer server(AnswerAll);
  const std::vector<const char*> names = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                          "ALL_PROXY"};
  for (const char* name : names) setenv(name, proxy.Url().c_str(), 1);
  HttpClientOptions options = Options();
  options.connect_timeout = milliseconds(200);
  Client client(options);
  EXPECT_EQ(client.Ask(server.Url()).status, 200);
  client.Ask(server.Url("https"));
  for (const char* name : names) unsetenv(name);
  EXPECT_EQ(proxy.connections(), 0);
}

TEST(CurlHttpClient, BoundsItsConnections) {
  constexpr int kConnections = 4;
  std::atomic<int> open{0};
  std::atomic<int> most{0};
  ScriptedServer server([&](Connection& c) {
    const int now = ++open;
    int before = most;
    while (before < now && !most.compare_exchange_weak(before, now)) {
    }
    AnswerAll(c);
    --open;
  });
  HttpClientOptions options = Options();
  options.max_connections = kConnections;
  Client client(options);
  for (auto& answer : client.BeginMany(100, server.Url())) EXPECT_EQ(answer.get().status, 200);
  EXPECT_EQ(server.posts(), 100);
  EXPECT_LE(most, kConnections);
}

TEST(CurlHttpClient, HasAConnectionForEachRequestOfHttp1) {
  constexpr int kRequests = 64;
  Crowd crowd(kRequests);
  ScriptedServer server([&crowd](Connection& c) {
    c.ReadRequest();
    crowd.Await();
    c.Send(HttpAnswerText(200, "fine"));
    c.AwaitClose();
  });
  HttpClientOptions options = Options();
  options.max_connections = kRequests;
  Client client(options);
  for (auto& answer : client.BeginMany(kRequests, server.Url())) EXPECT_EQ(answer.get().status, 200);
}

#ifndef TOKEND_SANITIZED  // a sanitizer has an allocator of its own
TEST(CurlHttpClient, FreesTheHandlesOfABurstOnceItIsQuiet) {
  constexpr int kRequests = 64;
  constexpr std::size_t kBytesOfOne = 4096;  // at least
  const auto in_use = [] { return mallinfo2().uordblks; };
  Crowd crowd(kRequests);
  ScriptedServer server([&crowd](Connection& c) {
    for (; c.ReadRequest(); c.Send(HttpAnswerText(200, "fine"))) crowd.Await();
  });
  Client client;
  for (auto& answer : client.BeginMany(kRequests, server.Url())) EXPECT_EQ(answer.get().status, 200);
  const std::size_t after_burst = in_use();
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (in_use() + kRequests * kBytesOfOne > after_burst && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(milliseconds(50));
  }
  EXPECT_LE(in_use() + kRequests * kBytesOfOne, after_burst);
  EXPECT_EQ(client.Ask(server.Url()).status, 200);
}
#endif

// Names and stopping.

TEST_F(SlowNames, DoNotHoldUpTheLoop) {
  ScriptedServer server(AnswerAll);
  HttpClientOptions options = Options();
  options.timeout = milliseconds(150);
  Client client(options);
  std::future<HttpAnswer> slow = client.Begin("http://slow.test/");
  Names().AwaitWaiter();
  EXPECT_EQ(client.Ask(server.Url()).status, 200);
  ASSERT_EQ(slow.wait_for(kPatience), std::future_status::ready);
  const HttpAnswer answer = slow.get();
  ExpectOneUnanswered(answer, Sent::kNo);
  EXPECT_EQ(client.Ask(server.Url()).status, 200);
}

TEST_F(SlowNames, DoNotHoldUpTheStop) {
  Client client;
  std::future<HttpAnswer> slow = client.Begin("http://slow.test/");
  Names().AwaitWaiter();
  client.Run([&] { client.http().Stop(); });
  ASSERT_EQ(slow.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_EQ(slow.get().ending, Ending::kStopped);
}

TEST(CurlHttpClient, GetsWithoutABody) {
  ScriptedServer server(AnswerAll);
  Client client;
  // On handles that have sent a POST as well.
  for (int i = 0; i < 2; ++i) {
    const HttpAnswer answer = client.Get(server.Url());
    EXPECT_EQ(answer.ending, Ending::kComplete) << answer.error;
    EXPECT_EQ(answer.sent, Sent::kNo);
    EXPECT_EQ(Text(answer), "fine");
    EXPECT_EQ(client.Ask(server.Url()).sent, Sent::kYes);
  }
  const std::string received = server.received();
  EXPECT_TRUE(received.starts_with("GET /path HTTP/1.1\r\n")) << received;
  EXPECT_NE(received.find(kBody + std::string("GET /path HTTP/1.1\r\n")), std::string::npos) << received;
}

TEST(CurlHttpClient, GetsNothingBeyondItsBounds) {
  ScriptedServer server([](Connection& c) {
    c.ReadRequest();
    c.Send(HttpAnswerText(302, "moved", "Location: /elsewhere\r\n"));
    c.ReadRequest();
    c.Send(HttpAnswerText(200, std::string(65537, 'x')));
  });
  Client client;
  EXPECT_EQ(client.Get(server.Url()).status, 302);
  EXPECT_EQ(client.Get(server.Url()).ending, Ending::kTooLarge);
  HttpClientOptions https_only = Options();
  https_only.allow_http = false;
  Client secure(https_only);
  EXPECT_EQ(secure.Get(server.Url()).ending, Ending::kBroken);
}

TEST(CurlHttpClient, StopEndsWhatRuns) {
  std::promise<void> read;
  ScriptedServer server([&](Connection& c) {
    c.ReadRequest();
    read.set_value();
    c.AwaitClose();
  });
  Client client;
  std::future<HttpAnswer> running = client.Begin(server.Url());
  read.get_future().wait();
  client.Run([&] {
    client.http().Stop();
    EXPECT_EQ(running.wait_for(std::chrono::seconds(0)), std::future_status::ready) << "only after Stop";
  });
  const HttpAnswer answer = running.get();
  EXPECT_EQ(answer.ending, Ending::kStopped);
  EXPECT_EQ(answer.sent, Sent::kYes);
  EXPECT_EQ(answer.status, 0);
}

TEST(CurlHttpClient, SendsNothingOnceStopped) {
  ScriptedServer server(AnswerAll);
  Client client;
  client.Run([&] { client.http().Stop(); });
  const HttpAnswer answer = client.Ask(server.Url());
  EXPECT_EQ(answer.ending, Ending::kStopped);
  EXPECT_EQ(answer.sent, Sent::kNo);
  EXPECT_EQ(server.connections(), 0);
}

TEST(CurlHttpClient, MayBeAskedAndStoppedFromWithinAnAnswer) {
  ScriptedServer server(AnswerAll);
  Client client;
  std::promise<Ending> second;
  client.Run([&] {
    const auto post = [&] {
      HttpPost request;
      request.url = server.Url();
      request.body = kBody;
      return request;
    };
    client.http().Post(post(), [&, post](HttpAnswer) {
      client.http().Post(post(), [&](HttpAnswer answer) { second.set_value(answer.ending); });
      client.http().Stop();
    });
  });
  EXPECT_EQ(second.get_future().get(), Ending::kStopped);
}

}  // namespace
}  // namespace tokend::loop
