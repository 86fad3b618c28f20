#include "daemon/config/address.h"

#include <gtest/gtest.h>

namespace tokend::config {
namespace {

TEST(ParseAddress, TakesWhatToStringWrites) {
  for (const std::string text : {"unix:///run/t.sock", "127.0.0.1:8443", "0.0.0.0:0", "[::1]:0",
                                 "[fe80::1]:65535", "localhost:80", "tokend.platform.svc:8443", "a_b:1"}) {
    const auto address = ParseAddress(text);
    ASSERT_TRUE(address.ok()) << text << ": " << address.status();
    EXPECT_EQ(ToString(*address), text);
  }
}

TEST(ParseAddress, RefusesWhatIsNoAddress) {
  const std::string long_path = "unix:///" + std::string(107, 'a');
  for (const std::string& text : {std::string(""),
                                  std::string("localhost"),
                                  std::string(":8443"),
                                  std::string("host:"),
                                  std::string("host:65536"),
                                  std::string("host:-1"),
                                  std::string("host:080"),
                                  std::string("host:http"),
                                  std::string("::1:80"),
                                  std::string("[::1]"),
                                  std::string("[::1:80"),
                                  std::string("[1.2.3.4]:80"),
                                  std::string("[::1]x:80"),
                                  std::string("1.2.3:80"),
                                  std::string("1.2.3.256:80"),
                                  std::string("0x7f.1:80"),
                                  std::string("-a:80"),
                                  std::string("a..b:80"),
                                  std::string("a b:80"),
                                  std::string("http://host:80"),
                                  std::string("unix:run"),
                                  std::string("unix:/run/t.sock"),
                                  std::string("unix://run/t.sock"),
                                  std::string("unix:///"),
                                  std::string("unix:///run/"),
                                  long_path}) {
    EXPECT_FALSE(ParseAddress(text).ok()) << text;
  }
}

TEST(IsLoopback, HoldsForWhatStaysOnTheMachine) {
  for (const std::string text :
       {"127.0.0.1:1", "127.255.255.254:1", "[::1]:1", "[0:0::1]:1", "localhost:1"}) {
    EXPECT_TRUE(IsLocal(*ParseAddress(text))) << text;
  }
  EXPECT_TRUE(IsLocal(*ParseAddress("unix:///run/t.sock")));
  for (const std::string text : {"0.0.0.0:1", "[::]:1", "128.0.0.1:1", "10.0.0.1:1",
                                 "localhost.example.org:1", "[::ffff:127.0.0.1]:1"}) {
    EXPECT_FALSE(IsLocal(*ParseAddress(text))) << text;
  }
}

TEST(ParseBaseUrl, DropsTheSlashAtTheEnd) {
  EXPECT_EQ(ParseBaseUrl("https://api.applivery.io/")->text, "https://api.applivery.io");
  EXPECT_EQ(ParseBaseUrl("https://api.applivery.io")->text, "https://api.applivery.io");
  EXPECT_EQ(ParseBaseUrl("https://proxy:8443/a/b-c/")->text, "https://proxy:8443/a/b-c");
  EXPECT_EQ(ParseBaseUrl("https://[::1]/")->host.host, "::1");
  EXPECT_FALSE(ParseBaseUrl("http://[::1]:80")->https);
}

TEST(ParseBaseUrl, RefusesWhatIsNoBase) {
  for (const std::string text :
       {"", "api.applivery.io", "https://", "https:///a", "ftp://a", "HTTPS://a", "https://user@a",
        "https://user:pass@a", "https://a?q", "https://a/#f", "https://a/../b", "https://a/./b",
        "https://a//b", "https://a/%2e%2e", "https://a b", "https://a:99999", "https://a\\b", "https://1.2.3",
        "https://::1/"}) {
    EXPECT_FALSE(ParseBaseUrl(text).ok()) << text;
  }
}

}  // namespace
}  // namespace tokend::config
