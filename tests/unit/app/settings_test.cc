#include "daemon/app/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <variant>
#include <vector>

#include "daemon/config/contents.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/fakes/test_authority.h"

namespace tokend::app {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class SettingsTest : public testing::Test {
 protected:
  SettingsTest() {
    const fakes::Identity server = authority_.Issue("DNS:localhost");
    Write("tls.crt", server.certificate);
    Write("tls.key", server.private_key);
    Write("ca.crt", authority_.certificate());
    Write("api-key", "fake-api-key\n");
    Write("key", std::string(32, 'k'));
    Write("tokend.yaml", Configuration("{file: " + Path("api-key") + "}"));
  }

  std::string Path(const std::string& name) const { return folder_ / name; }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    chmod(Path(name).c_str(), 0600);
  }

  std::string Configuration(const std::string& api_key) const {
    return "listeners:\n"
           "  - name: cluster\n"
           "    address: 127.0.0.1:0\n"
           "    tls:\n"
           "      certificate_file: " +
           Path("tls.crt") +
           "\n"
           "      private_key_file: " +
           Path("tls.key") +
           "\n"
           "      client_ca_file: " +
           Path("ca.crt") +
           "\n"
           "    authentication: {mtls: {}}\n"
           "upstream:\n"
           "  applivery:\n"
           "    ca_file: " +
           Path("ca.crt") +
           "\n"
           "    organizations:\n"
           "      - {name: acme, api_key: " +
           api_key +
           "}\n"
           "policy: {grants: [{name: all, callers: [\"dns:ci\"], applications: [\"*\"], scopes: [sdk]}]}\n"
           "audit: {file: {path: " +
           Path("audit.jsonl") + "}, fingerprint_key_file: " + Path("key") + "}\n";
  }

  // What is wrong with it, a line each.
  std::vector<std::string> Errors(config::Contents contents) const {
    loop::CurlLoop loop;
    auto read = ReadSettings(Path("tokend.yaml"), contents == config::Contents::kAll ? &loop : nullptr);
    const auto* rejection = std::get_if<Rejection>(&read);
    return rejection != nullptr ? rejection->errors : std::vector<std::string>{};
  }

  // Of an error in that line of the file.
  auto In(int line, const std::string& text) const {
    return AllOf(StartsWith(Path("tokend.yaml") + ":" + std::to_string(line) + ":"),
                 HasSubstr(": error: " + text));
  }

  const fakes::TestAuthority authority_;
  fakes::TemporaryFolder folder_;
};

TEST_F(SettingsTest, WhatANamedFileHoldsIsJudgedAtTheKeyThatNamesIt) {
  ASSERT_THAT(Errors(config::Contents::kFiles), IsEmpty());
  Write("tls.key", authority_.Issue("DNS:other").private_key);
  Write("api-key", "two\nlines\n");
  Write("ca.crt", "no certificate\n");
  for (const auto contents : {config::Contents::kAll, config::Contents::kFiles}) {
    EXPECT_THAT(Errors(contents),
                ElementsAre(In(4, "listeners[0].tls: listener cluster: " + Path("tls.key") +
                                      " is not the private key of " + Path("tls.crt")),
                            In(11, "upstream.applivery.ca_file: " + Path("ca.crt") +
                                       " must hold one or more complete certificates in PEM"),
                            In(13, "upstream.applivery.organizations[0].api_key: organization acme: ")));
  }
}

TEST_F(SettingsTest, AKeyOfAnotherKindIsNoSigningKey) {
  const std::string text = Configuration("{file: " + Path("api-key") + "}");
  Write("tokend.yaml", text.substr(0, text.rfind('}')) + ", signing_key_file: " + Path("tls.key") + "}\n");
  EXPECT_THAT(Errors(config::Contents::kFiles), ElementsAre(In(15, "audit.signing_key_file: ")));
}

TEST_F(SettingsTest, AVariableThatIsNotSetMattersToTheDaemonAndNotToACheck) {
  Write("tokend.yaml", Configuration("{env: TOKEND_TEST_NOT_SET}"));
  EXPECT_THAT(Errors(config::Contents::kAll),
              ElementsAre(In(13, "upstream.applivery.organizations[0].api_key: organization acme: ")));
  EXPECT_THAT(Errors(config::Contents::kFiles), IsEmpty());
}

}  // namespace
}  // namespace tokend::app
