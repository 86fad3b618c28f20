#include "daemon/identity/authenticator.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/identity/make_authenticator.h"

namespace tokend::identity {
namespace {

using Shared = std::shared_ptr<const Authenticator>;

Shared Make(config::ListenerAuthentication authentication, Shared previous = nullptr) {
  config::Listener listener;
  listener.name = "cluster";
  listener.authentication = std::move(authentication);
  return MakeAuthenticator(listener, std::move(previous)).value();
}

// The answer of an authenticator that gives it at once.
Result<Caller> Ask(const Shared& authenticator, Evidence evidence) {
  std::optional<Result<Caller>> answer;
  authenticator->Authenticate(std::move(evidence),
                              [&answer](Result<Caller> caller) { answer = std::move(caller); });
  return answer.value();
}

Result<Caller> ByCertificate(std::vector<std::string> uri_sans, std::vector<std::string> dns_sans) {
  return Ask(
      Make(config::MtlsAuthentication{}),
      {.peer = "ipv4:10.0.0.1:4711", .uri_sans = std::move(uri_sans), .dns_sans = std::move(dns_sans)});
}

TEST(NoneAuthenticator, TakesEveryoneForTheConfiguredCaller) {
  const auto caller = Ask(Make(config::NoAuthentication{"dev"}), {.peer = "unix:uid=1000"});
  ASSERT_TRUE(caller.ok());
  EXPECT_EQ(caller->name(), "dev");
  EXPECT_EQ(caller->authentication(), Authentication::kNone);
  EXPECT_EQ(caller->listener(), "cluster");
  EXPECT_EQ(caller->peer(), "unix:uid=1000");
}

TEST(UnixAuthenticator, NamesTheCallerByItsUid) {
  const Shared authenticator = Make(config::UnixAuthentication{{{1000, "unix:checkout"}, {0, "unix:root"}}});
  const auto caller = Ask(authenticator, {.peer = "unix:uid=1000", .unix_uid = 1000});
  ASSERT_TRUE(caller.ok());
  EXPECT_EQ(caller->name(), "unix:checkout");
  EXPECT_EQ(caller->authentication(), Authentication::kUnix);
  EXPECT_EQ(caller->listener(), "cluster");
  EXPECT_EQ(caller->peer(), "unix:uid=1000");
  EXPECT_EQ(Ask(authenticator, {.peer = "unix:uid=0", .unix_uid = 0})->name(), "unix:root");
}

TEST(UnixAuthenticator, KnowsNobodyElse) {
  const Shared authenticator = Make(config::UnixAuthentication{{{1000, "unix:checkout"}}});
  for (const std::optional<uid_t> uid : {std::optional<uid_t>(1001), std::optional<uid_t>(0),
                                         std::optional<uid_t>(4294967295U), std::optional<uid_t>()}) {
    const auto caller = Ask(authenticator, {.peer = "unix:uid=1000", .unix_uid = uid});
    EXPECT_EQ(caller.status().code(), absl::StatusCode::kUnauthenticated);
  }
}

TEST(MakeAuthenticator, KeepsThePreviousOneWhereNothingChanged) {
  const std::vector<config::ListenerAuthentication> kinds = {
      config::NoAuthentication{"dev"}, config::NoAuthentication{"ci"}, config::MtlsAuthentication{},
      config::UnixAuthentication{{{1, "unix:a"}}}, config::UnixAuthentication{{{2, "unix:a"}}}};
  for (std::size_t before = 0; before < kinds.size(); ++before) {
    for (std::size_t after = 0; after < kinds.size(); ++after) {
      const Shared previous = Make(kinds[before]);
      EXPECT_EQ(Make(kinds[after], previous) == previous, before == after) << before << " " << after;
    }
  }
  config::Listener renamed;
  renamed.name = "edge";
  renamed.authentication = config::MtlsAuthentication{};
  const Shared previous = Make(config::MtlsAuthentication{});
  EXPECT_NE(MakeAuthenticator(renamed, previous).value(), previous);
}

TEST(MtlsAuthenticator, NamesTheCallerByItsOneSpiffeId) {
  const auto caller = ByCertificate({"spiffe://prod.example/ns/shop/sa/checkout"}, {});
  ASSERT_TRUE(caller.ok());
  EXPECT_EQ(caller->name(), "spiffe://prod.example/ns/shop/sa/checkout");
  EXPECT_EQ(caller->authentication(), Authentication::kMtls);
  EXPECT_EQ(caller->listener(), "cluster");
  EXPECT_EQ(caller->peer(), "ipv4:10.0.0.1:4711");
}

TEST(MtlsAuthenticator, TakesNamesOfUpTo512Bytes) {
  const std::string start = "spiffe://prod.example/";
  const std::string longest = start + std::string(512 - start.size(), 'a');
  const auto caller = ByCertificate({longest}, {});
  ASSERT_TRUE(caller.ok());
  EXPECT_EQ(caller->name(), longest);
  EXPECT_EQ(ByCertificate({longest + "a"}, {}).status().code(), absl::StatusCode::kUnauthenticated);
}

TEST(MtlsAuthenticator, DoesNotCountDnsSansBesideASpiffeId) {
  const auto caller = ByCertificate({"spiffe://prod.example/a"}, {"a.example", "b.example"});
  ASSERT_TRUE(caller.ok());
  EXPECT_EQ(caller->name(), "spiffe://prod.example/a");
}

TEST(MtlsAuthenticator, NamesTheCallerByItsOneDnsSanInLowerCaseWithoutAUriSan) {
  const auto caller = ByCertificate({}, {"CI-Runner.Example"});
  ASSERT_TRUE(caller.ok());
  EXPECT_EQ(caller->name(), "dns:ci-runner.example");
}

TEST(MtlsAuthenticator, KnowsNobodyElse) {
  const std::string good = "spiffe://prod.example/a";
  struct Case {
    std::vector<std::string> uri_sans, dns_sans;
  };
  for (const Case& bad : std::vector<Case>{
           {{}, {}},
           {{good, "spiffe://prod.example/b"}, {}},
           {{good, good}, {}},
           {{good, "https://prod.example"}, {}},
           {{"https://prod.example/a"}, {}},
           {{"https://prod.example/a"}, {"a.example"}},  // a bad URI SAN is not passed over
           {{"spiffe://prod.example:80/c?x=1"}, {}},
           {{""}, {"a.example"}},
           {{}, {"a.example", "b.example"}},
           {{}, {"a.example", "a.example"}},
       }) {
    const auto caller = ByCertificate(bad.uri_sans, bad.dns_sans);
    EXPECT_EQ(caller.status().code(), absl::StatusCode::kUnauthenticated)
        << testing::PrintToString(bad.uri_sans) << testing::PrintToString(bad.dns_sans);
  }
}

TEST(MtlsAuthenticator, TakesOnlyHostNamesForDnsSans) {
  const std::string label(63, 'a');
  const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'b');  // 253 bytes
  for (const std::string& host :
       {std::string("a"), std::string("a-b.c9.example"), label + ".example", longest}) {
    EXPECT_TRUE(ByCertificate({}, {host}).ok()) << host;
  }
  for (const std::string& host :
       {std::string(""), std::string("*.example"), std::string("a.*"), std::string("-a.example"),
        std::string("a-.example"), std::string("a..example"), std::string(".example"),
        std::string("a.example."), std::string("a_b.example"), std::string("a b"), std::string("a\nb"),
        std::string("a\0b", 3), std::string("a:b"), std::string("a/b"), std::string("\xC3\xA4.example"),
        label + "a.example", longest + "b"}) {
    EXPECT_FALSE(ByCertificate({}, {host}).ok()) << host;
  }
}

TEST(MtlsAuthenticator, NeverRepeatsWhatTheCertificateSays) {
  for (const auto& caller :
       {ByCertificate({"https://quoted.example"}, {}), ByCertificate({}, {"*.quoted.example"})}) {
    EXPECT_EQ(std::string(caller.status().message()).find("quoted"), std::string::npos);
  }
}

}  // namespace
}  // namespace tokend::identity
