// What the real daemon does where Applivery, a proxy or a server of keys is out of reach, and what it says.
#include <gmock/gmock.h>

#include <string>

#include "tests/fakes/connect_proxy.h"
#include "tests/system/fixture.h"

namespace tokend::system {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Reachability : public SystemTest {
 protected:
  Tokend& StartBehind(const fakes::ConnectProxy& proxy, const std::string& upstream = "") {
    Tokend::Options options;
    options.upstream = "    proxy: " + proxy.url() + "\n" + upstream;
    options.environment = {{"https_proxy", "http://127.0.0.1:1"}, {"no_proxy", "*"}};
    return Start(options);
  }
};

TEST_F(Reachability, TokensAreMadeThroughTheConfiguredProxyWhateverTheEnvironmentSays) {
  const fakes::ConnectProxy proxy;
  StartBehind(proxy);
  EXPECT_EQ(Create("ios-app").code, 0);
  EXPECT_EQ(Create("ios-app").code, 0);
  const std::string server = "localhost:" + std::to_string(applivery_->port());
  EXPECT_THAT(proxy.requests(), testing::ElementsAre(testing::StartsWith("CONNECT " + server + " HTTP/1.1")));
}

TEST_F(Reachability, AConnectionThatWentSilentCostsOneCallAndNoMore) {
  fakes::ConnectProxy proxy;
  StartBehind(proxy, "    timeout: 1s\n");
  EXPECT_EQ(Create("ios-app").code, 0);
  proxy.SilenceConnections();
  EXPECT_EQ(Create("ios-app").reason, "OUTCOME_UNKNOWN");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Create("ios-app").code, 0);
  EXPECT_EQ(applivery_->counts().posts, 4U);
}

TEST_F(Reachability, WhyNoConnectionCanBeMadeStandsInTheLogOnReadyzAndOnThePage) {
  fakes::FakeAppliveryOptions other;
  other.certificate.hosts = {"other.example"};
  Start({}, other);
  ASSERT_TRUE(Eventually([this] {
    EXPECT_EQ(Create("ios-app").reason, "UPSTREAM_UNAVAILABLE");
    return !LineWith(tokend_->log(), {"upstream.breaker_opened"}).empty();
  }));
  const std::string why = "nothing was sent: localhost:" + std::to_string(applivery_->port()) +
                          ": its certificate was refused: hostname mismatch";
  EXPECT_EQ(Field(LineWith(tokend_->log(), {"upstream.breaker_opened"}), "detail"), why);
  const std::string trouble = "organization acme: upstream fails: the circuit breaker is open: " + why;
  EXPECT_THAT(tokend_->Get("/readyz"), AllOf(HasSubstr("200 OK"), HasSubstr(trouble)));
  EXPECT_THAT(tokend_->Get("/status.json"),
              AllOf(HasSubstr(trouble), HasSubstr("\"cause\":\"" + why + "\"")));
  EXPECT_EQ(applivery_->counts().posts, 0U);
}

TEST_F(Reachability, AListenerThatCanKnowNoCallerStandsOnReadyzWithTheReason) {
  Tokend::Options options;
  options.listeners = "  - name: local\n    address: unix://" + (folder_ / "tokend.sock") +
                      "\n    authentication: {none: {caller: ci}}\n"
                      "  - name: tokens\n    address: 127.0.0.1:0\n"
                      "    authentication: {jwt: {issuer: \"https://issuer.test\", audience: tokend, "
                      "jwks_url: \"https://127.0.0.1:1/keys\"}}\n";
  Start(options);
  const std::string trouble =
      "listener tokens: no caller can be known without keys: 127.0.0.1:1: Couldn't connect to server "
      "(Connection refused)";
  EXPECT_TRUE(Eventually([&] { return tokend_->Get("/readyz").find(trouble) != std::string::npos; }))
      << tokend_->Get("/readyz");
  EXPECT_THAT(tokend_->Get("/readyz"), HasSubstr("200 OK"));
}

}  // namespace
}  // namespace tokend::system
