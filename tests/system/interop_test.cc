// Calls the real daemon over each of its transports with gRPC clients of other languages and through proxies.
// interop/README.md says what the clients do.
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <simdjson.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <set>
#include <sstream>

#include "absl/strings/escaping.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/fakes/test_authority.h"
#include "tests/system/fixture.h"

namespace tokend::system {
namespace {

using fakes::Fault;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Contains;
using testing::ElementsAre;
using testing::Ge;
using testing::HasSubstr;
using testing::Key;
using testing::Not;
using testing::Pair;

const std::string kSource = TOKEND_SOURCE;
constexpr char kCreateToken[] = "/tokend.v1.TokenService/CreateToken";
constexpr char kGetCaller[] = "/tokend.v1.TokenService/GetCaller";
constexpr char kCheck[] = "/grpc.health.v1.Health/Check";
constexpr char kWatch[] = "/grpc.health.v1.Health/Watch";

std::string Base64(const std::string& bytes) { return absl::Base64Escape(bytes); }

std::string Unbase64(std::string_view text) {
  std::string bytes;
  EXPECT_TRUE(absl::Base64Unescape({text.data(), text.size()}, &bytes));
  return bytes;
}

std::string TokenRequest(const std::string& application, const std::string& request_id = "") {
  return RequestFor(application, request_id).SerializeAsString();
}

// A long, well-formed message whose only field is unknown.
std::string LongMessage(std::size_t bytes) {
  std::string message = "\xFA\x01";  // field 31, bytes
  for (std::size_t size = bytes; size > 0; size >>= 7U) {
    message += static_cast<char>(size >= 128 ? (size & 127U) | 128U : size);
  }
  return message + std::string(bytes, 'x');
}

struct Outcome {
  int code = -1;
  std::string message;
  std::string reason;
  std::string pushback;
  bool has_retry = false;
  std::vector<std::string> responses;
};

struct JobResult {
  std::map<int, std::int64_t> codes;
  std::vector<Outcome> outcomes;
};

struct Report {
  std::int64_t connects = 0;
  std::vector<JobResult> jobs;
};

Outcome ReadOutcome(simdjson::dom::element json) {
  Outcome outcome;
  outcome.code = static_cast<int>(json["code"].get_int64().value());
  outcome.message = json["message"].get_string().value();
  outcome.pushback = json["pushback"].get_string().value();
  google::rpc::Status status;
  EXPECT_TRUE(status.ParseFromString(Unbase64(json["details"].get_string().value())));
  for (const auto& any : status.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&info)) outcome.reason = info.reason();
    outcome.has_retry = outcome.has_retry || any.UnpackTo(&retry);
  }
  const simdjson::dom::array responses = json["responses"].get_array();
  for (const auto each : responses) {
    outcome.responses.push_back(Unbase64(each.get_string().value()));
  }
  return outcome;
}

Report ReadReport(const std::string& text) {
  Report report;
  simdjson::dom::parser parser;
  const simdjson::dom::element json = parser.parse(text).value();
  report.connects = json["connects"].get_int64().value();
  const simdjson::dom::array jobs = json["jobs"].get_array();
  for (const auto job : jobs) {
    JobResult& result = report.jobs.emplace_back();
    const simdjson::dom::object codes = job["codes"].get_object();
    const simdjson::dom::array outcomes = job["outcomes"].get_array();
    for (const auto& [code, count] : codes) {
      result.codes[std::stoi(std::string(code))] = count.get_int64().value();
    }
    for (const auto outcome : outcomes) result.outcomes.push_back(ReadOutcome(outcome));
  }
  return report;
}

// One job in a client's plan.
class Job {
 public:
  explicit Job(const std::string& method) { json_ = "\"method\":\"" + method + "\""; }

  Job& Requests(const std::vector<std::string>& requests) {
    json_ += ",\"requests\":[";
    for (std::size_t i = 0; i < requests.size(); ++i)
      json_ += (i > 0 ? ",\"" : "\"") + Base64(requests[i]) + "\"";
    json_ += "]";
    return *this;
  }
  Job& With(const std::string& key, std::int64_t value) {
    json_ += ",\"" + key + "\":" + std::to_string(value);
    return *this;
  }
  Job& Kind(const std::string& kind) {
    json_ += ",\"kind\":\"" + kind + "\"";
    return *this;
  }
  Job& Metadata(const std::string& key, const std::string& value) {
    json_ += ",\"metadata\":{\"" + key + "\":\"" + value + "\"}";
    return *this;
  }
  std::string json() const { return "{" + json_ + "}"; }

 private:
  std::string json_;
};

enum class Client { kCpp, kPython, kNode, kGo };
enum class Over { kUnix, kTls, kMtls };

constexpr std::array<const char*, 4> kClientNames = {"Cpp", "Python", "Node", "Go"};
constexpr std::array<const char*, 3> kOverNames = {"Unix", "Tls", "Mtls"};

void PrintTo(Client client, std::ostream* out) { *out << kClientNames[static_cast<std::size_t>(client)]; }
void PrintTo(Over over, std::ostream* out) { *out << kOverNames[static_cast<std::size_t>(over)]; }

std::vector<std::string> CommandOf(Client client) {
  switch (client) {
    case Client::kCpp:
      return {Program("interop-client")};
    case Client::kPython:
      return {"/usr/bin/python3", kSource + "/tests/system/interop/client.py"};
    case Client::kNode:
      return {"node", kSource + "/tests/system/interop/client.mjs"};
    case Client::kGo:
      return {Program("interop-client-go")};
  }
  return {};
}

class Interop : public SystemTest {
 protected:
  void StartDaemon(const std::string& grant = "") {
    const fakes::Identity server = authority_.Issue("DNS:localhost,IP:127.0.0.1");
    const fakes::Identity client = authority_.Issue("URI:spiffe://test.example/ci");
    WriteFile(folder_ / "ca.crt", authority_.certificate());
    WriteFile(folder_ / "server.crt", server.certificate);
    WriteFile(folder_ / "server.key", server.private_key);
    WriteFile(folder_ / "client.crt", client.certificate);
    WriteFile(folder_ / "client.key", client.private_key);
    const std::string files =
        "certificate_file: " + (folder_ / "server.crt") + ", private_key_file: " + (folder_ / "server.key");
    Tokend::Options options;
    options.listeners =
        "  - name: local\n    address: unix://" + (folder_ / "tokend.sock") +
        "\n    authentication: {none: {caller: ci}}\n"
        "  - name: tls\n    address: 127.0.0.1:0\n    tls: {" +
        files +
        "}\n    authentication: {none: {caller: ci}}\n"
        "  - name: mtls\n    address: 127.0.0.1:0\n    tls: {" +
        files + ", client_ca_file: " + (folder_ / "ca.crt") +
        "}\n    authentication: {mtls: {}}\n    max_connections_per_peer: 1024\n"
        "  - name: plain\n    address: 127.0.0.1:0\n    authentication: {none: {caller: ci}}\n";
    options.upstream = "    max_in_flight: 2000\n";
    // A long deadline, so that no call fails because a busy disk is slow.
    options.audit += ", deadline: 1m";
    options.grant = grant;
    Start(options);
  }

  std::string AddressOf(Over over) const {
    return over == Over::kUnix  ? tokend_->address("local")
           : over == Over::kTls ? tokend_->address("tls")
                                : tokend_->address("mtls");
  }

  std::string PlanFor(const std::string& address, Over over, const std::vector<Job>& jobs,
                      const std::string& more = "") const {
    std::string plan = "{\"address\":\"" + address + "\"";
    if (over != Over::kUnix) plan += ",\"ca\":\"" + (folder_ / "ca.crt") + "\"";
    if (over == Over::kMtls) {
      plan += ",\"cert\":\"" + (folder_ / "client.crt") + "\",\"key\":\"" + (folder_ / "client.key") + "\"";
    }
    plan += more + ",\"jobs\":[";
    for (std::size_t i = 0; i < jobs.size(); ++i) plan += (i > 0 ? "," : "") + jobs[i].json();
    return plan + "]}";
  }

  // Starts the client. Its report is its standard output.
  std::unique_ptr<Process> Begin(Client client, const std::string& plan) {
    const std::string name = "plan" + std::to_string(++plans_);
    WriteFile(folder_ / name, plan);
    std::vector<std::string> command = CommandOf(client);
    command.push_back(folder_ / name);
    return std::make_unique<Process>(
        std::move(command),
        std::map<std::string, std::string>{{"PATH", "/usr/local/bin:/usr/bin:/bin"},
                                           {"HOME", "/nonexistent"},
                                           {"GRPC_JS_FROM", kSource + "/client/examples/node/mint.mjs"}},
        folder_ / (name + ".out"), folder_ / (name + ".err"));
  }

  Report Finish(Process& process) {
    const std::optional<int> exit = process.Wait(seconds(120));
    EXPECT_EQ(exit, 0) << process.err();
    return exit == 0 ? ReadReport(process.out()) : Report{};
  }

  Report Run(Client client, const std::string& plan) { return Finish(*Begin(client, plan)); }

  const fakes::TestAuthority authority_;
  int plans_ = 0;
};

class InteropTest : public Interop, public testing::WithParamInterface<std::tuple<Client, Over>> {
 protected:
  Client client() const { return std::get<0>(GetParam()); }
  Over over() const { return std::get<1>(GetParam()); }

  Report Do(const std::vector<Job>& jobs, const std::string& more = "") {
    Report report = Run(client(), PlanFor(AddressOf(over()), over(), jobs, more));
    report.jobs.resize(jobs.size());
    return report;
  }
};

// A build with sanitizers is slow. There mTLS stands for TLS too, and calls are fewer.
#ifdef TOKEND_SANITIZED
const auto kTransports = testing::Values(Over::kUnix, Over::kMtls);
constexpr int kManyCalls = 250;
#else
const auto kTransports = testing::Values(Over::kUnix, Over::kTls, Over::kMtls);
constexpr int kManyCalls = 1000;
#endif

INSTANTIATE_TEST_SUITE_P(
    With, InteropTest,
    testing::Combine(testing::Values(Client::kCpp, Client::kPython, Client::kNode, Client::kGo), kTransports),
    [](const auto& with) {
      return std::string(kClientNames[static_cast<std::size_t>(std::get<0>(with.param))]) +
             kOverNames[static_cast<std::size_t>(std::get<1>(with.param))];
    });

// Covers a token, Check and Watch of health, both versions of reflection, a deadline, a cancellation,
// metadata within and over the limit, an unknown method and an unknown service.
TEST_P(InteropTest, GetsWhatItAsksFor) {
  StartDaemon();
  applivery_->Script("slow", {Fault::None().After(seconds(3))}, fakes::ScriptEnd::kRepeatLast);
  const std::string list = "\x3a\x01*";
  const Report report = Do({
      Job(kCreateToken).Requests({TokenRequest("ios-app")}),
      Job(kCheck),
      Job(kWatch).Kind("server_stream").With("timeout_ms", 500),
      Job("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
          .Kind("bidi")
          .Requests({list, list}),
      Job("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo").Kind("bidi").Requests({list}),
      Job(kCreateToken).Requests({TokenRequest("slow")}).With("timeout_ms", 400),
      Job(kCreateToken).Requests({TokenRequest("slow")}).With("cancel_after_ms", 400),
      Job(kGetCaller).Metadata("x", std::string(10 * 1024, 'x')),
      Job(kGetCaller).Metadata("x", std::string(20 * 1024, 'x')),
      Job("/tokend.v1.TokenService/RevokeToken"),
      Job("/other.Service/Method"),
  });
  ASSERT_FALSE(report.jobs[0].outcomes.empty());
  const Outcome& minted = report.jobs[0].outcomes[0];
  EXPECT_EQ(minted.code, 0) << minted.message;
  v1::CreateTokenResponse token;
  ASSERT_EQ(minted.responses.size(), 1U);
  ASSERT_TRUE(token.ParseFromString(minted.responses[0]));
  EXPECT_THAT(token.token().bearer(), testing::StartsWith("fake-bearer-"));
  EXPECT_THAT(report.jobs[1].outcomes[0].responses, ElementsAre("\x08\x01"));
  EXPECT_THAT(report.jobs[2].outcomes[0].responses, ElementsAre("\x08\x01"));
  EXPECT_EQ(report.jobs[2].outcomes[0].code, 4);
  ASSERT_EQ(report.jobs[3].outcomes[0].responses.size(), 2U);
  EXPECT_THAT(report.jobs[3].outcomes[0].responses[1], HasSubstr("tokend.v1.TokenService"));
  ASSERT_EQ(report.jobs[4].outcomes[0].responses.size(), 1U);
  EXPECT_EQ(report.jobs[4].outcomes[0].code, 0);
  EXPECT_EQ(report.jobs[5].outcomes[0].code, 4);
  EXPECT_EQ(report.jobs[6].outcomes[0].code, 1);
  EXPECT_EQ(report.jobs[7].outcomes[0].code, 0) << report.jobs[7].outcomes[0].message;
  EXPECT_EQ(report.jobs[8].outcomes[0].code, 8) << report.jobs[8].outcomes[0].message;
  EXPECT_EQ(report.jobs[9].outcomes[0].code, 12);
  EXPECT_EQ(report.jobs[10].outcomes[0].code, 12);
}

TEST_P(InteropTest, GetsEveryErrorWithItsDetails) {
  StartDaemon("      limits: [{name: day, tokens: 30, per: 24h}]\n");
  struct Row {
    std::string application;
    Fault fault;
    int code;
    std::string reason;
    bool may_exist = false;
    bool retry = false;
  };
  const std::vector<Row> rows = {
      {"x!", Fault::None(), 3, "INVALID_REQUEST"},
      {"missing", Fault::None(), 5, "APPLICATION_NOT_FOUND"},
      {"app-forbidden", Fault::Error(403, 4003), 9, "UPSTREAM_FORBIDDEN"},
      {"app-rejected", Fault::Error(400, 5014), 9, "UPSTREAM_REJECTED"},
      {"app-rubbish", Fault::Success("{}"), 13, "UPSTREAM_INVALID_RESPONSE", true},
      {"app-unknown", Fault::Status(502, "oops"), 2, "OUTCOME_UNKNOWN", true},
      {"app-limited", Fault::RateLimited("30"), 8, "UPSTREAM_RATE_LIMITED", false, true},
  };
  std::vector<std::string> requests;
  for (const Row& row : rows) {
    applivery_->Script(row.application, {row.fault}, fakes::ScriptEnd::kRepeatLast);
    requests.push_back(TokenRequest(row.application));
  }
  v1::CreateTokenRequest denied = RequestFor("ios-app");
  denied.add_scopes("admin");
  const Report first = Do({
      Job(kCreateToken).Requests(requests).With("count", static_cast<std::int64_t>(rows.size())),
      Job(kCreateToken).Requests({denied.SerializeAsString()}),
  });
  ASSERT_EQ(first.jobs[0].outcomes.size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Outcome& outcome = first.jobs[0].outcomes[i];
    EXPECT_EQ(outcome.code, rows[i].code) << rows[i].application;
    EXPECT_EQ(outcome.reason, rows[i].reason) << rows[i].application;
    EXPECT_EQ(outcome.pushback, rows[i].may_exist ? "-1" : "") << rows[i].application;
    EXPECT_EQ(outcome.has_retry, rows[i].retry) << rows[i].application;
    EXPECT_FALSE(outcome.message.empty());
  }
  EXPECT_EQ(first.jobs[1].outcomes[0].code, 7);
  EXPECT_EQ(first.jobs[1].outcomes[0].reason, "NOT_PERMITTED");

  tokend_->Restart();  // ends the pause and refills the limit
  const Report second = Do({
      Job(kCreateToken)
          .Requests({TokenRequest("ios-app", kRequestId), TokenRequest("android-app", kRequestId)})
          .With("count", 2),
  });
  EXPECT_EQ(second.jobs[0].outcomes[1].code, 6);
  EXPECT_EQ(second.jobs[0].outcomes[1].reason, "REQUEST_ID_REUSED");
  const Report third = Do({Job(kCreateToken).Requests({TokenRequest("ios-app")}).With("count", 32)});
  EXPECT_EQ(third.jobs[0].codes.at(8), 3);
  EXPECT_EQ(third.jobs[0].outcomes[31].reason, "RATE_LIMITED");
  EXPECT_TRUE(third.jobs[0].outcomes[31].has_retry);

  tokend_->Restart();
  applivery_->Script("ios-app", {Fault::Error(401, 4004)}, fakes::ScriptEnd::kRepeatLast);
  const Report fourth = Do({Job(kCreateToken).Requests({TokenRequest("ios-app")})});
  EXPECT_EQ(fourth.jobs[0].outcomes[0].code, 9);
  EXPECT_EQ(fourth.jobs[0].outcomes[0].reason, "UPSTREAM_KEY_REJECTED");
  tokend_->Restart();
  applivery_->Stop();
  const Report fifth = Do({Job(kCreateToken).Requests({TokenRequest("ios-app")}).With("timeout_ms", 5000)});
  EXPECT_EQ(fifth.jobs[0].outcomes[0].code, 14);
  EXPECT_EQ(fifth.jobs[0].outcomes[0].reason, "UPSTREAM_UNAVAILABLE");
  EXPECT_TRUE(fifth.jobs[0].outcomes[0].has_retry);
}

TEST_P(InteropTest, MakesManyCallsAtOnceAndInARow) {
  StartDaemon();
  const Report many = Do(
      {Job(kCreateToken).Requests({TokenRequest("ios-app")}).With("count", kManyCalls).With("parallel", 100),
       Job(kGetCaller).Requests({LongMessage(60'000)}).With("count", 100).With("parallel", 100)});
  EXPECT_THAT(many.jobs[0].codes, ElementsAre(Pair(0, kManyCalls)));
  EXPECT_THAT(many.jobs[1].codes, ElementsAre(Pair(0, 100)));
  EXPECT_EQ(applivery_->counts().tokens, std::size_t{kManyCalls});
  const Report row = Do({Job(kCheck).With("count", 4 * kManyCalls)});
  EXPECT_THAT(row.jobs[0].codes, ElementsAre(Pair(0, 4 * kManyCalls)));
  EXPECT_EQ(row.connects, 1);
}

TEST_P(InteropTest, IsToldThatCompressedMessagesAreNotTaken) {
  StartDaemon();
  const Report report = Do({Job(kGetCaller).Requests({LongMessage(5000)})}, ",\"gzip\":true");
  EXPECT_EQ(report.jobs[0].outcomes[0].code, 12) << report.jobs[0].outcomes[0].message;
}

TEST_P(InteropTest, LosesNoCallBesideAStormOfDeadlinesAndCancellations) {
  StartDaemon();
  applivery_->Script("storm", {Fault::None().After(milliseconds(500))}, fakes::ScriptEnd::kRepeatLast);
  applivery_->Script("long", {Fault::None().After(seconds(1))}, fakes::ScriptEnd::kRepeatLast);
  const Report report = Do({
      Job(kCreateToken).Requests({TokenRequest("long")}).With("count", 20).With("parallel", 4),
      Job(kCreateToken)
          .Requests({TokenRequest("storm")})
          .With("count", 300)
          .With("parallel", 6)
          .With("timeout_ms", 50)
          .With("pause_ms", 40),
      Job(kCreateToken)
          .Requests({TokenRequest("storm")})
          .With("count", 500)
          .With("parallel", 6)
          .With("cancel_after_ms", 20)
          .With("pause_ms", 30),
  });
  EXPECT_THAT(report.jobs[0].codes, ElementsAre(Pair(0, 20)));
  for (const Outcome& outcome : report.jobs[0].outcomes) EXPECT_EQ(outcome.message, "");
  EXPECT_THAT(report.jobs[1].codes, Contains(Pair(4, Ge(100))));
  EXPECT_THAT(report.jobs[2].codes, Contains(Pair(1, Ge(100))));
}

TEST_P(InteropTest, CountsAsDoneWhatTheServerHasDoneWhenItStopsUnderLoad) {
  StartDaemon();
  applivery_->Script("ios-app", {Fault::None().After(milliseconds(80))}, fakes::ScriptEnd::kRepeatLast);
  const auto process = Begin(client(), PlanFor(AddressOf(over()), over(),
                                               {Job(kCreateToken)
                                                    .Requests({TokenRequest("ios-app")})
                                                    .With("seconds", 3)
                                                    .With("parallel", 30)
                                                    .With("pause_ms", 5)}));
  ASSERT_TRUE(applivery_->WaitForPosts(200, seconds(30)));
  EXPECT_EQ(Stop(), 0);
  const JobResult result = Finish(*process).jobs.at(0);
  std::int64_t issued = 0;
  for (const std::string& event : tokend_->events()) issued += event == "token.issued" ? 1 : 0;
  EXPECT_EQ(result.codes.at(0), issued);
  EXPECT_EQ(static_cast<std::size_t>(issued), applivery_->counts().tokens);
  for (const auto& [code, count] : result.codes)
    EXPECT_TRUE(code == 0 || code == 14) << code << ": " << count;
}

TEST_P(InteropTest, GetsALongAnswer) {
  std::string grants;
  for (int grant = 0; grant < 4; ++grant) {
    grants +=
        "    - name: many-" + std::to_string(grant) +
        "\n      callers: [ci, \"spiffe://test.example/ci\"]\n      scopes: [sdk]\n      applications: [";
    for (int i = 0; i < 1000; ++i) grants += (i > 0 ? ", " : "") + std::string(70, 'a') + std::to_string(i);
    grants += "]\n";
  }
  StartDaemon(grants);
  const Report report = Do({Job(kGetCaller).With("count", 20).With("parallel", 10)});
  EXPECT_THAT(report.jobs[0].codes, ElementsAre(Pair(0, 20)));
  ASSERT_FALSE(report.jobs[0].outcomes.empty());
  EXPECT_GT(report.jobs[0].outcomes[0].responses[0].size(), 290'000U);
}

// Each client uses only one transport, because the test takes long.
class PingTest : public Interop, public testing::WithParamInterface<Client> {};

INSTANTIATE_TEST_SUITE_P(With, PingTest,
                         testing::Values(Client::kCpp, Client::kPython, Client::kNode, Client::kGo),
                         [](const auto& with) { return kClientNames[static_cast<std::size_t>(with.param)]; });

TEST_P(PingTest, AClientMayPingEveryTenSeconds) {
  StartDaemon();
  const Report report = Run(GetParam(), PlanFor(AddressOf(Over::kTls), Over::kTls,
                                                {Job(kGetCaller).With("count", 2).With("pause_ms", 24'000)},
                                                ",\"keepalive_ms\":10000"));
  ASSERT_EQ(report.jobs.size(), 1U);
  EXPECT_THAT(report.jobs[0].codes, ElementsAre(Pair(0, 2)));
  EXPECT_EQ(report.connects, 1);
}

// The daemon sees all clients of a proxy at one address.
class ProxyTest : public Interop, public testing::WithParamInterface<Client> {
 protected:
  static std::uint16_t FreePort() {
    const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(name);
    EXPECT_EQ(bind(probe, reinterpret_cast<const sockaddr*>(&name), size), 0);
    EXPECT_EQ(getsockname(probe, reinterpret_cast<sockaddr*>(&name), &size), 0);
    close(probe);
    return ntohs(name.sin_port);
  }

  std::unique_ptr<Process> StartProxy(std::vector<std::string> command) {
    return std::make_unique<Process>(std::move(command), std::map<std::string, std::string>{},
                                     folder_ / "proxy.out", folder_ / "proxy.err");
  }

  void ExpectServed(std::uint16_t port) {
    const std::string address = "127.0.0.1:" + std::to_string(port);
    applivery_->Script("slow", {Fault::None().After(seconds(3))}, fakes::ScriptEnd::kRepeatLast);
    const Report report =
        Run(GetParam(),
            PlanFor(address, Over::kUnix,
                    {Job(kCreateToken)
                         .Requests({TokenRequest("ios-app")})
                         .With("count", kManyCalls)
                         .With("parallel", 100),
                     Job(kCreateToken).Requests({TokenRequest("missing")}),
                     Job(kCreateToken).Requests({TokenRequest("slow")}).With("timeout_ms", 400),
                     Job(kGetCaller).Requests({LongMessage(60'000)}).With("count", 100).With("parallel", 100),
                     Job(kCheck)}));
    ASSERT_EQ(report.jobs.size(), 5U);
    EXPECT_THAT(report.jobs[0].codes, ElementsAre(Pair(0, kManyCalls)));
    EXPECT_EQ(report.jobs[1].outcomes[0].reason, "APPLICATION_NOT_FOUND");
    EXPECT_EQ(report.jobs[2].outcomes[0].code, 4);
    EXPECT_THAT(report.jobs[3].codes, ElementsAre(Pair(0, 100)));
    EXPECT_THAT(report.jobs[4].outcomes[0].responses, ElementsAre("\x08\x01"));
  }
};

INSTANTIATE_TEST_SUITE_P(With, ProxyTest, testing::Values(Client::kNode, Client::kGo),
                         [](const auto& with) { return kClientNames[static_cast<std::size_t>(with.param)]; });

TEST_P(ProxyTest, NginxPassesCallsOn) {
  StartDaemon();
  const std::uint16_t port = FreePort();
  WriteFile(folder_ / "nginx.conf",
            "daemon off; pid " + (folder_ / "nginx.pid") + "; error_log stderr; worker_processes 1;\n" +
                "events { worker_connections 1024; }\nhttp { access_log off; keepalive_requests 100000; "
                "client_body_temp_path " +
                (folder_ / "body") + "; proxy_temp_path " + (folder_ / "proxy") + "; fastcgi_temp_path " +
                (folder_ / "fastcgi") + "; uwsgi_temp_path " + (folder_ / "uwsgi") + "; scgi_temp_path " +
                (folder_ / "scgi") + ";\n  upstream tokend { server " + tokend_->address("mtls") +
                "; keepalive 128; }\n  server { listen 127.0.0.1:" + std::to_string(port) +
                " http2;\n    location / { grpc_pass grpcs://tokend; grpc_ssl_certificate " +
                (folder_ / "client.crt") + "; grpc_ssl_certificate_key " + (folder_ / "client.key") +
                "; } } }\n");
  const auto proxy = StartProxy({"/usr/sbin/nginx", "-c", folder_ / "nginx.conf", "-p", folder_ / ""});
  ExpectServed(port);
  proxy->Signal(SIGTERM);
  proxy->Wait();  // otherwise the processes that it has started would outlive it
}

TEST_P(ProxyTest, NghttpxPassesCallsOn) {
  StartDaemon();
  const std::uint16_t port = FreePort();
  const std::string backend = tokend_->address("plain");
  const std::size_t colon = backend.rfind(':');
  const auto proxy = StartProxy(
      {"/usr/sbin/nghttpx", "--conf=/dev/null", "--frontend=127.0.0.1," + std::to_string(port) + ";no-tls",
       "--backend=127.0.0.1," + backend.substr(colon + 1) + ";;proto=h2",
       "--workers=1",  // It buffers what flow control holds back: see deploy/README.md.
       "--frontend-http2-connection-window-size=16M", "--accesslog-file=/dev/null"});
  ExpectServed(port);
  proxy->Signal(SIGTERM);
  proxy->Wait();  // otherwise the processes that it has started would outlive it
}

TEST_F(Interop, PlainHttp2ClientsGetTheirAnswers) {
  StartDaemon();
  WriteFile(folder_ / "empty-message", std::string(5, '\0'));
  const std::string plain = "http://" + tokend_->address("plain") + kGetCaller;
  const std::string tls = "https://" + tokend_->address("tls") + kGetCaller;
  for (const std::string& url : {plain, tls}) {
    const Ended curl =
        RunProgram({"/usr/bin/curl", "-sSk", "-i", "--http2-prior-knowledge", "--noproxy", "*", "-H",
                    "content-type: application/grpc", "-H", "te: trailers", "--data-binary",
                    "@" + (folder_ / "empty-message"), "-o", folder_ / "answer", url});
    EXPECT_EQ(curl.exit, 0) << curl.err;
    EXPECT_THAT(ReadFile(folder_ / "answer"), HasSubstr("grpc-status: 0"));
    const Ended nghttp = RunProgram({"/usr/bin/nghttp", "-v", "-H", ":method: POST", "-H",
                                     "content-type: application/grpc", "-d", folder_ / "empty-message", url});
    EXPECT_EQ(nghttp.exit, 0) << nghttp.err;
    EXPECT_THAT(nghttp.out, HasSubstr("grpc-status: 0"));
  }
  // Most of these calls are answered with RATE_LIMITED (caller/checks).
  for (const std::string& url : {plain, tls}) {
    const Ended h2load = RunProgram({"/usr/bin/h2load", "-n", "20000", "-c", "4", "-m", "32", "-H",
                                     "content-type: application/grpc", "-d", folder_ / "empty-message", url});
    EXPECT_THAT(h2load.out, HasSubstr("20000 succeeded, 0 failed, 0 errored"));
  }
}

TEST_F(Interop, BufCurlAsksOverEachTransport) {
  StartDaemon();
  const std::string buf = kSource + "/tests/system/tools/node_modules/.bin/buf";
  const std::map<std::string, std::string> environment = {{"PATH", "/usr/local/bin:/usr/bin:/bin"},
                                                          {"HOME", folder_ / ""}};
  const std::string port = tokend_->address("mtls").substr(tokend_->address("mtls").rfind(':'));
  const std::vector<std::vector<std::string>> transports = {
      {"--http2-prior-knowledge", "--unix-socket", folder_ / "tokend.sock", "http://localhost"},
      {"--http2-prior-knowledge", "http://" + tokend_->address("plain")},
      {"--cacert", folder_ / "ca.crt", "--cert", folder_ / "client.crt", "--key", folder_ / "client.key",
       "https://localhost" + port},
  };
  for (const std::vector<std::string>& transport : transports) {
    std::vector<std::string> command = {buf, "curl", "--protocol", "grpc"};
    command.insert(command.end(), transport.begin(), transport.end() - 1);
    std::vector<std::string> list = command;
    list.insert(list.end(), {"--list-methods", transport.back()});
    const Ended listed = RunProgram(list, environment);
    EXPECT_THAT(listed.out, HasSubstr("tokend.v1.TokenService/CreateToken")) << listed.err;
    std::vector<std::string> create = command;
    create.insert(create.end(), {"--data", R"({"application": "ios-app"})", transport.back() + kCreateToken});
    const Ended created = RunProgram(create, environment);
    EXPECT_EQ(created.exit, 0) << created.err;
    EXPECT_THAT(created.out, HasSubstr("\"bearer\""));
    create[create.size() - 2] = R"({"application": "missing"})";
    const Ended missing = RunProgram(create, environment);
    EXPECT_THAT(missing.err, HasSubstr("google.rpc.ErrorInfo"));
    EXPECT_THAT(missing.err, HasSubstr("knows no such application"));
  }
}

}  // namespace
}  // namespace tokend::system
