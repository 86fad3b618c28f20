#include "daemon/telemetry/admin.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "daemon/telemetry/status_page.h"

namespace tokend::telemetry {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Answer {
  long status = 0;
  std::string headers;
  std::string body;
};

std::size_t Collect(char* bytes, std::size_t size, std::size_t count, void* text) {
  static_cast<std::string*>(text)->append(bytes, size * count);
  return size * count;
}

// A connection that sends `bytes` and then nothing more.
class RawClient {
 public:
  RawClient(std::uint16_t port, const std::string& bytes) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  ~RawClient() { close(socket_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  std::string ReadAll() const {
    std::string text;
    char block[4096];
    for (ssize_t count = 0; (count = recv(socket_, block, sizeof(block), 0)) > 0;) {
      text.append(block, static_cast<std::size_t>(count));
    }
    return text;
  }

 private:
  int socket_;
};

class Admin : public ::testing::Test {
 protected:
  void SetUp() override {
    Start({{"audit", [this] { return audit_; }}, {"serving", [] { return Status(); }}});
  }

  void Start(std::vector<Check> checks) {
    server_.reset();
    auto server = AdminServer::Start({{"127.0.0.1", 0},
                                      [this] { return system_; },
                                      std::move(checks),
                                      [this] { return troubles_; },
                                      [this] { metrics_.SetLedgerEntries(++shown_); }},
                                     metrics_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ASSERT_NE(server_->port(), 0);
  }

  Answer Ask(const std::string& path, const char* method = "GET", const std::string& host = "") const {
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), &curl_easy_cleanup);
    const std::string url = "http://127.0.0.1:" + std::to_string(server_->port()) + path;
    Answer answer;
    curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl.get(), CURLOPT_PROXY, "");
    curl_easy_setopt(curl.get(), CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, 20L);
    curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl.get(), CURLOPT_NOBODY, std::string_view(method) == "HEAD" ? 1L : 0L);
    curl_easy_setopt(curl.get(), CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &Collect);
    curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.body);
    curl_easy_setopt(curl.get(), CURLOPT_HEADERFUNCTION, &Collect);
    curl_easy_setopt(curl.get(), CURLOPT_HEADERDATA, &answer.headers);
    curl_slist* headers = host.empty() ? nullptr : curl_slist_append(nullptr, ("Host: " + host).c_str());
    curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers);
    EXPECT_EQ(curl_easy_perform(curl.get()), CURLE_OK) << path;
    curl_slist_free_all(headers);
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
    return answer;
  }

  Metrics metrics_;
  SystemState system_{.configuration = {.digest = "0123456789abcdef"}};
  Status audit_;
  std::vector<std::string> troubles_;
  std::size_t shown_ = 0;  // how often the metrics were shown
  std::unique_ptr<AdminServer> server_;
};

TEST_F(Admin, IsAliveWhateverTheChecksSay) {
  audit_ = absl::UnavailableError("the disk is full");
  const Answer answer = Ask("/livez");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "ok\n");
}

TEST_F(Admin, IsReadyOnceEveryCheckIs) {
  audit_ = absl::UnavailableError("the disk is full");
  Answer answer = Ask("/readyz");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.body, "audit: the disk is full\nserving: ok\n");

  audit_ = absl::OkStatus();
  answer = Ask("/readyz");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "audit: ok\nserving: ok\n");
}

TEST_F(Admin, IsReadyWhileSomethingHitsAllReplicasAlikeAndShowsIt) {
  Start({{"state", [] { return Status(absl::UnavailableError("Redis is gone")); }, false},
         {"serving", [] { return Status(); }}});
  const Answer answer = Ask("/readyz");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "state: Redis is gone\nserving: ok\n");
  EXPECT_THAT(Ask("/status.json", "GET", "localhost").body,
              AllOf(HasSubstr(R"("ready":true)"), HasSubstr("Redis is gone")));
}

TEST_F(Admin, TellsOfTroublesAndIsReadyAllTheSame) {
  troubles_ = {"organization acme: <trouble>"};
  const Answer answer = Ask("/readyz");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "audit: ok\nserving: ok\norganization acme: <trouble>\n");
  EXPECT_THAT(Ask("/status.json").body, HasSubstr(R"("troubles":["organization acme: <trouble>"])"));
}

TEST_F(Admin, RefreshesTheMetricsThatChangeWithTimeBeforeItShowsThem) {
  EXPECT_THAT(Ask("/metrics").body, HasSubstr("\ntokend_ledger_entries 1\n"));
  EXPECT_THAT(Ask("/metrics").body, HasSubstr("\ntokend_ledger_entries 2\n"));
}

TEST_F(Admin, ServesMetricsAsPrometheusReadsThem) {
  metrics_.TokenEnded(TokenOutcome::kIssued);
  const Answer answer = Ask("/metrics");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.headers, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(answer.body, HasSubstr("\ntokend_tokens_total{outcome=\"issued\"} 1\n"));
  EXPECT_EQ(answer.body, metrics_.Text());
}

TEST_F(Admin, ServesItsPageWhateverTheState) {
  const Answer answer = Ask("/");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.headers, HasSubstr("Content-Type: text/html; charset=utf-8\r\n"));
  EXPECT_EQ(answer.body, page::html);
}

TEST_F(Admin, AnswersHeadWithTheHeadersAlone) {
  for (const std::string path : {"/livez", "/readyz", "/", "/nowhere"}) {
    const Answer head = Ask(path, "HEAD");
    const Answer get = Ask(path);
    EXPECT_EQ(head.status, get.status);
    EXPECT_EQ(head.body, "");
    EXPECT_THAT(head.headers, HasSubstr("Content-Length: " + std::to_string(get.body.size()) + "\r\n"));
  }
}

TEST_F(Admin, KnowsNoOtherPath) {
  for (const std::string path :
       {"/canary", "/livez/", "/livez/canary", "//metrics/x", "/../../etc/passwd", "/..%2f..%2fetc/passwd",
        "/metrics%00", "/LIVEZ", "/canary.shtml", "/canary.php"}) {
    const Answer answer = Ask(path);
    EXPECT_EQ(answer.status, 404) << path;
    EXPECT_EQ(answer.body, "not found\n") << path;
  }
  EXPECT_EQ(Ask("/livez?verbose=1").status, 200);
}

TEST_F(Admin, IsReadOnly) {
  for (const char* method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"}) {
    const Answer answer = Ask("/metrics", method);
    EXPECT_EQ(answer.status, 405) << method;
    EXPECT_THAT(answer.headers, HasSubstr("Allow: GET, HEAD\r\n"));
    EXPECT_EQ(answer.body, "method not allowed\n");
  }
}

TEST_F(Admin, ForbidsSniffingCachingAndOtherSources) {
  for (const std::string path : {"/", "/livez", "/metrics", "/nowhere"}) {
    EXPECT_THAT(
        Ask(path).headers,
        AllOf(HasSubstr("X-Content-Type-Options: nosniff\r\n"), HasSubstr("Cache-Control: no-store\r\n"),
              HasSubstr("Content-Security-Policy: default-src 'none'; script-src 'sha256-"),
              HasSubstr("Connection: close\r\n")));
  }
}

TEST_F(Admin, RepeatsNothingOfWhatItCannotRead) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  for (const std::string& request : std::vector<std::string>{
           "canary\r\n\r\n", "CANARY /livez HTTP/1.1\r\n\r\n", "GET /livez HTTP/canary\r\n\r\n",
           "GET canary HTTP/1.1\r\n\r\n", "GET /livez HTTP/1.1\r\ncanary\r\n\r\n",
           "GET /livez HTTP/1.1\r\nContent-Length: canary\r\n\r\n",
           "GET /" + std::string(10000, 'c') + "anary HTTP/1.1\r\n\r\n"}) {
    const std::string answer = RawClient(server_->port(), request).ReadAll();
    EXPECT_THAT(answer, Not(HasSubstr("anary")));
    EXPECT_THAT(answer, AnyOf("", StartsWith("HTTP/1.1 4"), StartsWith("HTTP/1.0 4"),
                              StartsWith("HTTP/1.1 505"), StartsWith("HTTP/1.0 505")))
        << request.substr(0, 60);
  }
  server_.reset();
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(Admin, DoesNotKeepAProbeWaitingBehindIdleConnections) {
  std::vector<std::unique_ptr<RawClient>> idle;
  for (int i = 0; i < 20; ++i) {
    idle.push_back(std::make_unique<RawClient>(server_->port(), i % 2 == 0 ? "GET /livez HTTP/1.1\r\n" : ""));
  }
  std::vector<std::chrono::nanoseconds> took;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(Ask("/livez").status, 200);
    took.push_back(std::chrono::steady_clock::now() - start);
  }
  EXPECT_LT(*std::min_element(took.begin(), took.end()), 100ms);
}

TEST_F(Admin, ShowsItsPageToABrowserOfThisMachineUnderALoopbackNameAlone) {
  for (const std::string path : {"/", "/status.json"}) {
    for (const std::string host : {"localhost", "localhost:9464", "127.0.0.1", "127.0.0.1:80",
                                   "127.1.2.3:9464", "[::1]", "[::1]:9464"}) {
      EXPECT_EQ(Ask(path, "GET", host).status, 200) << host;
    }
    for (const std::string host :
         {"evil.example", "evil.example:9464", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example",
          "[::2]", "localhost:x", "::1", "1.27.0.0.1", "tokend"}) {
      const Answer answer = Ask(path, "GET", host);
      EXPECT_EQ(answer.status, 403) << host;
      EXPECT_THAT(answer.body, Not(HasSubstr(host)));
    }
  }
  for (const std::string path : {"/livez", "/readyz", "/metrics"}) {
    EXPECT_EQ(Ask(path, "GET", "evil.example").status, 200) << path;
  }
}

TEST_F(Admin, GivesItsStateAsJson) {
  metrics_.SetCallsInFlight(42);
  metrics_.recent().TokenUnaccounted({TokenOutcome::kUnknown, "id 1", "ci", "acme", "app"});
  audit_ = absl::UnavailableError("the disk is \"full\"");
  troubles_ = {"organization acme: trouble"};
  const Answer answer = Ask("/status.json");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.headers, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(
      answer.body,
      AllOf(HasSubstr(R"("calls_in_flight":42)"),
            HasSubstr(R"("configuration":{"digest":"0123456789abcdef")"),
            HasSubstr(R"("ready":false,"checks":[)"
                      R"({"name":"audit","ok":false,"decides":true,"state":"the disk is \"full\""},)"
                      R"({"name":"serving","ok":true,"decides":true,"state":"ok"}])"),
            HasSubstr(R"("troubles":["organization acme: trouble"])"), HasSubstr(R"("request_id":"id 1")")));
}

TEST_F(Admin, AnswersIpv6AndIpv4OnOneSocket) {
  server_.reset();
  auto server = AdminServer::Start({{"::", 0}, [] { return SystemState(); }, {}}, metrics_);
  if (!server.ok()) GTEST_SKIP() << "no IPv6 here: " << server.status();
  server_ = *std::move(server);
  EXPECT_EQ(Ask("/livez").status, 200);  // over 127.0.0.1
  EXPECT_EQ(Ask("/").status, 200);
  EXPECT_EQ(Ask("/", "GET", "evil.example").status, 403);
}

TEST_F(Admin, StopsAtOnceWhereNobodyHoldsOn) {
  const auto start = std::chrono::steady_clock::now();
  server_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 1500ms);
}

TEST_F(Admin, StopsInTimeWhileSlowClientsHoldOn) {
  const RawClient first(server_->port(), "GET /livez HTTP/1.1\r\n");
  const RawClient second(server_->port(), "");
  const auto start = std::chrono::steady_clock::now();
  server_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
}

TEST_F(Admin, SaysWhereItCannotListen) {
  const auto second =
      AdminServer::Start({{"127.0.0.1", server_->port()}, [] { return SystemState(); }, {}}, metrics_);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr("admin.address 127.0.0.1:" + std::to_string(server_->port())),
                    HasSubstr("another process")));
}

}  // namespace
}  // namespace tokend::telemetry
