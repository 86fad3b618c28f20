#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "tests/fakes/connect_proxy.h"
#include "tests/fakes/fake_applivery.h"
#include "tests/unit/loop/asking_client.h"

// The HTTP client and its way through a CONNECT proxy.
namespace tokend::loop {
namespace {

using fakes::ConnectProxy;
using fakes::FakeApplivery;
using fakes::FakeAppliveryOptions;

FakeAppliveryOptions Hidden() {
  FakeAppliveryOptions options;
  options.api_keys = {"key"};
  options.certificate.hosts = {"applivery.test"};
  return options;
}

// A server whose name only the proxy knows, and a client that reaches it.
class Proxied : public testing::Test {
 protected:
  HttpClientOptions Through(const ConnectProxy& proxy) const {
    HttpClientOptions options = Options();
    options.proxy = proxy.url();
    options.ca_file = testing::TempDir() + "proxied_ca_" + std::to_string(getpid()) + ".pem";
    std::ofstream(options.ca_file) << server_.ca_pem();
    return options;
  }

  std::string Server() const { return "applivery.test:" + std::to_string(server_.port()); }
  std::string Url() const { return "https://" + Server() + "/v1/organizations/acme/apps/ios-app/tokens"; }

  FakeApplivery server_{Hidden()};
};

TEST_F(Proxied, EachConnectionGoesThroughTheProxyByConnectAlone) {
  const ConnectProxy proxy;
  Client client(Through(proxy));
  EXPECT_EQ(client.Ask(Url()).status, 200);
  EXPECT_EQ(client.Ask(Url()).status, 200);
  EXPECT_EQ(client.Begin(Url(), kBody, HttpPost::Connection::kNew).get().status, 200);
  ASSERT_EQ(proxy.requests().size(), 2U) << "connections are reused";
  for (const std::string& request : proxy.requests()) {
    EXPECT_TRUE(request.starts_with("CONNECT " + Server() + " HTTP/1.1\r\n")) << request;
    EXPECT_EQ(request.find("uthorization"), std::string::npos) << "the key is not the proxy's business";
  }
  EXPECT_EQ(server_.posts()[0].protocol, fakes::Protocol::kHttp2);
}

// Connections that were established and then went silent.
class Silenced : public testing::TestWithParam<fakes::Protocol> {
 protected:
  Silenced() {
    FakeAppliveryOptions options = Hidden();
    options.protocols = {GetParam()};
    server_ = std::make_unique<FakeApplivery>(options);
    HttpClientOptions client_options = Options();
    client_options.timeout = std::chrono::seconds(2);
    client_options.proxy = proxy_.url();
    client_options.ca_file = testing::TempDir() + "silenced_ca_" + std::to_string(getpid()) + ".pem";
    std::ofstream(client_options.ca_file) << server_->ca_pem();
    client_ = std::make_unique<Client>(client_options);
    url_ = "https://applivery.test:" + std::to_string(server_->port()) +
           "/v1/organizations/acme/apps/ios-app/tokens";
    EXPECT_EQ(client_->Ask(url_).status, 200);
    proxy_.SilenceConnections();
  }

  ConnectProxy proxy_;
  std::unique_ptr<FakeApplivery> server_;
  std::unique_ptr<Client> client_;
  std::string url_;
};

INSTANTIATE_TEST_SUITE_P(Protocols, Silenced,
                         testing::Values(fakes::Protocol::kHttp1, fakes::Protocol::kHttp2),
                         [](const testing::TestParamInfo<fakes::Protocol>& test) {
                           return test.param == fakes::Protocol::kHttp2 ? "Http2" : "Http1";
                         });

TEST_P(Silenced, AConnectionThatWentSilentCarriesNoFurtherPost) {
  const HttpAnswer lost = client_->Ask(url_);
  EXPECT_EQ(lost.sent, Sent::kYes);
  EXPECT_EQ(lost.ending, Ending::kBroken);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client_->Ask(url_).status, 200);
  EXPECT_EQ(server_->counts().posts, 4U);
  EXPECT_EQ(proxy_.requests().size(), 2U);
}

TEST_P(Silenced, ARequestForANewConnectionDoesNotUseOneThatWentSilent) {
  EXPECT_EQ(client_->Begin(url_, kBody, HttpPost::Connection::kNew).get().status, 200);
  EXPECT_EQ(client_->Ask(url_).status, 200);
  EXPECT_EQ(proxy_.requests().size(), 2U);
}

TEST_F(Proxied, APlainServerIsReachedByConnectToo) {
  FakeAppliveryOptions options = Hidden();
  options.transport = fakes::Transport::kPlain;
  const FakeApplivery plain(options);
  const ConnectProxy proxy;
  Client client(Through(proxy));
  const std::string at = "applivery.test:" + std::to_string(plain.port());
  EXPECT_EQ(client.Ask("http://" + at + "/v1/organizations/acme/apps/ios-app/tokens").status, 200);
  ASSERT_EQ(proxy.requests().size(), 1U);
  EXPECT_TRUE(proxy.requests()[0].starts_with("CONNECT " + at + " HTTP/1.1\r\n"));
}

TEST_F(Proxied, TheEnvironmentCannotLeadRequestsPastTheProxy) {
  const ConnectProxy proxy;
  const ConnectProxy other;
  setenv("no_proxy", "*", 1);
  setenv("https_proxy", other.url().c_str(), 1);
  Client client(Through(proxy));
  EXPECT_EQ(client.Ask(Url()).status, 200);
  unsetenv("no_proxy");
  unsetenv("https_proxy");
  EXPECT_EQ(proxy.requests().size(), 1U);
  EXPECT_TRUE(other.requests().empty());
}

TEST_F(Proxied, AProxyThatRefusesIsNamedWithItsStatus) {
  for (const int status : {403, 407, 502}) {
    const ConnectProxy proxy(status);
    Client client(Through(proxy));
    const HttpAnswer answer = client.Ask(Url());
    EXPECT_EQ(answer.sent, Sent::kNo);
    EXPECT_EQ(answer.ending, Ending::kBroken);
    EXPECT_EQ(answer.status, 0) << "this is no answer of the server";
    EXPECT_EQ(answer.error, Server() + " by the proxy 127.0.0.1:" + std::to_string(proxy.port()) +
                                ": the proxy answered CONNECT with " + std::to_string(status));
  }
  EXPECT_EQ(server_.counts().posts, 0U);
}

TEST_F(Proxied, AProxyThatIsNotThereIsNamed) {
  HttpClientOptions options;
  std::string proxy_at;
  {
    const ConnectProxy gone;
    options = Through(gone);
    proxy_at = "127.0.0.1:" + std::to_string(gone.port());
  }
  Client client(options);
  const HttpAnswer answer = client.Ask(Url());
  EXPECT_EQ(answer.sent, Sent::kNo);
  EXPECT_EQ(answer.error,
            Server() + " by the proxy " + proxy_at + ": Couldn't connect to server (Connection refused)");
}

TEST_F(Proxied, TheServersCertificateIsVerifiedBehindTheProxy) {
  FakeAppliveryOptions options = Hidden();
  options.certificate.hosts = {"127.0.0.1", "localhost"};
  const FakeApplivery another(options);
  const ConnectProxy proxy;
  const HttpClientOptions client_options = Through(proxy);
  std::ofstream(client_options.ca_file) << another.ca_pem();
  Client client(client_options);
  const std::string url = "https://applivery.test:" + std::to_string(another.port()) +
                          "/v1/organizations/acme/apps/ios-app/tokens";
  const HttpAnswer answer = client.Ask(url);
  EXPECT_EQ(answer.sent, Sent::kNo);
  EXPECT_TRUE(answer.error.ends_with(": its certificate was refused: hostname mismatch")) << answer.error;
  EXPECT_EQ(another.counts().posts, 0U);
}

}  // namespace
}  // namespace tokend::loop
